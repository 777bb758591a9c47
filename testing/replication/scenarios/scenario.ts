// A directed scenario: a script for what drawn runs meet too seldom.

import type { RunReport } from '../report.ts';
import type { RunSettings } from '../run.ts';
import type { Stage } from '../stage.ts';

/** @param extra faults on top of those that the group bears; scripts that are not tight ignore it. */
export type Script = (stage: Stage, extra: number) => Promise<void>;

export interface Scenario {
  readonly what: string;
  /** Plays it with `faults` faults borne; `extra` faults are played on top of that. */
  readonly play: (settings: RunSettings, faults: number, extra: number) => Promise<RunReport>;
  /** It uses up what a group bears: with one fault more it must fail. */
  readonly isTight: boolean;
}
