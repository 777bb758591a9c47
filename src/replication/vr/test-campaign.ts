// Short runs under random faults for the tests of this folder: some time of trouble, then everything works again and must
// come to rest in one state.

import { Prng } from '../../base/prng.ts';
import type { ReplicationMessageName } from '../../wire/replication-registry.ts';
import type { VrParameters } from './parameters.ts';
import type { VrRules } from './rules.ts';
import { TestCluster } from './test-cluster.ts';

export const modes = {
  full: {},
  view: { mode: 'view' },
  witnesses: { witnesses: true },
  'three messages': { threeMessageWrites: true },
  leases: { leaseMs: 40 },
  'three messages with leases': { threeMessageWrites: true, leaseMs: 40 },
  'witnesses, three messages and leases': {
    witnesses: true,
    threeMessageWrites: true,
    leaseMs: 40,
  },
  'view with leases': { mode: 'view', leaseMs: 40 },
} satisfies Record<string, Partial<VrParameters>>;

export type Mode = keyof typeof modes;

/** One run. @throws Violation, or whatever the engine breaks down with. */
export function runSeed(mode: Mode, seed: number, rules: Partial<VrRules> = {}): TestCluster {
  const prng = new Prng(seed);
  const faults = prng.chance(1, 4) ? 2 : 1;
  const cluster = new TestCluster({
    seed,
    faults,
    clients: prng.between(1, 3),
    parameters: { ...modes[mode], checkpointInterval: prng.between(3, 9) },
    rules,
    lossPerMille: prng.pick([0, 0, 10, 50]) ?? 0,
    doublePerMille: prng.pick([0, 20, 100]) ?? 0,
    delayMsMax: prng.pick([2, 8, 25]) ?? 2,
    syncMsMax: prng.pick([1, 5, 20]) ?? 1,
    driftPpm: Array.from({ length: 2 * faults + 1 }, () => prng.between(-400, 400)),
  });
  cluster.latePerMille = prng.pick([0, 20, 100]) ?? 0;
  cluster.start();
  for (const client of cluster.clients) {
    client.work(prng.between(10, 40), prng.between(1, 4));
  }
  const troubles = prng.between(3, 25);
  const gapMs = prng.pick([8, 40, 120]) ?? 40;
  for (let i = 0; i < troubles; i++) {
    cluster.run(prng.between(1, gapMs));
    for (const client of cluster.clients) {
      for (let to = 0; to < cluster.size; to++) if (prng.chance(1, 2)) client.read(to);
    }
    trouble(cluster, prng);
  }
  cluster.run(prng.between(20, 200));
  cluster.heal();
  cluster.checkEnd();
  return cluster;
}

/** Messages whose loss sets replicas apart. */
const telling: readonly ReplicationMessageName[] = [
  'vrPrepare',
  'vrPrepareOk',
  'vrCommit',
  'vrStartViewChange',
  'vrDoViewChange',
  'vrStartView',
  'vrNewState',
];

function trouble(cluster: TestCluster, prng: Prng): void {
  const victim = prng.below(cluster.size);
  const primary = cluster.primaryOf(Math.max(...cluster.nodes.map((n) => n.engine.core.view)));
  const target = prng.chance(1, 2) ? primary : victim;
  switch (prng.below(9)) {
    case 0:
    case 1:
      if (mayCrash(cluster)) cluster.crash(target);
      return;
    case 2:
    case 3: {
      const down = cluster.nodes.filter(({ isUp }) => !isUp);
      const node = prng.pick(down);
      if (node !== undefined) cluster.startNode(node.index);
      return;
    }
    case 4:
      if (!mayCrash(cluster)) return;
      cluster.crash(target);
      return cluster.startNode(target);
    case 5:
      cluster.cut.clear();
      return cluster.isolate(...(prng.chance(1, 2) ? [target] : [victim, primary]));
    case 6:
      cluster.cut.clear();
      for (let i = 0; i < cluster.size; i++) {
        cluster.cut.add(prng.below(cluster.size) * cluster.size + prng.below(cluster.size));
      }
      return;
    case 7: {
      const lost = prng.pick(telling);
      const spared = prng.below(cluster.size);
      cluster.filter = ({ to, message }) => message.name !== lost || to === spared;
      return;
    }
    default:
      cluster.cut.clear();
      cluster.filter = () => true;
  }
}

/** With logs in memory only, no more than f replicas may be down or recovering at a time. */
function mayCrash(cluster: TestCluster): boolean {
  if (cluster.parameters.mode === 'full') return true;
  const out = cluster.nodes.filter(
    ({ isUp, engine }) => !isUp || engine.core.status === 'recovering',
  );
  return out.length < cluster.faults;
}
