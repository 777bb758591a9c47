// Makes the proof of a violation small enough to read.

import type { Operation } from './history.ts';
import { search } from './search.ts';

const trialsMax = 1_000;

/**
 * Leaves out whatever a violation does not need. Sound: a linearizable history stays so without some of its reads,
 * without all operations of one value, and without a write that serves no read; so what remains violates only if the
 * whole does.
 * @param answer the operation at whose answer the search ended; nothing that begins later can matter.
 */
export function shrinkViolation(
  operations: readonly Operation[],
  answer: Operation,
  stepsMax: number,
): Operation[] {
  const violates = (some: readonly Operation[]): boolean =>
    search(some, stepsMax).result === 'violation';
  const prefix = operations.filter(({ kind, begin, end }) =>
    kind === 'write' ? begin < answer.end : end <= answer.end,
  );
  // The initial value is part of every history; all other operations go with their value.
  const ofValues = (values: ReadonlyArray<string | null>): Operation[] => {
    const kept = new Set(values);
    return prefix.filter(({ id, value }) => id < 0 || kept.has(value));
  };
  const values = leaveOut([...new Set(prefix.map(({ value }) => value))], (kept) =>
    violates(ofValues(kept)),
  );
  const fewer = ofValues(values);
  const writes = fewer.filter(({ kind }) => kind === 'write');
  const reads = leaveOut(
    fewer.filter(({ kind }) => kind === 'read'),
    (kept) => violates([...writes, ...kept]),
  );
  const writesServing = leaveOut(
    writes,
    (kept) => isServedBy(reads, kept, writes) && violates([...kept, ...reads]),
  );
  return [...writesServing, ...reads];
}

/**
 * Whether no write outside `kept` can have served any of the reads, given the writes that are kept. One write of each
 * value read stays too, so that a reader of the proof sees where the value came from.
 */
function isServedBy(
  reads: readonly Operation[],
  kept: readonly Operation[],
  writes: readonly Operation[],
): boolean {
  const keptSet = new Set(kept);
  const dropped = writes.filter((write) => !keptSet.has(write));
  if (dropped.some(({ id }) => id < 0)) return false;
  return reads.every((read) => {
    if (!kept.some(({ value }) => value === read.value)) return false;
    const beforeRead = kept.filter(({ end }) => end < read.begin);
    // Whatever ended before this place was replaced before the read began.
    const replacedUntil = Math.max(...beforeRead.map(({ begin }) => begin));
    return dropped.every(
      ({ value, begin, end }) => value !== read.value || begin > read.end || end < replacedUntil,
    );
  });
}

/** Drops ever smaller runs of items as long as the rest still serves (the idea of A. Zeller's delta debugging). */
function leaveOut<T>(items: readonly T[], serves: (kept: readonly T[]) => boolean): readonly T[] {
  let kept = items;
  let trialsLeft = trialsMax;
  for (let size = Math.ceil(kept.length / 2); size > 0; size = Math.floor(size / 2)) {
    for (let start = 0; start < kept.length && trialsLeft > 0; trialsLeft--) {
      const without = [...kept.slice(0, start), ...kept.slice(start + size)];
      if (serves(without)) kept = without;
      else start += size;
    }
  }
  return kept;
}
