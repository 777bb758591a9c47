// What a failed run says: what went wrong, the command that makes it go wrong again, and what the run was made of.

import type { FailureKind, RunReport } from './run-report.ts';

/** Exit codes of the campaign, by the worst kind of failure. */
export const failureExitCodes: Readonly<Record<FailureKind, number>> = {
  safety: 10,
  crash: 11,
  unstable: 12,
  liveness: 13,
  vacuous: 14,
};

/** Worst first. */
const kinds: readonly FailureKind[] = ['safety', 'crash', 'unstable', 'liveness', 'vacuous'];

export function worstKind(found: Iterable<FailureKind>): FailureKind | undefined {
  const all = new Set(found);
  return kinds.find((kind) => all.has(kind));
}

export interface RunName {
  readonly seed: number;
  readonly scenario: string | undefined;
  readonly mutant: string | undefined;
}

/** The one command that makes this run again. */
export function rerunCommand({ seed, scenario, mutant }: RunName): string {
  const parts = ['npm run simulate --', `--seed ${seed}`];
  if (scenario !== undefined) parts.push(`--scenario ${scenario}`);
  if (mutant !== undefined) parts.push(`--mutant ${mutant}`);
  return parts.join(' ');
}

export function failureText(name: RunName, report: RunReport): string {
  const { failure, options, traceHash, events, virtualMs } = report;
  if (failure === undefined) return '';
  return [
    `seed ${name.seed}: ${failure.kind}`,
    ...failure.message.split('\n').map((line) => `  ${line}`),
    `  again:   ${rerunCommand(name)}`,
    `  options: ${options}`,
    `  trace:   ${traceHash}, ${events} events, ${Math.round(virtualMs)} ms`,
  ].join('\n');
}
