// Linearizability of one register when a value may be written more than once: a just-in-time search over all orders
// (J. Wing and C. Gong, "Testing and Verifying Concurrent Objects", 1993; G. Lowe, "Testing for Linearizability",
// 2017), with equal configurations merged. Exponential at worst, so it has a budget.
//
// It walks through the answers in the order they came. Before each, a configuration is extended by pending writes only
// if the answering operation demands it, and no further than that. What a register allows us to leave out:
// - a read takes effect as soon as the register holds its value;
// - a write whose value is not needed may hide just before any write that was applied during its time. This is decided
//   when it answers, by comparing its beginning with the last application;
// - an unknown write is applied only for the sake of a read, and of those with equal values the first will do.

import { assert } from '../../src/base/assert.ts';
import type { Operation } from './history.ts';

/** One way things may have gone so far. */
interface Configuration {
  readonly value: string | null;
  /** The pending operations that took effect: a bit for each slot. */
  readonly done: bigint;
  /** Place in the history at which a write was last applied; a later one allows all that an earlier one does. */
  readonly appliedAt: number;
}

type Configurations = Map<string, Configuration>;

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
  readonly writes = new Map<Operation, bigint>();
  readonly reads = new Map<Operation, bigint>();
  readonly #slotsFree: bigint[] = [];
  #slotCount = 0n;

  add(operation: Operation): bigint {
    const bit = this.#slotsFree.pop() ?? 1n << this.#slotCount++;
    (operation.kind === 'write' ? this.writes : this.reads).set(operation, bit);
    return bit;
  }

  remove(operation: Operation): bigint {
    const group = operation.kind === 'write' ? this.writes : this.reads;
    const bit = group.get(operation);
    assert(bit !== undefined, 'only pending operations are removed');
    group.delete(operation);
    this.#slotsFree.push(bit);
    return bit;
  }

  /** The reads under way that wait for `value`. */
  readsOf(value: string | null): bigint {
    let bits = 0n;
    for (const [read, bit] of this.reads) if (read.value === value) bits |= bit;
    return bits;
  }
}

class Search {
  readonly #operations: readonly Operation[];
  readonly #pending = new Pending();
  /** How many reads of a value are still to answer; at zero its unknown writes are forgotten. */
  readonly #readsLeft = new Map<string | null, number>();
  #configurations: Configurations = new Map();
  #stepsLeft: number;

  constructor(operations: readonly Operation[], stepsMax: number) {
    this.#operations = operations;
    this.#stepsLeft = stepsMax;
  }

  run(): SearchResult {
    for (const { kind, value } of this.#operations) {
      if (kind === 'read') this.#readsLeft.set(value, (this.#readsLeft.get(value) ?? 0) + 1);
    }
    add(this.#configurations, { value: null, done: 0n, appliedAt: Number.NEGATIVE_INFINITY });
    for (const { place, operation } of inOrder(this.#operations)) {
      if (place === operation.begin) {
        this.#invoke(operation);
        continue;
      }
      const before = this.#configurations;
      this.#answer(operation);
      if (this.#stepsLeft < 0) return { result: 'unknown' };
      if (this.#configurations.size === 0) {
        const values = new Set([...before.values()].map(({ value }) => value));
        return { result: 'violation', answer: operation, values: [...values] };
      }
    }
    return { result: 'linearizable' };
  }

  #invoke(operation: Operation): void {
    const { kind, value, end } = operation;
    if (kind === 'write') {
      if (end !== Number.POSITIVE_INFINITY || this.#readsLeft.has(value)) {
        this.#pending.add(operation);
      }
      return;
    }
    const bit = this.#pending.add(operation);
    this.#replaceAll((configuration) =>
      configuration.value === value
        ? { ...configuration, done: configuration.done | bit }
        : configuration,
    );
  }

  #answer(operation: Operation): void {
    const { kind, begin } = operation;
    const group = kind === 'write' ? this.#pending.writes : this.#pending.reads;
    const goal = group.get(operation);
    assert(goal !== undefined, 'an answering operation is pending');
    const next: Configurations = new Map();
    const unfinished: Configuration[] = [];
    for (const configuration of this.#configurations.values()) {
      this.#stepsLeft--;
      const isDone = (configuration.done & goal) !== 0n;
      const isHidden = kind === 'write' && configuration.appliedAt > begin;
      if (isDone || isHidden) add(next, configuration);
      if (!isDone) unfinished.push(configuration);
    }
    this.#extend(unfinished, operation, goal, next);
    this.#configurations = next;
    this.#forget(this.#pending.remove(operation));
    if (kind === 'read') this.#countRead(operation.value);
  }

  /** Applies pending writes in every useful order until `goal` is done. */
  #extend(from: Configuration[], operation: Operation, goal: bigint, into: Configurations): void {
    const visited: Configurations = new Map();
    const stack = from;
    for (let top = stack.pop(); top !== undefined && this.#stepsLeft >= 0; top = stack.pop()) {
      const unknownTried = new Set<string | null>();
      for (const [write, bit] of this.#pending.writes) {
        if ((top.done & bit) !== 0n) continue;
        if (write.end === Number.POSITIVE_INFINITY) {
          if (unknownTried.has(write.value)) continue;
          unknownTried.add(write.value);
        }
        const done = top.done | bit | this.#pending.readsOf(write.value);
        // A write that neither answers nor lets a read take effect could as well be applied later, or hide.
        const isUseful = write === operation || (done & ~top.done) !== bit;
        if (!isUseful) continue;
        this.#stepsLeft--;
        const extended = { value: write.value, done, appliedAt: operation.end };
        if ((done & goal) !== 0n) add(into, extended);
        else if (add(visited, extended)) stack.push(extended);
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
    for (const write of [...this.#pending.writes.keys()]) {
      const isUnknown = write.end === Number.POSITIVE_INFINITY;
      if (isUnknown && write.value === value) this.#forget(this.#pending.remove(write));
    }
  }

  #forget(bits: bigint): void {
    this.#replaceAll((configuration) =>
      (configuration.done & bits) === 0n
        ? configuration
        : { ...configuration, done: configuration.done & ~bits },
    );
  }

  #replaceAll(change: (configuration: Configuration) => Configuration): void {
    const next: Configurations = new Map();
    for (const configuration of this.#configurations.values()) add(next, change(configuration));
    this.#configurations = next;
  }
}

/** Merges `configuration` in; false if nothing new is possible through it. */
function add(into: Configurations, configuration: Configuration): boolean {
  const key = `${configuration.done.toString(36)} ${configuration.value ?? ''}${configuration.value === null ? '' : '!'}`;
  const known = into.get(key);
  if (known !== undefined && known.appliedAt >= configuration.appliedAt) return false;
  into.set(key, configuration);
  return true;
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
