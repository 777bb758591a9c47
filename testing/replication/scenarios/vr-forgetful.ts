// Scripts for groups of Viewstamped Replication whose members restart, most of them without their memory. Up to f of them
// at a time may lack it, crashed or recovering; with one more nobody may go on, and nobody does.

import { membersOf } from '../options.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import type { Stage } from '../stage.ts';
import type { Script } from './scenario.ts';

function isNormal({ status }: ReplicaMachine): boolean {
  return status?.status === 'normal';
}

/** Replicas without their memory recover, while old messages of their former selves are still on their way. */
export const recoversBesideOldMessages: Script = async (stage, extra) => {
  const { group, simulation, faults } = stage;
  const { session } = stage.client('c0');
  const n = membersOf('vr', faults);
  for (let i = 0; i < 2 * n; i++) {
    const workload = stage.begin([session], 6);
    await simulation.runFor(group.prng.below(30));
    const victims = Array.from({ length: faults + extra }, (_, j) => stage.replica((i + j) % n));
    const names = victims.map(({ name }) => name);
    const slow = group.fabric.add({
      stage: 'delay',
      judge: ({ from }, prng) =>
        names.includes(from) && prng.chance(1, 3)
          ? { kind: 'delay', delayUs: prng.between(100_000, 2_000_000) }
          : { kind: 'pass' },
    });
    await simulation.runFor(20);
    for (const victim of victims) victim.crash(true);
    await simulation.runFor(group.prng.below(600));
    for (const victim of victims) victim.start();
    await stage.until(() => group.replicas.every(isNormal), 'all have recovered');
    if (stage.verdict() !== undefined) return;
    await stage.finish(workload, [session]);
    slow();
  }
  await stage.together();
};

/** Replicas lose their memory of what only they and the primary have, and hear at first only those that never had it. */
export const recoversBesideLaggards: Script = async (stage, extra) => {
  const { session } = stage.client('c0');
  const { faults } = stage;
  await stage.put(session, 'k');
  await stage.simulation.runFor(300);
  const forgetful = stage.group.replicas.slice(1, 1 + faults + extra);
  const primary = stage.names(0, 1);
  const laggards = stage.names(1 + faults);
  const cuts = [
    stage.cut(stage.names(0, 1 + faults), laggards, 'vrPrepare', 'vrCommit', 'vrNewState'),
  ];
  const value = await stage.put(session, 'k');
  const rest = stage.names(1);
  cuts.push(stage.cut(primary, rest), stage.cut(rest, primary));
  for (const replica of forgetful) replica.crash(true);
  await stage.simulation.runFor(20);
  for (const replica of forgetful) replica.start();
  const { session: writer } = stage.client('c1');
  await stage.tryPut(writer, 'other', 3_000);
  for (const heal of cuts) heal();
  await stage.until(() => stage.group.replicas.every(isNormal), 'all have recovered');
  if (stage.verdict() !== undefined) return;
  stage.demand((await stage.get(writer, 'k', true)) === value, 'a committed write is gone');
  await stage.work([writer], 6);
  await stage.together();
};

/**
 * f members give up the primary, and crash; what they said of the next view reaches one member only when they are back.
 * That member votes, and crashes; its vote arrives when it is back, and has acknowledged a write since. So each of them
 * promised a view in another life. Whoever goes back behind such a promise helps to commit in the old view what the view
 * that it promised does not have.
 */
export const promiseOfAnotherLife: Script = async (stage, extra) => {
  const { group, simulation, faults } = stage;
  const { replicas, prng } = group;
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await simulation.runFor(200 + prng.below(100));
  // The next primary among them. The rest acknowledge with the first primary, and one of these is the voter.
  const deserters = replicas.slice(1, 1 + faults);
  const ones = stage.names(1, 1 + faults);
  const voter = stage.replica(2 * faults);
  const startMs = simulation.nowMs;
  const [desertedMs, votedMs] = [startMs + 4_000, startMs + 10_000];
  const holds = [
    stage.hold(desertedMs, ones, [voter.name], 'vrStartViewChange'),
    stage.hold(votedMs, [voter.name], stage.names(0), 'vrStartViewChange', 'vrDoViewChange'),
  ];
  const unheard = [...stage.names(0, 1), ...stage.names(1 + faults, 2 * faults)];
  const cuts = [
    stage.cut(stage.names(0, 1), ones),
    stage.cut(ones, unheard, 'vrStartViewChange', 'vrDoViewChange'),
  ];
  await stage.until(
    () => deserters.every(({ status }) => status?.view === 1),
    'the primary is given up by f members',
  );
  await simulation.runFor(5 + prng.below(20));
  const forgetful = replicas.slice(1, 1 + faults + extra);
  for (const replica of forgetful) replica.crash(true);
  for (const heal of cuts) heal();
  await simulation.runFor(20 + prng.below(100));
  for (const replica of forgetful) replica.start();
  await stage.until(() => forgetful.every(isNormal), 'those without memory recover');
  if (stage.verdict() !== undefined) return;
  await stage.reach(desertedMs + 5 + prng.below(20));
  voter.crash(true);
  for (const release of holds) release();
  await simulation.runFor(20 + prng.below(100));
  voter.start();
  await stage.until(() => isNormal(voter), 'the voter recovers');
  await oldVoteCounts(stage, ones, voter.name, votedMs);
};

/** A write that some never hear of; then they hear an old vote, and go on with its sender. The rest may be out. */
async function oldVoteCounts(
  stage: Stage,
  ones: readonly string[],
  voter: string,
  votedMs: number,
): Promise<void> {
  const { session } = stage.client('c1');
  const all = stage.names(0);
  const others = all.filter((name) => !ones.includes(name));
  const out = others.filter((name) => name !== voter);
  const unheard = stage.cut(all, ones, 'vrPrepare', 'vrNewState');
  const [value, ending] = await stage.tryPut(session, 'k', 2_000);
  // What was sent before is under way.
  const apart = [stage.cut(others, ones), stage.cut(ones, others)];
  await stage.reach(votedMs + 20);
  const goingOn = [...ones, voter, 'c2'];
  const cuts = [stage.cut(out, goingOn), stage.cut(goingOn, out)];
  for (const heal of apart) heal();
  unheard();
  const { session: near } = stage.client('c2');
  await stage.tryPut(near, 'other', 3_000);
  for (const heal of cuts) heal();
  const read = await stage.get(near, 'k', true);
  stage.demand(ending !== 'result' || read === value, 'a committed write is gone');
  await stage.work([near], 6);
  await stage.together();
}

export async function restartAll(stage: Stage): Promise<void> {
  for (const replica of stage.group.replicas) replica.crash(true);
  await stage.simulation.runFor(100);
  for (const replica of stage.group.replicas) replica.start();
}

/** Nobody remembers anything: nobody may begin with nothing. */
export const allForget: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await restartAll(stage);
  const { session: reader } = stage.client('c1');
  const [, ending] = await stage.tryPut(reader, 'k', 20_000);
  stage.demand(ending !== 'result', 'a group that has forgotten everything answers');
};
