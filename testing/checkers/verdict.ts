// What a checker says, and how it says it to a person.

import type { Operation } from './history.ts';

/** One proof that a run was wrong: the operations and why they cannot all be right. */
export interface Violation {
  readonly object: string;
  /** Short name of what is wrong, such as `stale-read`. */
  readonly kind: string;
  /** The operations that prove it, in order of invocation; no more than the proof needs. */
  readonly operations: readonly Operation[];
  readonly reason: string;
}

/**
 * `Good` names the property that holds. `unknown` means that the checker gave up: the run was not shown to be right,
 * so callers treat it as a failure.
 */
export type Verdict<Good extends string = 'linearizable'> =
  | { readonly result: Good; readonly operationCount: number; readonly objectCount: number }
  | { readonly result: 'violation'; readonly violations: readonly Violation[] }
  | { readonly result: 'unknown'; readonly objects: readonly string[]; readonly stepsMax: number };

const violationsShownMax = 5;

/** The verdict in words, several lines, for the message of a failed test. */
export function explain<Good extends string>(verdict: Verdict<Good>): string {
  if ('violations' in verdict) {
    const shown = verdict.violations.slice(0, violationsShownMax).map(explainViolation);
    const rest = verdict.violations.length - shown.length;
    if (rest > 0) shown.push(`and ${rest} more objects with violations`);
    return shown.join('\n');
  }
  if ('stepsMax' in verdict) {
    return `undecided after ${verdict.stepsMax} steps: ${verdict.objects.join(', ')}`;
  }
  return `${verdict.result}: ${verdict.operationCount} operations on ${verdict.objectCount} objects`;
}

function explainViolation(violation: Violation): string {
  const lines = violation.operations.map((operation) => `  ${describe(operation)}`);
  return [`object ${violation.object}: ${violation.kind}`, ...lines, `  ${violation.reason}`].join(
    '\n',
  );
}

/** One operation on one line: number, client, what it did, from when to when. */
function describe(operation: Operation): string {
  if (operation.id < 0) return 'the initial value: nothing';
  const { outcome } = operation;
  const value = quote(operation.value);
  const read = outcome === 'completed' ? `read and got ${value}` : 'read';
  const act = operation.kind === 'write' ? `wrote ${value}` : read;
  const end =
    outcome === 'completed'
      ? `${operation.endedAt}`
      : outcome === 'failed'
        ? `${operation.endedAt}, certainly failed`
        : 'unknown';
  return `#${operation.id} ${operation.client} ${act}, ${operation.invokedAt} to ${end}`;
}

export function quote(value: string | null): string {
  return value === null ? 'nothing' : `"${value}"`;
}

/** Names an operation inside a sentence. */
export function mention(operation: Operation): string {
  return operation.id < 0 ? 'the initial value' : `#${operation.id}`;
}

/** In order of invocation, each operation once. */
export function distinct(operations: readonly Operation[]): Operation[] {
  return [...new Set(operations)].sort((a, b) => a.begin - b.begin);
}
