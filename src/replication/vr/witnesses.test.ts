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

  it('get a state where the log that they lack is gone', () => {
    const cluster = started({ parameters: { checkpointInterval: 4, intervalsKept: 1 } });
    work(cluster, 7);
    cluster.run(50, () => core(cluster, 1).low >= 7);
    cluster.crash(0);
    work(cluster, 8);
    // It forgets that it held more than its checkpoint has, so that it is given a later one, and no log before that.
    cluster.startNode(0);
    expect(cluster.run(2000, () => core(cluster, 0).commit >= 15)).toBe(true);
    expect(core(cluster, 0).log.first).toBeGreaterThan(core(cluster, 0).low + 1);
    // A witness with its log forgets how much of it is committed.
    cluster.crash(1);
    cluster.crash(2);
    cluster.run(10);
    cluster.startNode(2);
    expect(core(cluster, 2).hasLog).toBe(true);
    expect(core(cluster, 2).commit).toBeLessThan(core(cluster, 0).log.first - 1);
    work(cluster, 3);
    expect(core(cluster, 2).hasState).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('a witness that stands in for long', () => {
  const parameters = { checkpointInterval: 4, intervalsKept: 1, intervalsHeld: 2, pipelineMax: 2 };
  const heldMax = 2 * 4 + 2;

  it('becomes a full replica, whose log and journal have a bound, until it is not wanted any more', () => {
    const cluster = started({ parameters, syncMsMax: 5 });
    cluster.filter = () => {
      const { parts, executor } = core(cluster, 2);
      const { offered } = parts.checkpoints;
      // Never the empty one from before it had a state.
      if (offered !== undefined)
        expect(executor.state.root(offered.sequence)).toEqual(offered.root);
      return true;
    };
    work(cluster, 7);
    cluster.run(50);
    cluster.crash(1);
    for (let i = 0; i < 20; i++) {
      work(cluster, 10);
      for (const index of [0, 2]) {
        const { log } = core(cluster, index);
        expect(log.last - log.first).toBeLessThan(2 * heldMax);
        expect(cluster.node(index).records.length).toBeLessThan(6 * heldMax);
      }
    }
    expect(cluster.counts.get('vr-witness-full')).toBe(1);
    expect(core(cluster, 2).hasState).toBe(true);
    // Only the witness has what the returning replica lacks, and only as a state.
    cluster.crash(0);
    cluster.crash(2);
    cluster.startNode(2);
    expect(core(cluster, 2).hasState).toBe(true);
    cluster.startNode(1);
    expect(cluster.run(5000, () => cluster.node(1).service.count === 207)).toBe(true);
    cluster.heal();
    cluster.checkEnd();
    const isReleased = (): boolean => !core(cluster, 2).hasLog && !core(cluster, 2).hasState;
    expect(cluster.run(3000, isReleased)).toBe(true);
    expect([...core(cluster, 2).executor.state.all()]).toEqual([]);
    cluster.run(50);
    cluster.crash(2);
    cluster.startNode(2);
    expect(isReleased()).toBe(true);
    // And once more from the start.
    cluster.crash(0);
    work(cluster, 40);
    expect(core(cluster, 2).hasState).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });

  it('takes no more before it has a state', () => {
    const cluster = started({ parameters });
    cluster.crash(1);
    cluster.filter = ({ message, to }) => to !== 2 || message.name !== 'statePart';
    cluster.clients[0]?.work(100);
    cluster.run(8000, () => isIdle(cluster));
    expect(isIdle(cluster)).toBe(false);
    expect(cluster.counts.get('vr-log-full')).toBeGreaterThan(0);
    const { log, low, hasState } = core(cluster, 2);
    expect(hasState).toBe(false);
    expect(log.last - low).toBeGreaterThanOrEqual(heldMax);
    expect(log.last - low).toBeLessThanOrEqual(heldMax + parameters.pipelineMax);
    cluster.filter = () => true;
    expect(cluster.run(8000, () => isIdle(cluster))).toBe(true);
    expect(core(cluster, 2).hasState).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });

  it('takes more all the same where nobody could have made a checkpoint', () => {
    const cluster = started({ parameters });
    work(cluster, 7);
    cluster.run(50, () => core(cluster, 1).low >= 7);
    cluster.crash(1);
    cluster.filter = ({ message, to }) => to !== 2 || message.name !== 'statePart';
    cluster.clients[0]?.work(30);
    cluster.run(4000, () => isIdle(cluster));
    expect(core(cluster, 2).isLogFilled(1)).toBe(true);
    // What is committed only the one knew that is gone for good, and the one that is back has not executed it.
    cluster.crash(0);
    cluster.crash(2);
    cluster.run(10);
    cluster.startNode(2);
    cluster.startNode(1);
    expect(core(cluster, 1).parts.checkpoints.saved).toBeLessThan(core(cluster, 2).log.first - 1);
    cluster.filter = () => true;
    expect(cluster.run(8000, () => isIdle(cluster))).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });
});
