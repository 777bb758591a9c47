// The checkers beside linearizability: durability, presence of blocks, bounds.

import { describe, expect, test } from 'vitest';
import { AssertionFailed } from '../../src/base/assert.ts';
import { BoundsWatch, explainBounds } from './bounds.ts';
import { checkDurability } from './durability.ts';
import { History } from './history.ts';
import { checkPresence } from './presence.ts';
import { explain } from './verdict.ts';

type End = 'completed' | 'failed' | 'unknown';

/** Operations one after another, ten units each. */
class Script extends History {
  #time = 0;

  write(object: string, value: string, end: End = 'completed'): this {
    const id = this.invoke({ time: this.#time, client: 'w', object, kind: 'write', value });
    this.#time += 10;
    if (end === 'completed') this.completeWrite(id, this.#time);
    else if (end === 'failed') this.fail(id, this.#time);
    else this.abandon(id);
    return this;
  }

  read(object: string, value: string | null): this {
    const id = this.invoke({ time: this.#time, client: 'r', object, kind: 'read' });
    this.#time += 10;
    this.completeRead(id, this.#time, value);
    return this;
  }

  put(address: string, end: End = 'completed'): this {
    return this.write(address, address, end);
  }
}

describe('durability', () => {
  const history = new Script().write('x', '1').write('x', '2', 'unknown').write('y', '3');

  test.each([['1'], ['2']])('what was acknowledged, or is unknown, may remain: %s', (value) => {
    const verdict = checkDurability(history, [
      { object: 'x', value },
      { object: 'y', value: '3' },
    ]);
    expect(explain(verdict)).toBe('linearizable: 5 operations on 2 objects');
  });

  test('an acknowledged write is gone', () => {
    const verdict = checkDurability(history, [
      { object: 'x', value: '1' },
      { object: 'y', value: null },
    ]);
    expect(explain(verdict)).toBe(
      [
        'object y: stale-read',
        '  the initial value: nothing',
        '  #2 w wrote "3", 20 to 30',
        '  #4 final reader read and got nothing, 30 to 30',
        '  #4 returned nothing, but #2 had replaced it by "3": it began after the initial value ended and ended before #4 began.',
      ].join('\n'),
    );
  });

  test('an unknown write that was read does not vanish again', () => {
    const seen = new Script().write('x', '1').write('x', '2', 'unknown').read('x', '2');
    expect(checkDurability(seen, [{ object: 'x', value: '1' }])).toMatchObject({
      result: 'violation',
      violations: [{ kind: 'new-old-inversion', operations: [{}, {}, { id: 2 }, { id: 3 }] }],
    });
  });

  test('two final reads that disagree', () => {
    const finalReads = ['2', '1'].map((value) => ({ object: 'x', value }));
    expect(checkDurability(history, [...finalReads, { object: 'y', value: '3' }])).toMatchObject({
      result: 'violation',
      violations: [{ object: 'x' }],
    });
  });

  test('an object that cannot be read is lost', () => {
    const verdict = checkDurability(history, [{ object: 'x', value: '1' }]);
    expect(verdict).toMatchObject({
      result: 'violation',
      violations: [{ object: 'y', kind: 'not-read', operations: [{ id: 2 }] }],
    });
  });

  test('an object without an acknowledged write need not be read', () => {
    const verdict = checkDurability(new Script().write('x', '1', 'unknown').read('x', null), []);
    expect(verdict.result).toBe('linearizable');
  });
});

describe('presence', () => {
  test('a block is there once its put completed, and may be there before', () => {
    const history = new Script().read('h', null).put('h', 'unknown').read('h', 'h').read('h', null);
    history.put('h').read('h', 'h');
    expect(explain(checkPresence(history))).toBe('present: 6 operations on 1 objects');
  });

  test('a get during a put may answer either', () => {
    const history = new Script();
    const put = history.invoke({ time: 0, client: 'w', object: 'h', kind: 'write', value: 'h' });
    history.read('h', 'h').read('h', null);
    history.completeWrite(put, 50);
    expect(checkPresence(history).result).toBe('present');
  });

  test('a block is lost', () => {
    const verdict = checkPresence(new Script().put('h').read('h', 'h').read('h', null));
    expect(verdict).toMatchObject({
      result: 'violation',
      violations: [{ kind: 'block-lost', operations: [{ id: 0 }, { id: 2 }] }],
    });
    expect(explain(verdict)).toMatch(/#2 found nothing, though it began after #0 had ended/);
  });

  test('bytes that do not hash to the address', () => {
    const verdict = checkPresence(new Script().put('h').read('h', 'other').put('k').read('k', 'k'));
    expect(verdict).toMatchObject({
      result: 'violation',
      violations: [{ object: 'h', kind: 'wrong-bytes', operations: [{ id: 1 }] }],
    });
  });

  test.each(['failed', 'unknown'] as const)('a put that %s promises nothing', (end) => {
    expect(checkPresence(new Script().put('h', end).read('h', null)).result).toBe('present');
  });

  test('monotone: what one reader found, the next one finds', () => {
    const history = new Script().put('h', 'unknown').read('h', 'h').read('h', null);
    expect(checkPresence(history).result).toBe('present');
    expect(checkPresence(history, { monotone: true })).toMatchObject({
      result: 'violation',
      violations: [{ kind: 'block-lost', operations: [{ id: 1 }, { id: 2 }] }],
    });
  });
});

describe('bounds', () => {
  test('the highest level of each name, and when', () => {
    const watch = new BoundsWatch();
    let rowCount = 0;
    const stop = watch.watch({ name: 'rows', limit: 8, measure: () => rowCount });
    for (const [time, level] of [3, 8, 5].entries()) {
      rowCount = level;
      watch.sample(time);
    }
    stop();
    rowCount = 100;
    watch.sample(3);
    expect(explainBounds(watch.verdict())).toBe('rows: at most 8 of 8, at 1');
  });

  test('the first excess of each name is reported, however short', () => {
    const watch = new BoundsWatch();
    const levels = [1, 9, 10, 0];
    let now = 0;
    watch.watch({ name: 'queue', limit: 8, measure: () => levels[now] ?? 0 });
    watch.watch({ name: 'rows', limit: 8, measure: () => 8 });
    for (now = 0; now < levels.length; now++) watch.sample(100 * now);
    expect(watch.verdict()).toEqual({
      result: 'violation',
      excesses: [{ name: 'queue', limit: 8, level: 9, time: 100 }],
    });
    expect(explainBounds(watch.verdict())).toBe('queue: 9 exceeds 8 at 100');
  });

  test.each([[Number.NaN], [-1]])('a level of %d is no level', (level) => {
    const watch = new BoundsWatch();
    watch.watch({ name: 'queue', limit: 8, measure: () => level });
    watch.sample(0);
    expect(watch.verdict().result).toBe('violation');
  });

  test('nothing measured shows nothing', () => {
    const watch = new BoundsWatch();
    watch.sample(0);
    expect(explainBounds(watch.verdict())).toBe('no level was measured');
  });

  test('a limit that is no number is refused', () => {
    const level = { name: 'queue', limit: Number.NaN, measure: () => 0 };
    expect(() => new BoundsWatch().watch(level)).toThrow(AssertionFailed);
  });
});
