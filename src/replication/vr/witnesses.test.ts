// Members that keep logs only, and only while a member that keeps the state is out.

import { describe, expect, it } from 'vitest';
import type { Core } from './core.ts';
import { TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';

function started(options: Partial<ClusterOptions> = {}): TestCluster {
  const { parameters, ...others } = options;
  const cluster = new TestCluster({
    seed: 5,
    delayMsMax: 2,
    syncMsMax: 1,
    parameters: { witnesses: true, ...parameters },
    ...others,
  });
  cluster.start();
  cluster.run(30);
  return cluster;
}

function core(cluster: TestCluster, index: number): Core {
  return cluster.node(index).engine.core;
}

function isIdle(cluster: TestCluster, client = 0): boolean {
  return cluster.clients[client]?.isIdle === true;
}

/** Lets a client do its work, which must come to an end. */
function work(cluster: TestCluster, operations: number, client = 0): void {
  cluster.clients[client]?.work(operations);
  expect(cluster.run(5000, () => isIdle(cluster, client))).toBe(true);
}

describe('witnesses', () => {
  it('keep what a designated replica missed until it has it, and then forget it', () => {
    const cluster = started();
    cluster.clients[0]?.work(2);
    cluster.run(500, () => cluster.clients[0]?.isIdle === true);
    expect(cluster.node(2).engine.core.hasLog).toBe(false);
    cluster.crash(1);
    cluster.clients[0]?.work(20);
    expect(cluster.run(3000, () => cluster.clients[0]?.isIdle === true)).toBe(true);
    expect(cluster.node(2).engine.core.hasLog).toBe(true);
    // Only the witness has what the returning replica lacks.
    cluster.crash(0);
    cluster.startNode(1);
    expect(cluster.run(3000, () => cluster.node(1).service.count === 22)).toBe(true);
    cluster.heal();
    cluster.checkEnd();
    expect(cluster.run(3000, () => !cluster.node(2).engine.core.hasLog)).toBe(true);
  });

  it('get nothing of what is written while all designated replicas work', () => {
    const cluster = started();
    const names = new Set<string>();
    cluster.filter = ({ message, to }) => {
      if (to === 2) names.add(message.name);
      return true;
    };
    cluster.clients[0]?.work(5);
    cluster.run(200);
    expect([...names]).toEqual(['vrCommit']);
  });

  it('give up a log that all designated replicas have gone past, and what is void in it', () => {
    const cluster = started({
      clients: 2,
      parameters: { checkpointInterval: 2, intervalsKept: 1 },
    });
    cluster.crash(1);
    work(cluster, 2);
    // The witness alone has the third batch: the primary forgets it.
    cluster.stalled.add(0);
    cluster.clients[0]?.work(1);
    expect(cluster.run(500, () => core(cluster, 2).log.last === 3)).toBe(true);
    const { lastNormal } = core(cluster, 2);
    cluster.isolate(2);
    cluster.crash(0, true);
    cluster.stalled.clear();
    cluster.startNode(0);
    cluster.startNode(1);
    work(cluster, 10, 1);
    cluster.run(50, () => core(cluster, 0).low > 5);
    expect(core(cluster, 0).low).toBeGreaterThan(5);
    const old = core(cluster, 2);
    expect([old.lastNormal, old.log.last, old.commit]).toEqual([lastNormal, 3, 2]);
    // It hears nothing more of their view, has to stand in, and nobody gives it what it lacks below what both hold.
    cluster.crash(1);
    cluster.cut.clear();
    const past = core(cluster, 0).view;
    cluster.filter = ({ message, to }) =>
      to !== 2 || core(cluster, 0).lastNormal > past || message.name === 'vrStartViewChange';
    work(cluster, 3, 1);
    cluster.filter = () => true;
    expect(core(cluster, 2).hasLog).toBe(true);
    expect(core(cluster, 2).log.first).toBeGreaterThan(4);
    const { log } = core(cluster, 2);
    const kept = log.bytesFrom(log.first);
    cluster.crash(2);
    cluster.startNode(2);
    const found = core(cluster, 2).log;
    expect([found.first, found.bytesFrom(found.first)]).toEqual([log.first, kept]);
    cluster.crash(0);
    cluster.startNode(1);
    expect(cluster.run(5000, () => cluster.node(1).service.count >= 15)).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });
});
