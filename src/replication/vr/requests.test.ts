import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { turnSizeBytes } from '../fair-queue.ts';
import { handedOnBounds } from '../lanes.ts';
import { decodeEntry } from './log.ts';
import type { VrParameters } from './parameters.ts';
import { TestCluster } from './test-cluster.ts';
import { countOperation } from './test-service.ts';
import { WaitingRequests } from './waiting.ts';

const parameters = { primaryTimeoutMs: 200, requestTimeoutMs: 400 };
const stranger = new Uint8Array(32).fill(222);

function clusterOf(seed: number, own: Partial<VrParameters> = {}): TestCluster {
  const options = { delayMsMax: 2, syncMsMax: 1, parameters: { ...parameters, ...own } };
  const cluster = new TestCluster({ seed, ...options });
  cluster.start();
  cluster.run(100);
  return cluster;
}

/** A client, of no test's unless named, asks one member for what has these numbers. */
function ask(
  cluster: TestCluster,
  to: number,
  first: number,
  count: number,
  kind = 0,
  client: Bytes = stranger,
  sizeBytes = 0,
): void {
  const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };
  for (let number = first; number < first + count; number++) {
    const operation = new Uint8Array(sizeBytes);
    if (sizeBytes > 0) operation.set(countOperation(client[3] ?? 0, number));
    const request = { client, number, kind, operation };
    const value = { instance: cluster.instance, fullReplier: 0, request: { request, proof } };
    const message = { name: 'submitRequest', value } as const;
    const from = { kind: 'client', key: client } as const;
    cluster.handle(cluster.node(to), { kind: 'message', from, message });
  }
}

function crowdOf(count: number): Bytes[] {
  return Array.from({ length: count }, (_, i) => {
    const key = new Uint8Array(32).fill(200);
    new DataView(key.buffer).setUint32(0, i);
    return key;
  });
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

  it('does not accuse a primary whose queue crowds of clients fill, and gets its requests done', () => {
    const cluster = clusterOf(6);
    const keys = crowdOf(513);
    const crowd = (): void => {
      for (const key of keys) ask(cluster, 0, 1 + 32 * rounds, 32, 0, key);
      rounds += 1;
    };
    let rounds = 0;
    crowd();
    expect(cluster.counts.get('vr-queue-full')).toBeGreaterThan(10);
    const { table } = cluster.node(1).engine.core.executor;
    ask(cluster, 1, 1, 1);
    // Of one of the crowd, which waits at the primary already.
    ask(cluster, 1, 32, 1, 0, keys[400]);
    cluster.run(100);
    expect(table.isSettled(stranger, 1)).toBe(true);
    expect(table.isSettled(keys[400] ?? stranger, 32)).toBe(true);
    for (let i = 0; i < 8; i++) {
      crowd();
      ask(cluster, 2, 2 + i, 1);
      cluster.run(100);
    }
    expect(cluster.counts.get('vr-request-stuck')).toBeUndefined();
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
  });

  it('does not accuse a primary that small requests keep busy, and gets a large one done', () => {
    const cluster = clusterOf(11, { batchRequestsMax: 64, pipelineMax: 8 });
    let freeAtMs = 0;
    // A link takes one batch after the other.
    cluster.filter = (packet) => {
      if (packet.message.name !== 'vrPrepare') return true;
      freeAtMs = Math.max(cluster.nowMs, freeAtMs) + 2;
      cluster.after(freeAtMs - cluster.nowMs, () => cluster.deliver(packet));
      return false;
    };
    const { table } = cluster.node(0).engine.core.executor;
    const nextOf = crowdOf(40).map((key) => ({ key, next: 1 }));
    const crowd = (): void => {
      for (const client of nextOf) {
        const count = table.largest(client.key) + limits.clientWindow + 1 - client.next;
        ask(cluster, 0, client.next, count, 0, client.key, turnSizeBytes / 2);
        client.next += count;
      }
      cluster.after(1, crowd);
    };
    crowd();
    cluster.run(20);
    ask(cluster, 1, 1, 1, 0, stranger, 2 * turnSizeBytes);
    ask(cluster, 1, 2, 1);
    const isDone = (): boolean => table.isSettled(stranger, 1) && table.isSettled(stranger, 2);
    expect(cluster.run(200, isDone)).toBe(true);
    expect(cluster.node(0).engine.core.parts.requests.queued).toBeGreaterThan(100);
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
  });

  it.each([
    ['is a witness', { witnesses: true }],
    ['lacks its state', {}],
  ])('that %s hands on whatever comes, and waits for nothing', (_, own) => {
    const cluster = new TestCluster({ seed: 10, parameters: { ...parameters, ...own } });
    cluster.start();
    cluster.run(100);
    const { core } = cluster.node(2).engine;
    const { repair } = core.parts;
    if (!core.isWitness) Object.defineProperty(repair, 'isNeeded', { get: () => true });
    const numbers: number[] = [];
    cluster.filter = ({ from, message }) => {
      if (message.name !== 'submitRequest' || from.kind !== 'replica') return true;
      numbers.push(message.value.request.request.number);
      return false;
    };
    const count = 2 * limits.handedOnRequestsMax;
    ask(cluster, 2, 1, count);
    ask(cluster, 2, 1, 1);
    expect(numbers).toHaveLength(count + 1);
    cluster.run(2000);
    expect(cluster.counts.get('vr-request-stuck')).toBeUndefined();
    expect(numbers).toHaveLength(count + 1);
  });

  it('hands on what a client asks again no more often than helps', () => {
    const cluster = clusterOf(7);
    let handedOn = 0;
    cluster.filter = ({ from, message }) => {
      if (message.name === 'submitRequest' && from.kind === 'replica') handedOn += 1;
      return message.name !== 'vrPrepareOk';
    };
    for (let i = 0; i < 100; i++) ask(cluster, 1, 1, 1);
    expect(handedOn).toBe(1);
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

describe('what waits when a view ends', () => {
  const areDone = (cluster: TestCluster, first: number, count: number): boolean => {
    const { table } = cluster.node(2).engine.core.executor;
    for (let number = first; number < first + count; number++) {
      if (!table.isSettled(stranger, number)) return false;
    }
    return true;
  };

  it('at its primary is handed to the next one', () => {
    const cluster = clusterOf(8);
    cluster.filter = ({ from, message }) => {
      if (message.name === 'submitRequest' && from.kind === 'replica') return true;
      return from.kind !== 'replica' || from.index !== 0 || message.name === 'vrStartViewChange';
    };
    const { core } = cluster.node(0).engine;
    ask(cluster, 0, 1, 24);
    const proposed = core.log.last * core.parameters.batchRequestsMax;
    expect(proposed).toBeLessThan(20);
    cluster.run(2000, () => core.view > 0);
    cluster.filter = () => true;
    expect(cluster.run(2000, () => areDone(cluster, proposed + 1, 24 - proposed))).toBe(true);
  });

  it('at a backup is ordered by it, if it is the next primary, and handed on to that otherwise', () => {
    const cluster = clusterOf(9);
    cluster.crash(0);
    ask(cluster, 1, 1, 3);
    ask(cluster, 2, 4, 3);
    const { core } = cluster.node(2).engine;
    cluster.run(3000, () => core.view > 0 && core.status === 'normal');
    // Sooner than anybody is reminded.
    expect(cluster.run(100, () => areDone(cluster, 1, 6))).toBe(true);
  });
});

describe('requests that wait', () => {
  const clientOf = (value: number): Bytes => new Uint8Array(32).fill(value);
  const requestOf = (client: number, number: number, sizeBytes = 0) => ({
    client: clientOf(client),
    number,
    kind: 0,
    operation: new Uint8Array(sizeBytes),
  });
  const handedOn = (waiting: WaitingRequests): string[] =>
    waiting.takeToHandOn(0).map(({ client, number }) => `${client[0]}/${number}`);

  it('are a window of each client, oldest first, outstanding or not', () => {
    const waiting = new WaitingRequests(3);
    for (let number = 1; number <= limits.clientWindow; number++) {
      expect(waiting.add(requestOf(1, number))).toBe(true);
      waiting.takeToHandOn(0);
    }
    expect(waiting.add(requestOf(1, 1000))).toBe(false);
    expect(waiting.add(requestOf(2, 1000))).toBe(true);
    expect(waiting.add(requestOf(2, 1000))).toBe(false);
    expect(waiting.delete(requestOf(1, 1))).toBe(true);
    expect(waiting.delete(requestOf(1, 1))).toBe(false);
    expect(waiting.delete(requestOf(2, 1000))).toBe(false);
    expect(waiting.add(requestOf(1, 1000))).toBe(true);
    expect(waiting.has(requestOf(1, 1000))).toBe(true);
    const [first] = waiting.values();
    expect(first?.number).toBe(2);
  });

  it('are bounded in bytes, of one client and of all, and what is small finds a place', () => {
    const waiting = new WaitingRequests(3);
    const { sizeBytes } = handedOnBounds(3);
    const large = 60_000;
    let places = 0;
    for (let client = 1; client <= 40; client++) {
      for (let number = 1; number <= 30; number++) {
        if (waiting.add(requestOf(client, number, large))) places += 1;
      }
    }
    expect(places * large).toBeGreaterThan(limits.backupRequestsSizeBytesMax / 2);
    expect(places * large).toBeLessThanOrEqual(limits.backupRequestsSizeBytesMax);
    expect(waiting.add(requestOf(222, 1))).toBe(true);
    const first = handedOn(waiting);
    expect(first[0]).toBe('222/1');
    expect(first).toHaveLength(1 + Math.floor(sizeBytes / (large + 49)));
    expect(handedOn(waiting)).toEqual([]);
    waiting.delete(requestOf(1, 1));
    expect(handedOn(waiting)).toHaveLength(1);
  });

  it('are handed on from one client after another, so many, and again in the next view', () => {
    const waiting = new WaitingRequests(3);
    for (const client of [1, 2, 3, 4]) {
      for (let number = 1; number <= 30; number++) waiting.add(requestOf(client, number));
    }
    const first = handedOn(waiting);
    expect(first).toHaveLength(limits.handedOnRequestsMax);
    expect(first.filter((name) => name.startsWith('4/'))).toHaveLength(16);
    expect(handedOn(waiting)).toEqual([]);
    waiting.delete(requestOf(1, 1));
    expect(waiting.outstanding).toBe(limits.handedOnRequestsMax - 1);
    waiting.beginView();
    expect(waiting.outstanding).toBe(0);
    const again = handedOn(waiting);
    expect(again).toHaveLength(limits.handedOnRequestsMax);
    expect(again[0]).toBe('1/2');
    waiting.clear();
    expect([waiting.size, waiting.outstanding]).toEqual([0, 0]);
    waiting.add(requestOf(1, 1));
    expect(handedOn(waiting)).toEqual(['1/1']);
  });

  it('are not handed on again at once', () => {
    const waiting = new WaitingRequests(3);
    waiting.add(requestOf(1, 1));
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 4, 9)).toBe(false);
    waiting.takeToHandOn(5);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 4, 9)).toBe(false);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 5, 9)).toBe(true);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 8, 12)).toBe(false);
    expect(waiting.takeAgain(20)).toEqual([requestOf(1, 1)]);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 12, 20)).toBe(false);
  });
});
