// One run by name: of a scenario or a swarm, with or without a mutant, once or twice.

import { mutants } from '../byzantine/mutants/mutants.ts';
import type { RunName } from './failure.ts';
import { run } from './run.ts';
import type { RunReport } from './run-report.ts';
import { playScenario, scenarioNames } from './scenarios/scenarios.ts';

export interface OneRunOptions {
  readonly name: RunName;
  readonly twice: boolean;
  readonly onTraceLine?: (line: string) => void;
}

/** What is wrong with a name, if anything. */
export function unknownName({ scenario, mutant }: RunName): string | undefined {
  if (scenario !== undefined && !scenarioNames().includes(scenario))
    return `no such scenario: ${scenario}; there are ${scenarioNames().join(', ')}`;
  if (mutant !== undefined && !mutants.has(mutant))
    return `no such mutant: ${mutant}; there are ${[...mutants.keys()].join(', ')}`;
  return undefined;
}

export async function oneRun(options: OneRunOptions): Promise<RunReport> {
  const { name, twice, onTraceLine } = options;
  const first = await once(name, onTraceLine);
  if (!twice) return first;
  const second = await once(name);
  if (second.traceHash === first.traceHash && second.events === first.events) return first;
  const message = `two runs of one seed differ: ${first.traceHash} and ${second.traceHash}`;
  return { ...first, failure: { kind: 'unstable', message } };
}

function once(name: RunName, onTraceLine?: (line: string) => void): Promise<RunReport> {
  const { seed, scenario, mutant } = name;
  const broken = mutant === undefined ? undefined : mutants.get(mutant);
  const directed = scenario ?? broken?.scenario;
  const common = {
    seed,
    ...(broken === undefined ? {} : { parts: broken.parts }),
    ...(onTraceLine === undefined ? {} : { onTraceLine }),
  };
  return (directed === undefined ? undefined : playScenario(directed, common)) ?? run(common);
}
