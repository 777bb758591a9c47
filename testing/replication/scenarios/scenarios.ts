import type { RunReport } from '../report.ts';
import type { RunSettings } from '../run.ts';
import { run } from '../run.ts';

export function scenarioNames(): string[] {
  return [];
}

export function playScenario(_name: string, settings: RunSettings): Promise<RunReport> {
  return run(settings);
}
