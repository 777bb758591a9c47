// What clients saw of a key-value store, and whether it can be true: each key by itself must behave like one atomic cell
// with reads, writes and compare-and-set, as a scan must show each key as a read would.

import { assert } from '../../src/base/assert.ts';

/** The value of a key; undefined where there is none. */
export type Value = string | undefined;

/** What an operation did to its key, as far as its client knows. */
export type Effect =
  | { readonly kind: 'read'; readonly value: Value }
  | { readonly kind: 'write'; readonly value: Value }
  /** Compare-and-set that found what it expected. */
  | { readonly kind: 'swap'; readonly expected: Value; readonly value: Value };

export interface KeyOperation {
  readonly client: string;
  readonly key: string;
  readonly tag: string;
  effect: Effect | undefined;
  readonly begin: number;
  /** Infinity while nothing is known of how it ended. */
  end: number;
}

export class KeyHistory {
  readonly #operations: KeyOperation[] = [];
  #place = 0;

  get operations(): readonly KeyOperation[] {
    return this.#operations;
  }

  /** @param effect what it does if it takes effect; undefined for reads, which do nothing unless they end. */
  begin(client: string, key: string, tag: string, effect: Effect | undefined): KeyOperation {
    const end = Number.POSITIVE_INFINITY;
    const operation = { client, key, tag, effect, begin: this.#place++, end };
    this.#operations.push(operation);
    return operation;
  }

  /** @param effects what each of them turned out to be: they ended together. Undefined: it had none and never will. */
  end(ended: readonly (readonly [KeyOperation, Effect | undefined])[]): void {
    const place = this.#place++;
    for (const [operation, effect] of ended) {
      assert(operation.end === Number.POSITIVE_INFINITY, 'an operation ends once');
      operation.effect = effect;
      operation.end = place;
    }
  }
}

export interface KeyVerdict {
  readonly key: string;
  readonly isUndecided: boolean;
  readonly message: string;
}

const stepsMax = 400_000;

/** The first key whose operations no order explains; undefined if there is none. */
export function checkKeys(history: KeyHistory): KeyVerdict | undefined {
  const keys = new Map<string, KeyOperation[]>();
  for (const operation of history.operations) {
    if (operation.effect === undefined) continue;
    const known = keys.get(operation.key);
    if (known === undefined) keys.set(operation.key, [operation]);
    else known.push(operation);
  }
  for (const [key, operations] of keys) {
    const verdict = checkKey(key, relevant(operations));
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

/** Leaves out what may have happened or not, and left no trace. Values are written once each. */
function relevant(operations: readonly KeyOperation[]): KeyOperation[] {
  const seen = new Set<Value>();
  for (const { effect, end } of operations) {
    if (effect?.kind === 'read' && end !== Number.POSITIVE_INFINITY) seen.add(effect.value);
    if (effect?.kind === 'swap') seen.add(effect.expected);
  }
  return operations.filter(({ effect, end }) => {
    if (end !== Number.POSITIVE_INFINITY) return true;
    return effect !== undefined && effect.kind !== 'read' && seen.has(effect.value);
  });
}

function applied(effect: Effect, value: Value): { readonly value: Value } | undefined {
  if (effect.kind === 'write') return { value: effect.value };
  if (effect.kind === 'read') return effect.value === value ? { value } : undefined;
  return effect.expected === value ? { value: effect.value } : undefined;
}

/** One way in which things may have gone. */
interface Way {
  readonly value: Value;
  /** Operations under way that have taken effect. */
  readonly done: ReadonlySet<KeyOperation>;
  /** Writes under way that may have taken effect unseen, right before another one. */
  readonly hidden: ReadonlySet<KeyOperation>;
}

/**
 * Goes through invocations and answers in order and keeps every way in which things may have gone (Lowe's just-in-time
 * search). Exact, and small because
 * - an operation is given effect only when its answer, or that of another one, needs it;
 * - reads under way take effect as soon as they can, for they change nothing;
 * - a write that another one replaces at once is not applied but may hide, as long as it is under way.
 */
class Search {
  readonly #numbers: ReadonlyMap<KeyOperation, number>;
  readonly #pending = new Set<KeyOperation>();
  #ways: Way[] = [{ value: undefined, done: new Set(), hidden: new Set() }];
  #steps = 0;

  constructor(operations: readonly KeyOperation[]) {
    this.#numbers = new Map(operations.map((operation, number) => [operation, number]));
  }

  /** Values that the key may hold now. */
  get values(): readonly Value[] {
    return [...new Set(this.#ways.map(({ value }) => value))];
  }

  invoke(operation: KeyOperation): void {
    this.#pending.add(operation);
    this.#ways = this.#ways.map((way) => this.#reading(way));
  }

  /** Whether there is a way in which the operation could end like this; undefined if that takes too long to find out. */
  answer(operation: KeyOperation): boolean | undefined {
    const found = new Map<string, Way>();
    const visited = new Set<string>();
    const stack = [...this.#ways];
    for (let way = stack.pop(); way !== undefined; way = stack.pop()) {
      this.#steps += 1;
      if (this.#steps > stepsMax) return undefined;
      const isDone = way.done.has(operation);
      if (isDone || way.hidden.has(operation)) {
        const rest = {
          value: way.value,
          done: without(way.done, operation),
          hidden: without(way.hidden, operation),
        };
        found.set(this.#nameOf(rest), rest);
      }
      if (isDone) continue;
      for (const next of this.#extensions(way, operation)) {
        const name = this.#nameOf(next);
        if (visited.has(name)) continue;
        visited.add(name);
        stack.push(next);
      }
    }
    this.#pending.delete(operation);
    if (found.size === 0) return false;
    this.#ways = [...found.values()];
    return true;
  }

  *#extensions(way: Way, goal: KeyOperation): Generator<Way> {
    // Of operations that never end and do the same, one is as good as another.
    const tried = new Set<Value>();
    for (const operation of this.#pending) {
      const { effect } = operation;
      if (effect === undefined || effect.kind === 'read' || way.done.has(operation)) continue;
      const after = applied(effect, way.value);
      if (after === undefined) continue;
      if (effect.kind === 'write' && isUnknown(operation)) {
        if (tried.has(effect.value)) continue;
        tried.add(effect.value);
      }
      const done = new Set(way.done).add(operation);
      const hidden =
        effect.kind === 'write' ? this.#writesBut(done) : without(way.hidden, operation);
      const next = this.#reading({ value: after.value, done, hidden });
      const isNeeded = operation === goal || next.done.size > done.size || this.#isExpected(next);
      // What swaps cannot hide: its moment may be now or never.
      if (isNeeded || (effect.kind === 'swap' && !isUnknown(operation))) yield next;
    }
  }

  /** All writes under way that will end, but those. */
  #writesBut(done: ReadonlySet<KeyOperation>): Set<KeyOperation> {
    const writes = new Set<KeyOperation>();
    for (const operation of this.#pending) {
      if (operation.effect?.kind !== 'write' || isUnknown(operation)) continue;
      if (!done.has(operation)) writes.add(operation);
    }
    return writes;
  }

  /** Whether something under way needs this value. */
  #isExpected({ value, done }: Way): boolean {
    for (const operation of this.#pending) {
      const { effect } = operation;
      if (effect?.kind === 'swap' && effect.expected === value && !done.has(operation)) return true;
    }
    return false;
  }

  /** The way, with all reads under way done that see the value. */
  #reading(way: Way): Way {
    let done: Set<KeyOperation> | undefined;
    for (const operation of this.#pending) {
      const { effect } = operation;
      if (effect?.kind !== 'read' || effect.value !== way.value || way.done.has(operation))
        continue;
      done ??= new Set(way.done);
      done.add(operation);
    }
    return done === undefined ? way : { ...way, done };
  }

  #nameOf({ value, done, hidden }: Way): string {
    return `${value ?? '-'}|${this.#namesOf(done)}|${this.#namesOf(hidden)}`;
  }

  #namesOf(operations: ReadonlySet<KeyOperation>): string {
    const numbers = [...operations].map((one) => this.#numbers.get(one) ?? -1);
    return numbers.sort((a, b) => a - b).join(',');
  }
}

function without(
  operations: ReadonlySet<KeyOperation>,
  gone: KeyOperation,
): ReadonlySet<KeyOperation> {
  if (!operations.has(gone)) return operations;
  const rest = new Set(operations);
  rest.delete(gone);
  return rest;
}

function isUnknown({ end }: KeyOperation): boolean {
  return end === Number.POSITIVE_INFINITY;
}

function checkKey(key: string, operations: readonly KeyOperation[]): KeyVerdict | undefined {
  const moments = operations
    .flatMap((operation) => [
      { place: operation.begin, operation },
      { place: operation.end, operation },
    ])
    .filter(({ place }) => place !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a.place - b.place);
  const search = new Search(operations);
  for (const { place, operation } of moments) {
    if (place === operation.begin) {
      search.invoke(operation);
      continue;
    }
    const held = search.values.map((value) => value ?? 'nothing');
    const isPossible = search.answer(operation);
    if (isPossible === true) continue;
    if (isPossible === undefined) {
      return { key, isUndecided: true, message: `key ${key}: undecided after ${stepsMax} steps` };
    }
    return {
      key,
      isUndecided: false,
      message: `key ${key}: no order explains ${textOf(operation)}; it may have held ${held.join(' or ')}\n${around(operations, operation)}`,
    };
  }
  return undefined;
}

const contextMax = 12;

function around(operations: readonly KeyOperation[], operation: KeyOperation): string {
  return operations
    .filter(({ begin }) => begin <= operation.end)
    .slice(-contextMax)
    .map((one) => `  ${textOf(one)}`)
    .join('\n');
}

function textOf({ client, tag, effect, begin, end }: KeyOperation): string {
  const what =
    effect === undefined
      ? 'nothing'
      : effect.kind === 'swap'
        ? `swap ${effect.expected ?? 'nothing'} for ${effect.value ?? 'nothing'}`
        : `${effect.kind} ${effect.value ?? 'nothing'}`;
  return `${client} ${tag}: ${what}, ${begin} to ${end === Number.POSITIVE_INFINITY ? 'unknown' : end}`;
}
