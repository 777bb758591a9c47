// What liars make of a lost disk of which a member has heard, when that member starts again.

import { describe, expect, it } from 'vitest';
import { type Bytes, emptyBytes, fromHex } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { Certificate, NewKey, ViewChange } from '../../wire/pbft.ts';
import type { ReplicaStatus } from '../contract.ts';
import { bundle, requestDigest } from '../requests.ts';
import { batchDigest } from './batch.ts';
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
    if (isUsed) {
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
      if (restarts) {
        cluster.crash(late);
        cluster.restart(late);
      }
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

  it.each([false, true])(
    'cannot make two batches be committed at one place, restarted: %s',
    (restarts) => {
      const cluster = recovered(true, restarts);
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
      const support = [lies[0], stale, left[deaf], lies[1], left[late]].flatMap(
        (each) => each ?? [],
      );
      expect(support).toHaveLength(5);
      openView(cluster, support, certificate.sequence);
      order(cluster, sequence);
      cluster.run(cluster.nowMs + 200);
      expect(cluster.problems()).toEqual([]);
    },
  );

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
