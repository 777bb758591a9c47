import { expect, it } from 'vitest';
import type { PlacedDigest } from '../../wire/pbft.ts';
import { TestCluster } from './test-cluster.ts';
import { requestOf, signedNewView, signedViewChange } from './test-messages.ts';

const parameters = { checkpointInterval: 4, window: 8, timeoutMs: 100, statusIntervalMs: 20 };

it('a refuted NEW-VIEW is judged seldom, also when its primary has wrong ones of two views by turns', () => {
  const cluster = new TestCluster({ seed: 1, clients: 2, parameters, absent: [1, 2, 3] });
  const { digest } = requestOf(cluster, 0, 1);
  const prepared: PlacedDigest[] = [{ sequence: 1, digest, view: 0 }];
  const claim = { prepared, accepted: prepared };
  const changes = [
    signedViewChange(cluster, { ...claim, replica: 1, view: 1 }),
    signedViewChange(cluster, { ...claim, replica: 2, view: 1 }),
    signedViewChange(cluster, { replica: 3, view: 1 }),
  ];
  for (const change of changes) cluster.speak(1, 0, 'viewChange', change);
  const wrong = signedNewView(cluster, changes, [new Uint8Array(32).fill(1)]);
  // By itself wrong: it names one member only.
  const short = signedNewView(cluster, [signedViewChange(cluster, { replica: 1, view: 5 })], []);
  cluster.speak(1, 0, 'newView', wrong);
  const before = cluster.count('new-view-not-allowed');
  const intervals = 10;
  for (let i = 0; i < intervals; i++) {
    cluster.run(cluster.nowMs + parameters.statusIntervalMs);
    // The very same two messages again and again; anyone may hand them on.
    for (let k = 0; k < 20; k++) {
      cluster.speak(1, 0, 'newView', short);
      cluster.speak(1, 0, 'newView', wrong);
    }
  }
  expect(before).toBe(1);
  expect(cluster.count('new-view-not-allowed') - before).toBeLessThanOrEqual(intervals);
});
