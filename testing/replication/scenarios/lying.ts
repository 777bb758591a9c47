// Every lie by itself, told by as many members as may lie: by those that are primaries first, who are left because their
// PRE-PREPAREs are lost, and by backups while primaries crash. Clients keep asking until several views were left and the lie
// was told; they must be served all the same. A lie that was not told fails its scenario.

import { type LieName, lieMaker, lieNames } from '../lies/lies.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import { playOn, type Stage } from '../stage.ts';
import type { Workload } from '../workload.ts';
import { countOf, fallBehind } from './falling-behind.ts';
import { crash, endless, hush, leaveView, type Trouble } from './leaving.ts';
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

/** Views that are left at least. */
const viewsLeftMin = 3;

/** Two clients ask on and on, until all of this has happened. */
async function workThroughViews(stage: Stage, name: LieName, trouble: Trouble): Promise<void> {
  const { group } = stage;
  const sessions = ['c0', 'c1'].map((client) => stage.client(client).session);
  const workload = stage.begin(sessions, endless);
  const roundsMax = 2 * group.group.members.length;
  for (let round = 0; round < roundsMax && !stage.isBroken; round++) {
    if (stage.view >= viewsLeftMin && isTold(name, group)) break;
    await stage.simulation.runFor(40 + group.prng.below(60));
    if (name === 'misfeeding' && round === 0) await misfeed(stage, workload);
    if (name === 'remembering') await recoverOne(stage, round);
    await leaveView(stage, trouble);
  }
  workload.demandSuccess(20);
  await stage.finish(workload, sessions);
  await stage.together();
  stage.require(stage.view >= viewsLeftMin, `only ${stage.view} views were left`);
  for (const deed of lacking(name, group)) stage.require(false, `nobody was told the lie: ${deed}`);
}

/** What a member counts that is fed by liars alone. */
const wrongAnswers = ['transfer-wrong', 'transfer-not-held', 'transfer-unasked'];

/** Liars alone feed a member that is far behind, until it was given a wrong answer. */
async function misfeed(stage: Stage, workload: Workload): Promise<void> {
  const isLiedTo = await fallBehind(stage, workload, (victim) =>
    wrongAnswers.some((code) => countOf(victim, code) > 0),
  );
  stage.require(isLiedTo, 'nobody was given a wrong answer');
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
