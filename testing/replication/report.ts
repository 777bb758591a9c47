// What comes of one run of a replicated group, and how a failure is told.

import type { Failure } from '../harness/run-report.ts';
import type { EngineName } from './options.ts';

export interface RunName {
  readonly seed: number;
  /** Undefined: the seed draws it. */
  readonly engine: EngineName | undefined;
  readonly scenario: string | undefined;
  readonly mutant: string | undefined;
}

export interface RunReport {
  readonly name: RunName;
  /** One line. */
  readonly options: string;
  readonly failure: Failure | undefined;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly operations: number;
  readonly completed: number;
  readonly checkpoints: number;
  readonly views: number;
  /** How often which messages were lied about, by deed and message. */
  readonly told: ReadonlyMap<string, number>;
  /** What the engines counted, by code. */
  readonly codes: ReadonlyMap<string, number>;
}

/** The one command that makes this run again. */
export function rerunCommand({ seed, engine, scenario, mutant }: RunName): string {
  const parts = [`npx tsx testing/replication/campaign.ts --seed ${seed}`];
  if (engine !== undefined) parts.push(`--engine ${engine}`);
  if (scenario !== undefined) parts.push(`--scenario ${scenario}`);
  if (mutant !== undefined) parts.push(`--mutant ${mutant}`);
  return parts.join(' ');
}

export function failureText({ name, failure, options, ...run }: RunReport): string {
  if (failure === undefined) return '';
  return [
    `seed ${name.seed}: ${failure.kind}`,
    ...failure.message.split('\n').map((line) => `  ${line}`),
    `  again:   ${rerunCommand(name)}`,
    `  options: ${options}`,
    `  trace:   ${run.traceHash}, ${run.events} events, ${Math.round(run.virtualMs)} ms`,
  ].join('\n');
}
