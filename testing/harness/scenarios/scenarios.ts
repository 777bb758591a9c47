// Directed scenarios by name. A scenario that ends in `-overloaded` has one liar more than the system bears, and fails.

import type { RunReport, RunSettings } from '../run-report.ts';
import { clientScenarios } from './clients.ts';
import { diskScenarios } from './disks.ts';
import type { Scenario } from './scenario.ts';
import { tightScenarios } from './tight.ts';
import { transportScenarios } from './transport.ts';

export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  Object.entries({
    ...transportScenarios,
    ...tightScenarios,
    ...diskScenarios,
    ...clientScenarios,
  }),
);

const overloadedSuffix = '-overloaded';

/** All names that `playScenario` takes. */
export function scenarioNames(): string[] {
  return [...scenarios].flatMap(([name, { tight }]) =>
    tight ? [name, `${name}${overloadedSuffix}`] : [name],
  );
}

/** Odd seeds play with one fault to a group, even ones with two. Undefined if there is no such scenario. */
export function playScenario(name: string, settings: RunSettings): Promise<RunReport> | undefined {
  const isOverloaded = name.endsWith(overloadedSuffix);
  const plain = isOverloaded ? name.slice(0, -overloadedSuffix.length) : name;
  const scenario = scenarios.get(plain);
  if (scenario === undefined || (isOverloaded && !scenario.tight)) return undefined;
  const faults = settings.seed % 2 === 1 ? 1 : 2;
  return scenario.play(settings, { faults, liars: isOverloaded ? faults + 1 : faults });
}
