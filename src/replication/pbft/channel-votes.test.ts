// Votes count for whoever the channel belongs to. When a member's keys change, what came on its channels of before is void
// as far as nothing follows from it yet.

import { expect, it } from 'vitest';
import type { Signer } from '../../crypto/signature.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { prePrepareOf, requestOf } from './test-messages.ts';

const parameters = { checkpointInterval: 4, window: 8, timeoutMs: 60_000, statusIntervalMs: 20 };

/** Member 1 alone. */
function alone() {
  const cluster = new TestCluster({ seed: 1, parameters, absent: [0, 2, 3] });
  const said: string[] = [];
  cluster.filter = (_, __, { name }) => {
    said.push(name);
    return false;
  };
  const { requests, digest } = requestOf(cluster, 0, 1);
  const vote = { instance: testInstance, view: 0, sequence: 1, digest };
  const hasCommitted = (): boolean => cluster.replica(1).engine.status().committed === 1;
  return {
    cluster,
    order: () => cluster.speak(0, 1, 'prePrepare', prePrepareOf(0, 1, requests)),
    prepare: (from: number) => cluster.speak(from, 1, 'pbftPrepare', vote),
    commit: (from: number) => cluster.speak(from, 1, 'pbftCommit', vote),
    claim: (from: number) => cluster.speak(from, 1, 'committed', vote),
    hasCommitted,
    hasPrepared: (): boolean => {
      cluster.run(cluster.nowMs + 5);
      return said.includes('pbftCommit');
    },
  };
}

function changeKeys(cluster: TestCluster, replica: number): void {
  const stated = { replica, counter: 1, forgotten: 0 };
  const signature = (cluster.signers[replica] as Signer).sign(newKeyBytes(testInstance, stated));
  cluster.speak(replica, 1, 'newKey', { instance: testInstance, ...stated, signature });
  expect(cluster.count('new-key')).toBe(1);
}

it('a PREPARE of before a change of keys is void', () => {
  const { cluster, order, prepare, hasPrepared } = alone();
  prepare(2);
  changeKeys(cluster, 2);
  order();
  expect(hasPrepared()).toBe(false);
  prepare(2);
  expect(hasPrepared()).toBe(true);
});

it('a COMMIT of before a change of keys is void', () => {
  const { cluster, commit, hasCommitted } = alone();
  commit(0);
  commit(2);
  changeKeys(cluster, 2);
  commit(3);
  expect(hasCommitted()).toBe(false);
  commit(2);
  expect(hasCommitted()).toBe(true);
});

it('a COMMITTED of before a change of keys is void', () => {
  const { cluster, claim, hasCommitted } = alone();
  claim(2);
  changeKeys(cluster, 2);
  claim(3);
  expect(hasCommitted()).toBe(false);
  claim(2);
  expect(hasCommitted()).toBe(true);
});

it('nobody else is affected', () => {
  const { cluster, commit, hasCommitted } = alone();
  commit(0);
  commit(2);
  changeKeys(cluster, 3);
  commit(3);
  expect(hasCommitted()).toBe(true);
});

it('a member that changes its own keys asks everyone again', () => {
  const { cluster, commit, hasCommitted } = alone();
  commit(0);
  commit(2);
  cluster.recover(1);
  const said = { checkpoint: 0, prepared: 0, view: 0 };
  for (const from of [0, 2, 3]) {
    cluster.speak(from, 1, 'replyStable', { instance: testInstance, counter: 1, ...said });
  }
  expect(cluster.count('recovery-estimated')).toBe(1);
  commit(3);
  expect(hasCommitted()).toBe(false);
  commit(0);
  commit(2);
  expect(hasCommitted()).toBe(true);
});
