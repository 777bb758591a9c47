import { describe, expect, test } from 'vitest';
import { History, type OperationId } from './history.ts';
import { checkBySearch, checkRegisterHistory, explain } from './linearizability.ts';
import { registerHistory } from './register.ts';
import type { Violation } from './verdict.ts';

/**
 * Draws a history: one line per operation, its client, what it did, and its interval in columns.
 *   `|--|` completed, `|--x` failed for certain, `|--?` unknown. The column is the time.
 */
function draw(drawing: string): History {
  interface Moment {
    readonly column: number;
    readonly act: (history: History) => void;
  }
  const moments: Moment[] = [];
  for (const line of drawing.split('\n').filter((text) => text.trim() !== '')) {
    const match = /^\s*(\S+) (W|R) (\S+) *:(.*)$/.exec(line);
    const [, client = '', letter, digest = '', picture = ''] = match ?? [];
    const value = digest === '-' ? null : digest;
    const begin = picture.indexOf('|');
    const end = picture.length - 1;
    let id = -1 as OperationId;
    const call = { time: begin, client, object: 'x' };
    moments.push({
      column: begin,
      act: (history) => {
        id =
          letter === 'W'
            ? history.invoke({ ...call, kind: 'write', value })
            : history.invoke({ ...call, kind: 'read' });
      },
    });
    moments.push({
      column: end,
      act: (history) => {
        if (picture[end] === 'x') history.fail(id, end);
        else if (picture[end] === '?') history.abandon(id);
        else if (letter === 'W') history.completeWrite(id, end);
        else history.completeRead(id, end, value);
      },
    });
  }
  const history = new History();
  for (const { act } of moments.sort((a, b) => a.column - b.column)) act(history);
  return history;
}

function violationOf(history: History): Violation {
  const verdict = checkRegisterHistory(history);
  expect(verdict.result, explain(verdict)).toBe('violation');
  const [violation] = 'violations' in verdict ? verdict.violations : [];
  if (violation === undefined) return expect.unreachable('no violation');
  return violation;
}

function clientsOf(violation: Violation): string[] {
  return violation.operations.map(({ client, kind }) => `${client}${kind === 'write' ? 'w' : 'r'}`);
}

const broken: ReadonlyArray<{
  readonly name: string;
  readonly kind: string;
  readonly clients: readonly string[];
  readonly says: RegExp;
  readonly drawing: string;
}> = [
  {
    name: 'a read returns what a finished write had replaced',
    kind: 'stale-read',
    clients: ['aw', 'bw', 'dr'],
    says: /#3 returned "1", but #1 had replaced it by "2"/,
    drawing: `
      a W 1 :|--|
      b W 2 :     |--|
      c R 2 :          |--|
      d R 1 :               |--|`,
  },
  {
    name: 'an acknowledged write is lost',
    kind: 'stale-read',
    clients: ['', 'aw', 'br'],
    says: /#1 returned nothing, but #0 had replaced it by "1"/,
    drawing: `
      a W 1 :|--|
      b R - :     |--|`,
  },
  {
    name: 'the second of two readers sees the older value while the write is under way',
    kind: 'new-old-inversion',
    clients: ['aw', 'bw', 'cr', 'dr'],
    says: /"1" came before "2", since #0 ended before #2 began; but also after it, since #2 ended before #3/,
    drawing: `
      a W 1 :|--|
      b W 2 :     |------------------|
      c R 2 :       |--|
      d R 1 :             |--|`,
  },
  {
    name: 'two readers see two writes in opposite orders',
    kind: 'new-old-inversion',
    clients: ['aw', 'bw', 'cr', 'dr'],
    says: /#0 ended before #2 began; but also after it, since #1 ended before #3 began/,
    drawing: `
      a W 1 :|----|
      b W 2 :  |----|
      c R 2 :         |--------|
      d R 1 :           |----|`,
  },
  {
    name: 'the same, and the value that was read last is told of first',
    kind: 'new-old-inversion',
    clients: ['aw', 'bw', 'cr', 'dr'],
    says: /"2" came before "1", since #1 ended before #2 began; but also after it, since #0 ended before #3 began/,
    drawing: `
      a W 1 :|----|
      b W 2 :  |----|
      c R 1 :         |----|
      d R 2 :           |----|`,
  },
  {
    name: 'a value that nobody wrote',
    kind: 'value-from-nowhere',
    clients: ['br'],
    says: /#1 returned "9", which nobody wrote/,
    drawing: `
      a W 1 :|--|
      b R 9 :     |--|`,
  },
  {
    name: 'a value before its write began',
    kind: 'read-before-write',
    clients: ['br', 'aw'],
    says: /#0 returned "1" and ended before #1 began/,
    drawing: `
      b R 1 :|--|
      a W 1 :     |--|`,
  },
  {
    name: 'an unknown write takes effect twice, around another write',
    kind: 'stale-read',
    clients: ['br', 'cw', 'er'],
    says: /#4 returned "1", but #2 had replaced it by "2"/,
    drawing: `
      a W 1 :|-?
      b R 1 :    |--|
      c W 2 :         |--|
      d R 2 :              |--|
      e R 1 :                   |--|`,
  },
  {
    name: 'the value of a write that certainly failed',
    kind: 'value-of-failed-write',
    clients: ['aw', 'br'],
    says: /#1 returned "1", but #0 certainly failed to write it/,
    drawing: `
      a W 1 :|--x
      b R 1 :     |--|`,
  },
  {
    name: 'with repeated values: one unknown write of 1 cannot serve both sides of a write of 2',
    kind: 'no-order',
    clients: ['aw', 'cr', 'dw', 'fr'],
    says: /when #5 ended \(a read of "1"\), the others allowed the register to hold only "2"/,
    drawing: `
      a W 1 :|-?
      b W 3 :|--|
      c R 1 :     |--|
      d W 2 :          |--|
      e W 3 :               |-----------|
      f R 1 :                 |--|`,
  },
  {
    name: 'with repeated values: two unknown writes of 1 cannot serve three turns',
    kind: 'no-order',
    clients: ['aw', 'bw', 'cr', 'dw', 'er', 'fw', 'gr'],
    says: /when #6 ended \(a read of "1"\), the others allowed the register to hold only "2"/,
    drawing: `
      a W 1 :|-?
      b W 1 :|-?
      c R 1 :    |--|
      d W 2 :         |--|
      e R 1 :              |--|
      f W 2 :                   |--|
      g R 1 :                        |--|`,
  },
  {
    name: 'with repeated values: a write too late for one read and too early for the other proves nothing',
    kind: 'no-order',
    clients: ['aw', 'br', 'dw', 'er'],
    says: /when #4 ended \(a read of "1"\), the others allowed the register to hold only "2"/,
    drawing: `
      a W 1 :|-?
      b R 1 :    |--|
      c W 1 :         |--|
      d W 2 :              |--|
      e R 1 :                   |--|`,
  },
];

describe('broken registers', () => {
  for (const { name, kind, clients, says, drawing } of broken) {
    test(name, () => {
      const history = draw(drawing);
      const violation = violationOf(history);
      expect({ kind: violation.kind, clients: clientsOf(violation) }).toEqual({
        kind,
        clients: clients.map((client) => (client === '' ? 'w' : client)),
      });
      const text = explain(checkRegisterHistory(history));
      expect(text).toMatch(says);
      for (const { id, invokedAt } of violation.operations) {
        if (id >= 0) expect(text).toMatch(new RegExp(`#${id} . .*, ${invokedAt} to `));
      }
    });
  }
});

const right: ReadonlyArray<{ readonly name: string; readonly drawing: string }> = [
  { name: 'nothing happened', drawing: '' },
  {
    name: 'overlapping reads may see either side of a write',
    drawing: `
      a W 1 :|--|
      b W 2 :     |-----------|
      c R 1 :       |---|
      d R 2 :         |---|
      e R 2 :               |--|`,
  },
  {
    name: 'an unknown write may take effect long after its client gave up',
    drawing: `
      a W 1 :|-?
      b W 2 :    |--|
      c R 2 :         |--|
      d R 1 :              |--|`,
  },
  {
    name: 'an unknown write may never take effect',
    drawing: `
      a W 1 :|-?
      b R - :    |--|`,
  },
  {
    name: 'a failed write leaves no trace',
    drawing: `
      a W 1 :|--|
      b W 2 :     |--x
      c R 1 :          |--|`,
  },
  {
    name: 'one value written twice serves both sides of another',
    drawing: `
      a W 1 :|--|
      b W 2 :     |--|
      c R 2 :          |--|
      d W 1 :            |----|
      e R 1 :              |--|`,
  },
  {
    name: 'an object may be emptied again',
    drawing: `
      a W 1 :|--|
      b R 1 :     |--|
      c W - :          |--|
      d R - :               |--|`,
  },
  {
    name: 'writes of one value hide before either of two writes of another',
    drawing: `
      a W 1 :|-----|
      b W - : |---------|
      c W - :  |------|
      d W 1 :   ||
      e W - :     |-|
      f R 1 :        |----|
      g W - :          |-|`,
  },
];

describe('registers that are right', () => {
  for (const { name, drawing } of right) {
    test(name, () => {
      expect(explain(checkRegisterHistory(draw(drawing)))).toMatch(/^linearizable: /);
    });
  }
});

test('the object whose trouble showed first comes first, and each object is reported once', () => {
  const history = new History();
  const read = (time: number, object: string): void => {
    const id = history.invoke({ time, client: 'a', object, kind: 'read' });
    history.completeRead(id, time + 1, 'forged');
  };
  read(0, 'fine so far');
  read(2, 'x');
  read(4, 'x');
  const verdict = checkRegisterHistory(history);
  expect(verdict).toMatchObject({
    result: 'violation',
    violations: [{ object: 'fine so far' }, { object: 'x', operations: [{ id: 1 }] }],
  });
});

describe('the budget of the search', () => {
  const drawing = Array.from({ length: 8 }, (_, index) => `c${index} W ${index % 4} :|------|`);
  const history = draw([...drawing, 'r R 3 :         |--|', 's R 2 :  |----------|'].join('\n'));

  test('used up, the verdict is unknown and says so', () => {
    const verdict = checkRegisterHistory(history, { stepsMax: 3 });
    expect(verdict).toEqual({ result: 'unknown', objects: ['x'], stepsMax: 3 });
    expect(explain(verdict)).toBe('undecided after 3 steps: x');
  });

  test('sufficient, it decides', () => {
    expect(checkRegisterHistory(history).result).toBe('linearizable');
  });
});

test('a violation among many operations is explained by few', () => {
  const history = new History();
  const write = (time: number, value: string): void => {
    const id = history.invoke({ time, client: 'w', object: 'x', kind: 'write', value });
    history.completeWrite(id, time + 1);
  };
  const read = (time: number, value: string): void => {
    const id = history.invoke({ time, client: 'r', object: 'x', kind: 'read' });
    history.completeRead(id, time + 1, value);
  };
  for (let round = 0; round < 200; round++) {
    write(10 * round, `v${round % 7}`);
    // In round 150 (v3) the reader gets the value of the round before.
    read(10 * round + 5, `v${(round === 150 ? round - 1 : round) % 7}`);
  }
  const violation = checkBySearch(registerHistory('x', history.operations), 1_000_000);
  if (violation === undefined || violation === 'unknown') return expect.unreachable();
  expect(violation.operations.map(({ client, value }) => `${client} ${value}`)).toEqual([
    'w v2',
    'w v3',
    'r v2',
  ]);
  expect(violation.reason).toMatch(/only "v3"/);
});
