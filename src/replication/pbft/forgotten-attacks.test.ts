// What liars make of lost disks, of their own or of others'.

import { describe, expect, it } from 'vitest';
import { type Bytes, emptyBytes, fromHex } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import type { Certificate, NewKey, NewView, ViewChange } from '../../wire/pbft.ts';
import type { ReplicaStatus } from '../contract.ts';
import { bundle, requestDigest } from '../requests.ts';
import { batchDigest } from './batch.ts';
import { counterRiseMax } from './keys.ts';
import {
  newKeyBytes,
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
} from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  timeoutMsMax: 2000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};

function statusOf(cluster: TestCluster, index: number): ReplicaStatus {
  return cluster.replica(index).engine.status();
}

function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}

function signerOf(cluster: TestCluster, index: number): Signer {
  return cluster.signers[index] as Signer;
}

function newKey(cluster: TestCluster, replica: number, counter: number, forgotten: number): NewKey {
  const stated = { replica, counter, forgotten };
  const signature = signerOf(cluster, replica).sign(newKeyBytes(testInstance, stated));
  return { instance: testInstance, ...stated, signature };
}

/** A VIEW-CHANGE that claims nothing. */
function emptyViewChange(
  cluster: TestCluster,
  replica: number,
  view: number,
  forgotten: number,
  certificate: Certificate,
): ViewChange {
  const statement = { replica, view, forgotten, certificate, prepared: [], accepted: [] };
  const message = viewChangeBytes(testInstance, view, viewChangeDigest(statement));
  const signature = signerOf(cluster, replica).sign(message);
  return { instance: testInstance, statement, signature };
}

function genesisOf(cluster: TestCluster): Certificate {
  const root = fromHex(statusOf(cluster, 1).root) as Bytes;
  return { sequence: 0, root, isFinal: 0, signatures: [] };
}

/** f = 2: the member that loses its disk, and those that hear of it only in part. */
const [lost, deaf, late] = [2, 3, 6];

describe('a NEW-KEY whose counter was used before the loss', () => {
  /** It has been told to one member, before the disk was lost, and that one answers last. */
  function recovered(isUsed: boolean, restarts: boolean): TestCluster {
    const slow = { ...parameters, timeoutMs: 5000, timeoutMsMax: 5000 };
    const cluster = new TestCluster({ seed: 8, faults: 2, clients: 2, parameters: slow });
    write(cluster, 5);
    if (isUsed) {
      cluster.filter = (from, to, { name }) => name !== 'newKey' || from !== lost || to === late;
      cluster.recover(lost);
      cluster.run(cluster.nowMs + 30);
    }
    const fromMs = cluster.nowMs;
    const answers = new Set(['newKey', 'replyStable']);
    cluster.filter = (from, to, { name }) => {
      if (from === lost && to === deaf && name === 'newKey') return false;
      return from !== late || to !== lost || cluster.nowMs >= fromMs + 100 || !answers.has(name);
    };
    cluster.wipe(lost);
    const isBack = () => statusOf(cluster, lost).status === 'normal';
    if (restarts) {
      // It answers, which says that it knows of the loss; then its power fails.
      const before = cluster.filter;
      let hasAnswered = false;
      cluster.filter = (from, to, message) => {
        const passes = before(from, to, message);
        if (passes && from === late && to === lost && message.name === 'replyStable')
          hasAnswered = true;
        return passes;
      };
      expect(cluster.run(cluster.nowMs + 20_000, () => hasAnswered)).toBe(true);
      cluster.run(cluster.nowMs + 4);
      cluster.crash(late);
      cluster.restart(late);
      cluster.filter = before;
    }
    expect(cluster.run(cluster.nowMs + 40_000, isBack)).toBe(true);
    cluster.filter = (from, to, { name }) => from !== lost || to !== deaf || name !== 'newKey';
    do {
      write(cluster, 1);
      cluster.run(cluster.nowMs + 300);
    } while (statusOf(cluster, 0).executed % 4 !== 0);
    return cluster;
  }

  it.each([
    ['the counter was not used', false, false],
    ['it was used', true, false],
    ['one that heard of the loss starts again', true, true],
  ])('cannot make two batches be committed at one place: %s', (_name, isUsed, restarts) => {
    const cluster = recovered(isUsed, restarts);
    // A batch is committed with the help of the one that is back; two members never hear of it.
    const ordering = new Set([
      'prePrepare',
      'pbftPrepare',
      'pbftCommit',
      'committed',
      'submitRequest',
    ]);
    let certificate = genesisOf(cluster);
    cluster.filter = (_, to, message) => {
      if (message.name === 'stableCheckpoint') certificate = message.value.certificate;
      return (to !== deaf && to !== late) || !ordering.has(message.name);
    };
    write(cluster, 1);
    cluster.run(cluster.nowMs + 15);
    const { executed: sequence } = statusOf(cluster, 0);
    const behind = { height: 0, executed: sequence, viewChanges: 0, slots: [] };
    const set = { checkpointInterval: 4, window: 8 };
    const place = { genesis: genesisRoot, ...set, view: 0, isActive: 1, isDoubting: 0 };
    cluster.speak(1, 4, 'pbftStatus', { instance: testInstance, ...place, ...behind });
    cluster.run(cluster.nowMs + 5);
    // Two members lie from now on, and two are slow.
    for (const liar of [1, 5]) cluster.crash(liar);
    const left: ViewChange[] = [];
    cluster.filter = (from, _, message) => {
      if (message.name === 'viewChange' && (from === deaf || from === late)) {
        left[from] = message.value;
      }
      return from !== 0 && from !== 4 && from >= 0;
    };
    const stale = emptyViewChange(cluster, lost, 1, 0, { ...genesisCertificate });
    const lies = [1, 5].map((liar) => emptyViewChange(cluster, liar, 1, 0, certificate));
    for (const to of [deaf, late]) {
      for (const lie of [...lies, stale]) cluster.speak(1, to, 'viewChange', lie);
    }
    cluster.run(cluster.nowMs + 20);
    const support = [lies[0], stale, left[deaf], lies[1], left[late]].flatMap((each) => each ?? []);
    expect(support).toHaveLength(5);
    openView(cluster, support, certificate.sequence);
    order(cluster, sequence);
    cluster.run(cluster.nowMs + 200);
    expect(cluster.problems()).toEqual([]);
  });

  /** Root of checkpoint 0 of every cluster here. */
  const genesisCertificate = genesisOf(new TestCluster({ seed: 1, parameters }));
  const { root: genesisRoot } = genesisCertificate;

  /** A liar, primary of view 1, rests it on what it chose. */
  function openView(cluster: TestCluster, support: readonly ViewChange[], height: number): void {
    const viewChanges = support.map(({ statement }) => ({
      replica: statement.replica,
      digest: viewChangeDigest(statement),
    }));
    const statement = { view: 1, viewChanges, height, batches: [] };
    const message = newViewBytes(testInstance, 1, newViewDigest(statement));
    const signature = signerOf(cluster, 1).sign(message);
    for (const to of [lost, deaf, late]) {
      cluster.speak(1, to, 'newView', { instance: testInstance, statement, signature });
      for (const each of support) {
        const { replica } = each.statement;
        if (replica !== to || to === lost) cluster.speak(1, to, 'viewChange', each);
      }
    }
  }

  /** The liars have another batch committed there. */
  function order(cluster: TestCluster, sequence: number): void {
    const signer = cluster.clientSigners[1] as Signer;
    const operation = cluster.client(1).operation(1);
    const request = { client: signer.publicKey, number: 1, kind: 0, operation };
    const requests = bundle(signer, testInstance, [request]);
    const place = { instance: testInstance, view: 1, sequence };
    const digest = batchDigest([requestDigest(testInstance, request)], emptyBytes);
    const members = [lost, deaf, late];
    for (const to of members) {
      const batch = { requests, agreed: emptyBytes, fullRepliers: [0] };
      cluster.speak(1, to, 'prePrepare', { ...place, ...batch });
      cluster.speak(5, to, 'pbftPrepare', { ...place, digest });
    }
    for (const to of members) {
      for (const liar of [1, 5]) cluster.speak(liar, to, 'pbftCommit', { ...place, digest });
    }
  }
});

it('remembers over a restart that a member has lost its disk, though it had used the counter before', () => {
  const cluster = new TestCluster({ seed: 1, clients: 1, parameters, absent: [3] });
  cluster.run(500);
  cluster.speak(3, 0, 'newKey', newKey(cluster, 3, 1, 0));
  cluster.run(cluster.nowMs + 1000);
  cluster.speak(3, 0, 'newKey', newKey(cluster, 3, 1, 1));
  cluster.run(cluster.nowMs + 100);
  const answers: string[] = [];
  cluster.filter = (from, to, { name }) => {
    if (from === 0 && to === 3) answers.push(name);
    return true;
  };
  const ask = (): boolean => {
    answers.length = 0;
    cluster.speak(3, 0, 'queryStable', { instance: testInstance, counter: 1, forgotten: 1 });
    cluster.run(cluster.nowMs + 10);
    return answers.includes('replyStable');
  };
  expect(ask()).toBe(true);
  cluster.crash(0);
  cluster.restart(0);
  expect(ask()).toBe(true);
});

it('a liar that tells one member after the other of a loss does not keep the group from working', () => {
  const liar = 3;
  const cluster = new TestCluster({ seed: 5, parameters, absent: [liar] });
  const genesis = genesisOf(cluster);
  cluster.filter = (from, _, { name }) => from !== 0 || name !== 'prePrepare';
  cluster.client(0).write();
  cluster.run(250);
  cluster.filter = () => true;
  const told = new Set<number>();
  const known = [0, 0, 0];
  let counter = 0;
  // In every view: the primary gets a VIEW-CHANGE that is void to one of the other two.
  const lie = (view: number): void => {
    const primary = view % 4;
    if (view === 0 || primary === liar || told.has(view)) return;
    told.add(view);
    const victim = (primary + 1) % 3;
    const forgotten = known[primary] ?? 0;
    counter += 1;
    known[victim] = counter;
    cluster.speak(liar, victim, 'newKey', newKey(cluster, liar, counter, counter));
    const value = emptyViewChange(cluster, liar, view, forgotten, genesis);
    cluster.speak(liar, primary, 'viewChange', value);
  };
  while (cluster.nowMs < 60_000 && cluster.outcomes.length === 0) {
    const top = Math.max(...[0, 1, 2].map((index) => statusOf(cluster, index).view));
    lie(top);
    lie(top + 1);
    cluster.run(cluster.nowMs + 2);
  }
  expect(cluster.outcomes).toHaveLength(1);
  expect(cluster.problems()).toEqual([]);
});

it('a primary that lost its disk does not open the view again that it had opened', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const primary = 1;
    const cluster = new TestCluster({ seed, parameters });
    write(cluster, 3);
    const opened = new Set<string>();
    let isOpen = false;
    const note = (from: number, value: NewView): void => {
      isOpen = true;
      if (from !== primary || value.statement.view !== 1) return;
      opened.add(Buffer.from(value.signature).toString('hex'));
    };
    cluster.filter = (from, to, message) => {
      if (message.name !== 'newView') return true;
      note(from, message.value);
      return to === 2;
    };
    cluster.recover(0);
    cluster.run(cluster.nowMs + 3000, () => isOpen);
    cluster.run(cluster.nowMs + 5);
    // It hears again who has left for the view, and of no later one.
    cluster.filter = (from, to, message) => {
      if (message.name === 'newView') note(from, message.value);
      const isView = message.name === 'newView' || message.name === 'viewChange';
      return !isView || to !== primary || message.value.statement.view <= 1;
    };
    cluster.wipe(primary);
    const isBack = () => statusOf(cluster, primary).status !== 'recovering';
    cluster.run(cluster.nowMs + 8000, isBack);
    cluster.run(cluster.nowMs + 50);
    expect(opened.size).toBeLessThanOrEqual(1);
  }
});

it.each([
  ['recovers', false],
  ['has lost its disk', true],
] as const)('a member that %s does so though an intruder has used up its numbers', (_, isLost) => {
  const member = 2;
  const cluster = new TestCluster({ seed: 7, parameters });
  write(cluster, 3);
  const signer = signerOf(cluster, member);
  for (let i = 0; i < 33; i++) {
    const number = 2 ** 38 - 40 + i;
    const request = { client: signer.publicKey, number, kind: 2, operation: emptyBytes };
    for (const signed of bundle(signer, testInstance, [request])) {
      const value = { instance: testInstance, request: signed, fullReplier: 0 };
      for (const to of [0, 1, 3]) cluster.speak(member, to, 'submitRequest', value);
    }
    cluster.run(cluster.nowMs + 40);
  }
  if (isLost) cluster.wipe(member);
  else cluster.recover(member);
  const isBack = () => statusOf(cluster, member).status === 'normal';
  expect(cluster.run(cluster.nowMs + 60_000, isBack)).toBe(true);
});

it('a member that lost its disk recovers though an intruder has shown a large counter', () => {
  const cluster = new TestCluster({ seed: 7, parameters });
  write(cluster, 3);
  for (const to of [0, 1, 3]) cluster.speak(2, to, 'newKey', newKey(cluster, 2, 2 ** 23, 0));
  cluster.run(cluster.nowMs + 500);
  cluster.wipe(2);
  const isBack = () => statusOf(cluster, 2).status === 'normal';
  expect(cluster.run(cluster.nowMs + 60_000, isBack)).toBe(true);
});

describe('the last number that a counter can have', () => {
  const last = limits.newKeyCounterMax;

  it('does not keep a member from recovering, shown to one member before the disk was lost', () => {
    for (const counter of [last, last - 1]) {
      const cluster = new TestCluster({ seed: 7, parameters });
      write(cluster, 3);
      cluster.speak(2, 1, 'newKey', newKey(cluster, 2, counter, 0));
      cluster.run(cluster.nowMs + 500);
      cluster.wipe(2);
      const isBack = () => statusOf(cluster, 2).status === 'normal';
      expect(cluster.run(cluster.nowMs + 60_000, isBack)).toBe(true);
      expect(cluster.count('new-key-far')).toBeGreaterThan(0);
    }
  });

  it('nor shown by a liar to the member that has lost its disk, at once or step by step', () => {
    for (const rise of [last - 1, counterRiseMax - 1, 2]) {
      const [member, liar] = [2, 1];
      const cluster = new TestCluster({ seed: 7, faults: 2, parameters });
      write(cluster, 3);
      cluster.crash(liar);
      cluster.filter = (_, to, { name }) => to !== liar || name !== 'newKey';
      let counter = 0;
      cluster.wipe(member);
      for (let i = 0; i < 40; i++) {
        counter = Math.min(last - 1, counter + rise);
        cluster.speak(liar, member, 'newKey', newKey(cluster, member, counter, 0));
        cluster.run(cluster.nowMs + 40);
      }
      const isBack = () => statusOf(cluster, member).status === 'normal';
      expect(cluster.run(cluster.nowMs + 60_000, isBack)).toBe(true);
    }
  });

  it('is far away: a member believes one step in each time-out once a million are used up', () => {
    const cluster = new TestCluster({ seed: 7, parameters, absent: [2] });
    cluster.run(1000);
    const taken = (counter: number): boolean => {
      const before = cluster.count('new-key');
      cluster.speak(2, 1, 'newKey', newKey(cluster, 2, counter, 0));
      return cluster.count('new-key') > before;
    };
    expect(taken(counterRiseMax + 6)).toBe(false);
    expect(taken(counterRiseMax + 5)).toBe(true);
    cluster.run(2000);
    expect(taken(2 * counterRiseMax)).toBe(false);
    expect(taken(counterRiseMax + 11)).toBe(false);
    expect(taken(counterRiseMax + 10)).toBe(true);
  });
});

it('what a member says of a view after the loss replaces what it said before, and is no evidence', () => {
  const cluster = new TestCluster({ seed: 6, parameters });
  const genesis = genesisOf(cluster);
  write(cluster, 1);
  for (const forgotten of [0, 1, 0]) {
    cluster.speak(3, 1, 'viewChange', emptyViewChange(cluster, 2, 5, forgotten, genesis));
  }
  expect(cluster.evidence).toEqual([]);
  expect(cluster.count('view-change-old')).toBe(1);
});

it('a liar has a member that lost its disk check few forged NEW-KEYs of its own', () => {
  const cluster = new TestCluster({ seed: 6, parameters });
  write(cluster, 1);
  cluster.filter = () => false;
  cluster.wipe(2);
  const forged = { ...newKey(cluster, 2, 9, 0), signature: new Uint8Array(64) };
  for (let i = 0; i < 1000; i++) cluster.speak(3, 2, 'newKey', { ...forged, counter: 9 + i });
  expect(cluster.count('new-key-not-signed')).toBeGreaterThan(0);
  expect(cluster.count('new-key-not-signed')).toBeLessThan(100);
  expect(cluster.count('peer-too-eager')).toBeGreaterThan(900);
});
