// Crashes and partitions at the moments that matter, played by hand.

import { describe, expect, it } from 'vitest';
import { TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';

function started(options: Partial<ClusterOptions> = {}): TestCluster {
  const cluster = new TestCluster({ seed: 5, delayMsMax: 2, syncMsMax: 1, ...options });
  cluster.start();
  cluster.run(30);
  return cluster;
}

describe('a primary that crashes', () => {
  it('after f backups have the operation leaves it to the next one', () => {
    const cluster = started();
    cluster.filter = ({ message, to }) => message.name !== 'vrPrepare' || to === 1;
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(1).engine.core.log.last === 1);
    cluster.run(5);
    cluster.crash(0);
    // The client asks no more: the operation must come through the log.
    cluster.filter = ({ from }) => from.kind === 'replica';
    expect(cluster.run(2000, () => cluster.node(2).service.count === 1)).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });

  it('with an operation that nobody else has takes it along, and its client has it executed once', () => {
    const cluster = started({ clients: 2 });
    cluster.isolate(0);
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(0).engine.core.log.last === 1);
    // Until the old primary is back the client is not heard.
    cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
    cluster.clients[1]?.work(3);
    cluster.run(2000, () => cluster.clients[1]?.isIdle === true);
    expect([...(cluster.clients[1]?.results.values() ?? [])]).toEqual([0, 1, 2]);
    cluster.heal();
    cluster.checkEnd();
    expect([...(cluster.clients[0]?.results.values() ?? [])]).toEqual([3]);
    expect(cluster.node(0).service.count).toBe(4);
  });
});

describe('a checkpoint that reaches the disk before the log that it was made of', () => {
  it('does not make void entries of an older log count as committed', () => {
    const cluster = started({
      clients: 2,
      parameters: { batchRequestsMax: 1, checkpointInterval: 2 },
    });
    const { log } = cluster.node(0).engine.core;
    cluster.clients[1]?.work(1);
    cluster.run(500, () => cluster.clients[1]?.isIdle === true);
    // The primary has entries that nobody else ever sees, and others take their places.
    cluster.isolate(0);
    cluster.clients[0]?.work(4, 4);
    cluster.run(100, () => log.last === 5);
    cluster.run(20);
    expect(log.last).toBe(5);
    cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
    cluster.clients[1]?.work(4);
    cluster.run(2000, () => cluster.clients[1]?.isIdle === true);
    // Its journal is slow, its table is not; then the power goes.
    cluster.stalled.add(0);
    cluster.cut.clear();
    const { checkpoints } = cluster.node(0).engine.core.parts;
    expect(cluster.run(3000, () => checkpoints.saved === 5)).toBe(true);
    cluster.crash(0, true);
    cluster.stalled.clear();
    cluster.startNode(0);
    const { core } = cluster.node(0).engine;
    expect([core.lastNormal, core.log.first, core.commit]).toEqual([0, 6, 5]);
    // What follows must not bring them back after the next restart either.
    cluster.run(200, () => core.lastNormal > 0);
    cluster.crash(0);
    cluster.startNode(0);
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('a state that is here before the log that goes with it', () => {
  /** Member 4 has entries 2 to 10 of view 0 but for the ninth, which nobody else keeps; view 1 has others in their places. */
  function divided(): TestCluster {
    const cluster = started({
      faults: 2,
      delayMsMax: 1,
      clients: 2,
      parameters: {
        batchRequestsMax: 1,
        checkpointInterval: 2,
        intervalsKept: 1,
        pipelineMax: 16,
        primaryTimeoutMs: 400,
        requestTimeoutMs: 2000,
      },
    });
    cluster.clients[1]?.work(1);
    cluster.run(500, () => cluster.clients[1]?.isIdle === true);
    cluster.run(30);
    cluster.isolate(0, 4);
    cluster.filter = ({ message }) =>
      message.name !== 'vrGetState' &&
      !(message.name === 'vrPrepare' && message.value.sequence === 9);
    cluster.clients[0]?.work(9, 9);
    cluster.run(100, () => cluster.node(4).engine.core.log.last === 8);
    cluster.run(20);
    expect(cluster.node(4).engine.core.log.last).toBe(8);
    cluster.filter = ({ from, message }) =>
      message.name !== 'vrGetState' && (from.kind === 'replica' || from.key[0] === 2);
    cluster.clients[1]?.work(7);
    const { checkpoints } = cluster.node(1).engine.core.parts;
    expect(cluster.run(3000, () => checkpoints.saved === 8)).toBe(true);
    return cluster;
  }

  it('tells nobody in the older view what is committed', () => {
    const cluster = divided();
    // The old primary hears of the new view and gets a checkpoint of it, but nothing of its log.
    cluster.cut.clear();
    cluster.isolate(4);
    cluster.cut.delete(4 * cluster.size);
    cluster.cut.delete(4);
    cluster.filter = ({ from, to, message }) => {
      if (from.kind === 'client') return from.key[0] === 2;
      if (message.name === 'vrNewState') return to === 4 || message.value.checkpoint.length > 0;
      return message.name !== 'vrGetState' || from.index === 0;
    };
    const { core } = cluster.node(0).engine;
    expect(cluster.run(300, () => core.commit === 8 && !core.parts.fetch.isInstalling)).toBe(true);
    expect([core.status, core.lastNormal]).toEqual(['transferring', 0]);
    // The other one of the old view asks for what it misses of that.
    expect(cluster.node(4).engine.core.status).toBe('normal');
    const { filter } = cluster;
    cluster.filter = (packet) =>
      filter(packet) || (packet.message.name === 'vrGetState' && packet.to === 0);
    cluster.run(200);
    expect(cluster.node(4).engine.core.commit).toBe(1);
    cluster.heal();
    cluster.checkEnd();
  });

  it('is not made anew from logs of the older view when its pages are lost', () => {
    const cluster = divided();
    const node = cluster.node(0);
    // It follows into the new view, but only its table hears of that before the power goes.
    cluster.stalled.add(0);
    cluster.cut.clear();
    cluster.isolate(4);
    cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
    const { checkpoints } = node.engine.core.parts;
    expect(cluster.run(500, () => checkpoints.saved === 8)).toBe(true);
    cluster.crash(0, true);
    cluster.stalled.clear();
    if (node.checkpoint !== undefined) node.checkpoint = { ...node.checkpoint, pages: new Map() };
    cluster.cut.clear();
    cluster.isolate(0, 4);
    cluster.startNode(0);
    const { core } = node.engine;
    expect([core.lastNormal, core.commit, core.parts.repair.isNeeded]).toEqual([0, 8, true]);
    expect(cluster.node(4).engine.core.lastNormal).toBe(0);
    cluster.run(1000);
    expect([core.log.first, node.service.count]).toEqual([9, 0]);
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('three-message writes', () => {
  it('are undone where the next view does not have them, and acknowledgements of two views make none', () => {
    const cluster = started({ parameters: { threeMessageWrites: true } });
    cluster.filter = ({ message }) =>
      message.name !== 'vrPrepare' &&
      // The tentative reply of one view and an acknowledgement of the next one reach the client.
      !(message.name === 'requestReply' && message.value.kind === 0);
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(0).service.count === 1);
    cluster.isolate(0);
    cluster.run(500, () => cluster.node(1).engine.core.isPrimary);
    expect(cluster.clients[0]?.isIdle).toBe(false);
    cluster.filter = ({ from }) => from.kind === 'replica';
    cluster.cut.clear();
    cluster.run(500, () => cluster.node(0).engine.core.lastNormal > 0);
    expect(cluster.node(0).service.count).toBe(0);
    cluster.heal();
    cluster.checkEnd();
  });

  it('are told to be done only when they are committed, however often a client asks before', () => {
    const cluster = started({ clients: 1, parameters: { threeMessageWrites: true } });
    cluster.run(10);
    const told: number[] = [];
    let asked = 0;
    cluster.filter = ({ message, from, to }) => {
      if (message.name === 'requestReply' && from.kind === 'replica' && from.index === 0) {
        told.push(message.value.kind);
      }
      // The client hears nothing and asks again; what it asks of others says nothing here.
      if (message.name === 'submitRequest' && from.kind === 'client' && to === 0) asked += 1;
      return message.name !== 'vrPrepareOk' && message.name !== 'requestReply';
    };
    cluster.clients[0]?.work(1);
    expect(cluster.run(300, () => asked === 4)).toBe(true);
    cluster.run(10);
    const { core } = cluster.node(0).engine;
    expect([cluster.node(0).service.count, core.commit]).toEqual([1, 0]);
    expect(told).toEqual([1]);
    cluster.filter = () => true;
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('a vote that is withheld for the promise of a lease', () => {
  it('is sent when that is over, though nobody says anything again', () => {
    const leaseMs = 200;
    const cluster = started({ parameters: { leaseMs, viewChangeTimeoutMs: 2000 } });
    cluster.run(50);
    const heard = new Set<string>();
    cluster.filter = ({ message, from, to }) => {
      if (message.name !== 'vrStartViewChange' || from.kind !== 'replica') return true;
      const key = `${from.index} ${to}`;
      return !heard.has(key) && heard.add(key) !== undefined;
    };
    const { core } = cluster.node(1).engine;
    cluster.crash(0);
    const crashedMs = cluster.nowMs;
    expect(cluster.run(leaseMs + 100, () => core.isPrimary)).toBe(true);
    expect(core.view).toBe(1);
    expect(cluster.nowMs - crashedMs).toBeGreaterThan(leaseMs / 2);
  });
});

describe('a replica far behind', () => {
  it('gets the pages of a checkpoint when the log it lacks is gone, also if it crashes over it', () => {
    const cluster = started({ clients: 2, parameters: { checkpointInterval: 4 } });
    cluster.crash(2);
    for (const client of cluster.clients) client.work(60, 2);
    cluster.run(5000, () => cluster.clients.every((client) => client.isIdle));
    cluster.startNode(2);
    const isInstalling = (): boolean => cluster.node(2).engine.core.parts.fetch.isInstalling;
    expect(cluster.run(1000, isInstalling)).toBe(true);
    cluster.crash(2);
    cluster.heal();
    cluster.checkEnd();
    expect(cluster.node(2).service.count).toBe(120);
  });
});
