// Nothing acknowledged is lost: after all faults have healed, what each object holds is a value that its history
// allows at the end.

import { byObject, type Operation, type OperationId, type RecordedHistory } from './history.ts';
import { checkRegisterHistory, type RegisterCheckOptions } from './linearizability.ts';
import type { Verdict, Violation } from './verdict.ts';

/** A read of one object after healing, by any correct client. They happen one after another, in the order given. */
export interface FinalRead {
  readonly object: string;
  /** Digest of what it returned; null when it found nothing. */
  readonly value: string | null;
}

/**
 * Appends the final reads to the history and judges the whole, so it also finds what was wrong before. Every object
 * with an acknowledged write must be read, or the verdict is a violation: an object that cannot be read is lost.
 */
export function checkDurability(
  history: RecordedHistory,
  finalReads: readonly FinalRead[],
  options: RegisterCheckOptions = {},
): Verdict {
  const unread = findUnread(history, finalReads);
  if (unread.length > 0) return { result: 'violation', violations: unread };
  const operations = [...history.operations];
  const endOf = lastMoment(operations);
  for (const [index, { object, value }] of finalReads.entries()) {
    operations.push({
      id: operations.length as OperationId,
      client: 'final reader',
      object,
      kind: 'read',
      value,
      outcome: 'completed',
      invokedAt: endOf.time,
      endedAt: endOf.time,
      begin: endOf.place + 2 * index + 1,
      end: endOf.place + 2 * index + 2,
    });
  }
  return checkRegisterHistory({ operations }, options);
}

function findUnread(history: RecordedHistory, finalReads: readonly FinalRead[]): Violation[] {
  const read = new Set(finalReads.map(({ object }) => object));
  const violations: Violation[] = [];
  for (const [object, operations] of byObject(history.operations)) {
    if (read.has(object)) continue;
    const acknowledged = operations.findLast(
      ({ kind, outcome }) => kind === 'write' && outcome === 'completed',
    );
    if (acknowledged === undefined) continue;
    violations.push({
      object,
      kind: 'not-read',
      operations: [acknowledged],
      reason: 'No final read returned, although a write was acknowledged.',
    });
  }
  return violations;
}

function lastMoment(operations: readonly Operation[]): { time: number; place: number } {
  let time = 0;
  let place = -1;
  for (const { outcome, invokedAt, endedAt, begin, end } of operations) {
    const hasEnded = outcome === 'completed' || outcome === 'failed';
    time = Math.max(time, hasEnded ? endedAt : invokedAt);
    place = Math.max(place, hasEnded ? end : begin);
  }
  return { time, place };
}
