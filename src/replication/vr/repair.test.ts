import { expect, it } from 'vitest';
import { VrCheckpointNotes } from '../../wire/vr.ts';
import { appendRecord, stateRecord } from './records.ts';
import { TestCluster } from './test-cluster.ts';

it('a log that begins behind the newest checkpoint of the others gets what lies between, then that one', () => {
  const cluster = new TestCluster({
    seed: 3,
    clients: 1,
    parameters: { checkpointInterval: 4, intervalsKept: 1, batchRequestsMax: 1 },
  });
  cluster.start();
  cluster.clients[0]?.work(11);
  cluster.run(2000, () => cluster.nodes.every(({ service }) => service.count === 11));
  cluster.run(50);
  const { log } = cluster.node(2).engine.core;
  expect(cluster.node(0).engine.core.parts.checkpoints.saved).toBe(8);
  expect(cluster.node(0).engine.core.log.first).toBe(5);
  const entry = log.at(11).bytes;
  cluster.crash(2);
  const node = cluster.node(2);
  // Its last checkpoint was one that nobody else took, and its pages are gone.
  const state = { view: 0, lastNormal: 0, hasLog: 1, base: 10, low: 0, active: [0, 1, 2] };
  node.records = [stateRecord(state), appendRecord(11, entry)];
  node.checkpoint = {
    sequence: 10,
    root: new Uint8Array(32).fill(9),
    notes: VrCheckpointNotes.serialize({ isEnded: 0, hasState: 1, view: 0 }),
    pages: new Map(),
  };
  cluster.startNode(2);
  expect(node.engine.core.parts.repair.isNeeded).toBe(true);
  // Nothing is written meanwhile that would bring a later checkpoint about.
  expect(cluster.run(3000, () => cluster.node(2).service.count === 11)).toBe(true);
  cluster.heal();
  cluster.checkEnd();
});
