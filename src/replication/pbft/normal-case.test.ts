import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../base/bytes.ts';
import { TestCluster } from './test-cluster.ts';

function submitAll(cluster: TestCluster, clients: number, each: number): void {
  for (let client = 0; client < clients; client++) {
    for (let i = 0; i < each; i++) cluster.client(client).write();
  }
}

describe('the normal case', () => {
  it('orders an operation in five message delays', () => {
    const cluster = new TestCluster({ seed: 1, delayMsMax: 1, flushMsMax: 0 });
    cluster.run(50);
    const startMs = cluster.nowMs;
    cluster.client(0).write();
    expect(cluster.run(startMs + 1000, () => cluster.outcomes.length === 1)).toBe(true);
    expect(cluster.outcomes[0]).toMatchObject({ outcome: 0, place: 0 });
    expect(cluster.nowMs - startMs).toBe(5);
    expect(cluster.problems()).toEqual([]);
  });

  it('puts what waits into one batch while another is in flight', () => {
    const cluster = new TestCluster({ seed: 2, clients: 20, isEncoded: true });
    submitAll(cluster, 20, 3);
    expect(cluster.run(2000, () => cluster.outcomes.length === 60)).toBe(true);
    const executed = cluster.replica(0).engine.status().executed;
    expect(executed).toBeLessThan(12);
    expect(cluster.problems()).toEqual([]);
  });

  it('keeps no more batches in flight than it may', () => {
    const cluster = new TestCluster({
      seed: 3,
      clients: 8,
      parameters: { batchesInFlight: 2, batchRequests: 1 },
    });
    let flying = 0;
    let most = 0;
    cluster.filter = (from, _to, message) => {
      if (message.name === 'prePrepare' && from === 0) {
        flying = message.value.sequence - cluster.replica(0).engine.status().executed;
        most = Math.max(most, flying);
      }
      return true;
    };
    submitAll(cluster, 8, 2);
    expect(cluster.run(3000, () => cluster.outcomes.length === 16)).toBe(true);
    expect(most).toBe(2);
  });

  it('makes checkpoints stable, moves the water marks and begins the journal anew', () => {
    const cluster = new TestCluster({
      seed: 4,
      clients: 4,
      parameters: { checkpointInterval: 4, window: 8, batchRequests: 1 },
    });
    for (let round = 1; round <= 10; round++) {
      submitAll(cluster, 4, 1);
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === 4 * round)).toBe(
        true,
      );
    }
    cluster.run(cluster.nowMs + 3000);
    for (const { engine, durable } of cluster.replicas) {
      expect(engine.status()).toMatchObject({ executed: 40, checkpoint: 40, view: 0 });
      expect(durable.length).toBeLessThan(10);
    }
    expect(cluster.problems()).toEqual([]);
  });

  it('sends a large result from one replica and its digest from the others', () => {
    const cluster = new TestCluster({ seed: 5, parameters: { fullReplySizeBytesMax: 0 } });
    const full: number[] = [];
    cluster.onReply = (_client, from, reply) => {
      if (reply.result.length === 1) full.push(from);
    };
    cluster.client(0).write();
    cluster.run(50);
    expect(full).toEqual([1]);
    expect(cluster.outcomes).toHaveLength(1);
  });

  it('answers a repeated request from its table', () => {
    const cluster = new TestCluster({ seed: 6 });
    const replies: number[] = [];
    cluster.onReply = (_client, from) => {
      replies.push(from);
      return undefined;
    };
    cluster.client(0).write();
    cluster.run(50);
    expect(replies).toHaveLength(4);
    expect(cluster.replica(0).service.entries).toHaveLength(1);
    expect(equalBytes(cluster.client(0).operation(1), cluster.client(0).operation(1))).toBe(true);
  });
});
