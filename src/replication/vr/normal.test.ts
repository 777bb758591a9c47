import { describe, expect, it } from 'vitest';
import { TestCluster } from './test-cluster.ts';

describe('the normal case of Viewstamped Replication', () => {
  it('executes every operation once and in one order at all replicas', () => {
    for (const faults of [0, 1, 2]) {
      const cluster = new TestCluster({ seed: faults, faults, isEncoded: true });
      cluster.start();
      for (const client of cluster.clients) client.work(40, 3);
      expect(cluster.run(5000, () => cluster.isSettled)).toBe(true);
      cluster.checkEnd();
      expect(cluster.nodes.map(({ service }) => service.count)).toEqual(
        cluster.nodes.map(() => 80),
      );
    }
  });
});
