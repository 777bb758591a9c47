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

/** One way in which things may have gone: the value, and which of those under way have taken effect. */
interface Way {
  readonly value: Value;
  readonly done: ReadonlySet<KeyOperation>;
}

/**
 * Lowe's just-in-time search: goes through invocations and answers in order, and keeps every way in which things may have
 * gone; an operation is given effect only when its answer, or that of another one, needs it.
 */
function checkKey(key: string, operations: readonly KeyOperation[]): KeyVerdict | undefined {
  const numbers = new Map(operations.map((operation, number) => [operation, number]));
  const nameOf = ({ value, done }: Way): string =>
    `${value ?? '-'}|${[...done]
      .map((one) => numbers.get(one))
      .sort()
      .join(',')}`;
  const moments = operations
    .flatMap((operation) => [
      { place: operation.begin, operation },
      { place: operation.end, operation },
    ])
    .filter(({ place }) => place !== Number.POSITIVE_INFINITY)
    .sort((a, b) => a.place - b.place);
  const pending = new Set<KeyOperation>();
  let ways: Way[] = [{ value: undefined, done: new Set() }];
  let steps = 0;
  for (const { place, operation } of moments) {
    if (place === operation.begin) {
      pending.add(operation);
      continue;
    }
    const found = new Map<string, Way>();
    const visited = new Set<string>();
    const stack = [...ways];
    for (let way = stack.pop(); way !== undefined; way = stack.pop()) {
      if (++steps > stepsMax) {
        return { key, isUndecided: true, message: `key ${key}: undecided after ${stepsMax} steps` };
      }
      if (way.done.has(operation)) {
        const done = new Set(way.done);
        done.delete(operation);
        const rest = { value: way.value, done };
        found.set(nameOf(rest), rest);
        continue;
      }
      for (const next of extensions(way, pending)) {
        const name = nameOf(next);
        if (visited.has(name)) continue;
        visited.add(name);
        stack.push(next);
      }
    }
    pending.delete(operation);
    if (found.size === 0) {
      const held = [...new Set(ways.map(({ value }) => value ?? 'nothing'))]
        .slice(0, 5)
        .join(' or ');
      return {
        key,
        isUndecided: false,
        message: `key ${key}: no order explains ${textOf(operation)}; it may have held ${held}\n${around(operations, operation)}`,
      };
    }
    ways = [...found.values()];
  }
  return undefined;
}

function* extensions({ value, done }: Way, pending: ReadonlySet<KeyOperation>): Generator<Way> {
  // Of operations that never end and do the same, one is as good as another.
  const tried = new Set<Value>();
  for (const operation of pending) {
    const { effect } = operation;
    if (effect === undefined || done.has(operation)) continue;
    if (operation.end === Number.POSITIVE_INFINITY && effect.kind === 'write') {
      if (tried.has(effect.value)) continue;
      tried.add(effect.value);
    }
    const after = applied(effect, value);
    if (after !== undefined) yield { value: after.value, done: new Set([...done, operation]) };
  }
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
