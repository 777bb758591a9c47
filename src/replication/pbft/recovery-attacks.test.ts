import { describe, expect, it } from 'vitest';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey } from '../../wire/pbft.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { prePrepareOf, requestOf } from './test-messages.ts';

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

describe('a member that an intruder had sign a NEW-KEY of a time to come', () => {
  it.each([
    ['with a larger counter', 9, 0],
    ['that tells of a loss', 9, 9],
    ['with its next counter, of a loss', 2, 2],
  ])('%s recovers proactively all the same', (_, counter, forgotten) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    const isOver = (times: number) => () => cluster.count('recovery-done') === times;
    cluster.recover(3);
    expect(cluster.run(cluster.nowMs + 10_000, isOver(1))).toBe(true);
    cluster.run(cluster.nowMs + 1000);
    // Said by the intruder while it was there; from others it counts for nothing.
    for (const to of [0, 1, 2])
      cluster.speak(3, to, 'newKey', newKey(cluster, 3, counter, forgotten));
    cluster.run(cluster.nowMs + 1000);
    write(cluster, 2);
    cluster.recover(3);
    const ended = cluster.run(cluster.nowMs + 60_000, isOver(2));
    // Another one may be broken now: f = 1.
    cluster.crash(2);
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    const works = cluster.run(cluster.nowMs + 60_000, () => cluster.outcomes.length > length);
    expect({ ended, works }).toEqual({ ended: true, works: true });
  });
});

describe('a recovery', () => {
  function tookMs(isShown: boolean): number {
    const cluster = new TestCluster({
      seed: 1,
      parameters: {
        ...parameters,
        checkpointInterval: 16,
        window: 32,
        timeoutMs: 600_000,
        timeoutMsMax: 600_000,
      },
    });
    write(cluster, 3);
    const { requests } = requestOf(cluster, 0, 4);
    if (isShown) cluster.speak(0, 2, 'prePrepare', prePrepareOf(0, 4, requests));
    const beganMs = cluster.nowMs;
    cluster.recover(2);
    expect(cluster.run(beganMs + 600_000, () => cluster.count('recovery-done') === 1)).toBe(true);
    return cluster.nowMs - beganMs;
  }

  it('takes hardly longer while a request waits here that a liar has shown to no other member', () => {
    const [without, beside] = [tookMs(false), tookMs(true)];
    expect(beside).toBeLessThan(3 * without);
  });
});
