// An instance that begins with the state that another one ended with.

import { describe, expect, it } from 'vitest';
import { toHex } from '../../base/bytes.ts';
import type { EngineEnding } from '../contract.ts';
import type { VrParameters } from './parameters.ts';
import { TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';
import { countOperation } from './test-service.ts';

const few: Partial<VrParameters> = { checkpointInterval: 4, intervalsKept: 1, batchRequestsMax: 1 };

function clusterOf(parameters: Partial<VrParameters>, more: Partial<ClusterOptions> = {}) {
  const cluster = new TestCluster({
    seed: 5,
    clients: 2,
    parameters: { ...few, ...parameters },
    ...more,
  });
  cluster.start();
  return cluster;
}

function work(cluster: TestCluster, client: number, operations: number): void {
  const worker = cluster.clients[client];
  worker?.work(operations);
  expect(cluster.run(20_000, () => worker?.isIdle === true)).toBe(true);
}

/** Five operations of the first client, then the end by the second. */
function ended(parameters: Partial<VrParameters> = {}): TestCluster {
  const cluster = clusterOf(parameters);
  work(cluster, 0, 5);
  cluster.clients[1]?.submit(countOperation(1, 1, true));
  const isOver = () =>
    cluster.nodes.every(
      ({ engine }) => engine.core.isWitness || engine.status().status === 'final',
    );
  expect(cluster.run(3000, isOver)).toBe(true);
  return cluster;
}

function endingOf(cluster: TestCluster, index = 0): EngineEnding {
  const ending = cluster.node(index).engine.ending();
  if (ending === undefined) throw new TypeError('the instance has not ended');
  return ending;
}

function expectToGoOn(cluster: TestCluster): void {
  work(cluster, 0, 8);
  // Numbers that were used before are answered as they were then; the count goes on behind the STOP.
  expect([...(cluster.clients[0]?.results.values() ?? [])]).toEqual([0, 1, 2, 3, 4, 6, 7, 8]);
  const isWell = () => cluster.nodes.every(({ engine }) => engine.status().status === 'normal');
  expect(cluster.run(5000, isWell)).toBe(true);
  cluster.run(500);
  for (const { engine, service } of cluster.nodes) {
    expect(engine.status().damage).toEqual([]);
    if (!engine.core.isWitness) expect(service.count).toBe(9);
  }
}

describe('the end of an instance', () => {
  it('is told by every member that keeps the state, with the same root', () => {
    const cluster = ended();
    const roots = cluster.nodes.map(({ index }) => toHex(endingOf(cluster, index).root));
    expect(new Set(roots).size).toBe(1);
    expect(endingOf(cluster).sequence).toBe(6);
  });

  it('is not told by a witness, nor before it has come', () => {
    const running = clusterOf({});
    work(running, 0, 8);
    expect(running.node(0).engine.ending()).toBeUndefined();
    const cluster = ended({ witnesses: true });
    expect(cluster.nodes.map(({ engine }) => engine.ending() !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe.each([
  { what: 'in full', parameters: {} },
  { what: 'with views only on disk', parameters: { mode: 'view' as const } },
  {
    what: 'with three-message writes and leases',
    parameters: { threeMessageWrites: true, leaseMs: 30 },
  },
  { what: 'with witnesses', parameters: { witnesses: true } },
])('the next instance, $what', ({ parameters }) => {
  const next = (heirs: readonly number[]) =>
    clusterOf(parameters, { seed: 6, genesis: endingOf(ended(parameters)), heirs });

  it('goes on where the one before ended', () => expectToGoOn(next([0, 1, 2])));

  it.each([0, 1])('goes on when member %i has the state, which the others fetch', (heir) => {
    const cluster = next([heir]);
    for (const { index, engine } of cluster.nodes) {
      const isWell = index === heir || engine.core.isWitness;
      expect(engine.status().status).toBe(isWell ? 'normal' : 'transferring');
    }
    expectToGoOn(cluster);
  });

  it('executes nothing while nobody has the state', () => {
    const cluster = next([]);
    cluster.clients[0]?.work(1);
    cluster.run(5000);
    expect(cluster.clients[0]?.results.size).toBe(0);
    expect(cluster.node(0).engine.status().executed).toBe(0);
  });

  it('has members that come back, before and after a checkpoint', () => {
    const cluster = next([0]);
    cluster.run(500);
    cluster.crash(1, true);
    cluster.startNode(1);
    cluster.run(500);
    expectToGoOn(cluster);
    work(cluster, 0, 9);
    for (const index of [1, 0]) {
      cluster.crash(index, true);
      cluster.startNode(index);
      const isBack = () => cluster.node(index).engine.status().status === 'normal';
      expect(cluster.run(5000, isBack)).toBe(true);
    }
    work(cluster, 0, 1);
    cluster.run(1000);
    expect(cluster.node(1).service.count).toBe(19);
  });
});

describe('a member that never had the state', () => {
  it.each([
    { what: 'backups', heir: 0, parameters: {} },
    { what: 'the primary', heir: 1, parameters: {} },
    { what: 'backups that tell clients', heir: 0, parameters: { threeMessageWrites: true } },
  ])('makes nothing committed that is with one state only ($what)', ({ heir, parameters }) => {
    const genesis = endingOf(ended(parameters));
    const cluster = clusterOf(parameters, { seed: 9, genesis, heirs: [heir] });
    cluster.filter = ({ message }) => message.name !== 'statePart';
    const client = cluster.clients[0];
    // The first five are answered from the table.
    client?.work(6);
    cluster.run(5000);
    expect(client?.results.size).toBeLessThan(6);
    expect(Math.max(...cluster.nodes.map(({ engine }) => engine.core.commit))).toBe(0);
    cluster.filter = () => true;
    expect(cluster.run(20_000, () => client?.isIdle === true)).toBe(true);
    expect(client?.results.get(6)).toBe(6);
  });

  it('votes for a view, for there may be nobody else left to vote', () => {
    const genesis = endingOf(ended());
    const cluster = clusterOf({}, { seed: 8, genesis, heirs: [0, 1] });
    const links = [0, 1].flatMap((other) => [3 * other + 2, 3 * 2 + other]);
    for (const link of links) cluster.cut.add(link);
    work(cluster, 0, 18);
    // What the instance began with is forgotten, and the log does not reach back to it.
    expect(cluster.node(0).engine.core.executor.state.root(0)).toBeUndefined();
    cluster.crash(1, true);
    cluster.crash(0, true);
    cluster.startNode(0);
    cluster.cut.clear();
    work(cluster, 0, 1);
    cluster.run(1000);
    expect(cluster.node(2).service.count).toBe(cluster.node(0).service.count);
    expect(cluster.node(2).engine.status().status).toBe('normal');
  });
});

describe('a designated member without the state', () => {
  it.each([0, 1])('has a witness stand in for it: only member %i has the state', (heir) => {
    const parameters = { witnesses: true };
    const genesis = endingOf(ended(parameters));
    const cluster = clusterOf(parameters, { seed: 6, genesis, heirs: [heir] });
    cluster.filter = ({ message }) => message.name !== 'statePart';
    work(cluster, 0, 8);
    expect(cluster.clients[0]?.results.get(8)).toBe(8);
    cluster.filter = () => true;
    const isWell = () => cluster.nodes.every(({ engine }) => engine.status().status === 'normal');
    expect(cluster.run(5000, isWell)).toBe(true);
  });
});

describe('what an instance begins with', () => {
  it.each(['gone', 'changed', 'of another state'])(
    'is fetched when it is %s on the disk',
    (harm) => {
      const genesis = endingOf(ended());
      const cluster = clusterOf({}, { seed: 7, genesis, heirs: [0, 1, 2] });
      cluster.run(300);
      cluster.crash(2, true);
      const node = cluster.node(2);
      if (node.checkpoint === undefined) throw new TypeError('nothing was saved');
      const pages = new Map(node.checkpoint.pages);
      const [[key, page] = []] = [...pages];
      if (harm !== 'of another state' && key !== undefined && page !== undefined) {
        pages.set(key, { ...page, bytes: harm === 'gone' ? undefined : new Uint8Array(5).fill(1) });
      }
      const root = harm === 'of another state' ? new Uint8Array(32).fill(3) : genesis.root;
      node.checkpoint = { ...node.checkpoint, root, pages };
      cluster.startNode(2);
      expect(node.engine.status().damage).toEqual(
        harm === 'of another state' ? [] : ['disk-pages-differ'],
      );
      expectToGoOn(cluster);
    },
  );
});
