// Linearizability of one register when a value may be written more than once: a just-in-time search over all orders
// (J. Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993; G. Lowe, "Testing for Linearizability",
// 2017), with equal configurations merged. Exponential at worst, so it has a budget.
//
// It walks through the answers in the order they came. Before each, a configuration is extended by pending writes only
// if the answering operation demands it, and no further than that. What a register allows us to leave out:
// - a read takes effect as soon as the register holds its value;
// - a write whose value is not needed may hide just before another write that is applied while it is pending;
// - an unknown write is applied only for the sake of a read, and of those with equal values the first will do;
// - a configuration from which nothing can follow that cannot follow from another one as well.

import { assert } from '../../src/base/assert.ts';
import type { Operation } from './history.ts';

/** One way things may have gone so far. Sets of pending operations have a bit for each slot. */
interface Configuration {
  readonly value: string | null;
  /** Reads that took effect, and writes that were applied. */
  readonly done: bigint;
  /** Writes that were not applied but may have taken effect unseen. Unknown writes are never among them. */
  readonly hideable: bigint;
}

export type SearchResult =
  | { readonly result: 'linearizable' }
  | { readonly result: 'unknown' }
  | {
      readonly result: 'violation';
      /** The answer that nothing explains. */
      readonly answer: Operation;
      /** What the register may have held just before that answer. */
      readonly values: ReadonlyArray<string | null>;
    };

/** @param stepsMax how many configurations to look at before giving up. */
export function search(operations: readonly Operation[], stepsMax: number): SearchResult {
  return new Search(operations, stepsMax).run();
}

/** Operations under way, each in a slot that is used again after its answer. */
class Pending {
  readonly #slots = new Map<Operation, bigint>();
  readonly #slotsFree: bigint[] = [];
  #slotCount = 0n;
  /** All pending writes that will be answered, all that will not, and all pending reads. */
  knownWrites = 0n;
  unknownWrites = 0n;
  reads = 0n;

  get operations(): ReadonlyMap<Operation, bigint> {
    return this.#slots;
  }

  add(operation: Operation): bigint {
    const bit = this.#slotsFree.pop() ?? 1n << this.#slotCount++;
    this.#slots.set(operation, bit);
    this.#flip(operation, bit);
    return bit;
  }

  remove(operation: Operation): bigint {
    const bit = this.bitOf(operation);
    this.#slots.delete(operation);
    this.#slotsFree.push(bit);
    this.#flip(operation, bit);
    return bit;
  }

  bitOf(operation: Operation): bigint {
    const bit = this.#slots.get(operation);
    assert(bit !== undefined, `operation ${operation.id} is not pending`);
    return bit;
  }

  /** The reads under way that wait for `value`. */
  readsOf(value: string | null): bigint {
    let bits = 0n;
    for (const [operation, bit] of this.#slots) {
      if (operation.kind === 'read' && operation.value === value) bits |= bit;
    }
    return bits;
  }

  #flip(operation: Operation, bit: bigint): void {
    if (operation.kind === 'read') this.reads ^= bit;
    else if (isUnknown(operation)) this.unknownWrites ^= bit;
    else this.knownWrites ^= bit;
  }
}

/** Configurations none of which makes another one needless. */
class Frontier {
  readonly #pending: Pending;
  readonly #byValue = new Map<string | null, Configuration[]>();

  constructor(pending: Pending) {
    this.#pending = pending;
  }

  get values(): Array<string | null> {
    return [...this.#byValue.keys()];
  }

  *all(): Generator<Configuration> {
    for (const some of this.#byValue.values()) yield* some;
  }

  /** @returns false if `added` is needless. */
  add(added: Configuration): boolean {
    const same = this.#byValue.get(added.value);
    if (same === undefined) {
      this.#byValue.set(added.value, [added]);
      return true;
    }
    if (same.some((other) => this.#covers(other, added))) return false;
    const kept = same.filter((other) => !this.#covers(added, other));
    kept.push(added);
    this.#byValue.set(added.value, kept);
    return true;
  }

  /** Whether whatever can follow from `b` can follow from `a`, which holds the same value. */
  #covers(a: Configuration, b: Configuration): boolean {
    const { reads, knownWrites, unknownWrites } = this.#pending;
    return (
      // What `b` may still apply, `a` may too.
      (a.done & (knownWrites | unknownWrites) & ~b.done) === 0n &&
      // What `b` has behind it, or may have, so has `a`.
      (b.done & knownWrites & ~(a.done | a.hideable)) === 0n &&
      (b.hideable & ~a.hideable) === 0n &&
      (b.done & reads & ~a.done) === 0n
    );
  }
}

class Search {
  readonly #operations: readonly Operation[];
  readonly #pending = new Pending();
  /** How many reads of a value are still to answer; at zero its unknown writes are forgotten. */
  readonly #readsLeft = new Map<string | null, number>();
  #frontier = new Frontier(this.#pending);
  #stepsLeft: number;

  constructor(operations: readonly Operation[], stepsMax: number) {
    this.#operations = operations;
    this.#stepsLeft = stepsMax;
  }

  run(): SearchResult {
    for (const { kind, value } of this.#operations) {
      if (kind === 'read') this.#readsLeft.set(value, (this.#readsLeft.get(value) ?? 0) + 1);
    }
    this.#frontier.add({ value: null, done: 0n, hideable: 0n });
    for (const { place, operation } of inOrder(this.#operations)) {
      if (place === operation.begin) {
        this.#invoke(operation);
        continue;
      }
      const { values } = this.#frontier;
      this.#answer(operation);
      if (this.#stepsLeft < 0) return { result: 'unknown' };
      if (this.#frontier.values.length === 0) {
        return { result: 'violation', answer: operation, values };
      }
    }
    return { result: 'linearizable' };
  }

  #invoke(operation: Operation): void {
    const { kind, value } = operation;
    if (kind === 'write') {
      if (!isUnknown(operation) || this.#readsLeft.has(value)) this.#pending.add(operation);
      return;
    }
    const bit = this.#pending.add(operation);
    this.#replaceAll((one) => (one.value === value ? { ...one, done: one.done | bit } : one));
  }

  #answer(operation: Operation): void {
    const goal = this.#pending.bitOf(operation);
    const next = new Frontier(this.#pending);
    const unfinished: Configuration[] = [];
    for (const one of this.#frontier.all()) {
      this.#stepsLeft--;
      const isDone = (one.done & goal) !== 0n;
      if (isDone || (one.hideable & goal) !== 0n) next.add(one);
      if (!isDone) unfinished.push(one);
    }
    this.#extend(unfinished, operation, goal, next);
    this.#frontier = next;
    this.#forget(operation);
    if (operation.kind === 'read') this.#countRead(operation.value);
  }

  /** Applies pending writes in every useful order until `goal` is done. */
  #extend(stack: Configuration[], operation: Operation, goal: bigint, into: Frontier): void {
    const visited = new Frontier(this.#pending);
    for (let top = stack.pop(); top !== undefined && this.#stepsLeft >= 0; top = stack.pop()) {
      const unknownTried = new Set<string | null>();
      for (const [write, bit] of this.#pending.operations) {
        if (write.kind === 'read' || (top.done & bit) !== 0n) continue;
        if (isUnknown(write)) {
          if (unknownTried.has(write.value)) continue;
          unknownTried.add(write.value);
        }
        const done = top.done | bit | this.#pending.readsOf(write.value);
        // A write that neither answers nor lets a read take effect could as well be applied later, or hide.
        const isUseful = write === operation || (done & ~top.done) !== bit;
        if (!isUseful) continue;
        this.#stepsLeft--;
        const hideable = this.#pending.knownWrites & ~done;
        const extended = { value: write.value, done, hideable };
        if ((done & goal) !== 0n) into.add(extended);
        else if (visited.add(extended)) stack.push(extended);
      }
    }
  }

  #countRead(value: string | null): void {
    const left = (this.#readsLeft.get(value) ?? 0) - 1;
    if (left > 0) {
      this.#readsLeft.set(value, left);
      return;
    }
    this.#readsLeft.delete(value);
    for (const operation of [...this.#pending.operations.keys()]) {
      if (operation.kind === 'write' && isUnknown(operation) && operation.value === value) {
        this.#forget(operation);
      }
    }
  }

  #forget(operation: Operation): void {
    const rest = ~this.#pending.remove(operation);
    this.#replaceAll(({ value, done, hideable }) => ({
      value,
      done: done & rest,
      hideable: hideable & rest,
    }));
  }

  #replaceAll(change: (configuration: Configuration) => Configuration): void {
    const next = new Frontier(this.#pending);
    for (const one of this.#frontier.all()) next.add(change(one));
    this.#frontier = next;
  }
}

function isUnknown(operation: Operation): boolean {
  return operation.end === Number.POSITIVE_INFINITY;
}

function inOrder(operations: readonly Operation[]): Array<{ place: number; operation: Operation }> {
  const moments: Array<{ place: number; operation: Operation }> = [];
  for (const operation of operations) {
    moments.push({ place: operation.begin, operation });
    if (operation.end !== Number.POSITIVE_INFINITY) {
      moments.push({ place: operation.end, operation });
    }
  }
  return moments.sort((a, b) => a.place - b.place);
}
