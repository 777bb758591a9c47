// Members of a PBFT group that come back while clients keep the others busy: as voters, and soon.

import type { ReplicationMessageName } from '../../../src/wire/replication-registry.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import type { Stage } from '../stage.ts';

/** Patience of the scenario's members, and how soon whoever is back must take part in full. */
export const restartTimeoutMs = 300;
const backWithinMs = 5 * restartTimeoutMs;

/** What shows that a request was executed: without it whoever hears of one waits for it. */
const ordering: ReadonlySet<ReplicationMessageName> = new Set<ReplicationMessageName>([
  'pbftPrepare',
  'pbftCommit',
  'committed',
  'checkpoint',
  'stableCheckpoint',
]);

function takesPart(stage: Stage, replica: ReplicaMachine): boolean {
  const { status } = replica;
  if (status?.status !== 'normal' || status.waitsFor !== undefined) return false;
  return stage.group.replicas.every((other) => (other.status?.view ?? 0) <= status.view);
}

/**
 * The primary, and then another member, is killed and started again. Clients notice that at once, the others after a
 * while; and for a while it hears what the primary orders, and not what becomes of it.
 */
export async function busyRestarts(stage: Stage): Promise<void> {
  const { group, simulation } = stage;
  const sessions = ['c0', 'c1', 'c2'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, Number.MAX_SAFE_INTEGER);
  const drawMs = (): number => restartTimeoutMs * group.prng.between(1, 4);
  for (const index of [0, group.prng.below(group.group.members.length)]) {
    const replica = stage.replica(index);
    const others = stage.names(0).filter((name) => name !== replica.name);
    await simulation.runFor(drawMs());
    replica.crash();
    await simulation.runFor(drawMs());
    const isFromOthers = (from: string, to: string): boolean =>
      to === replica.name && others.includes(from);
    const notice = stage.lose((_, from, to) => isFromOthers(from, to));
    const order = stage.lose(({ name }, from, to) => isFromOthers(from, to) && ordering.has(name));
    replica.start();
    await simulation.runFor(drawMs());
    notice();
    await simulation.runFor(drawMs());
    order();
    await stage.until(
      () => takesPart(stage, replica),
      `${replica.name} is back ${backWithinMs} ms after it can hear everything`,
      backWithinMs,
    );
  }
  workload.demandSuccess(1);
  await stage.finish(workload, sessions);
  await stage.together();
}
