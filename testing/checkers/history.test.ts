import { describe, expect, test } from 'vitest';
import { AssertionFailed } from '../../src/base/assert.ts';
import { History, type HistoryEvent } from './history.ts';
import { checkRegisterHistory } from './linearizability.ts';
import { eventToLine, historyToLines, RecordingDamaged, readRecordings } from './recording.ts';

const x = { object: 'x' };

function sample(sink?: (event: HistoryEvent) => void): History {
  const history = new History(sink);
  const write = history.invoke({ ...x, time: 1, client: 'a', kind: 'write', value: 'one' });
  const read = history.invoke({ ...x, time: 2, client: 'b', kind: 'read' });
  const emptying = history.invoke({ ...x, time: 2, client: 'c', kind: 'write', value: null });
  history.completeRead(read, 3, 'one');
  history.completeWrite(write, 3);
  history.fail(emptying, 4.5);
  const late = history.invoke({ ...x, time: 5, client: 'a', kind: 'write', value: 'two' });
  history.abandon(late);
  return history;
}

describe('recording', () => {
  test('places follow the order of the calls', () => {
    const { operations } = sample();
    expect(operations.map(({ begin, end }) => [begin, end])).toEqual([
      [0, 4],
      [1, 3],
      [2, 5],
      [6, Number.POSITIVE_INFINITY],
    ]);
    expect(operations.map(({ outcome }) => outcome)).toEqual([
      'completed',
      'completed',
      'failed',
      'unknown',
    ]);
  });

  test('an answer before an invocation at the same time precedes it', () => {
    const history = new History();
    const write = history.invoke({ ...x, time: 7, client: 'a', kind: 'write', value: 'one' });
    history.completeWrite(write, 7);
    const read = history.invoke({ ...x, time: 7, client: 'b', kind: 'read' });
    history.completeRead(read, 7, null);
    expect(checkRegisterHistory(history).result).toBe('violation');
  });

  test('misuse is our own fault', () => {
    const history = sample();
    const read = history.invoke({ ...x, time: 6, client: 'a', kind: 'read' });
    const [first] = history.operations;
    if (first === undefined) return expect.unreachable();
    expect(() => history.completeWrite(first.id, 7), 'ended twice').toThrow(AssertionFailed);
    expect(() => history.completeWrite(read, 7), 'wrong kind').toThrow(AssertionFailed);
    expect(() => history.completeRead(read, 5, null), 'time').toThrow(AssertionFailed);
  });
});

describe('JSON lines', () => {
  test('events written while running give the same history as its lines afterwards', () => {
    const lines: string[] = [];
    const history = sample((event) => lines.push(eventToLine(event)));
    expect([...historyToLines(history)]).toEqual(lines);
    expect(readRecordings([lines.join('')]).operations).toEqual(history.operations);
  });

  test('recordings merge by time, and equal times overlap', () => {
    const writer = new History();
    const reader = new History();
    const write = writer.invoke({ ...x, time: 10, client: 'a', kind: 'write', value: 'one' });
    writer.completeWrite(write, 20);
    const early = reader.invoke({ ...x, time: 20, client: 'b', kind: 'read' });
    reader.completeRead(early, 30, null);
    const texts = [writer, reader].map((history) => [...historyToLines(history)].join(''));
    const merged = readRecordings(texts);
    expect(merged.operations.map(({ id, client, begin, end }) => [id, client, begin, end])).toEqual(
      [
        [0, 'a', 0, 2],
        [1, 'b', 1, 3],
      ],
    );
    expect(checkRegisterHistory(merged).result).toBe('linearizable');
  });

  test('a process killed in the middle of a line leaves its operation unknown', () => {
    const text = [...historyToLines(sample())].join('');
    const cut = readRecordings([text.slice(0, text.indexOf('"complete"') + 12)]);
    expect(cut.operations.map(({ outcome }) => outcome)).toEqual(['unknown', 'unknown', 'unknown']);
  });

  const invoke = '{"event":"invoke","id":0,"time":1,"client":"a","object":"x","kind":"read"}\n';
  const complete = '{"event":"complete","id":0,"time":2,"value":"one"}\n';
  test.each([
    ['not JSON', 'hello\n', /recording 1, line 1: not JSON/],
    ['not an event', '{"event":"lunch","id":0,"time":1}\n', /line 1: not an event/],
    ['null', 'null\n', /line 1: not an event/],
    ['no time', '{"event":"fail","id":0}\n', /line 1: no id or time/],
    ['a negative id', '{"event":"fail","id":-1,"time":1}\n', /line 1: no id or time/],
    ['a number as value', complete.replace('"one"', '1'), /line 1: not an event/],
    ['an answer to nothing', complete, /line 1: answer to an operation that is not under way/],
    ['two answers', invoke + complete + complete, /line 3: answer to an operation/],
    [
      'one id twice',
      invoke + complete + invoke.replace('1', '3'),
      /line 3: operation invoked twice/,
    ],
    ['time backwards', invoke + complete.replace('2', '0'), /line 2: time ran backwards/],
    [
      'a read without result',
      invoke + complete.replace(',"value":"one"', ''),
      /line 2: a read has/,
    ],
  ])('damage is refused: %s', (_, text, message) => {
    expect(() => readRecordings([text])).toThrow(RecordingDamaged);
    expect(() => readRecordings([text])).toThrow(message);
  });
});
