// What both methods of judging one register start from: the operations that bear on its value, and the faults that a
// single read shows.

import type { Operation, OperationId } from './history.ts';
import { distinct, mention, quote, type Violation } from './verdict.ts';

/** One object's operations that can matter, in order of invocation. */
export interface RegisterHistory {
  readonly object: string;
  /** Completed, unknown and pending writes, and completed reads. The first one is the initial value. */
  readonly operations: readonly Operation[];
  /** Writes that certainly had no effect, by value. */
  readonly failedWrites: ReadonlyMap<string | null, Operation>;
}

/** Completed before everything: makes "nothing there" a value like any other. */
function initialWrite(object: string): Operation {
  const before = Number.NEGATIVE_INFINITY;
  return {
    id: -1 as OperationId,
    client: '',
    object,
    kind: 'write',
    value: null,
    outcome: 'completed',
    invokedAt: before,
    endedAt: before,
    begin: -2,
    end: -1,
  };
}

/**
 * Leaves out what says nothing: reads without an answer, failed writes, and unknown writes whose value nobody could
 * have read, for those may just as well never happen.
 */
export function registerHistory(object: string, operations: readonly Operation[]): RegisterHistory {
  const readLast = new Map<string | null, number>();
  const failedWrites = new Map<string | null, Operation>();
  for (const operation of operations) {
    const { kind, outcome, value, end } = operation;
    if (kind === 'write' && outcome === 'failed') failedWrites.set(value, operation);
    if (kind === 'read' && outcome === 'completed') {
      readLast.set(value, Math.max(end, readLast.get(value) ?? 0));
    }
  }
  const relevant = operations.filter(({ kind, outcome, value, begin }) => {
    if (outcome === 'completed') return true;
    return kind === 'write' && outcome !== 'failed' && (readLast.get(value) ?? -1) > begin;
  });
  return { object, operations: [initialWrite(object), ...relevant], failedWrites };
}

/** A read whose value nobody had even begun to write when it ended; the earliest to end. */
export function unsupportedRead(history: RegisterHistory): Violation | undefined {
  const writeFirst = new Map<string | null, Operation>();
  for (const operation of history.operations) {
    const { kind, value } = operation;
    if (kind === 'write' && !writeFirst.has(value)) writeFirst.set(value, operation);
  }
  let found: Operation | undefined;
  for (const read of history.operations) {
    if (read.kind !== 'read' || (found !== undefined && found.end < read.end)) continue;
    const write = writeFirst.get(read.value);
    if (write === undefined || write.begin > read.end) found = read;
  }
  if (found === undefined) return undefined;
  return explainUnsupported(history, found, writeFirst.get(found.value));
}

function explainUnsupported(
  history: RegisterHistory,
  read: Operation,
  writeLater: Operation | undefined,
): Violation {
  const { object } = history;
  const failed = history.failedWrites.get(read.value);
  if (failed !== undefined && failed.begin < read.end) {
    const reason = `${mention(read)} returned ${quote(read.value)}, but ${mention(failed)} certainly failed to write it.`;
    return { object, kind: 'value-of-failed-write', operations: distinct([failed, read]), reason };
  }
  if (writeLater !== undefined) {
    const reason = `${mention(read)} returned ${quote(read.value)} and ended before ${mention(writeLater)} began to write it.`;
    return { object, kind: 'read-before-write', operations: distinct([read, writeLater]), reason };
  }
  const reason = `${mention(read)} returned ${quote(read.value)}, which nobody wrote.`;
  return { object, kind: 'value-from-nowhere', operations: [read], reason };
}
