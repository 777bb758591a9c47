import { expect, it } from 'vitest';
import { emptyBytes, mapKey } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import { PagedState } from '../pages.ts';
import { bundle } from '../requests.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { signedCertificate } from './test-messages.ts';
import { stopOperation } from './test-service.ts';

it('checks few wrong proofs of a client on its own channel, and few of a member, each on its own account', () => {
  const cluster = new TestCluster({ seed: 1, clients: 2 });
  const [signer, other] = cluster.clientSigners;
  if (signer === undefined || other === undefined) throw new TypeError('two clients');
  const client = signer.publicKey;
  const from = { kind: 'client', key: client } as const;
  const submit = (number: number, isRight: boolean, isOfMember = false): void => {
    const request = { client, number, kind: 0, operation: emptyBytes };
    const [signed] = bundle(isRight ? signer : other, testInstance, [request]);
    if (signed === undefined) return;
    const value = { instance: testInstance, request: signed, fullReplier: 0 };
    const message = { name: 'submitRequest', value } as const;
    if (isOfMember) cluster.speak(2, 0, 'submitRequest', value);
    else cluster.handle(cluster.replica(1), { kind: 'message', from, message });
  };
  for (let number = 1; number <= 20; number++) submit(number, false);
  expect(cluster.count('request-not-signed')).toBe(16);
  expect(cluster.count('client-throttled')).toBe(4);
  submit(21, true);
  expect(cluster.count('client-throttled')).toBe(5);
  for (let number = 22; number < 42; number++) submit(number, false, true);
  expect(cluster.count('request-not-signed')).toBe(32);
  expect(cluster.count('member-throttled')).toBe(4);
  cluster.client(1).write();
  cluster.run(500);
  expect(cluster.outcomes).toHaveLength(1);
  cluster.run(2000);
  submit(42, true);
  expect(cluster.count('client-throttled')).toBe(5);
});

it('answers what is wanted of an ended instance with the proof of its end, now and then', () => {
  const cluster = new TestCluster({ seed: 2, absent: [3] });
  cluster.client(0).write(stopOperation);
  expect(
    cluster.run(5000, () =>
      [0, 1, 2].every((i) => cluster.replica(i).engine.status().status === 'final'),
    ),
  ).toBe(true);
  cluster.run(cluster.nowMs + 500);
  let proofs = 0;
  cluster.filter = (_, to, { name }) => {
    if (name === 'stableCheckpoint' && to === 3) proofs += 1;
    return true;
  };
  const vote = { instance: testInstance, view: 0, sequence: 9, digest: new Uint8Array(32) };
  for (let i = 0; i < 10; i++) cluster.speak(3, 1, 'pbftCommit', vote);
  expect(proofs).toBe(1);
  cluster.run(cluster.nowMs + 200);
  cluster.speak(3, 1, 'pbftCommit', vote);
  expect(proofs).toBe(2);
});

it('sends a member so many bytes of bodies an interval', () => {
  const cluster = new TestCluster({ seed: 3, clients: 1, absent: [3], parameters: {} });
  const signer = cluster.clientSigners[0] as Signer;
  const requests = Array.from({ length: 4 }, (_, i) => ({
    client: signer.publicKey,
    number: i + 1,
    kind: 0,
    operation: new Uint8Array(limits.operationSizeBytesMax),
  }));
  const signed = bundle(signer, testInstance, requests);
  for (const request of signed) {
    const value = { instance: testInstance, request, fullReplier: 0 };
    const from = { kind: 'client', key: signer.publicKey } as const;
    cluster.handle(cluster.replica(0), {
      kind: 'message',
      from,
      message: { name: 'submitRequest', value },
    });
  }
  const digests = new Map<string, Uint8Array>();
  let bodies = 0;
  cluster.filter = (_, to, { name, value }) => {
    if (name === 'pbftCommit') digests.set(mapKey(value.digest), value.digest);
    if (name === 'body' && to === 3) bodies += value.requests.length;
    return true;
  };
  cluster.run(60);
  cluster.plan(1000 - cluster.nowMs, () => {
    for (let i = 0; i < 40; i++) {
      for (const digest of digests.values()) {
        cluster.speak(3, 1, 'fetchBody', { instance: testInstance, digest });
      }
    }
  });
  cluster.run(1005);
  expect(bodies).toBeGreaterThanOrEqual(16);
  expect(bodies).toBeLessThanOrEqual(24);
  expect(cluster.count('peer-too-eager')).toBeGreaterThan(0);
});

it('answers a member that has had its share of pages in the next interval, and keeps few of its questions', () => {
  // One checkpoint with pages of 16 KiB, as another instance may leave it.
  const page = new Uint8Array(limits.pageSizeBytesMax).fill(0x30);
  const pages = Array.from({ length: 64 }, (_, i) => ({
    region: 'service' as const,
    page: i,
    bytes: page,
  }));
  const { state } = PagedState.sift(pages);
  const checkpoint = { sequence: 0, root: state.rootNow(), notes: new Uint8Array(0), pages };
  const genesis = { checkpoint, records: [], damage: [] };
  const cluster = new TestCluster({ seed: 4, absent: [3], genesis });
  let parts = 0;
  cluster.filter = (_, to, { name, value }) => {
    if (name === 'statePart' && to === 3 && value.pages.length === 64) parts += 1;
    return true;
  };
  const indexes = Array.from({ length: 64 }, (_, i) => i);
  const fetch = { instance: testInstance, sequence: 0, region: 0, level: 0, indexes };
  for (let i = 0; i < 20; i++) cluster.speak(3, 1, 'fetchState', fetch);
  expect(parts).toBe(4);
  expect(cluster.count('fetch-late')).toBe(4);
  expect(cluster.count('peer-too-eager')).toBe(12);
  cluster.run(150);
  expect(parts).toBe(8);
});

it('keeps of the votes for checkpoints beyond two windows only the highest of each member, which counts', () => {
  const parameters = { checkpointInterval: 4, window: 8 };
  const cluster = new TestCluster({ seed: 5, absent: [1, 2, 3], parameters });
  const vote = (from: number, sequence: number): void => {
    const { signatures, ...claim } = signedCertificate(cluster, sequence, [from]);
    const [signed] = signatures;
    if (signed === undefined) expect.fail('a signature');
    cluster.speak(from, 0, 'checkpoint', { instance: testInstance, ...claim, ...signed });
  };
  const near = [4, 8, 12, 16];
  for (const sequence of [...near, 20, 40]) vote(3, sequence);
  expect(cluster.count('duplicate')).toBe(0);
  for (const sequence of [...near, 40]) vote(3, sequence);
  expect(cluster.count('duplicate')).toBe(near.length + 1);
  expect(cluster.count('checkpoint-old')).toBe(0);
  // Neither what was kept before the highest nor what comes after it.
  for (const sequence of [20, 24]) vote(3, sequence);
  expect(cluster.count('duplicate')).toBe(near.length + 1);
  expect(cluster.count('checkpoint-old')).toBe(2);
  for (const from of [1, 2]) vote(from, 40);
  expect(cluster.replica(0).engine.status().status).toBe('transferring');
});
