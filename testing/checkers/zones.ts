// Linearizability of one register when no value is written twice: P. B. Gibbons and E. Korach, "Testing Shared
// Memories", SIAM J. Computing 26(4), 1997, section 4. Takes n log n steps.
//
// All operations of one value form its cluster. In any right order a cluster stands together: its write, then its
// reads. Let `first` be the operation of a cluster that ends first and `last` the one that begins last.
// - If `first` ends before `last` begins, the register holds the value during that whole time (a forward zone).
// - Otherwise all operations overlap from the beginning of `last` to the end of `first`, and the value needs to hold
//   for an instant only, somewhere in there (a backward zone).
// Given that no read ends before its write begins, the history is linearizable exactly if no two forward zones overlap
// and no backward zone lies inside a forward one.

import { assert } from '../../src/base/assert.ts';
import type { Operation } from './history.ts';
import { type RegisterHistory, unsupportedRead } from './register.ts';
import { distinct, mention, quote, type Violation } from './verdict.ts';

interface Cluster {
  readonly write: Operation;
  /** Ends first. */
  first: Operation;
  /** Begins last. */
  last: Operation;
}

/** Whether `checkByZones` applies: each value has one write, counting the initial value. */
export function hasDistinctWrites(history: RegisterHistory): boolean {
  const values = new Set<string | null>();
  for (const { kind, value } of history.operations) {
    if (kind !== 'write') continue;
    if (values.has(value)) return false;
    values.add(value);
  }
  return true;
}

/** @returns undefined if the history is linearizable. Exact if `hasDistinctWrites(history)`, otherwise meaningless. */
export function checkByZones(history: RegisterHistory): Violation | undefined {
  const unsupported = unsupportedRead(history);
  if (unsupported !== undefined) return unsupported;
  const clusters = gatherClusters(history.operations);
  const forward = clusters.filter(isForward).sort((a, b) => a.first.end - b.first.end);
  const conflict = overlapOf(forward) ?? containmentIn(forward, clusters);
  return conflict === undefined ? undefined : explainConflict(history.object, ...conflict);
}

function gatherClusters(operations: readonly Operation[]): Cluster[] {
  const clusters = new Map<string | null, Cluster>();
  for (const write of operations) {
    if (write.kind === 'write') clusters.set(write.value, { write, first: write, last: write });
  }
  for (const read of operations) {
    if (read.kind === 'write') continue;
    const cluster = clusters.get(read.value);
    assert(cluster !== undefined, 'a read without a write must have been reported');
    if (read.end < cluster.first.end) cluster.first = read;
    if (read.begin > cluster.last.begin) cluster.last = read;
  }
  return [...clusters.values()];
}

function isForward(cluster: Cluster): boolean {
  return cluster.first.end < cluster.last.begin;
}

/** @param forward in order of the zones' left ends. */
function overlapOf(forward: readonly Cluster[]): [Cluster, Cluster] | undefined {
  let previous: Cluster | undefined;
  for (const cluster of forward) {
    // Until the first overlap is found, `previous` reaches furthest to the right.
    if (previous !== undefined && previous.last.begin > cluster.first.end) {
      return previous.last.begin > cluster.last.begin ? [previous, cluster] : [cluster, previous];
    }
    previous = cluster;
  }
  return undefined;
}

/** @param forward disjoint zones from left to right. */
function containmentIn(
  forward: readonly Cluster[],
  clusters: readonly Cluster[],
): [Cluster, Cluster] | undefined {
  const backward = clusters
    .filter((cluster) => !isForward(cluster))
    .sort((a, b) => a.last.begin - b.last.begin);
  let index = 0;
  for (const inner of backward) {
    // Zones that end before `inner` begins cannot contain it, nor any later one.
    let outer = forward[index];
    while (outer !== undefined && outer.last.begin < inner.last.begin) outer = forward[++index];
    if (outer === undefined) return undefined;
    if (outer.first.end < inner.last.begin && inner.first.end < outer.last.begin) {
      return [outer, inner];
    }
  }
  return undefined;
}

/**
 * Both kinds of conflict say the same of two values: each would have to come wholly before the other.
 * @param outer has a forward zone; of two such, the one that reaches further right, so that its `last` is the late read.
 */
function explainConflict(object: string, outer: Cluster, inner: Cluster): Violation {
  const before = outer.first;
  const late = outer.last;
  const between = inner.write;
  const [value, other] = [quote(outer.write.value), quote(between.value)];
  if (before.end < between.begin && between.end < late.begin) {
    return {
      object,
      kind: 'stale-read',
      operations: distinct([before, between, late]),
      reason: `${mention(late)} returned ${value}, but ${mention(between)} had replaced it by ${other}: it began after ${mention(before)} ended and ended before ${mention(late)} began.`,
    };
  }
  return {
    object,
    kind: 'new-old-inversion',
    operations: distinct([before, inner.last, inner.first, late, between]),
    reason: `${value} came before ${other}, since ${mention(before)} ended before ${mention(inner.last)} began; but also after it, since ${mention(inner.first)} ended before ${mention(late)} began.`,
  };
}
