// Short runs under random faults for the tests of this folder: some time of trouble, then everything works again and must
// come to rest in one state.

import { Prng } from '../../base/prng.ts';
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

export interface CampaignOptions {
  readonly rules?: Partial<VrRules>;
  readonly parameters?: Partial<VrParameters>;
}

/** One run. @throws Violation, or whatever the engine breaks down with. */
export function runSeed(mode: Mode, seed: number, options: CampaignOptions = {}): TestCluster {
  const prng = new Prng(seed);
  const faults = prng.chance(1, 4) ? 2 : 1;
  const cluster = new TestCluster({
    seed,
    faults,
    clients: prng.between(1, 3),
    parameters: { ...modes[mode], checkpointInterval: prng.between(3, 9), ...options.parameters },
    ...(options.rules === undefined ? {} : { rules: options.rules }),
    lossPerMille: prng.pick([0, 0, 10, 50]) ?? 0,
    doublePerMille: prng.pick([0, 20, 100]) ?? 0,
    delayMsMax: prng.pick([2, 8, 25]) ?? 2,
    syncMsMax: prng.pick([1, 5, 20]) ?? 1,
    driftPpm: Array.from({ length: 2 * faults + 1 }, () => prng.between(-400, 400)),
  });
  cluster.start();
  for (const client of cluster.clients) client.work(prng.between(5, 25), prng.between(1, 4));
  const troubles = prng.between(1, 8);
  for (let i = 0; i < troubles; i++) {
    cluster.run(prng.between(5, 120));
    for (const client of cluster.clients)
      if (prng.chance(1, 2)) client.read(prng.below(cluster.size));
    trouble(cluster, prng, mode);
  }
  cluster.run(prng.between(20, 200));
  cluster.heal();
  cluster.checkEnd();
  return cluster;
}

function trouble(cluster: TestCluster, prng: Prng, mode: Mode): void {
  const down = cluster.nodes.filter(({ isUp }) => !isUp);
  const victim = prng.below(cluster.size);
  const kind = prng.below(6);
  if (kind <= 1) {
    if (mayCrash(cluster, mode)) cluster.crash(victim);
  } else if (kind === 2) {
    const node = prng.pick(down);
    if (node !== undefined) cluster.startNode(node.index);
  } else if (kind === 3) {
    if (mayCrash(cluster, mode)) {
      cluster.crash(victim);
      cluster.startNode(victim);
    }
  } else if (kind === 4) {
    cluster.isolate(...(prng.chance(1, 2) ? [victim] : [victim, prng.below(cluster.size)]));
  } else {
    cluster.cut.clear();
    if (prng.chance(1, 2)) cluster.cut.add(victim * cluster.size + prng.below(cluster.size));
  }
}

/** With logs in memory only, no more than f replicas may be down or recovering at a time. */
function mayCrash(cluster: TestCluster, mode: Mode): boolean {
  if (cluster.parameters.mode === 'full') return true;
  const out = cluster.nodes.filter(
    ({ isUp, engine }) => !isUp || engine.core.status === 'recovering',
  );
  return mode.startsWith('view') && out.length < cluster.faults;
}
