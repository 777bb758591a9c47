import { expect, it } from 'vitest';
import { ParameterDifferences } from './parameter-differences.ts';
import { TestCluster as PbftCluster } from './pbft/test-cluster.ts';
import { TestCluster as VrCluster } from './vr/test-cluster.ts';

it('names what differs as long as it does, and a member as new once', () => {
  const differences = new ParameterDifferences({ window: 256, mode: 'full' });
  expect(differences.note(2, [256, 'full'])).toBe(false);
  expect(differences.all).toEqual([]);
  expect(differences.note(2, [512, 'view'])).toBe(true);
  expect(differences.note(1, [512, 'full'])).toBe(true);
  expect(differences.note(2, [1024, 'full'])).toBe(false);
  expect(differences.all).toEqual([
    'member 1 has window 512, here 256',
    'member 2 has window 1024, here 256',
  ]);
  expect(differences.note(1, [256, 'full'])).toBe(false);
  expect(differences.note(1, [512, 'full'])).toBe(false);
  expect(differences.all).toHaveLength(2);
});

it('members of PBFT notice who has another window, once, and go on', () => {
  const parameters = { checkpointInterval: 4, window: 8, idleStatusIntervalMs: 200 };
  const ownParameters = [{}, {}, {}, { checkpointInterval: 5, window: 16 }];
  const cluster = new PbftCluster({ seed: 1, parameters, ownParameters });
  cluster.run(3_000);
  const found = cluster.replicas.map(({ engine }) => engine.status().parametersDiffer);
  const said = 'member 3 has checkpointInterval 5, here 4, window 16, here 8';
  expect(found.slice(0, 3)).toEqual([[said], [said], [said]]);
  expect(found[3]).toHaveLength(3);
  // Once by each of three, and three times by the one.
  expect(cluster.count('parameters-differ')).toBe(6);
  cluster.client(0).write();
  expect(cluster.run(5_000, () => cluster.outcomes.length === 1)).toBe(true);
});

it('members of PBFT with the same parameters have nothing to say', () => {
  const cluster = new PbftCluster({ seed: 2 });
  cluster.run(3_000);
  expect(cluster.count('parameters-differ')).toBe(0);
});

it.each([
  [{ leaseMs: 100 }, 'leaseMs 100, here 0'],
  [{ clockDriftPpm: 5 }, 'clockDriftPpm 5, here 1000'],
  [{ threeMessageWrites: true }, 'threeMessageWrites true, here false'],
  [{ witnesses: true }, 'witnesses true, here false'],
  [{ mode: 'view' }, 'mode view, here full'],
] as const)('members of Viewstamped Replication notice who has %o', (own, said) => {
  const cluster = new VrCluster({ seed: 1, ownParameters: [{}, {}, own] });
  cluster.start();
  cluster.run(100);
  const found = cluster.nodes.map(({ engine }) => engine.status().parametersDiffer);
  expect(found.slice(0, 2)).toEqual([[`member 2 has ${said}`], [`member 2 has ${said}`]]);
  expect(found[2]).toHaveLength(2);
  expect(cluster.counts.get('parameters-differ')).toBe(4);
});

it('members of Viewstamped Replication notice it of who starts late, or could not be heard', () => {
  const cluster = new VrCluster({ seed: 2, ownParameters: [{}, {}, { leaseMs: 100 }] });
  cluster.filter = ({ message }) => message.name !== 'vrHello';
  cluster.startNode(0);
  cluster.startNode(1);
  cluster.run(300);
  cluster.startNode(2);
  cluster.run(300);
  expect(cluster.counts.get('parameters-differ')).toBeUndefined();
  let hellos = 0;
  cluster.filter = ({ message }) => {
    if (message.name === 'vrHello') hellos += 1;
    return true;
  };
  cluster.run(300);
  expect(cluster.counts.get('parameters-differ')).toBe(4);
  // All have answered: nothing more is asked.
  const said = hellos;
  cluster.run(2_000);
  expect(hellos).toBe(said);
});
