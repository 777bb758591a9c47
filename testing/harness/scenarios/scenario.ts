import type { LieMaker } from '../../byzantine/liar.ts';
import type { RunReport, RunSettings } from '../run-report.ts';

/** How many servers of a group lie in a scenario: as many as it bears, or one more. */
export interface Cast {
  readonly faults: number;
  readonly liars: number;
}

export interface Scenario {
  /** What it shows, in a few words. */
  readonly about: string;
  /** True: one liar more and the promise no longer holds; the scenario is played with that as well, and must fail. */
  readonly tight: boolean;
  play(settings: RunSettings, cast: Cast): Promise<RunReport>;
}

/** The first servers of the ring lie. */
export function liarsFirst(count: number, ...makers: LieMaker[]): Map<number, LieMaker[]> {
  return new Map(Array.from({ length: count }, (_, index) => [index, makers]));
}
