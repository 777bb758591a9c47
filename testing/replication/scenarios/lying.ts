// Every lie by itself, told by as many members as may lie: by those that are primaries first, and by backups while
// primaries crash. The clients must be served all the same.

import { type LieName, lieMaker, lieNames } from '../lies/lies.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import { playOn, type Stage } from '../stage.ts';
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
  mix: { get: 2, orderedGet: 1, put: 4, delete: 0, swap: 1, scan: 1 },
};

async function workThrough(stage: Stage): Promise<void> {
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  await stage.work(sessions, 30);
  await stage.together();
}

/** Primaries crash, one after the other, and stay away for a while. */
async function workWithoutPrimaries(stage: Stage): Promise<void> {
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, 30);
  for (let i = 0; i < 2; i++) {
    await stage.simulation.runFor(40 + stage.group.prng.below(60));
    const { primary } = stage.group;
    primary.crash();
    await stage.simulation.runFor(600);
    primary.start();
  }
  await stage.finish(workload, sessions);
  await stage.together();
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
            workThrough,
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
          return playOn(settings, { engine: 'pbft', faults, lies, options }, workWithoutPrimaries);
        },
      },
    ],
  ]),
);
