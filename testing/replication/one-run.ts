// One run by name: of a scenario or what the seed draws, with or without a mutant, once or twice.

import { type Mutant, mutants } from './mutants/mutants.ts';
import type { RunOptions } from './options.ts';
import type { RunName, RunReport } from './report.ts';
import { run } from './run.ts';
import { playScenario, scenarioNames } from './scenarios/scenarios.ts';

export interface OneRunOptions {
  readonly name: RunName;
  readonly isTwice?: boolean;
  /** The same run with the variant's fault mended: what it shows is not the fault's doing. */
  readonly isControl?: boolean;
  readonly onTraceLine?: (line: string) => void;
}

/** What is wrong with a name, if anything. */
export function unknownName({
  scenario,
  mutant,
}: Pick<RunName, 'scenario' | 'mutant'>): string | undefined {
  if (scenario !== undefined && !scenarioNames().includes(scenario)) {
    return `no such scenario: ${scenario}; there are ${scenarioNames().join(', ')}`;
  }
  if (mutant !== undefined && !mutants.has(mutant)) {
    return `no such mutant: ${mutant}; there are ${[...mutants.keys()].join(', ')}`;
  }
  return undefined;
}

export async function oneRun({
  name,
  isTwice,
  isControl = false,
  onTraceLine,
}: OneRunOptions): Promise<RunReport> {
  const first = await once(name, isControl, onTraceLine);
  if (isTwice !== true) return first;
  const second = await once(name, isControl);
  if (second.traceHash === first.traceHash && second.events === first.events) return first;
  const message = `two runs of one seed differ: ${first.traceHash} and ${second.traceHash}`;
  return { ...first, failure: { kind: 'unstable', message } };
}

function once(
  name: RunName,
  isControl: boolean,
  onTraceLine?: (line: string) => void,
): Promise<RunReport> {
  const broken = name.mutant === undefined ? undefined : mutants.get(name.mutant);
  const scenario = name.scenario ?? broken?.scenario;
  const engine = name.engine ?? broken?.engine;
  const settings = {
    name: { ...name, engine },
    ...(broken === undefined || isControl ? {} : { parts: broken.parts }),
    ...(broken === undefined ? {} : { adjust: adjusted(broken) }),
    ...(onTraceLine === undefined ? {} : { onTraceLine }),
  };
  return scenario === undefined ? run(settings) : playScenario(scenario, settings);
}

/** Without what a variant does not need: then what is found is its doing. */
function adjusted({ adjust }: Mutant): (options: RunOptions) => RunOptions {
  return (drawn) => {
    const options = { ...drawn, clientCrashes: undefined, pageRots: 0, wipes: 0 };
    return adjust?.(options) ?? options;
  };
}
