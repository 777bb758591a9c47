// Scripts for groups of Viewstamped Replication.

import { utf8 } from '../../../src/base/bytes.ts';
import type { Session } from '../client-machine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import { rottenPages } from './page-rot.ts';
import type { Scenario, Script } from './scenario.ts';
import {
  allForget,
  promiseOfAnotherLife,
  recoversBesideLaggards,
  recoversBesideOldMessages,
  restartAll,
} from './vr-forgetful.ts';
import { later, scenario } from './vr-script.ts';
import {
  gapInTheLog,
  lateCopyOfStartView,
  longDeadLog,
  readOfAnUnfinishedWrite,
  restartBetweenViews,
  stateBeforeItsLog,
  viewWithoutItsLog,
} from './vr-views.ts';

/** The PREPARE reaches so many backups, then the primary is gone for a while. */
function primaryDies(reached: (faults: number) => number): Script {
  return async (stage) => {
    const { machine, session } = stage.client('c0');
    await stage.put(session, 'other');
    await stage.simulation.runFor(200);
    const backups = stage.names(1 + reached(stage.faults));
    const heal = stage.cut(['r0'], backups, 'vrPrepare', 'vrCommit', 'vrNewState');
    // Nobody else hears of it from its client: it comes through the log, or not at all.
    stage.cut(['c0'], stage.names(1));
    // Acknowledgements are lost: the client learns nothing.
    const silence = stage.cut(stage.names(1), ['r0'], 'vrPrepareOk');
    const [value, ending] = await stage.tryPut(session, 'k', 100);
    machine.crash();
    stage.replica(0).crash(true);
    heal();
    silence();
    await later(stage, 0, stage.group.replicas.slice(1));
    const { session: reader } = stage.client('c1');
    const read = await stage.get(reader, 'k', true);
    stage.demand(ending !== 'result' || read === value, 'an answered write is gone');
    // Any f+1 of the 2f others include one that has it.
    if (reached(stage.faults) >= stage.faults) stage.demand(read === value, 'a write is gone');
    else stage.demand(read === value || read === undefined, 'half a write');
    stage.replica(0).start();
    await stage.work([reader], 6);
    await stage.together();
    stage.demand((await stage.get(reader, 'k', true)) === read, 'a write came or went afterwards');
  };
}

/** The old primary alone has A where the new view has B. */
const doubleBooking: Script = async (stage) => {
  const { session: one } = stage.client('c0');
  const { session: other } = stage.client('c1');
  await stage.put(one, 'k');
  const rest = stage.names(1);
  const cuts = [stage.cut(['r0'], rest), stage.cut(rest, ['r0'])];
  // The first client reaches the old primary only, and goes on trying.
  const cutClient = stage.cut(['c0'], rest);
  const a = one.newValue(12);
  const pending = one.perform({ kind: 'put', key: utf8('a'), value: a }, 100_000);
  await later(stage, 0, stage.group.replicas.slice(1));
  const b = await stage.put(other, 'b');
  for (const heal of cuts) heal();
  cutClient();
  stage.expect((await stage.simulation.complete(pending, 200_000)) === 'result', 'A is done once');
  stage.demand((await stage.get(other, 'b', true)) === b, 'B is gone');
  await stage.together();
};

/** A replica that was behind hears of a later view; before it has that view's log, the view changes again. */
const interruptedTransfer: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  const n = membersOf('vr', stage.faults);
  // r1 … rf hold the entry with the primary; the others are behind.
  const behind = stage.names(1 + stage.faults);
  const heal = stage.cut(['r0'], behind, 'vrPrepare');
  const noAnswers = stage.cut(stage.names(0), stage.names(0), 'vrNewState');
  const value = await stage.put(session, 'k');
  stage.replica(0).crash(true);
  heal();
  await stage.simulation.runFor(300);
  for (let i = 1; i < n; i++) {
    const { primary } = stage.group;
    primary.crash(true);
    await stage.simulation.runFor(300 + stage.group.prng.below(400));
    primary.start();
    if (i === 1) stage.replica(0).start();
  }
  noAnswers();
  const { session: reader } = stage.client('c1');
  stage.demand((await stage.get(reader, 'k', true)) === value, 'a committed write is gone');
  await stage.together();
};

const allRestart: Script = async (stage) => {
  const { session } = stage.client('c0');
  for (let round = 0; round < 4; round++) {
    const value = await stage.put(session, 'k');
    await restartAll(stage);
    const { session: reader } = stage.client(`reader${round}`);
    stage.demand((await stage.get(reader, 'k')) === value, 'an acknowledged value is gone');
  }
  await stage.together();
};

/** A primary that holds a lease is cut off from the others, not from its clients; they go on without it. */
const leasedPrimaryCutOff: Script = async (stage) => {
  const { session: near } = stage.client('c0');
  const { session: far } = stage.client('c1');
  await stage.put(near, 'k');
  for (let round = 0; round < 3; round++) {
    await stage.simulation.runFor(500);
    const { primary } = stage.group;
    const view = primary.status?.view ?? 0;
    const rest = stage.group.replicas.filter((one) => one !== primary);
    const names = rest.map(({ name }) => name);
    const cuts = [stage.cut([primary.name], names), stage.cut(names, [primary.name])];
    // One client sees the old primary only.
    const blind = stage.cut(['c0'], names);
    const reading = readOn(near, 150);
    await later(stage, view, rest);
    await stage.put(far, 'k');
    await stage.simulation.complete(reading, 60_000);
    for (const heal of [...cuts, blind]) heal();
    await stage.put(far, 'k');
  }
  await stage.together();
};

/**
 * The same for once, with a write that waits for the next view: that is done as soon as the promises of those that granted
 * the lease are over, by their fast clocks, while the slow clock of the old primary goes by what it was granted.
 */
const slowLeasedPrimary: Script = async (stage) => {
  const { session: near } = stage.client('c0');
  const { session: far } = stage.client('c1');
  await stage.put(near, 'k');
  await stage.simulation.runFor(500 + stage.group.prng.below(50));
  const rest = stage.names(1);
  const cuts = [stage.cut(['r0'], rest), stage.cut(rest, ['r0']), stage.cut(['c0'], rest)];
  const writing = stage.put(far, 'k');
  const reading = readOn(near, 150);
  await writing;
  await stage.simulation.complete(reading, 60_000);
  stage.expect((stage.replica(1).status?.view ?? 0) > 0, 'the others have gone on');
  for (const heal of cuts) heal();
  await stage.put(far, 'k');
  await stage.together();
};

/** Reads every now and then, and does not mind when nobody answers. @returns how often somebody did. */
async function readOn(session: Session, times: number): Promise<number> {
  let answered = 0;
  for (let i = 0; i < times; i++) {
    const ending = await session.perform({ kind: 'get', key: utf8('k') }, 30);
    if (ending === 'result') answered += 1;
    await new Promise<void>((resolve) => session.env.timers.after(15, resolve));
  }
  return answered;
}

/** Whoever grants a lease crashes at once, comes back at once, and is asked to vote. */
const granterRestarts: Script = async (stage) => {
  const { session: near } = stage.client('c0');
  const { session: far } = stage.client('c1');
  await stage.put(near, 'k');
  await stage.simulation.runFor(300);
  const { primary } = stage.group;
  const view = primary.status?.view ?? 0;
  const rest = stage.group.replicas.filter((one) => one !== primary);
  const names = rest.map(({ name }) => name);
  const cuts = [stage.cut([primary.name], names), stage.cut(names, [primary.name])];
  const blind = stage.cut(['c0'], names);
  for (const replica of rest) replica.crash(true);
  for (const replica of rest) replica.start();
  const reading = readOn(near, 150);
  await later(stage, view, rest);
  await stage.put(far, 'k');
  // The client hears nobody but a primary that hears nobody: what it answers, it answers under the lease.
  const answered = await stage.simulation.complete(reading, 60_000);
  stage.require(answered > 0, 'nothing was read under the lease');
  for (const heal of [...cuts, blind]) heal();
  await stage.together();
};

/** Backups acknowledge to the client while views change. */
const threeMessages: Script = async (stage) => {
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, 60);
  for (let i = 0; i < 4; i++) {
    await stage.simulation.runFor(stage.group.prng.below(30));
    const { primary } = stage.group;
    primary.crash(true);
    await stage.simulation.runFor(600);
    primary.start();
  }
  await stage.finish(workload, sessions);
  await stage.together();
};

/** A member that keeps the state is out, a witness keeps the log in its place; the primary dies, the other returns. */
const witnessPromoted: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  const { faults } = stage;
  const out = stage.replica(faults);
  for (let round = 0; round < 2; round++) {
    out.crash(true);
    const value = await stage.put(session, 'k');
    await stage.work([session], 6);
    const last = await stage.put(session, 'k');
    const { primary } = stage.group;
    primary.crash(true);
    out.start();
    const { session: reader } = stage.client(`reader${round}`);
    stage.demand(
      (await stage.get(reader, 'k', true)) === last,
      'a write that a witness held is gone',
    );
    stage.expect(value !== last, 'values differ');
    primary.start();
    await stage.work([reader], 4);
    await stage.together();
  }
};

/**
 * Only its primary and the witnesses, which hold nothing, hear that a view has begun; then the primary dies. What the view
 * before committed, though none of those left knows, has to come from a log of that view.
 */
const bystandingWitness: Script = async (stage) => {
  const { session } = stage.client('c0');
  const { faults, group, simulation } = stage;
  await stage.put(session, 'k');
  await simulation.runFor(200 + group.prng.below(50));
  const designated = stage.names(0, faults + 1);
  const witnesses = group.replicas.slice(faults + 1);
  const cuts = [stage.cut(['r0'], stage.names(1), 'vrCommit')];
  const value = await stage.put(session, 'k');
  cuts.push(stage.cut(designated, designated, 'vrStartView', 'vrNewState'));
  const isNormal = ({ status }: ReplicaMachine): boolean =>
    status?.status === 'normal' && status.view > 0;
  const others = (): readonly ReplicaMachine[] => group.replicas.filter((each) => !isNormal(each));
  await stage.until(
    () => witnesses.every(isNormal) && others().length === faults,
    'all but the witnesses and a primary lack the log of a view',
  );
  // The one that knows forgets what is committed.
  stage.replica(0).crash(true);
  stage.replica(0).start();
  const { primary } = group;
  primary.crash(true);
  for (const heal of cuts) heal();
  const { session: reader } = stage.client('c1');
  stage.demand((await stage.get(reader, 'k', true)) === value, 'a write is gone');
  primary.start();
  await stage.work([reader], 6);
  await stage.together();
};

const restlessClient: Script = async (stage) => {
  const { machine, session } = stage.client('c0');
  await stage.put(session, 'k');
  for (let i = 0; i < 6; i++) {
    const current = machine.session ?? session;
    const value = current.newValue(12);
    void current.perform({ kind: 'put', key: utf8('k'), value }, 60_000);
    await stage.simulation.runFor(stage.group.prng.below(4));
    machine.crash();
    machine.start();
    await stage.simulation.runFor(stage.group.prng.below(10));
  }
  await stage.work([machine.session ?? session], 10);
  await stage.together();
};

/** How far clocks may be apart from true time where they really are. */
const widestPpm = 200_000;
const leases: RunOptions['vr'] = { leaseMs: 800, clockDriftPpm: 50_000 };

export const vrScenarios: Readonly<Record<string, Scenario>> = {
  'vr-primary-dies-after-f': scenario(
    'the primary dies when f backups have an operation',
    primaryDies((faults) => faults),
  ),
  'vr-primary-dies-before-f': scenario(
    'the primary dies when f-1 backups have an operation',
    primaryDies((faults) => faults - 1),
  ),
  'vr-double-booking': scenario('two views give one place to two operations', doubleBooking),
  'vr-interrupted-transfer': scenario(
    'a view changes before a laggard has the log of the one before',
    interruptedTransfer,
  ),
  'vr-long-dead-log': scenario('the longest log is that of a view that is over', longDeadLog, {
    batchRequestsMax: 1,
  }),
  'vr-state-before-its-log': scenario(
    'the power goes when a state is on disk and the log that it was made of is not',
    stateBeforeItsLog,
    { batchRequestsMax: 1, intervalsKept: 16 },
  ),
  'vr-restart-between-views': scenario(
    'a replica restarts in a view whose log it does not have',
    restartBetweenViews,
  ),
  'vr-late-copy-of-start-view': scenario(
    'the log that a view began with comes once more, and late',
    lateCopyOfStartView,
  ),
  'vr-view-without-its-log': scenario(
    'the only member that has the log of a view dies',
    viewWithoutItsLog,
  ),
  'vr-gap-in-the-log': scenario('nobody has the entry before one that backups have', gapInTheLog, {
    batchRequestsMax: 1,
  }),
  'vr-recovers-beside-old-messages': scenario(
    'replicas without memory recover beside old messages of theirs',
    recoversBesideOldMessages,
    { mode: 'view' },
    { isTight: true },
  ),
  'vr-recovers-beside-laggards': scenario(
    'replicas recover without memory, and hear only those that are behind',
    recoversBesideLaggards,
    { mode: 'view' },
    { isTight: true },
  ),
  'vr-promise-of-another-life': scenario(
    'votes of before crashes that took the memory are counted after them',
    promiseOfAnotherLife,
    { mode: 'view' },
    { isTight: true },
  ),
  'vr-all-forget': scenario('all replicas restart without memory', allForget, { mode: 'view' }),
  'vr-all-restart': scenario('all replicas restart with their disks', allRestart),
  'vr-leased-primary-cut-off': scenario(
    'a primary with a lease is cut off from all but a client',
    leasedPrimaryCutOff,
    leases,
    { clockRatePpmMax: 20_000 },
  ),
  'vr-leased-primary-is-slow': scenario(
    'a primary with a lease is cut off, and clocks are as far apart as they may be',
    slowLeasedPrimary,
    { leaseMs: 800, clockDriftPpm: widestPpm },
    { apartPpm: widestPpm },
  ),
  'vr-granter-restarts': scenario(
    'those that granted a lease restart at once',
    granterRestarts,
    leases,
    { clockRatePpmMax: 20_000 },
  ),
  'vr-three-messages': scenario(
    'views change while backups acknowledge to clients',
    threeMessages,
    { threeMessageWrites: true },
  ),
  'vr-read-of-an-unfinished-write': scenario(
    'a read meets a write that is then lost with its primary',
    readOfAnUnfinishedWrite,
    { ...leases, threeMessageWrites: true },
    { clockRatePpmMax: 20_000 },
  ),
  'vr-witness-promoted': scenario(
    'a witness holds the log while a member is out',
    witnessPromoted,
    { witnesses: true },
  ),
  'vr-bystanding-witness': scenario(
    'only witnesses hear that a view has begun, and its primary dies',
    bystandingWitness,
    { witnesses: true },
  ),
  'vr-page-rot': scenario("f members' pages rot in every way", rottenPages),
  'vr-page-rot-beside-witnesses': scenario(
    "f members' pages rot in every way, and the rest but one are witnesses",
    rottenPages,
    { witnesses: true },
  ),
  'vr-restless-client': scenario('a client dies and comes back again and again', restlessClient),
};
