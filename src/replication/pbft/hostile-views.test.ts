import { expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { NewView, ViewChange, ViewChangeStatement } from '../../wire/pbft.ts';
import { newViewBytes, newViewDigest, viewChangeBytes, viewChangeDigest } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

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

/** A VIEW-CHANGE of member 3 for a view far ahead, as long as one can be. */
function longViewChange(cluster: TestCluster, view: number): ViewChange {
  const root = Uint8Array.from(Buffer.from(cluster.replica(0).engine.status().root, 'hex'));
  const accepted = Array.from({ length: 512 * 8 }, (_, i) => {
    const digest = new Uint8Array(32);
    digest[0] = i % 8;
    return { sequence: 1 + Math.floor(i / 8), digest, view: 0 };
  });
  const certificate = { sequence: 0, root, isFinal: 0, signatures: [] };
  const statement: ViewChangeStatement = {
    replica: 3,
    view,
    forgotten: 0,
    certificate,
    prepared: [],
    accepted,
  };
  const signer = cluster.signers[3] as Signer;
  const message = viewChangeBytes(testInstance, view, viewChangeDigest(statement));
  return { instance: testInstance, statement, signature: signer.sign(message) };
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

it('counts a VIEW-CHANGE by what it takes to hash it', () => {
  const cluster = new TestCluster({ seed: 3, parameters: { window: 512 }, absent: [3] });
  cluster.run(50);
  for (let i = 1; i <= 30; i++) {
    cluster.speak(3, 0, 'viewChange', longViewChange(cluster, 1_000_003 + 4 * i));
  }
  expect(cluster.count('peer-too-eager')).toBe(9);
});
