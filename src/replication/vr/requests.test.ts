import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { turnSizeBytes } from '../fair-queue.ts';
import { decodeEntry } from './log.ts';
import type { VrParameters } from './parameters.ts';
import { TestCluster } from './test-cluster.ts';
import { countOperation } from './test-service.ts';

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
    // What others hand to it or bring it gets done, and this member sees that.
    const [other] = crowdOf(1);
    for (let number = 1; number <= 60; number++) {
      cluster.after(10 * number, () => ask(cluster, 0, number, 1, 0, other));
    }
    ask(cluster, 1, 1, 1);
    cluster.run(parameters.requestTimeoutMs + 100);
    expect(cluster.counts.get('vr-request-stuck')).toBe(1);
    cluster.run(3000);
    expect(cluster.counts.get('vr-request-stuck')).toBe(1);
    expect(viewsOf(cluster)).toEqual([1, 1, 1]);
  });
});

describe('a backup that lacks much of what is committed', () => {
  /** A member was away for long; it gets one batch of another every 20 ms, and each 40 ms there is a new one. */
  function clusterWithLaggard(
    seed: number,
    member = 2,
  ): { cluster: TestCluster; isBehind: () => boolean } {
    const cluster = clusterOf(seed, { heartbeatMs: 20, checkpointInterval: 512 });
    let isAway = true;
    cluster.filter = (packet) => {
      const { to, message } = packet;
      if (to !== member || message.name === 'vrCommit') return true;
      if (message.name === 'vrNewState' && !isAway) {
        const value = { ...message.value, entries: message.value.entries.slice(0, 1) };
        cluster.after(20, () => cluster.deliver({ ...packet, message: { ...message, value } }));
      }
      return message.name !== 'vrPrepare' && message.name !== 'vrNewState';
    };
    const [other] = crowdOf(1);
    let number = 0;
    const work = (): void => {
      number += 1;
      ask(cluster, 0, number, 1, 0, other);
      cluster.after(isAway ? 10 : 40, work);
    };
    work();
    cluster.run(800);
    isAway = false;
    const { core } = cluster.node(0).engine;
    const { execution } = cluster.node(member).engine.core.parts;
    const isBehind = (): boolean => execution.executed < core.commit;
    return { cluster, isBehind };
  }

  function isSettled(cluster: TestCluster, member = 2): boolean {
    return cluster.node(member).engine.core.executor.table.isSettled(stranger, 1);
  }

  it('does not accuse its primary of what it has not come to', () => {
    const { cluster, isBehind } = clusterWithLaggard(12);
    ask(cluster, 2, 1, 1);
    const { requestTimeoutMs } = parameters;
    expect(cluster.run(2 * requestTimeoutMs, () => isSettled(cluster))).toBe(false);
    expect(cluster.run(8 * requestTimeoutMs, () => isSettled(cluster))).toBe(true);
    expect(cluster.run(8 * requestTimeoutMs, () => !isBehind())).toBe(true);
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
  });

  it('accuses a primary that commits nothing more, as soon as it has caught up and waited', () => {
    const { cluster, isBehind } = clusterWithLaggard(13);
    const { filter } = cluster;
    cluster.filter = (packet) => packet.message.name !== 'vrPrepareOk' && filter(packet);
    ask(cluster, 2, 1, 1);
    const { requestTimeoutMs } = parameters;
    cluster.run(2 * requestTimeoutMs);
    expect(viewsOf(cluster)).toEqual([0, 0, 0]);
    expect(cluster.run(8 * requestTimeoutMs, () => !isBehind())).toBe(true);
    const isLeft = (): boolean => cluster.counts.get('vr-request-stuck') === 1;
    expect(cluster.run(requestTimeoutMs + 60, isLeft)).toBe(true);
    // Though it is the one that was behind.
    cluster.filter = filter;
    expect(cluster.run(8 * requestTimeoutMs, () => isSettled(cluster))).toBe(true);
  });

  it.each([1, 2])('accuses its primary if it comes no nearer (member %d)', (member) => {
    const { cluster, isBehind } = clusterWithLaggard(14, member);
    const { filter } = cluster;
    cluster.filter = (packet) =>
      (packet.message.name !== 'vrNewState' || packet.to !== member) && filter(packet);
    cluster.run(60);
    ask(cluster, member, 1, 1);
    const isLeft = (): boolean => cluster.counts.get('vr-request-stuck') === 1;
    expect(cluster.run(parameters.requestTimeoutMs + 60, isLeft)).toBe(true);
    expect(isBehind()).toBe(true);
    // Member 1 is the next primary.
    cluster.filter = () => true;
    expect(cluster.run(4000, () => isSettled(cluster, member))).toBe(true);
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
