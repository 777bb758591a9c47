import { describe, expect, it } from 'vitest';
import { type Bytes, emptyBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { decodeEntry } from './log.ts';
import { TestCluster } from './test-cluster.ts';
import { countOperation } from './test-service.ts';
import { WaitingRequests } from './waiting.ts';

const parameters = { primaryTimeoutMs: 200, requestTimeoutMs: 400 };
const stranger = new Uint8Array(32).fill(222);

function clusterOf(seed: number): TestCluster {
  const cluster = new TestCluster({ seed, delayMsMax: 2, syncMsMax: 1, parameters });
  cluster.start();
  cluster.run(100);
  return cluster;
}

/** A client of no test's asks one member for what has these numbers. */
function ask(cluster: TestCluster, to: number, first: number, count: number, kind = 0): void {
  const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };
  for (let number = first; number < first + count; number++) {
    const request = { client: stranger, number, kind, operation: emptyBytes };
    const value = { instance: cluster.instance, fullReplier: 0, request: { request, proof } };
    const message = { name: 'submitRequest', value } as const;
    const from = { kind: 'client', key: stranger } as const;
    cluster.handle(cluster.node(to), { kind: 'message', from, message });
  }
}

function viewsOf(cluster: TestCluster): number[] {
  return cluster.nodes.map(({ engine }) => engine.status().view);
}

describe('a backup', () => {
  it('does not accuse a primary that a client keeps full while it asks others for more', () => {
    const cluster = clusterOf(1);
    const count = 2 * limits.clientWindow;
    for (let round = 0; round < 40; round++) {
      const base = 2 * count * round;
      ask(cluster, 0, base + 1, count);
      for (const backup of [1, 2]) ask(cluster, backup, base + count + 1, count);
      cluster.run(100);
    }
    expect(cluster.counts.get('vr-queue-full')).toBeGreaterThan(100);
    expect(cluster.counts.get('vr-request-stuck')).toBeUndefined();
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
  });

  it('tells its primary again of what waits before it accuses it', () => {
    const cluster = clusterOf(2);
    let handedOn = 0;
    cluster.filter = ({ from, message }) => {
      if (message.name !== 'submitRequest' || from.kind !== 'replica') return true;
      handedOn += 1;
      return handedOn > 3;
    };
    const before = cluster.node(2).engine.status().executed;
    ask(cluster, 1, 1, 3);
    cluster.run(3000);
    expect(handedOn).toBe(6);
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
    expect(cluster.node(2).engine.status().executed).toBeGreaterThan(before);
  });

  it('accuses a primary that does nothing with what it is handed twice', () => {
    const cluster = clusterOf(3);
    cluster.filter = ({ from, to, message }) =>
      message.name !== 'submitRequest' || from.kind !== 'replica' || to !== 0;
    ask(cluster, 1, 1, 1);
    cluster.run(3000);
    expect(cluster.counts.get('vr-request-stuck')).toBe(1);
    expect(viewsOf(cluster)).toEqual([1, 1, 1]);
  });
});

it('gives what is small its turn, however much that is large waits, and bounds that', () => {
  const cluster = clusterOf(5);
  const atFirst: number[] = [];
  cluster.filter = ({ to, message }) => {
    if (message.name !== 'vrPrepare' || to !== 1) return true;
    for (const { client } of decodeEntry(message.value.entry)?.entry.requests ?? []) {
      atFirst.push(client[0] ?? 0);
    }
    return true;
  };
  const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };
  const submit = (client: number, number: number, sizeBytes: number): void => {
    const key = new Uint8Array(32).fill(client);
    const operation = new Uint8Array(sizeBytes);
    operation.set(countOperation(client, number));
    const request = { client: key, number, kind: 0, operation };
    const value = { instance: cluster.instance, fullReplier: 0, request: { request, proof } };
    const message = { name: 'submitRequest', value } as const;
    cluster.handle(cluster.node(0), { kind: 'message', from: { kind: 'client', key }, message });
  };
  for (let number = 1; number <= 30; number++) {
    for (let client = 1; client <= 40; client++) submit(client, number, 60_000);
  }
  expect(cluster.counts.get('vr-queue-full')).toBeGreaterThan(900);
  submit(222, 1, 8);
  cluster.run(2000);
  expect(atFirst.length).toBeGreaterThan(100);
  // Behind what was in flight, not behind what waited.
  expect(atFirst.indexOf(222)).toBeGreaterThan(0);
  expect(atFirst.indexOf(222)).toBeLessThan(40);
});

it('refuses requests of kinds that there are not', () => {
  const cluster = clusterOf(4);
  ask(cluster, 0, 1, 1, 3);
  ask(cluster, 1, 1, 1, 255);
  cluster.run(100);
  expect(cluster.counts.get('vr-request-kind')).toBe(2);
  expect(cluster.node(0).engine.status().executed).toBe(0);
});

describe('requests that wait', () => {
  const clientOf = (value: number): Bytes => new Uint8Array(32).fill(value);
  const requestOf = (client: number, number: number, sizeBytes = 0) => ({
    client: clientOf(client),
    number,
    kind: 0,
    operation: new Uint8Array(sizeBytes),
  });

  it('are a window of each client, oldest first', () => {
    const waiting = new WaitingRequests();
    for (let number = 1; number <= limits.clientWindow; number++) {
      expect(waiting.add(requestOf(1, number))).toBe(true);
    }
    expect(waiting.add(requestOf(1, 1000))).toBe(false);
    expect(waiting.add(requestOf(2, 1000))).toBe(true);
    expect(waiting.add(requestOf(2, 1000))).toBe(false);
    expect(waiting.delete(requestOf(1, 1))).toBe(true);
    expect(waiting.delete(requestOf(1, 1))).toBe(false);
    expect(waiting.add(requestOf(1, 1000))).toBe(true);
    expect(waiting.has(requestOf(1, 1000))).toBe(true);
    const [first] = waiting.values();
    expect(first?.number).toBe(2);
  });

  it('are bounded in bytes', () => {
    const waiting = new WaitingRequests();
    const sizeBytes = limits.backupRequestsSizeBytesMax / 4;
    for (const number of [1, 2, 3]) expect(waiting.add(requestOf(1, number, sizeBytes))).toBe(true);
    expect(waiting.add(requestOf(1, 4, sizeBytes))).toBe(false);
    expect(waiting.add(requestOf(2, 1, 5000))).toBe(true);
    waiting.delete(requestOf(2, 1));
    waiting.delete(requestOf(1, 2));
    expect(waiting.add(requestOf(1, 4, sizeBytes))).toBe(true);
  });
});
