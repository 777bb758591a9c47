// Every lie by itself, told by as many members as may lie: by those that are primaries first, who are left because their
// PRE-PREPAREs are lost, and by backups while primaries crash. Clients keep asking until several views were left and the lie
// was told; they must be served all the same. A lie that was not told fails its scenario.

import { type LieName, lieMaker, lieNames } from '../lies/lies.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import { playOn, type Stage } from '../stage.ts';
import type { Workload } from '../workload.ts';
import { isTold, lacking } from './lies-told.ts';
import type { Scenario } from './scenario.ts';

const options: Partial<RunOptions> = {
  pbft: {
    checkpointInterval: 4,
    window: 8,
    timeoutMs: 200,
    timeoutMsMax: 4_000,
    batchRequests: 2,
    batchesInFlight: 2,
    isTentative: true,
  },
  hasInput: true,
  concurrency: 2,
  thinkMs: [5, 40],
  mix: { get: 2, orderedGet: 1, put: 4, delete: 0, swap: 1, scan: 1 },
};

const endless = Number.MAX_SAFE_INTEGER;
/** Views that are left at least. */
const viewsLeftMin = 3;
/** Makes a primary one that is left. */
interface Trouble {
  /** Call the result to make it like the others again. */
  readonly begin: (stage: Stage, primary: ReplicaMachine) => () => void;
  /** What lasts longer than patience, and shorter than the others can do without it. */
  readonly msMax: number;
}

const crash: Trouble = {
  begin: (stage, primary) => {
    primary.crash(stage.group.prng.chance(1, 2));
    return () => primary.start();
  },
  msMax: 600,
};

const hush: Trouble = {
  begin: (stage, { name }) => stage.cut([name], stage.names(0), 'prePrepare'),
  msMax: 2_000,
};

/** Then the next primary has its turn. */
const enterMsMax = 2_000;

/** Two clients ask on and on, until all of this has happened. */
async function workThroughViews(stage: Stage, name: LieName, trouble: Trouble): Promise<void> {
  const { group } = stage;
  const sessions = ['c0', 'c1'].map((client) => stage.client(client).session);
  const workload = stage.begin(sessions, endless);
  const roundsMax = 2 * group.group.members.length;
  for (let round = 0; round < roundsMax && !stage.isBroken; round++) {
    if (stage.view >= viewsLeftMin && isTold(name, group)) break;
    await stage.simulation.runFor(40 + group.prng.below(60));
    if (name === 'misfeeding' && round === 0) await fallBehind(stage, workload);
    if (name === 'remembering') await recoverOne(stage, round);
    await leaveView(stage, trouble);
  }
  workload.demandSuccess(20);
  await stage.finish(workload, sessions);
  await stage.together();
  stage.require(stage.view >= viewsLeftMin, `only ${stage.view} views were left`);
  for (const deed of lacking(name, group)) stage.require(false, `nobody was told the lie: ${deed}`);
}

async function leaveView(stage: Stage, trouble: Trouble): Promise<void> {
  const { view, simulation } = stage;
  const undo = trouble.begin(stage, stage.group.primary);
  await simulation.runUntil(() => stage.view > view, trouble.msMax);
  undo();
  await simulation.runUntil(() => isEntered(stage, view + 1), enterMsMax);
}

/** Whether correct members, as many as order something, work in this view or a later one. */
function isEntered({ group, faults }: Stage, view: number): boolean {
  const entered = group.correct.filter(
    ({ status }) => status !== undefined && status.status !== 'view-change' && status.view >= view,
  );
  return entered.length > faults;
}

/** A correct member misses more than a window, and liars alone feed it until they have lied to it. */
async function fallBehind(stage: Stage, workload: Workload): Promise<void> {
  const { group, simulation } = stage;
  const victim = group.correct.find((one) => one !== group.primary);
  if (victim === undefined) return;
  const honest = group.correct.flatMap((one) => (one === victim ? [] : [one.name]));
  const everyone = stage.names(0);
  const wrong = countOf(victim, 'transfer-wrong');
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
  const isFedWrongly = (): boolean => countOf(victim, 'transfer-wrong') > wrong;
  const isLiedTo = await simulation.runUntil(isFedWrongly, 10_000);
  stage.require(isLiedTo, 'nobody was given a wrong page');
  starve();
  workload.demandSuccess(endless);
  const isFed = (): boolean => countOf(victim, 'transfer-done') > done;
  await stage.until(isFed, 'one that is far behind gets the state');
}

function countOf({ node }: ReplicaMachine, wanted: string): number {
  for (const [code, count] of node.metrics.labelled('replication_events_total')) {
    if (code === wanted) return count;
  }
  return 0;
}

function windowOf({ group }: Stage): number {
  return group.options.pbft.window ?? 0;
}

/** One correct member after the other asks all others what it may have forgotten. */
async function recoverOne(stage: Stage, round: number): Promise<void> {
  const { correct } = stage.group;
  correct[round % correct.length]?.host?.recover();
  await stage.simulation.runFor(300);
}

function liars(indexes: readonly number[], name: LieName): Map<number, readonly LieMaker[]> {
  return new Map(indexes.map((index) => [index, [lieMaker(name)]]));
}

function indexes(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

export const lyingScenarios: ReadonlyMap<string, Scenario> = new Map(
  lieNames.flatMap((name): [string, Scenario][] => [
    [
      `${name}-primaries`,
      {
        what: `the first primaries are ${name}`,
        isTight: name === 'silent',
        play: (settings, faults, extra) =>
          playOn(
            settings,
            { engine: 'pbft', faults, lies: liars(indexes(0, faults + extra), name), options },
            (stage) => workThroughViews(stage, name, hush),
          ),
      },
    ],
    [
      `${name}-backups`,
      {
        what: `backups are ${name} while primaries crash`,
        isTight: false,
        play: (settings, faults, extra) => {
          const first = membersOf('pbft', faults) - faults - extra;
          const lies = liars(indexes(first, faults + extra), name);
          return playOn(settings, { engine: 'pbft', faults, lies, options }, (stage) =>
            workThroughViews(stage, name, crash),
          );
        },
      },
    ],
  ]),
);
