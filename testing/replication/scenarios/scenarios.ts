// Every directed scenario by its name. Odd seeds play f = 1, even ones f = 2.

import type { RunReport } from '../report.ts';
import { type RunSettings, run } from '../run.ts';
import { handOverScenarios } from './hand-over.ts';
import { lyingScenarios } from './lying.ts';
import { pbftScenarios } from './pbft.ts';
import type { Scenario } from './scenario.ts';
import { twinScenarios } from './twins.ts';
import { vrScenarios } from './vr.ts';

export const scenarios: ReadonlyMap<string, Scenario> = new Map([
  ...lyingScenarios,
  ...Object.entries(pbftScenarios),
  ...Object.entries(twinScenarios),
  ...Object.entries(vrScenarios),
  ...Object.entries(handOverScenarios),
]);

const overloadedSuffix = '-overloaded';

export function scenarioNames(): string[] {
  return [...scenarios].flatMap(([name, { isTight }]) =>
    isTight ? [name, `${name}${overloadedSuffix}`] : [name],
  );
}

export function playScenario(name: string, settings: RunSettings): Promise<RunReport> {
  const isOverloaded = name.endsWith(overloadedSuffix);
  const plain = isOverloaded ? name.slice(0, -overloadedSuffix.length) : name;
  const faults = settings.name.seed % 2 === 1 ? 1 : 2;
  return scenarios.get(plain)?.play(settings, faults, isOverloaded ? 1 : 0) ?? run(settings);
}
