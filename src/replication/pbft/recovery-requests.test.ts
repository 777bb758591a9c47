// When a recovery ends, and by which request of its own: beside traffic, losses, and what was ordered before.

import { describe, expect, it } from 'vitest';
import { emptyBytes } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import { bundle, requestKinds } from '../requests.ts';
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

function recover(cluster: TestCluster, member: number, withinMs = 40_000): boolean {
  const times = cluster.count('recovery-done') + 1;
  cluster.recover(member);
  return cluster.run(cluster.nowMs + withinMs, () => cluster.count('recovery-done') === times);
}

describe('a request that a liar has shown to nobody else', () => {
  function tookMs(isShown: boolean, everyMs: number | undefined): number {
    const cluster = new TestCluster({
      seed: 1,
      parameters: {
        ...parameters,
        checkpointInterval: 16,
        window: 32,
        statusIntervalMs: 100,
        timeoutMs: 600_000,
        timeoutMsMax: 600_000,
      },
    });
    write(cluster, 3);
    const { requests } = requestOf(cluster, 0, 400);
    if (isShown) cluster.speak(0, 2, 'prePrepare', prePrepareOf(0, 30, requests));
    const beganMs = cluster.nowMs;
    cluster.recover(2);
    const again = (): void => {
      cluster.client(0).write();
      if (everyMs !== undefined) cluster.plan(everyMs, again);
    };
    if (everyMs !== undefined) cluster.plan(everyMs, again);
    expect(cluster.run(beganMs + 600_000, () => cluster.count('recovery-done') === 1)).toBe(true);
    return cluster.nowMs - beganMs;
  }
  it('slows a recovery down no more than once, also while somebody asks for something now and then', () => {
    const times = [
      tookMs(false, undefined),
      tookMs(false, 90),
      tookMs(true, undefined),
      tookMs(true, 90),
    ];
    expect(times[3]).toBeLessThan(3 * (times[1] as number));
  });
});

describe('a reply to the first request of a recovery that is lost', () => {
  it.each([
    ['idle', false],
    ['while clients ask for something all the time', true],
  ])('%s', (_, isBusy) => {
    const cluster = new TestCluster({
      seed: 3,
      clients: 2,
      parameters: { ...parameters, timeoutMs: 60_000, timeoutMsMax: 60_000 },
    });
    write(cluster, 6);
    let lost = 0;
    cluster.filter = (from, to, { name }) => {
      if (to !== 3 || name !== 'requestReply') return true;
      // The liar says nothing of it; of a correct member one message is lost, on the channel that has just been closed, say.
      if (from === 1) return false;
      if (from !== 2 || lost > 0) return true;
      lost += 1;
      return false;
    };
    const again = (): void => {
      cluster.client(1).write();
      cluster.plan(10, again);
    };
    if (isBusy) again();
    const ended = recover(cluster, 3, 60_000);
    expect(ended).toBe(true);
  });
});

describe('the number of the first request of a recovery, used ahead', () => {
  it('does not make the recovery end at a point of before it', () => {
    const cluster = new TestCluster({
      seed: 3,
      parameters: { ...parameters, timeoutMs: 60_000, timeoutMsMax: 60_000 },
    });
    write(cluster, 6);
    // The intruder in member 3 has the request of its first recovery ordered, and sees that its own engine does not hear of it.
    cluster.filter = (from, to) => from !== 3 && to !== 3;
    const signer = cluster.signers[3] as Signer;
    const request = bundle(signer, testInstance, [
      { client: signer.publicKey, number: 65_536, kind: requestKinds.claim, operation: emptyBytes },
    ])[0];
    if (request === undefined) return;
    for (const to of [0, 1, 2])
      cluster.speak(3, to, 'submitRequest', { instance: testInstance, request, fullReplier: 0 });
    cluster.run(cluster.nowMs + 500);
    write(cluster, 14);
    cluster.run(cluster.nowMs + 500);
    const executed = cluster.replica(0).engine.status().executed;
    cluster.filter = (_, to, { name }) => name !== 'committed' || to !== 3;
    expect(recover(cluster, 3)).toBe(true);
    const status = cluster.replica(3).engine.status();
    expect(status.checkpoint).toBeGreaterThanOrEqual(Math.ceil((executed + 1) / 4) * 4 + 8);
  });
});
