// How a script has a member fetch its state from liars.

import type { ReplicaMachine } from '../replica-machine.ts';
import type { Stage } from '../stage.ts';
import type { Workload } from '../workload.ts';
import { endless } from './leaving.ts';

/** Whoever gives a wrong answer is asked again after longer and longer. */
const feedMsMax = 60_000;

/**
 * A correct member misses more than a window, and liars alone feed it until it was shown enough; then it must get the
 * state.
 * @returns whether it was shown enough.
 */
export async function fallBehind(
  stage: Stage,
  workload: Workload,
  isEnough: (victim: ReplicaMachine) => boolean,
): Promise<boolean> {
  const { group, simulation } = stage;
  const victim = group.correct.find((one) => one !== group.primary);
  if (victim === undefined) return false;
  const honest = group.correct.flatMap((one) => (one === victim ? [] : [one.name]));
  const everyone = stage.names(0);
  const done = countOf(victim, 'transfer-done');
  const start = victim.status?.executed ?? 0;
  const cuts = [stage.cut(everyone, [victim.name]), stage.cut([victim.name], everyone)];
  const isBehind = (): boolean =>
    group.correct.some(({ status }) => (status?.checkpoint ?? 0) > start + 2 * windowOf(stage));
  await stage.until(isBehind, 'the others go on without one of them', 20_000);
  const starve = stage.cut(honest, [victim.name], 'statePart', 'committed', 'prePrepare', 'body');
  // While nothing is asked, the checkpoint that it wants stays the same.
  workload.demandSuccess(0);
  for (const heal of cuts) heal();
  const isEnoughShown = await simulation.runUntil(() => isEnough(victim), feedMsMax);
  starve();
  workload.demandSuccess(endless);
  const isFed = (): boolean => countOf(victim, 'transfer-done') > done;
  await stage.until(isFed, 'one that is far behind gets the state');
  return isEnoughShown;
}

/** How often a member has counted something. */
export function countOf({ node }: ReplicaMachine, wanted: string): number {
  for (const [code, count] of node.metrics.labelled('replication_events_total')) {
    if (code === wanted) return count;
  }
  return 0;
}

function windowOf({ group }: Stage): number {
  return group.options.pbft.window ?? 0;
}
