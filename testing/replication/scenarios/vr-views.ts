// Scripts for Viewstamped Replication in which a view begins with a log that must not, or could, be the wrong one. In each
// a write is done that only just as many members have as must.

import { utf8 } from '../../../src/base/bytes.ts';
import type { Script } from './scenario.ts';
import { later } from './vr-script.ts';

/**
 * The first primary alone has many entries of its view. The next view commits one, which its backups do not know to be
 * committed, and its primary dies: of the logs that are left the longest is the wrong one.
 */
export const longDeadLog: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  const { session: lone } = stage.client('c0');
  const { session } = stage.client('c1');
  await stage.put(lone, 'k');
  await stage.put(session, 'k');
  await simulation.runFor(200);
  const rest = stage.names(1);
  const cuts = [stage.cut(['r0'], rest), stage.cut(rest, ['r0']), stage.cut(['c0'], rest)];
  for (let i = 2 + group.prng.below(5); i > 0; i--) {
    void lone.perform({ kind: 'put', key: utf8('dead'), value: lone.newValue(12) }, 60_000);
  }
  await later(stage, 0, group.replicas.slice(1));
  const { primary } = group;
  cuts.push(stage.cut([primary.name], rest, 'vrCommit'));
  const value = await stage.put(session, 'k');
  primary.crash(true);
  // As many as may be: without the first primary there are too few.
  const others = group.replicas.slice(1).filter((one) => one !== primary);
  const absent = others.slice(others.length - (faults - 1));
  for (const replica of absent) replica.crash(true);
  for (const heal of cuts) heal();
  const { session: reader } = stage.client('c2');
  stage.demand((await stage.get(reader, 'k', true)) === value, 'a committed write is gone');
  for (const replica of [primary, ...absent]) replica.start();
  await stage.work([reader], 6);
  await stage.together();
};

/** The first primary has an entry of its own when it hears that the next view is due, and crashes before it hears more. */
export const restartBetweenViews: Script = async (stage) => {
  const { group, simulation } = stage;
  const { session: lone } = stage.client('c0');
  const { session } = stage.client('c1');
  await stage.put(lone, 'k');
  await simulation.runFor(200);
  const first = stage.replica(0);
  const rest = stage.names(1);
  const cuts = [
    stage.cut(['r0'], rest),
    stage.cut(rest, ['r0'], 'vrStartView', 'vrPrepare', 'vrCommit', 'vrNewState'),
    stage.cut(['c0'], rest),
  ];
  void lone.perform({ kind: 'put', key: utf8('dead'), value: lone.newValue(12) }, 60_000);
  await stage.until(() => (first.status?.view ?? 0) > 0, 'the first primary hears of a view');
  await simulation.runFor(2 + group.prng.below(20));
  first.crash(true);
  await later(stage, 0, group.replicas.slice(1));
  for (let i = 1 + group.prng.below(3); i > 0; i--) await stage.put(session, 'k');
  for (const heal of cuts) heal();
  first.start();
  await stage.work([session], 4 + group.prng.below(6));
  await stage.together();
};

/**
 * f backups acknowledge a write of a view, and do not know that it is committed, when the log that their view began with
 * comes once more. Then the primary dies.
 */
export const lateCopyOfStartView: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await simulation.runFor(200);
  const lateMs = simulation.nowMs + 4_000;
  const rest = stage.names(1);
  const repeating = stage.repeat(lateMs, rest, rest, 'vrStartView');
  stage.replica(0).crash(true);
  await later(stage, 0, group.replicas.slice(1));
  repeating();
  await stage.work([session], 1 + group.prng.below(4));
  const { primary } = group;
  const spared = group.replicas.slice(1).filter((one) => one !== primary);
  const behind = spared.slice(faults).map(({ name }) => name);
  await stage.reach(lateMs - 60 + group.prng.below(40));
  const cuts = [
    stage.cut([primary.name], rest, 'vrCommit'),
    stage.cut(rest, behind, 'vrPrepare', 'vrNewState'),
  ];
  const value = await stage.put(session, 'k');
  await stage.reach(lateMs + 2);
  primary.crash(true);
  for (const heal of cuts) heal();
  stage.replica(0).start();
  const { session: reader } = stage.client('c1');
  stage.demand((await stage.get(reader, 'k', true)) === value, 'a committed write is gone');
  primary.start();
  await stage.work([reader], 6);
  await stage.together();
};

/**
 * A view begins, and all but its primary hear of it without getting its log; then the primary dies. What they had before,
 * and do not know to be committed, must still count.
 */
export const viewWithoutItsLog: Script = async (stage) => {
  const { group, simulation } = stage;
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await simulation.runFor(200 + group.prng.below(100));
  const cuts = [stage.cut(['r0'], stage.names(1), 'vrCommit')];
  const value = await stage.put(session, 'k');
  cuts.push(stage.cut(stage.names(0), stage.names(0), 'vrStartView', 'vrNewState'));
  // It gives its view up.
  stage.replica(0).crash(true);
  await simulation.runFor(group.prng.below(20));
  stage.replica(0).start();
  const waiting = (): number =>
    group.replicas.filter(({ status }) => status?.status === 'transferring').length;
  await stage.until(() => waiting() === group.replicas.length - 1, 'all but one lack the log');
  await simulation.runFor(group.prng.below(100));
  const { primary } = group;
  primary.crash(true);
  for (const heal of cuts) heal();
  const { session: reader } = stage.client('c1');
  stage.demand((await stage.get(reader, 'k', true)) === value, 'a committed write is gone');
  primary.start();
  await stage.work([reader], 6);
  await stage.together();
};

/** An entry reaches nobody, the one behind it reaches all; then the primary dies. */
export const gapInTheLog: Script = async (stage) => {
  const { group, simulation } = stage;
  const { session: one } = stage.client('c0');
  const { session: other } = stage.client('c1');
  await stage.put(one, 'k');
  await stage.put(other, 'other');
  await simulation.runFor(200 + group.prng.below(50));
  let gap: number | undefined;
  const heal = stage.lose(({ name, value }) => {
    if (name === 'vrNewState') return true;
    if (name !== 'vrPrepare') return false;
    gap ??= value.sequence;
    return value.sequence === gap;
  });
  const value = one.newValue(12);
  const lost = one.perform({ kind: 'put', key: utf8('k'), value }, 100);
  await stage.until(() => gap !== undefined, 'an entry is made');
  await stage.tryPut(other, 'other', 60 + group.prng.below(40));
  await simulation.complete(lost, 1_000);
  stage.replica(0).crash(true);
  heal();
  await later(stage, 0, group.replicas.slice(1));
  const { session: reader } = stage.client('c2');
  await stage.get(reader, 'k', true);
  stage.replica(0).start();
  await stage.work([reader], 6);
  await stage.together();
};

/** A primary with a lease executes a write in advance that nobody else gets; a read comes; the primary dies. */
export const readOfAnUnfinishedWrite: Script = async (stage) => {
  const { group, simulation } = stage;
  const { session: reader } = stage.client('c0');
  await stage.put(reader, 'k');
  for (let round = 0; round < 2; round++) {
    await simulation.runFor(500 + group.prng.below(100));
    const { primary } = group;
    const view = primary.status?.view ?? 0;
    const rest = group.replicas.filter((one) => one !== primary);
    const names = rest.map(({ name }) => name);
    const heal = stage.cut([primary.name], names, 'vrPrepare', 'vrNewState');
    const { machine, session: writer } = stage.client(`writer${round}`);
    void writer.perform({ kind: 'put', key: utf8('k'), value: writer.newValue(12) }, 60_000);
    await simulation.runFor(5 + group.prng.below(10));
    // It waits for the write, in vain.
    await stage.ending(reader, { kind: 'get', key: utf8('k') }, 20);
    machine.crash();
    primary.crash(true);
    heal();
    await later(stage, view, rest);
    await stage.get(reader, 'k', true);
    primary.start();
    await stage.work([reader], 2);
    await stage.together();
  }
};

/**
 * The first primary alone has entries of its view when it follows into a later one. Of that its table hears before the
 * power goes, its journal does not. Whoever lacks the places of those entries can then ask nobody else.
 */
export const stateBeforeItsLog: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  const { session: lone } = stage.client('c0');
  const { session } = stage.client('c1');
  await stage.put(lone, 'k');
  await stage.put(session, 'k');
  await simulation.runFor(200);
  const first = stage.replica(0);
  const rest = stage.names(1);
  const [ahead, behind] = [stage.names(1, faults + 2), stage.names(faults + 2)];
  const alone = [stage.cut(['r0'], rest), stage.cut(rest, ['r0'])];
  const apart = [
    stage.cut(['c0'], rest),
    stage.cut(stage.names(0), behind, 'vrPrepare', 'vrCommit', 'vrStartView'),
  ];
  for (let i = 8; i > 0; i--) {
    void lone.perform({ kind: 'put', key: utf8('dead'), value: lone.newValue(12) }, 60_000);
  }
  await later(stage, 0, group.replicas.slice(1, faults + 2));
  for (let i = 3 + group.prng.below(3); i > 0; i--) await stage.put(session, 'k');
  const never = { lowUs: 600_000_000, highUs: 600_000_000 };
  first.node.disk.conditions.lag = { half: 'journal', delay: never, oneIn: 1 };
  for (const heal of alone) heal();
  await stage.until(() => (first.status?.checkpoint ?? 0) >= 4, 'the state is saved');
  first.crash(true);
  first.node.disk.conditions.heal();
  first.start();
  await later(stage, 0, [first]);
  apart.push(stage.cut(ahead, behind, 'vrNewState'));
  apart[1]?.();
  await simulation.runFor(3_000);
  for (const heal of apart) heal();
  await stage.work([session], 4);
  await stage.together();
};
