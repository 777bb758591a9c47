// What all scripts for groups of Viewstamped Replication share.

import { membersOf, type RunOptions } from '../options.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import type { RunSettings } from '../run.ts';
import { playOn, type Stage } from '../stage.ts';
import type { Scenario, Script } from './scenario.ts';

const quick: RunOptions['vr'] = {
  checkpointInterval: 4,
  primaryTimeoutMs: 200,
  requestTimeoutMs: 400,
  viewChangeTimeoutMs: 400,
  viewChangeTimeoutMaxMs: 8_000,
};

/** @param apartPpm the first primary's clock is so much slower, and the others' so much faster, than true time. */
export function scenario(
  what: string,
  script: Script,
  vr: RunOptions['vr'] = {},
  { clockRatePpmMax = 0, apartPpm = 0, isTight = false } = {},
): Scenario {
  return {
    what,
    isTight,
    play: (settings: RunSettings, faults: number, extra: number) =>
      playOn(
        settings,
        {
          engine: 'vr',
          faults,
          ...(apartPpm > 0 && { clockRatesPpm: clocksApart(apartPpm, faults) }),
          options: {
            vr: { ...quick, ...vr },
            faultMix: {
              latencyUs: [50, 500],
              inOrder: false,
              diskLatencyUs: [50, 300],
              diskStallOneIn: 0,
              clockRatePpmMax,
            },
          },
        },
        (stage) => script(stage, extra),
      ),
  };
}

function clocksApart(apartPpm: number, faults: number): number[] {
  return Array.from({ length: membersOf('vr', faults) }, (_, i) =>
    i === 0 ? -apartPpm : apartPpm,
  );
}

/** Waits until all of these are normal in a view after `view`. */
export function later(
  stage: Stage,
  view: number,
  replicas: readonly ReplicaMachine[],
): Promise<void> {
  return stage.until(
    () => replicas.every(({ status }) => status?.status === 'normal' && status.view > view),
    `a view after ${view}`,
  );
}
