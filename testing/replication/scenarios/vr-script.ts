// What all scripts for groups of Viewstamped Replication share.

import type { RunOptions } from '../options.ts';
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

export function scenario(
  what: string,
  script: Script,
  vr: RunOptions['vr'] = {},
  { clockRatePpmMax = 0, isTight = false } = {},
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
