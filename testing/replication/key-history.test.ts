import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import {
  checkKeys,
  type Effect,
  KeyHistory,
  type KeyOperation,
  type Value,
} from './key-history.ts';

const read = (value: Value): Effect => ({ kind: 'read', value });
const write = (value: Value): Effect => ({ kind: 'write', value });
const swap = (expected: Value, value: Value): Effect => ({ kind: 'swap', expected, value });

/** A history of operations on one key, each with its begin and end, which order them; no end: unknown. */
function historyOf(...operations: readonly (readonly [Effect, number, number?])[]): KeyHistory {
  const history = new KeyHistory();
  const begun = new Map<number, KeyOperation>();
  const moments = operations
    .flatMap(([effect, begin, end], i) => [
      { at: begin, i, effect, isEnd: false },
      ...(end === undefined ? [] : [{ at: end, i, effect, isEnd: true }]),
    ])
    .sort((a, b) => a.at - b.at);
  for (const { i, effect, isEnd } of moments) {
    const known = begun.get(i);
    if (isEnd && known !== undefined) history.end([[known, effect]]);
    else
      begun.set(
        i,
        history.begin(`c${i}`, 'k', `${i}`, effect.kind === 'read' ? undefined : effect),
      );
  }
  return history;
}

/** What is shown, and the operations of one key. */
type Case = readonly [string, ...(readonly Drawn[])];

const cases = (all: readonly Case[]): { what: string; operations: readonly Drawn[] }[] =>
  all.map(([what, ...operations]) => ({ what, operations }));

const isRight = (history: KeyHistory): boolean => checkKeys(history) === undefined;

describe('the checker of keys', () => {
  it.each(
    cases([
      ['a read of what was written', [write('a'), 0, 1], [read('a'), 2, 3]],
      ['a read of nothing before a write ends', [write('a'), 0, 3], [read(undefined), 1, 2]],
      ['a swap of what is there', [write('a'), 0, 1], [swap('a', 'b'), 2, 3], [read('b'), 4, 5]],
      [
        'an unknown write that takes effect late',
        [write('a'), 0],
        [read(undefined), 1, 2],
        [read('a'), 3, 4],
      ],
      [
        'a write that hides behind another',
        [write('a'), 0, 5],
        [write('b'), 1, 2],
        [read('b'), 6, 7],
      ],
      ['swaps in a chain', [swap('a', 'b'), 0, 5], [swap(undefined, 'a'), 1, 6], [read('b'), 7, 8]],
      ['a deletion', [write('a'), 0, 1], [write(undefined), 2, 3], [read(undefined), 4, 5]],
    ]),
  )('allows $what', ({ operations }) => {
    expect(isRight(historyOf(...operations))).toBe(true);
  });

  it.each(
    cases([
      ['a stale read', [write('a'), 0, 1], [write('b'), 2, 3], [read('a'), 4, 5]],
      ['a value from nowhere', [read('a'), 0, 1]],
      [
        'two swaps of one value',
        [write('a'), 0, 1],
        [swap('a', 'b'), 2, 5],
        [swap('a', 'c'), 3, 6],
      ],
      ['reads that go back', [write('a'), 0], [read('a'), 1, 2], [read(undefined), 3, 4]],
      [
        'a swap that found what was gone',
        [write('a'), 0, 1],
        [write('b'), 2, 3],
        [swap('a', 'c'), 4, 5],
      ],
      ['a lost write', [write('a'), 0, 1], [read(undefined), 2, 3]],
    ]),
  )('refuses $what', ({ operations }) => {
    expect(isRight(historyOf(...operations))).toBe(false);
  });

  it('agrees with trying all orders', () => {
    const prng = new Prng(5);
    let wrong = 0;
    for (let round = 0; round < 3_000; round++) {
      const operations = drawn(prng);
      const expected = hasOrder(operations, undefined);
      if (!expected) wrong += 1;
      expect(isRight(historyOf(...operations)), JSON.stringify(operations)).toBe(expected);
    }
    expect(wrong).toBeGreaterThan(300);
    expect(wrong).toBeLessThan(2_700);
  });
});

type Drawn = readonly [Effect, number, number?];

function drawn(prng: Prng): Drawn[] {
  const count = prng.between(2, 5);
  const times = prng.shuffled(Array.from({ length: 2 * count }, (_, i) => i));
  const values: Value[] = [undefined, ...Array.from({ length: count }, (_, i) => `v${i}`)];
  return Array.from({ length: count }, (_, i) => {
    const [one = 0, other = 0] = times.slice(2 * i, 2 * i + 2);
    const any = prng.pick(values);
    const effect = prng.pick([read(any), write(`v${i}`), write(undefined), swap(any, `v${i}`)]);
    const begin = Math.min(one, other);
    const isUnknown = effect?.kind !== 'read' && prng.chance(1, 4);
    return isUnknown
      ? [effect ?? read(any), begin]
      : [effect ?? read(any), begin, Math.max(one, other)];
  });
}

/** Whether some order of all known and any unknown operations explains every effect. */
function hasOrder(left: readonly Drawn[], value: Value): boolean {
  if (left.every(([, , end]) => end === undefined)) return true;
  return left.some((one) => {
    const [effect, begin] = one;
    if (left.some(([, , end]) => end !== undefined && end < begin)) return false;
    if (effect.kind !== 'write') {
      const needed = effect.kind === 'read' ? effect.value : effect.expected;
      if (needed !== value) return false;
    }
    const rest = left.filter((other) => other !== one);
    return hasOrder(rest, effect.value);
  });
}
