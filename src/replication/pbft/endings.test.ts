// Instances that end while things go wrong, each with the state of the one before.

import { expect, it } from 'vitest';
import { toHex } from '../../base/bytes.ts';
import { Prng } from '../../base/prng.ts';
import { verifyEnding } from './ending.ts';
import { genesisOf, TestCluster, type TestClusterOptions, testInstance } from './test-cluster.ts';
import { requestOf } from './test-messages.ts';
import { quickScheme, stopOperation } from './test-service.ts';

const workers = 3;
const instances = 3;

function drawn(prng: Prng): Omit<TestClusterOptions, 'seed'> {
  const checkpointInterval = prng.between(1, 6);
  return {
    clients: workers + instances,
    parameters: {
      checkpointInterval,
      window: checkpointInterval * prng.between(2, 3),
      batchesInFlight: prng.between(1, Math.min(4, 2 * checkpointInterval)),
      batchRequests: prng.between(1, 4),
      timeoutMs: prng.between(80, 230),
      statusIntervalMs: 20,
      idleStatusIntervalMs: 100,
      isTentative: prng.chance(1, 2),
    },
    lossPerMille: prng.chance(1, 3) ? 0 : prng.below(150),
    delayMsMax: prng.between(1, 30),
    flushMsMax: prng.below(12),
    saveMsMax: prng.below(60),
  };
}

/** Something happens. @returns whether an operation was begun. */
function happen(cluster: TestCluster, prng: Prng, cut: Set<number>): boolean {
  const client = cluster.client(prng.below(workers));
  const what = prng.below(24);
  if (what < 14) {
    if (client.inFlight >= 8) return false;
    if (what < 12) client.write();
    else client.read();
    return true;
  }
  if (what === 14) cluster.crash(prng.below(cluster.n));
  else if (what < 18) cluster.restart(prng.below(cluster.n));
  else if (what === 18) cut.add(prng.below(cluster.n * cluster.n));
  else if (what === 19) cut.clear();
  else if (what === 20) cluster.recover(prng.below(cluster.n));
  return false;
}

/** Works until two STOPs were sent and a while longer, then heals. @returns how many operations must have been answered. */
function live(cluster: TestCluster, prng: Prng, instance: number): number {
  const stopAtMs = cluster.nowMs + prng.between(200, 1_400);
  const cut = new Set<number>();
  cluster.filter = (from, to) => from < 0 || !cut.has(from * cluster.n + to);
  let asked = 0;
  for (let stops = 0; cluster.nowMs < stopAtMs + 400; ) {
    if (happen(cluster, prng, cut)) asked += 1;
    if (cluster.nowMs > stopAtMs && stops < 2) {
      stops += 1;
      asked += 1;
      cluster.client(workers + instance).write(stopOperation);
    }
    cluster.run(cluster.nowMs + prng.between(1, 50));
  }
  cut.clear();
  cluster.lossPerMille = 0;
  for (const { index } of cluster.replicas) cluster.restart(index);
  return asked;
}

it.each(Array.from({ length: 12 }, (_, i) => i + 1))('all have one end, seed %d', (seed) => {
  const prng = new Prng(seed);
  const options = drawn(prng);
  let cluster = new TestCluster({ seed, ...options });
  for (let instance = 0; instance < instances; instance++) {
    const { replicas } = cluster;
    const asked = live(cluster, prng, instance);
    const isOver = () =>
      cluster.outcomes.length === asked &&
      replicas.every(({ engine }) => engine.status().status === 'final');
    expect(cluster.run(cluster.nowMs + 60_000, isOver)).toBe(true);
    cluster.run(cluster.nowMs + 1_000);
    const endings = replicas.map(({ engine }) => engine.ending());
    expect(new Set(endings.map((ending) => ending && toHex(ending.root))).size).toBe(1);
    for (const [index, ending] of endings.entries()) {
      const { sequence, root, proof = new Uint8Array(0) } = ending ?? {};
      expect(verifyEnding(proof, cluster.group, quickScheme)).toEqual({ sequence, root });
      expect(cluster.replica(index).saved?.sequence).toBe(sequence);
    }
    // Of each client's numbers, over all instances, none was executed twice.
    const entries = cluster.replica(0).service.entries.filter((entry) => entry !== 'stop!!!!');
    expect(new Set(entries).size).toBe(entries.length);
    const genesis = genesisOf(cluster.replica(prng.below(4)).engine);
    const heirs = prng.shuffled([0, 1, 2, 3]).slice(0, prng.between(3, 4));
    cluster = new TestCluster({ seed: seed * 7 + instance, ...options, genesis, heirs });
  }
});

it('is told, unasked, to whoever waits for what was not ordered before it', () => {
  const cluster = new TestCluster({ seed: 1, clients: 2 });
  // One backup knows of the request, and its primary never hears of it.
  cluster.filter = (from, to, { name }) => from !== 1 || to !== 0 || name !== 'submitRequest';
  const [request] = requestOf(cluster, 1, 1).requests;
  if (request === undefined) expect.fail('a request');
  const message = {
    name: 'submitRequest',
    value: { instance: testInstance, request, fullReplier: 1 },
  } as const;
  const from = { kind: 'client', key: request.request.client } as const;
  cluster.handle(cluster.replica(1), { kind: 'message', from, message });
  const answers: { from: number; outcome: number; number: number }[] = [];
  cluster.onReply = (client, member, { outcome, number }) => {
    if (client === 1) answers.push({ from: member, outcome, number });
  };
  cluster.client(0).write(stopOperation);
  expect(cluster.run(500, () => cluster.replica(1).engine.status().status === 'final')).toBe(true);
  cluster.run(cluster.nowMs + 50);
  expect(answers).toEqual([{ from: 1, outcome: 1, number: 1 }]);
});
