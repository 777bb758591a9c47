// Directed scenarios by name.

import type { RunReport, RunSettings } from '../run.ts';

export interface Scenario {
  readonly about: string;
  run(settings: RunSettings): Promise<RunReport>;
}

export const scenarios: ReadonlyMap<string, Scenario> = new Map<string, Scenario>();
