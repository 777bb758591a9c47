import { expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { turnSizeBytes } from '../fair-queue.ts';
import { bundle } from '../requests.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { countQuery } from './test-service.ts';

const parameters = { timeoutMs: 400, statusIntervalMs: 100, checkpointInterval: 16, window: 64 };

/** Client 1 asks one member for what has these numbers. */
function ask(cluster: TestCluster, to: number, first: number, count: number): void {
  const signer = cluster.clientSigners[1] as Signer;
  const from = { kind: 'client', key: signer.publicKey } as const;
  for (let number = first; number < first + count; number++) {
    const operation = utf8(String(90_000_000 + number));
    const request = { client: signer.publicKey, number, kind: 0, operation };
    const [signed] = bundle(signer, testInstance, [request]);
    if (signed === undefined) continue;
    const value = { instance: testInstance, request: signed, fullReplier: 0 };
    const message = { name: 'submitRequest', value } as const;
    cluster.handle(cluster.replica(to), { kind: 'message', from, message });
  }
}

/** A client asks one member for something of a size, named as a `TestClient` names what it writes. */
function submitSized(
  cluster: TestCluster,
  client: number,
  to: number,
  number: number,
  sizeBytes: number,
): void {
  const value = sizedRequest(cluster, client, number, sizeBytes);
  const from = { kind: 'client', key: value.request.request.client } as const;
  const message = { name: 'submitRequest', value } as const;
  cluster.handle(cluster.replica(to), { kind: 'message', from, message });
}

function sizedRequest(
  cluster: TestCluster,
  client: number,
  number: number,
  sizeBytes: number,
): ReplicationMessageValue<'submitRequest'> {
  const signer = cluster.clientSigners[client] as Signer;
  const operation = new Uint8Array(sizeBytes);
  operation.set(utf8(`${client.toString().padStart(3, '0')}${number.toString().padStart(5, '0')}`));
  const request = { client: signer.publicKey, number, kind: 0, operation };
  const [signed] = bundle(signer, testInstance, [request]);
  if (signed === undefined) throw new TypeError('one request');
  return { instance: testInstance, request: signed, fullReplier: 0 };
}

function viewsOf(cluster: TestCluster): number[] {
  return cluster.replicas.map(({ engine }) => engine.status().view);
}

it('does not leave views for a client that fills its places at the primary and asks others for more', () => {
  const cluster = new TestCluster({ seed: 1, clients: 2, parameters });
  const count = 2 * limits.clientWindow;
  let base = 0;
  const shoot = (): void => {
    ask(cluster, 0, base + 1, count);
    for (const backup of [1, 2, 3]) ask(cluster, backup, base + 1 + count, count);
    base += 2 * count;
    cluster.client(0).write();
    cluster.plan(100, shoot);
  };
  shoot();
  cluster.run(5000);
  expect(cluster.count('queue-full')).toBeGreaterThan(100);
  expect(cluster.count('primary-too-slow')).toBe(0);
  expect(viewsOf(cluster)).toEqual([0, 0, 0, 0]);
  expect(cluster.outcomes.length).toBeGreaterThan(40);
});

it('tells the primary again of what waits before it accuses it', () => {
  const cluster = new TestCluster({ seed: 2, clients: 2, parameters });
  let asked = 0;
  cluster.filter = (from, to, { name }) => {
    if (name !== 'submitRequest' || from < 0 || to !== 0) return true;
    asked += 1;
    return asked > 4 || cluster.nowMs >= 190;
  };
  // Busy, so that nobody seems to be stuck.
  const work = (): void => {
    cluster.client(0).write();
    cluster.plan(20, work);
  };
  work();
  ask(cluster, 1, 1, 4);
  expect(cluster.run(5000, () => cluster.replica(3).service.entries.includes('90000004'))).toBe(
    true,
  );
  expect(asked).toBeGreaterThan(4);
  expect(viewsOf(cluster)).toEqual([0, 0, 0, 0]);
});

it('does not hold against the primary what can never be executed any more', () => {
  const cluster = new TestCluster({ seed: 3, clients: 2, parameters });
  cluster.filter = (from, to, { name }) => name !== 'submitRequest' || from < 0 || to !== 0;
  ask(cluster, 1, 1, 1);
  ask(cluster, 0, 100, limits.clientWindow);
  cluster.run(20);
  ask(cluster, 0, 200, limits.clientWindow);
  cluster.run(5000);
  expect(viewsOf(cluster)).toEqual([0, 0, 0, 0]);
});

it('does not time what members bring to a backup', () => {
  const cluster = new TestCluster({ seed: 4, clients: 2, parameters, absent: [3] });
  const signer = cluster.clientSigners[1] as Signer;
  const request = { client: signer.publicKey, number: 1, kind: 0, operation: utf8('00000001') };
  const [signed] = bundle(signer, testInstance, [request]);
  if (signed === undefined) throw new TypeError('one request');
  const value = { instance: testInstance, request: signed, fullReplier: 0 };
  for (const to of [1, 2]) cluster.speak(3, to, 'submitRequest', value);
  cluster.run(3000);
  expect(cluster.count('not-primary')).toBe(2);
  expect(viewsOf(cluster).slice(0, 3)).toEqual([0, 0, 0]);
});

/** Every client but the first asks every member for different large things, as often as there are places. */
function flood(cluster: TestCluster, rounds: number): void {
  for (let i = 1; i < cluster.clientSigners.length; i++) {
    const signer = cluster.clientSigners[i] as Signer;
    const from = { kind: 'client', key: signer.publicKey } as const;
    for (let round = 0; round < rounds; round++) {
      for (let to = 0; to < cluster.n; to++) {
        const number = 1 + round * cluster.n + to;
        const operation = new Uint8Array(60_000);
        operation.set(
          utf8(`${i.toString().padStart(3, '0')}${number.toString().padStart(5, '0')}`),
        );
        const request = { client: signer.publicKey, number, kind: 0, operation };
        const [signed] = bundle(signer, testInstance, [request]);
        if (signed === undefined) continue;
        const value = { instance: testInstance, request: signed, fullReplier: 0 };
        const message = { name: 'submitRequest', value } as const;
        cluster.handle(cluster.replica(to), { kind: 'message', from, message });
      }
    }
  }
}

it('does not leave views for crowds that ask every member for large things, and serves the others', () => {
  const cluster = new TestCluster({
    seed: 5,
    clients: 25,
    parameters: { ...parameters, batchesInFlight: 1 },
    delayMsMax: 10,
  });
  flood(cluster, 16);
  const work = (): void => {
    if (cluster.client(0).inFlight < 2) cluster.client(0).write();
    cluster.plan(20, work);
  };
  work();
  cluster.run(3000);
  expect(cluster.count('queue-full')).toBeGreaterThan(0);
  expect(cluster.count('primary-too-slow')).toBe(0);
  expect(viewsOf(cluster)).toEqual([0, 0, 0, 0]);
  expect(cluster.outcomes.length).toBeGreaterThan(50);
  expect(cluster.problems()).toEqual([]);
});

it('orders in time what a backup hands on, though it waits among what clients have brought already', () => {
  const cluster = new TestCluster({
    seed: 11,
    clients: 25,
    parameters: { ...parameters, batchesInFlight: 1 },
    delayMsMax: 10,
  });
  const submit = (client: number, to: number, number: number): void =>
    submitSized(cluster, client, to, number, 60_000);
  for (let number = 1; number <= 4; number++) {
    for (let client = 1; client <= 24; client++) submit(client, 0, number);
  }
  expect(cluster.count('queue-full')).toBe(0);
  submit(24, 1, 4);
  const { entries } = cluster.replica(1).service;
  const isDone = (): boolean => entries.includes('02400004');
  expect(cluster.run(5000, isDone)).toBe(true);
  // Of 96 it would be the last one.
  expect(entries.length).toBeLessThan(40);
});

it('orders something large in time, however much that is small keeps the primary busy', () => {
  const crowd = 24;
  const cluster = new TestCluster({ seed: 12, clients: crowd + 1, parameters, delayMsMax: 10 });
  const { engine, service } = cluster.replica(0);
  const asked = new Array<number>(crowd).fill(0);
  const answered = new Array<number>(crowd).fill(0);
  cluster.onReply = (client, _, { number }) => {
    if (client < crowd) answered[client] = Math.max(answered[client] ?? 0, number);
  };
  const work = (): void => {
    for (let client = 0; client < crowd; client++) {
      const last = (answered[client] ?? 0) + limits.clientWindow;
      for (let number = (asked[client] ?? 0) + 1; number <= last; number++) {
        submitSized(cluster, client, 0, number, turnSizeBytes - 1000);
      }
      asked[client] = last;
    }
    cluster.plan(2, work);
  };
  work();
  cluster.run(100);
  for (const to of [0, 1, 2, 3]) submitSized(cluster, crowd, to, 1, 2 * turnSizeBytes);
  const isDone = (): boolean => service.entries.includes('02400001');
  expect(cluster.run(cluster.nowMs + 300, isDone)).toBe(true);
  expect(engine.status().executed).toBeGreaterThan(0);
  expect(viewsOf(cluster)).toEqual([0, 0, 0, 0]);
});

it('gives a member no place in its lane for a request of which it knows only whose it is', () => {
  const place = (isGuessed: boolean): number => {
    const cluster = new TestCluster({
      seed: 12,
      clients: 25,
      parameters: { ...parameters, batchesInFlight: 1 },
      delayMsMax: 10,
    });
    for (let number = 1; number <= 4; number++) {
      for (let client = 1; client <= 24; client++) submitSized(cluster, client, 0, number, 60_000);
    }
    const wanted = sizedRequest(cluster, 24, 4, 60_000);
    const { request } = wanted;
    const other = { ...request.request, operation: utf8('99999999') };
    // One of its own stands before it.
    cluster.speak(3, 0, 'submitRequest', sizedRequest(cluster, 23, 5, 60_000));
    const guess = { ...wanted, request: { ...request, request: other } };
    if (isGuessed) cluster.speak(3, 0, 'submitRequest', guess);
    cluster.speak(1, 0, 'submitRequest', wanted);
    const { entries } = cluster.replica(1).service;
    expect(cluster.run(5000, () => entries.includes('02400004'))).toBe(true);
    return entries.indexOf('02400004');
  };
  expect(place(true)).toBe(place(false));
});

it('leaves the view of a primary that orders what clients bring it and nothing that a backup hands on', () => {
  const cluster = new TestCluster({ seed: 6, clients: 3, parameters });
  cluster.filter = (from, to, { name }) => name !== 'submitRequest' || to !== 0 || from < 0;
  const work = (): void => {
    cluster.client(0).write();
    cluster.plan(20, work);
  };
  work();
  for (const backup of [1, 2, 3]) ask(cluster, backup, 1, 1);
  const isDone = (): boolean => cluster.replica(2).service.entries.includes('90000001');
  expect(cluster.run(5000, isDone)).toBe(true);
  expect(Math.min(...viewsOf(cluster))).toBeGreaterThan(0);
});

it('refuses batches larger than any honest one, and lets the primary that sends them go', () => {
  const cluster = new TestCluster({ seed: 7, clients: 2, parameters, absent: [0] });
  const signer = cluster.clientSigners[1] as Signer;
  const requests = Array.from({ length: 6 }, (_, i) => ({
    client: signer.publicKey,
    number: i + 1,
    kind: 0,
    operation: new Uint8Array(limits.operationSizeBytesMax),
  }));
  const signed = bundle(signer, testInstance, requests);
  const batch = (count: number): ReplicationMessageValue<'prePrepare'> => ({
    instance: testInstance,
    view: 0,
    sequence: count,
    requests: signed.slice(0, count),
    agreed: new Uint8Array(0),
    fullRepliers: signed.slice(0, count).map(() => 0),
  });
  cluster.speak(0, 1, 'prePrepare', batch(5));
  expect(cluster.count('batch-too-large')).toBe(1);
  cluster.speak(0, 1, 'prePrepare', batch(4));
  expect(cluster.count('batch-too-large')).toBe(1);
  cluster.client(0).write();
  expect(cluster.run(5000, () => cluster.outcomes.length === 1)).toBe(true);
});

it('checks little of a primary whose batches hold wrong signatures', () => {
  const cluster = new TestCluster({ seed: 8, clients: 2, parameters, absent: [0] });
  const [right, wrong] = cluster.clientSigners as [Signer, Signer];
  const request = { client: right.publicKey, number: 1, kind: 0, operation: utf8('00000001') };
  const requests = bundle(wrong, testInstance, [request]);
  for (let sequence = 1; sequence <= 40; sequence++) {
    cluster.speak(0, 1, 'prePrepare', {
      instance: testInstance,
      view: 0,
      sequence,
      requests,
      agreed: new Uint8Array(0),
      fullRepliers: [0],
    });
  }
  expect(cluster.count('request-not-signed')).toBe(16);
  expect(cluster.count('member-throttled')).toBe(24);
});

it('answers floods of reads within a budget of each turn, and refuses what it has no room for', () => {
  const cluster = new TestCluster({ seed: 9, clients: 2, parameters });
  const signer = cluster.clientSigners[1] as Signer;
  const from = { kind: 'client', key: signer.publicKey } as const;
  const outcomes: number[] = [];
  const receive = cluster.client(1).receive.bind(cluster.client(1));
  cluster.client(1).receive = (member, message) => {
    if (message.name === 'requestReply' && member === 1) outcomes.push(message.value.outcome);
    receive(member, message);
  };
  cluster.run(5);
  for (let number = 1; number <= 500; number++) {
    const value = { instance: testInstance, number, fullReplier: 0, operation: countQuery };
    const message = { name: 'queryRequest', value } as const;
    cluster.handle(cluster.replica(1), { kind: 'message', from, message });
  }
  cluster.client(0).read();
  cluster.run(100);
  expect(outcomes.filter((outcome) => outcome === 0).length).toBeLessThan(150);
  expect(outcomes.filter((outcome) => outcome === 3).length).toBe(32);
  expect(cluster.count('queries-full')).toBeGreaterThan(300);
  expect(cluster.outcomes).toHaveLength(1);
});

it('sends a large stored result again within a budget, without checking who signed the question', () => {
  const cluster = new TestCluster({
    seed: 10,
    clients: 2,
    parameters: { ...parameters, fullReplySizeBytesMax: 0 },
  });
  ask(cluster, 0, 1, 1);
  cluster.run(200);
  let replies = 0;
  cluster.client(1).receive = () => {
    replies += 1;
  };
  for (let i = 0; i < 1000; i++) ask(cluster, 1, 1, 1);
  cluster.run(400);
  // Costs of the smallest: the budget of one turn, and the one that waits.
  expect(replies).toBeLessThan(100);
  expect(replies).toBeGreaterThan(10);
  expect(cluster.count('duplicate')).toBeGreaterThan(800);
  ask(cluster, 1, 1, 1);
  cluster.run(800);
  expect(cluster.replica(1).service.entries).toEqual(['90000001']);
});
