// Recoveries, lost disks and modules, beside what an intruder had signed, used up or altered.

import { describe, expect, it } from 'vitest';
import { type Bytes, emptyBytes, equalBytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey } from '../../wire/pbft.ts';
import { ClientTable } from '../client-table.ts';
import { PagedState } from '../pages.ts';
import type { MemberSigner } from './core.ts';
import { decodeRecord } from './records.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  timeoutMsMax: 2000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};
function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}
function newKey(cluster: TestCluster, replica: number, counter: number, forgotten: number): NewKey {
  const stated = { replica, counter, forgotten };
  const signature = (cluster.signers[replica] as Signer).sign(newKeyBytes(testInstance, stated));
  return { instance: testInstance, ...stated, signature };
}
function recover(cluster: TestCluster, member: number, ms = 300_000): boolean {
  const times = cluster.count('recovery-done') + 1;
  cluster.recover(member);
  return cluster.run(cluster.nowMs + ms, () => cluster.count('recovery-done') >= times);
}
function goesOnWithout(cluster: TestCluster, silent: number, forMs: number): boolean {
  cluster.filter = (from, to) => from !== silent && to !== silent;
  const { length } = cluster.outcomes;
  cluster.client(0).write();
  return cluster.run(cluster.nowMs + forMs, () => cluster.outcomes.length > length);
}
function known(cluster: TestCluster, at: number, of: number): string {
  let best: NewKey | undefined;
  for (const bytes of cluster.replica(at).durable) {
    const record = decodeRecord(bytes);
    if (record?.name !== 'newKey' || record.value.replica !== of) continue;
    if (best === undefined || record.value.counter >= best.counter) best = record.value;
  }
  return best === undefined ? 'none' : `${best.counter}/${best.forgotten}`;
}

describe('one NEW-KEY above 2^20, taken by one member that has been up for a few time-outs', () => {
  it.each([
    ['control 2^20', 2 ** 20, 0],
    ['2^20 + 6', 2 ** 20 + 6, 0],
    ['2^20 + 6, of a loss', 2 ** 20 + 6, 2 ** 20 + 6],
  ])('%s', (_, counter, forgotten) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    cluster.run(cluster.nowMs + 5000);
    // The intruder is in member 3 again, tells member 0 on its own channel, and is gone.
    cluster.speak(3, 0, 'newKey', newKey(cluster, 3, counter, forgotten));
    cluster.run(cluster.nowMs + 100);
    expect(known(cluster, 0, 3)).toBe(`${counter}/${forgotten}`);
    // Everybody else is correct: it recovers.
    const first = recover(cluster, 3, 60_000);
    cluster.run(cluster.nowMs + 30_000);
    // From here on member 1 is silent, and no more than that.
    cluster.filter = (from, to) => from !== 1 && to !== 1;
    const second = recover(cluster, 3, 600_000);
    const works = goesOnWithout(cluster, 1, 600_000);
    expect({ first, second, works }).toEqual({ first: true, second: true, works: true });
  });
  it('of a loss, no second recovery: only a change of views', () => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    cluster.run(cluster.nowMs + 5000);
    const counter = 2 ** 20 + 6;
    const liar = cluster.replica(0).engine.status().primary as number;
    const other = [0, 1, 2].find((each) => each !== liar) as number;
    cluster.speak(3, other, 'newKey', newKey(cluster, 3, counter, counter));
    cluster.run(cluster.nowMs + 100);
    const works = goesOnWithout(cluster, liar, 1_200_000);
    expect({ liar, works }).toEqual({ liar, works: true });
  });
});

/** A module in the place of the signer: counts, and may refuse. */
function module(
  cluster: TestCluster,
  member: number,
): { count: number; isSpent: boolean; asked: number } {
  const state = { count: 0, isSpent: false, asked: 0 };
  const signer = cluster.signers[member] as Signer & MemberSigner;
  const { sign } = signer;
  signer.keyChanges = () => {
    state.asked += 1;
    return state.count;
  };
  signer.sign = (statement: Bytes) => {
    if (new TextDecoder('latin1').decode(statement).includes('new-key')) {
      if (state.isSpent) throw new HoldfastError('not-permitted', 'too often');
      state.count += 1;
    }
    return sign.call(signer, statement);
  };
  return state;
}

describe('a module that signs no change of keys for a minute, when its member has lost its disk', () => {
  it.each([false, true])('spent: %s', (isSpent) => {
    const cluster = new TestCluster({ seed: 28, parameters });
    write(cluster, 6);
    const state = module(cluster, 3);
    state.isSpent = isSpent;
    cluster.plan(60_000, () => {
      state.isSpent = false;
    });
    const again = (): void => {
      cluster.client(0).write();
      cluster.plan(1000, again);
    };
    again();
    cluster.wipe(3);
    const ended = cluster.run(cluster.nowMs + 1_800_000, () => cluster.count('recovery-done') > 0);
    expect({ ended, refused: cluster.count('recovery-refused') }).toEqual({
      ended: true,
      refused: isSpent ? 1 : 0,
    });
  });
});

describe('an empty disk that nobody told of', () => {
  it.each([false, true])('is noticed; with a module: %s', (isModule) => {
    const cluster = new TestCluster({ seed: 29, parameters });
    write(cluster, 6);
    if (isModule) module(cluster, 3);
    expect(recover(cluster, 3)).toBe(true);
    write(cluster, 6);
    cluster.run(cluster.nowMs + 1000);
    cluster.wipe(3, false);
    cluster.run(cluster.nowMs + 5000);
    const forgot = cluster.count('disk-forgotten');
    expect(forgot).toBe(1);
  });
});

describe('numbers in the table of clients that an intruder has raised on the disk of one member', () => {
  it.each([3 * 65_536, 2 ** 50])('to %d', (base) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    write(cluster, 20);
    cluster.run(cluster.nowMs + 1000);
    cluster.crash(3);
    const replica = cluster.replica(3);
    const { saved } = replica;
    if (saved === undefined) throw new TypeError('nothing saved');
    const key = (cluster.signers[3] as Signer).publicKey;
    let altered = 0;
    for (const [name, change] of saved.pages) {
      if (change.region !== 'clients' || change.bytes === undefined || change.bytes.length < 41)
        continue;
      if (!equalBytes(change.bytes.subarray(0, 32), key)) continue;
      const page = new Uint8Array(41);
      page.set(key);
      const view = new DataView(page.buffer);
      view.setUint32(32, Math.floor(base / 2 ** 32));
      view.setUint32(36, base >>> 0);
      saved.pages.set(name, { ...change, bytes: page });
      altered += 1;
    }
    const root = PagedState.sift([...saved.pages.values()]).state.rootNow();
    replica.saved = { ...saved, root };
    cluster.restart(3);
    const ended = recover(cluster, 3, 600_000);
    const status = cluster.replica(3).engine.status();
    expect({ altered, ended, status: status.status }).toEqual({
      altered: 1,
      ended: true,
      status: 'normal',
    });
  });
});

describe('numbers of a member that an intruder has used up, 2^38 with each request', () => {
  it('are as many again', () => {
    const largest = 2 ** 53 - 2 ** 40;
    const probe = new TestCluster({ seed: 1, parameters });
    const key = (probe.signers[3] as Signer).publicKey;
    const state = new PagedState();
    const table = new ClientTable(state.region('clients'));
    table.record(key, largest, emptyBytes, 0);
    table.flush();
    const root = state.rootNow();
    const genesis = {
      checkpoint: { sequence: 0, root, notes: emptyBytes, pages: [...state.all()] },
      records: [],
      damage: [],
      isFirstStart: true,
    };
    const cluster = new TestCluster({ seed: 3, parameters, genesis, isEncoded: true });
    write(cluster, 6);
    let thrown = '';
    let ended = false;
    try {
      ended = recover(cluster, 3, 60_000);
    } catch (error) {
      thrown = String(error);
    }
    expect({ ended, thrown }).toEqual({ ended: true, thrown: '' });
  });
});

describe('the same counter, first without a loss and then of one', () => {
  it('ends', () => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    cluster.run(cluster.nowMs + 1000);
    cluster.speak(3, 0, 'newKey', newKey(cluster, 3, 9, 0));
    cluster.run(cluster.nowMs + 1000);
    cluster.filter = (from, to, { name, value }) => {
      if (
        from === 3 &&
        to === 0 &&
        name === 'newKey' &&
        value.counter === 10 &&
        value.forgotten === 0
      )
        // What was under way, or is of who has the keys of before, is first.
        cluster.speak(3, 0, 'newKey', newKey(cluster, 3, 9, 9));
      return from !== 1 && to !== 1;
    };
    cluster.recover(3);
    const ended = cluster.run(
      cluster.nowMs + 1_200_000,
      () => cluster.count('recovery-done') === 2,
    );
    expect(ended).toBe(true);
  });
});

describe('what a crash leaves of the records with which a recovery begins again', () => {
  it('is gone on with', () => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    cluster.run(cluster.nowMs + 1000);
    for (const to of [0, 2]) cluster.speak(3, to, 'newKey', newKey(cluster, 3, 9, 9));
    cluster.run(cluster.nowMs + 1000);
    cluster.recover(3);
    cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-started') === 3);
    cluster.run(cluster.nowMs + 2);
    cluster.crash(3);
    const { durable } = cluster.replica(3);
    const at = durable.findIndex((bytes) => {
      const record = decodeRecord(bytes);
      return record?.name === 'newKey' && record.value.replica === 3 && record.value.counter === 10;
    });
    expect(at).toBeGreaterThan(0);
    cluster.replica(3).durable = durable.slice(0, at);
    cluster.restart(3);
    const { status } = cluster.replica(3).engine.status();
    expect(status).toBe('recovering');
  });
});

describe('who has lost its disk hears of the losses of others', () => {
  const lost = (cluster: TestCluster, member: number): void => {
    const times = cluster.count('recovery-done') + 1;
    cluster.wipe(member);
    expect(
      cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === times),
    ).toBe(true);
    write(cluster, 4);
  };
  it.each([false, true])('a liar tells of an older loss first: %s', (isTold) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    lost(cluster, 2);
    const older = newKey(cluster, 2, 1, 1);
    cluster.run(cluster.nowMs + 70 * 200);
    lost(cluster, 2);
    cluster.run(cluster.nowMs + 70 * 200);
    const before = known(cluster, 3, 2);
    const times = cluster.count('recovery-done') + 1;
    cluster.wipe(3);
    if (isTold) cluster.speak(1, 3, 'newKey', older);
    expect(
      cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === times),
    ).toBe(true);
    const after = known(cluster, 3, 2);
    cluster.run(cluster.nowMs + 60 * 200);
    const later = known(cluster, 3, 2);
    expect({ before, after, later }).toEqual({ before: '2/2', after: '2/2', later: '2/2' });
  });
  it.each([false, true])('its recovery was interrupted by a restart: %s', (isInterrupted) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    lost(cluster, 2);
    cluster.run(cluster.nowMs + 70 * 200);
    // What member 2 says itself is long under way.
    cluster.filter = (from, to, { name }) => from !== 2 || to !== 3 || name !== 'newKey';
    const times = cluster.count('recovery-done') + 1;
    const started = cluster.count('recovery-started') + 1;
    cluster.wipe(3);
    if (isInterrupted) {
      expect(
        cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-started') === started),
      ).toBe(true);
      cluster.run(cluster.nowMs + 1);
      cluster.crash(3);
      cluster.restart(3);
    }
    expect(
      cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === times),
    ).toBe(true);
    expect({ own: known(cluster, 3, 3), of2: known(cluster, 3, 2) }).toEqual({
      own: isInterrupted ? '2/1' : '1/1',
      of2: '1/1',
    });
  });
});

describe('losses that a module signed for an intruder, shown to a member that recovers', () => {
  it('do not have it ask its module all the time', () => {
    const cluster = new TestCluster({
      seed: 3,
      parameters: { ...parameters, timeoutMs: 2000, timeoutMsMax: 4000 },
    });
    write(cluster, 6);
    expect(recover(cluster, 3)).toBe(true);
    const state = module(cluster, 3);
    state.count = 12;
    cluster.recover(3);
    cluster.speak(1, 3, 'newKey', newKey(cluster, 3, 9, 9));
    const asked = state.asked;
    cluster.filter = (_, to, { name }) => to !== 3 || name !== 'replyStable';
    const from = cluster.nowMs;
    while (cluster.nowMs < from + 1000) {
      for (let i = 0; i < 40; i++) cluster.speak(1, 3, 'newKey', newKey(cluster, 3, 10, 10));
      cluster.run(cluster.nowMs + 20);
    }
    expect(state.asked - asked).toBeLessThan(20);
  });
});
