import { describe, expect, it } from 'vitest';
import {
  decodeResult,
  encodeOperation,
  KeyValueStore,
  type Operation,
} from '../../examples/key-value/index.ts';
import { emptyBytes, textOf, toHex, utf8 } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import type { OrderedRequest } from '../wire/replication.ts';
import type { PageChange, PageStore, StateMachine } from './contract.ts';
import { Executor } from './executor.ts';
import { ServiceFailed } from './guarded-service.ts';
import { PagedState } from './pages.ts';

const client = new Uint8Array(32).fill(3);

function request(number: number, operation: Operation, kind = 0): OrderedRequest {
  return { client, number, kind, operation: encodeOperation(operation) };
}

const put = (key: string, value: string): Operation => ({
  kind: 'put',
  key: utf8(key),
  value: utf8(value),
});
const get = (key: string): Operation => ({ kind: 'get', key: utf8(key) });

function valueAt(executor: Executor, key: string): string | undefined {
  const answer = executor.query(encodeOperation(get(key)));
  const result = decodeResult(answer?.result ?? emptyBytes);
  return result?.kind === 'value' ? textOf(result.value) : result?.kind;
}

describe('the executor', () => {
  it('executes each request once and repeats its result', () => {
    const executor = new Executor(new KeyValueStore());
    const first = executor.execute(request(2, put('a', '1')), emptyBytes, 1);
    expect(first).toMatchObject({ outcome: 0, isNew: true });
    executor.execute(request(1, put('a', '2')), emptyBytes, 2);
    expect(executor.execute(request(2, put('a', '1')), emptyBytes, 3)).toMatchObject({
      outcome: 0,
      result: first.result,
      isNew: false,
    });
    expect(valueAt(executor, 'a')).toBe('2');
  });

  it('says what is too old after the window has moved on', () => {
    const executor = new Executor(new KeyValueStore());
    for (let number = 2; number <= limits.clientWindow + 2; number++) {
      executor.execute(request(number, put('a', `${number}`)), emptyBytes, number);
    }
    expect(executor.execute(request(1, put('a', 'late')), emptyBytes, 99)).toEqual({
      outcome: 2,
      result: emptyBytes,
      isNew: false,
    });
    expect(valueAt(executor, 'a')).toBe(`${limits.clientWindow + 2}`);
  });

  it('ends the instance by a STOP, whatever kind its request says it is', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, { kind: 'stop' }, 1), emptyBytes, 1);
    expect(executor.ended).toBe(true);
    expect(executor.execute(request(2, put('a', '1')), emptyBytes, 2)).toMatchObject({
      outcome: 1,
    });
  });

  it('takes tentative execution back: pages and results', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    const before = toHex(executor.checkpoint(1).root);
    executor.mark();
    executor.execute(request(2, put('a', '2')), emptyBytes, 2);
    executor.undo();
    expect(valueAt(executor, 'a')).toBe('1');
    expect(toHex(executor.checkpoint(2).root)).toBe(before);
    expect(executor.execute(request(2, put('a', '3')), emptyBytes, 3).isNew).toBe(true);
    executor.mark();
    executor.execute(request(4, put('a', '4')), emptyBytes, 4);
    executor.keep();
    expect(valueAt(executor, 'a')).toBe('4');
  });

  it('executes nothing after a stop, and stores no answer to it', () => {
    const executor = new Executor(new KeyValueStore());
    const done = executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    executor.execute(request(2, { kind: 'stop' }), emptyBytes, 2);
    const final = toHex(executor.checkpoint(2).root);
    const late = executor.execute(request(3, put('a', '2')), emptyBytes, 2);
    expect(late).toEqual({ outcome: 1, result: emptyBytes, isNew: false });
    expect(executor.query(encodeOperation(get('a')))?.outcome).toBe(1);
    expect(executor.execute(request(1, put('a', '1')), emptyBytes, 2).result).toEqual(done.result);
    expect(toHex(executor.checkpoint(3).root)).toBe(final);
    // The next instance starts from these pages and executes what came too late for this one.
    const next = new Executor(new KeyValueStore());
    const { state } = PagedState.sift(executor.state.all());
    expect(toHex(state.rootNow())).toBe(final);
    expect(next.install(state, { sequence: 0, root: state.rootNow(), isEnded: false })).toBe(true);
    expect(next.execute(request(3, put('a', '2')), emptyBytes, 1).isNew).toBe(true);
    expect(next.execute(request(1, put('a', '9')), emptyBytes, 1).isNew).toBe(false);
    expect(valueAt(next, 'a')).toBe('2');
  });

  it('says of what may have been executed that nobody knows, also after the end and in the next instance', () => {
    const large: StateMachine = {
      load() {},
      execute: () => new Uint8Array(limits.resultSizeBytesMax).fill(1),
      query: () => emptyBytes,
      isQuery: () => false,
      isStop: (operation) => operation.length === 4,
    };
    const asked = (client: number, number: number, kind: number, text: string) => {
      const key = new Uint8Array(32).fill(7);
      new DataView(key.buffer).setUint32(4, client);
      return { client: key, number, kind, operation: utf8(text) };
    };
    for (const others of [0, limits.replicatedClientsMax]) {
      const executor = new Executor(large);
      // Its result gives way to later ones of its client, or its client to others.
      for (let n = 1; n <= 3; n++) executor.execute(asked(0, n, 0, 'w'), emptyBytes, n);
      for (let i = 1; i <= others; i++) executor.execute(asked(i, 1, 2, ''), emptyBytes, 3 + i);
      const first = asked(0, 1, 0, 'w');
      expect(executor.execute(first, emptyBytes, 9000).outcome).toBe(2);
      executor.execute(asked(1, 9, 0, 'stop'), emptyBytes, 9001);
      expect(executor.ended).toBe(true);
      expect(executor.execute(first, emptyBytes, 9002).outcome).toBe(2);
      // Above all that it has used: surely not executed.
      expect(executor.execute(asked(0, 2 ** 50, 0, 'w'), emptyBytes, 9002).outcome).toBe(1);
      const { root } = executor.checkpoint(9002);
      const next = new Executor(large);
      const { state } = PagedState.sift(executor.state.all());
      expect(next.install(state, { sequence: 0, root, isEnded: false })).toBe(true);
      expect(next.execute(first, emptyBytes, 1).outcome).toBe(2);
    }
  });

  it('takes no state over that has another root, and shows the service nothing of it', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    const { root } = executor.checkpoint(1);
    const loads: PageStore[] = [];
    const wary = new Executor({
      load: (pages) => void loads.push(pages),
      execute: () => emptyBytes,
      query: () => emptyBytes,
      isQuery: () => false,
    });
    const before = wary.state.rootNow();
    const wrong: PageChange = { region: 'clients', page: 0, bytes: Uint8Array.of(1, 2, 3) };
    const { state } = PagedState.sift([...executor.state.all(), wrong]);
    expect(wary.install(state, { sequence: 1, root, isEnded: true })).toBe(false);
    expect(loads).toHaveLength(1);
    expect([wary.ended, wary.state.checkpoints(), wary.table.size]).toEqual([false, [], 0]);
    expect(wary.state.rootNow()).toEqual(before);
    const right = PagedState.sift(executor.state.all()).state;
    expect(wary.install(right, { sequence: 1, root, isEnded: true })).toBe(true);
    expect(loads).toHaveLength(2);
    expect([wary.ended, wary.state.root(1), wary.table.size]).toEqual([true, root, 1]);
  });

  it('orders reads without changing pages other than the table, and lets operations decide what reads', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    const read = executor.execute(request(2, get('a'), 1), emptyBytes, 2);
    expect(decodeResult(read.result)).toEqual({ kind: 'value', value: utf8('1') });
    executor.execute(request(3, put('a', '2'), 1), emptyBytes, 3);
    expect(valueAt(executor, 'a')).toBe('2');
    expect(executor.query(encodeOperation(put('a', '3')))).toBeUndefined();
    expect(valueAt(executor, 'a')).toBe('2');
  });

  it('uses the number of a claim and executes nothing', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    const claim = { client, number: 9, kind: 2, operation: emptyBytes };
    expect(executor.execute(claim, emptyBytes, 2)).toEqual({
      outcome: 0,
      result: emptyBytes,
      isNew: true,
    });
    expect(executor.table.largest(client)).toBe(9);
    expect(executor.execute(request(9, put('a', '2')), emptyBytes, 3).isNew).toBe(false);
    expect(valueAt(executor, 'a')).toBe('1');
  });

  it('goes back to a checkpoint and on from there', () => {
    const executor = new Executor(new KeyValueStore());
    executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    const root = toHex(executor.checkpoint(1).root);
    executor.execute(request(2, put('a', '2')), emptyBytes, 2);
    executor.checkpoint(2);
    executor.rollback(1, false);
    expect(valueAt(executor, 'a')).toBe('1');
    expect(toHex(executor.state.rootNow())).toBe(root);
    expect(executor.execute(request(2, put('b', '2')), emptyBytes, 2).isNew).toBe(true);
  });

  it('stops with a typed error when the service breaks its contract', () => {
    const broken = (execute: StateMachine['execute']): Executor =>
      new Executor({ load() {}, execute, query: () => emptyBytes, isQuery: () => false });
    const cause = new RangeError('a bug');
    const throwing = broken(() => {
      throw cause;
    });
    const run = (executor: Executor) => () =>
      executor.execute(request(1, put('a', '1')), emptyBytes, 1);
    expect(run(throwing)).toThrow(ServiceFailed);
    expect(run(throwing)).toThrow(expect.objectContaining({ cause }));
    expect(run(broken(() => new Uint8Array(limits.resultSizeBytesMax + 1)))).toThrow('at most');
  });
});
