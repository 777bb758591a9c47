// Immutable blocks, named by the hash of their bytes. A block is one object of the history: its address is the object,
// a put is a write, a get is a read whose value is the address of the bytes it returned (their hash, computed by the
// caller), or null for "absent".
//
// - A get never returns bytes that do not hash to the address asked for.
// - Once a put has completed, every get that begins later returns the bytes; "absent" is a violation.
// - While a put is under way, or if it failed or its end is unknown, a get may answer either.
//
// Histories in which owners release blocks are outside this property.

import { byObject, type Operation, type RecordedHistory } from './history.ts';
import { distinct, mention, quote, type Verdict, type Violation } from './verdict.ts';

export interface PresenceCheckOptions {
  /** Also: once a get returned the bytes, every get that begins later does, even if no put completed. Default: false. */
  readonly monotone?: boolean;
}

export function checkPresence(
  history: RecordedHistory,
  options: PresenceCheckOptions = {},
): Verdict<'present'> {
  const objects = byObject(history.operations);
  const violations: Violation[] = [];
  for (const [address, operations] of objects) {
    const violation = violationOf(address, operations, options.monotone ?? false);
    if (violation !== undefined) violations.push(violation);
  }
  if (violations.length > 0) return { result: 'violation', violations };
  return {
    result: 'present',
    operationCount: history.operations.length,
    objectCount: objects.size,
  };
}

function violationOf(
  object: string,
  operations: readonly Operation[],
  isMonotone: boolean,
): Violation | undefined {
  const completed = operations.filter(({ outcome }) => outcome === 'completed');
  const gets = completed.filter(({ kind }) => kind === 'read');
  const wrong = gets.find(({ value }) => value !== null && value !== object);
  if (wrong !== undefined) {
    const reason = `${mention(wrong)} returned bytes that hash to ${quote(wrong.value)}.`;
    return { object, kind: 'wrong-bytes', operations: [wrong], reason };
  }
  let proof: Operation | undefined;
  for (const operation of completed) {
    const isProof = operation.kind === 'write' || (isMonotone && operation.value !== null);
    if (isProof && operation.end < (proof?.end ?? Number.POSITIVE_INFINITY)) proof = operation;
  }
  const since = proof;
  if (since === undefined) return undefined;
  const absent = gets.find(({ value, begin }) => value === null && begin > since.end);
  if (absent === undefined) return undefined;
  const reason = `${mention(absent)} found nothing, though it began after ${mention(since)} had ended.`;
  return { object, kind: 'block-lost', operations: distinct([since, absent]), reason };
}
