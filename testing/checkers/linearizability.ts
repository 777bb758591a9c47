// Whether each object behaved like one atomic register that starts empty: every completed operation seems to happen at
// one instant between its invocation and its answer, failed writes never, unknown writes at most once.

import { byObject, type Operation, type RecordedHistory } from './history.ts';
import { type RegisterHistory, registerHistory, unsupportedRead } from './register.ts';
import { search } from './search.ts';
import { shrinkViolation } from './shrink.ts';
import { distinct, mention, quote, type Verdict, type Violation } from './verdict.ts';
import { checkByZones, hasDistinctWrites } from './zones.ts';

export { explain } from './verdict.ts';

export interface RegisterCheckOptions {
  /**
   * Search steps for each object in which a value is written twice; objects whose writes all differ need none.
   * Default: 5,000,000, some ten seconds.
   */
  readonly stepsMax?: number;
}

const stepsMaxDefault = 5_000_000;

/**
 * Judges each object of the history by itself, which suffices: linearizability is local. Reports at most one violation
 * for each object, the object whose trouble showed first at the top.
 */
export function checkRegisterHistory(
  history: RecordedHistory,
  options: RegisterCheckOptions = {},
): Verdict {
  const stepsMax = options.stepsMax ?? stepsMaxDefault;
  const violations: Violation[] = [];
  const undecided: string[] = [];
  const objects = byObject(history.operations);
  for (const [object, operations] of objects) {
    const register = registerHistory(object, operations);
    const outcome = hasDistinctWrites(register)
      ? checkByZones(register)
      : checkBySearch(register, stepsMax);
    if (outcome === 'unknown') undecided.push(object);
    else if (outcome !== undefined) violations.push(outcome);
  }
  if (violations.length > 0) {
    violations.sort((a, b) => provenAt(a) - provenAt(b));
    return { result: 'violation', violations };
  }
  if (undecided.length > 0) return { result: 'unknown', objects: undecided, stepsMax };
  return {
    result: 'linearizable',
    operationCount: history.operations.length,
    objectCount: objects.size,
  };
}

/** @returns undefined if the history is linearizable, `unknown` if the budget did not suffice. Exact otherwise. */
export function checkBySearch(
  history: RegisterHistory,
  stepsMax: number,
): Violation | 'unknown' | undefined {
  const unsupported = unsupportedRead(history);
  if (unsupported !== undefined) return unsupported;
  const found = search(history.operations, stepsMax);
  if (found.result === 'unknown') return 'unknown';
  if (found.result === 'linearizable') return undefined;
  const fewer = shrinkViolation(history.operations, found.answer, stepsMax);
  const smaller = search(fewer, stepsMax);
  const { answer, values } = smaller.result === 'violation' ? smaller : found;
  const held = values.map(quote).sort().join(' or ');
  return {
    object: history.object,
    kind: 'no-order',
    operations: distinct([...fewer.filter(({ id }) => id >= 0), answer]),
    reason: `No order of these explains them all: when ${mention(answer)} ended (${did(answer)}), the others allowed the register to hold only ${held}.`,
  };
}

function did({ kind, value }: Operation): string {
  return kind === 'write' ? `a write of ${quote(value)}` : `a read of ${quote(value)}`;
}

/** When the last operation of the proof ended. */
function provenAt(violation: Violation): number {
  return Math.max(
    ...violation.operations.map(({ outcome, endedAt, invokedAt }) =>
      outcome === 'completed' ? endedAt : invokedAt,
    ),
  );
}
