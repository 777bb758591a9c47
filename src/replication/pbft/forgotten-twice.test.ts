// A member that loses its disk a second time, before those that matter have heard of the first: f = 2, one liar that has
// signatures of the member from before.

import { expect, it } from 'vitest';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey } from '../../wire/pbft.ts';
import { lossTimeouts } from './keys.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const [slow, liar, member] = [4, 5, 6];
const timeoutMs = 100;

function newKey(cluster: TestCluster, counter: number, forgotten: number): NewKey {
  const stated = { replica: member, counter, forgotten };
  const signer = cluster.signers[member] as Signer;
  const signature = signer.sign(newKeyBytes(testInstance, stated));
  return { instance: testInstance, ...stated, signature };
}

/** Its NEW-KEYs, as counter and what it has forgotten, each once. */
function said(cluster: TestCluster): string[] {
  const all: string[] = [];
  const before = cluster.filter;
  cluster.filter = (from, to, message) => {
    if (from === member && message.name === 'newKey') {
      const text = `${message.value.counter}/${message.value.forgotten}`;
      if (!all.includes(text)) all.push(text);
    }
    return before(from, to, message);
  };
  return all;
}

/** One member has heard of a first loss, and does not answer when the disk is lost again. The others answer the second. */
function lostTwice(): TestCluster {
  const cluster = new TestCluster({
    seed: 1,
    faults: 2,
    absent: [liar],
    parameters: { timeoutMs, statusIntervalMs: 20, checkpointInterval: 8, window: 16 },
  });
  const work = (): void => {
    cluster.client(0).write();
    cluster.plan(25, work);
  };
  work();
  cluster.run(500);
  cluster.filter = (from, to, { name }) =>
    from === member ? name !== 'newKey' || to === slow : from !== slow || to !== member;
  cluster.wipe(member);
  cluster.run(cluster.nowMs + 30);
  cluster.speak(liar, member, 'newKey', newKey(cluster, 5, 0));
  cluster.run(cluster.nowMs + 3 * timeoutMs);
  cluster.filter = (from, to) => from !== slow || to !== member;
  cluster.wipe(member);
  cluster.run(cluster.nowMs + 30);
  const nothing = { counter: 0, checkpoint: 0, prepared: 0, view: 0 };
  cluster.speak(liar, member, 'replyStable', { instance: testInstance, ...nothing });
  cluster.run(cluster.nowMs + 3 * timeoutMs);
  return cluster;
}

function recovers(cluster: TestCluster): void {
  const isBack = () => cluster.replica(member).engine.status().status === 'normal';
  expect(cluster.run(cluster.nowMs + 3 * lossTimeouts * timeoutMs, isBack)).toBe(true);
  expect(cluster.problems()).toEqual([]);
}

it('recovers when it is shown a later loss than the one that it has told of', () => {
  const cluster = lostTwice();
  const keys = said(cluster);
  cluster.run(cluster.nowMs + 100);
  cluster.filter = () => true;
  const all = said(cluster);
  recovers(cluster);
  expect(keys).toEqual(['1/1']);
  expect(all.at(-1)).toBe('7/7');
});

it('recovers also when its counter has got above that of the later loss', () => {
  const cluster = lostTwice();
  cluster.speak(liar, member, 'newKey', newKey(cluster, 8, 0));
  cluster.run(cluster.nowMs + 3 * timeoutMs);
  cluster.filter = () => true;
  const all = said(cluster);
  recovers(cluster);
  expect(all.at(-1)).toBe('10/10');
});

it('is not kept from recovering by one that shows it later and later losses', () => {
  const cluster = lostTwice();
  let counter = 10;
  const lie = (): void => {
    counter += 2;
    cluster.speak(liar, member, 'newKey', newKey(cluster, counter, counter));
    cluster.plan(timeoutMs, lie);
  };
  lie();
  cluster.filter = () => true;
  recovers(cluster);
  expect(cluster.count('new-key-too-soon')).toBeGreaterThan(10);
});
