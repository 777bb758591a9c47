import { expect, it } from 'vitest';
import { emptyBytes } from '../../base/bytes.ts';
import { bundle } from '../requests.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
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
