import { expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { NewView, ViewChange } from '../../wire/pbft.ts';
import { newViewBytes, newViewDigest, viewChangeDigest } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { signedNewView, signedViewChange, statusOf } from './test-messages.ts';

/** A NEW-VIEW of member 3 that names VIEW-CHANGEs which nobody has. */
function baseless(cluster: TestCluster, view: number): NewView {
  const digest = new Uint8Array(32).fill(view & 255);
  const viewChanges = [0, 1, 2].map((replica) => ({ replica, digest }));
  const statement = { view, viewChanges, height: 0, batches: [] };
  const signer = cluster.signers[3] as Signer;
  const message = newViewBytes(testInstance, view, newViewDigest(statement));
  return { instance: testInstance, statement, signature: signer.sign(message) };
}

it('asks once per interval for what NEW-VIEWs lack, however many one primary signs', () => {
  const parameters = { statusIntervalMs: 100, checkpointInterval: 4, window: 8 };
  const cluster = new TestCluster({ seed: 1, parameters, absent: [3] });
  let fetches = 0;
  cluster.filter = (from, to, { name }) => {
    if (name === 'fetchViewChanges' && from === 0 && to === 1) fetches += 1;
    return true;
  };
  let view = 3;
  const flood = (): void => {
    for (let i = 0; i < 40; i++) {
      view += 4;
      for (const to of [0, 1, 2]) cluster.speak(3, to, 'newView', baseless(cluster, view));
    }
    cluster.client(0).write();
    cluster.plan(20, flood);
  };
  flood();
  cluster.run(3000);
  expect(fetches).toBeLessThanOrEqual(30);
  expect(cluster.count('peer-too-eager')).toBeGreaterThan(1000);
  expect(cluster.outcomes.length).toBeGreaterThan(100);
  const { status, view: reached, checkpoint } = cluster.replica(1).engine.status();
  expect({ status, reached }).toEqual({ status: 'normal', reached: 0 });
  expect(checkpoint).toBeGreaterThan(30);
});

/** A VIEW-CHANGE of member 3 that says it has accepted much. */
function longViewChange(cluster: TestCluster, view: number, places = 512 * 8): ViewChange {
  const accepted = Array.from({ length: places }, (_, i) => {
    const digest = new Uint8Array(32);
    digest[0] = i % 8;
    return { sequence: 1 + Math.floor(i / 8), digest, view: 0 };
  });
  return signedViewChange(cluster, { replica: 3, view, accepted });
}

it('sends a VIEW-CHANGE once per interval to whoever asks, and refuses lists with repetitions', () => {
  const parameters = { statusIntervalMs: 100, window: 512 };
  const cluster = new TestCluster({ seed: 2, parameters, absent: [3] });
  cluster.run(50);
  const message = longViewChange(cluster, 1_000_003);
  cluster.speak(3, 0, 'viewChange', message);
  let sent = 0;
  cluster.filter = (from, _, { name }) => {
    if (name === 'viewChange' && from === 0) sent += 1;
    return true;
  };
  const digest = viewChangeDigest(message.statement);
  const other = new Uint8Array(32);
  const fetch = (digests: Bytes[]): void =>
    cluster.speak(3, 0, 'fetchViewChanges', { instance: testInstance, view: 1_000_003, digests });
  fetch(Array.from({ length: 49 }, () => digest));
  expect(cluster.count('fetch-unordered')).toBe(1);
  for (let i = 0; i < 10; i++) fetch([other, digest]);
  cluster.run(100);
  expect(sent).toBe(1);
  cluster.run(300);
  fetch([digest]);
  cluster.run(350);
  expect(sent).toBe(2);
});

it('reminds a member of its own VIEW-CHANGE once in a time-out, however often it says to be in an earlier view', () => {
  const parameters = { statusIntervalMs: 100, timeoutMs: 500, window: 512 };
  const cluster = new TestCluster({ seed: 6, parameters, absent: [3] });
  cluster.run(50);
  cluster.speak(3, 0, 'viewChange', longViewChange(cluster, 1_000_003));
  let sent = 0;
  cluster.filter = (from, to, { name }) => {
    if (name === 'viewChange' && from === 0 && to === 3) sent += 1;
    return true;
  };
  const say = (): void => {
    cluster.speak(3, 0, 'pbftStatus', statusOf(cluster));
    cluster.plan(50, say);
  };
  say();
  cluster.run(cluster.nowMs + 400);
  expect(sent).toBe(1);
  cluster.run(cluster.nowMs + 2000);
  expect(sent).toBe(5);
});

it('counts a VIEW-CHANGE by what it takes to hash it, and what crosses the bound in the next intervals too', () => {
  const cluster = new TestCluster({ seed: 3, parameters: { window: 512 }, absent: [3] });
  cluster.run(50);
  for (let i = 1; i <= 30; i++) {
    cluster.speak(3, 0, 'viewChange', longViewChange(cluster, 1_000_003 + 4 * i));
  }
  expect(cluster.count('peer-too-eager')).toBe(26);
});

it('proves once that a member contradicts itself in VIEW-CHANGEs, and does not look at what it says after that', () => {
  const cluster = new TestCluster({ seed: 4, parameters: { window: 512 }, absent: [3] });
  cluster.run(50);
  const say = (left: number): void => {
    const message = longViewChange(cluster, 1_000_003, 4096 - left);
    for (const to of [0, 1, 2]) cluster.speak(3, to, 'viewChange', message);
  };
  for (let i = 0; i < 40; i++) say(i);
  const accused = [0, 1, 2].map(() => 'view-change-contradiction');
  expect(cluster.evidence.map(({ code }) => code)).toEqual(accused);
  expect(cluster.count('contradicts-again')).toBe(3 * 38);
  expect(cluster.count('peer-too-eager')).toBe(0);
});

it('takes what contradicts a VIEW-CHANGE of a member that did so before, if a NEW-VIEW rests on it', () => {
  const cluster = new TestCluster({ seed: 5, parameters: { window: 512 }, absent: [1, 3] });
  cluster.run(50);
  const lies = [1, 2, 3].map((places) => longViewChange(cluster, 1, places));
  for (const lie of lies.slice(0, 2)) cluster.speak(3, 0, 'viewChange', lie);
  expect(cluster.evidence).toHaveLength(1);
  const own = signedViewChange(cluster, { replica: 1, view: 1 });
  const other = signedViewChange(cluster, { replica: 2, view: 1 });
  const named = lies[2] as ViewChange;
  cluster.speak(1, 0, 'newView', signedNewView(cluster, [own, other, named], []));
  for (const message of [own, other, named]) cluster.speak(1, 0, 'viewChange', message);
  expect(cluster.replica(0).engine.status()).toMatchObject({ view: 1, status: 'normal' });
  expect(cluster.evidence).toHaveLength(1);
});
