// When a member stops trusting its primary, what it does then, and what becomes of one that comes back while the others
// work.

import { describe, expect, it } from 'vitest';
import { type Bytes, fromHex } from '../../base/bytes.ts';
import type { ReplicationMessageName } from '../../wire/replication-registry.ts';
import type { ReplicaStatus } from '../contract.ts';
import { pbftRules } from './rules.ts';
import { TestCluster, type TestClusterOptions, testInstance } from './test-cluster.ts';

const timeoutMs = 100;
const parameters = {
  checkpointInterval: 64,
  window: 128,
  timeoutMs,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
  batchRequests: 1,
};

function clusterOf(options: Partial<TestClusterOptions> = {}): TestCluster {
  return new TestCluster({ seed: 1, clients: 2, parameters, ...options });
}

function statusOf(cluster: TestCluster, index: number): ReplicaStatus {
  return cluster.replica(index).engine.status();
}

function writeAll(cluster: TestCluster, count: number): void {
  for (let i = 0; i < count; i++) {
    cluster.client(0).write();
    const wanted = cluster.outcomes.length + 1;
    expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === wanted)).toBe(true);
  }
}

const ordering: ReadonlySet<ReplicationMessageName> = new Set<ReplicationMessageName>([
  'prePrepare',
  'pbftPrepare',
  'pbftCommit',
  'committed',
]);

/** Member 3 hears a client, and what others say of themselves, but nothing of what is ordered until it loses patience. */
function starve(cluster: TestCluster, isEnough: () => boolean = () => false): void {
  cluster.client(0).retryMs = 20;
  cluster.filter = (from, to, { name }) => {
    if (from < 0 || !ordering.has(name)) return true;
    // Until the client has asked everybody.
    return to !== 3 && (name !== 'prePrepare' || cluster.nowMs >= timeoutMs / 2);
  };
  cluster.client(0).write();
  cluster.run(3 * timeoutMs, isEnough);
  expect(isEnough() || cluster.outcomes.length === 1).toBe(true);
  cluster.filter = () => true;
}

describe('a member that loses patience alone', () => {
  it('says so, goes on in its view and is there when it is needed', () => {
    const cluster = clusterOf();
    starve(cluster);
    expect(cluster.count('view-doubted')).toBe(1);
    expect(cluster.count('view-left')).toBe(0);
    expect(statusOf(cluster, 3)).toMatchObject({ view: 0, status: 'normal', waitsFor: 'primary' });
    cluster.run(cluster.nowMs + 300);
    expect(statusOf(cluster, 3)).toMatchObject({ executed: 1, waitsFor: undefined });
    cluster.crash(2);
    writeAll(cluster, 3);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 0, status: 'normal' });
    expect(cluster.problems()).toEqual([]);
  });

  it('would be lost as a voter if it left', () => {
    const rules = [{}, {}, {}, { mustLeave: (members: number) => members >= 1 }];
    const cluster = clusterOf({ rules });
    starve(cluster);
    cluster.run(cluster.nowMs + 300);
    expect(statusOf(cluster, 3)).toMatchObject({
      view: 1,
      status: 'view-change',
      waitsFor: 'view-changes',
      executed: 1,
    });
  });

  /** Another member says the same to the primary. */
  function agree(cluster: TestCluster): void {
    const genesis = fromHex(statusOf(clusterOf(), 0).root) as Bytes;
    const place = {
      instance: testInstance,
      genesis,
      checkpointInterval: 4,
      window: 8,
      view: 0,
      isActive: 1,
      isDoubting: 1,
    };
    const rest = { height: 0, executed: 1, viewChanges: 0, slots: [] };
    cluster.speak(1, 0, 'pbftStatus', { ...place, ...rest });
  }

  it('has said so for as long as the view lasts: the next one that does ends it', () => {
    const cluster = clusterOf();
    starve(cluster);
    cluster.run(cluster.nowMs + 300);
    agree(cluster);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 1, status: 'view-change' });
    // The others hear of it from the first that left, whoever told that one.
    cluster.run(cluster.nowMs + 300);
    for (let i = 0; i < 4; i++)
      expect(statusOf(cluster, i)).toMatchObject({ view: 1, status: 'normal' });
    writeAll(cluster, 1);
  });

  it('says so again after a restart, to whoever has not heard it', () => {
    const cluster = clusterOf();
    starve(cluster);
    cluster.run(cluster.nowMs + 300);
    for (const index of [3, 0]) {
      cluster.crash(index);
      cluster.restart(index);
      cluster.run(cluster.nowMs + 300);
    }
    agree(cluster);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 1, status: 'view-change' });
  });

  it('says so only when that is on its disk', () => {
    const cluster = clusterOf({ flushMsMax: 5 });
    starve(cluster, () => cluster.count('view-doubted') > 0);
    cluster.crash(3);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 300);
    agree(cluster);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 0, status: 'normal' });
  });

  it('has said nothing any more once its disk is lost', () => {
    const cluster = clusterOf({ parameters: { ...parameters, checkpointInterval: 4, window: 8 } });
    starve(cluster);
    cluster.run(cluster.nowMs + 300);
    cluster.wipe(3);
    const isBack = () => statusOf(cluster, 3).status === 'normal';
    expect(cluster.run(cluster.nowMs + 20_000, isBack)).toBe(true);
    expect(statusOf(cluster, 0).view).toBe(0);
    agree(cluster);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 0, status: 'normal' });
  });

  it('leaves with f+1 in all, liars among them: fewer could be liars alone', () => {
    const { faults } = clusterOf().group;
    expect(pbftRules.mustLeave(faults, faults, true)).toBe(false);
    expect(pbftRules.mustLeave(faults + 1, faults, false)).toBe(true);
  });
});

describe('a member that comes back', () => {
  /** Crashes it, has the others work, and starts it again; they notice that after a while of their own. */
  function comeBack(cluster: TestCluster, index: number, noticedAfterMs: (by: number) => number) {
    cluster.crash(index);
    writeAll(cluster, 12);
    cluster.restart(index);
    const sinceMs = cluster.nowMs;
    cluster.filter = (from, to) =>
      from < 0 || to !== index || cluster.nowMs >= sinceMs + noticedAfterMs(from);
  }

  it('accuses nobody while it hears clients only', () => {
    const cluster = clusterOf();
    cluster.client(1).retryMs = 10;
    comeBack(cluster, 3, () => 10 * timeoutMs);
    for (let i = 0; i < 20; i++) {
      cluster.client(1).write();
      cluster.run(cluster.nowMs + timeoutMs / 4);
    }
    expect(statusOf(cluster, 3)).toMatchObject({ status: 'normal', waitsFor: 'members' });
    cluster.run(cluster.nowMs + 11 * timeoutMs);
    expect(cluster.count('view-doubted')).toBe(0);
    expect(statusOf(cluster, 3)).toMatchObject({ status: 'normal', waitsFor: undefined });
    expect(statusOf(cluster, 3).executed).toBe(statusOf(cluster, 0).executed);
  });

  it('accuses nobody as long as it comes nearer to the others, however slowly', () => {
    const cluster = clusterOf({ parameters: { ...parameters, idleStatusIntervalMs: 40 } });
    comeBack(cluster, 3, () => 0);
    const sinceMs = cluster.nowMs;
    // What was committed reaches it in steps of more than half its patience.
    cluster.filter = (_from, to, { name, value }) => {
      if (to !== 3 || !(name === 'committed' || name === 'pbftCommit')) return true;
      return value.sequence <= (cluster.nowMs - sinceMs) / (0.6 * timeoutMs);
    };
    cluster.client(1).write();
    cluster.run(cluster.nowMs + 3 * timeoutMs);
    expect(statusOf(cluster, 3)).toMatchObject({ status: 'normal', waitsFor: 'batches' });
    cluster.run(cluster.nowMs + 7 * timeoutMs);
    expect(cluster.count('primary-too-slow')).toBe(0);
    expect(statusOf(cluster, 3)).toMatchObject({ executed: 13, waitsFor: undefined });
  });

  it('enters a view that began without it, though by what others say it is never stuck', () => {
    const cluster = clusterOf({ clients: 3 });
    comeBack(cluster, 0, () => 0);
    expect(statusOf(cluster, 1).view).toBe(1);
    const isBack = () => statusOf(cluster, 0).view === 1;
    const untilMs = cluster.nowMs + 3 * timeoutMs;
    while (cluster.nowMs < untilMs && !isBack()) {
      for (let i = 0; i < 3; i++) if (cluster.client(i).inFlight < 2) cluster.client(i).write();
      cluster.run(cluster.nowMs + parameters.statusIntervalMs / 4);
    }
    expect(isBack()).toBe(true);
  });

  it('says that it waits for a view that the others work in', () => {
    const cluster = clusterOf();
    comeBack(cluster, 0, () => 0);
    cluster.filter = (_from, to, { name }) => to !== 0 || name !== 'newView';
    cluster.run(cluster.nowMs + 2 * timeoutMs);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 0, executed: 12, waitsFor: 'new-view' });
    cluster.filter = () => true;
    cluster.run(cluster.nowMs + timeoutMs);
    expect(statusOf(cluster, 0)).toMatchObject({ view: 1, waitsFor: undefined });
  });

  it('does accuse its primary when it comes no nearer', () => {
    const cluster = clusterOf();
    comeBack(cluster, 3, () => 0);
    cluster.filter = (_from, to, { name }) =>
      to !== 3 || !(name === 'committed' || name === 'pbftCommit');
    cluster.client(1).write();
    cluster.run(cluster.nowMs + 3 * timeoutMs);
    expect(cluster.count('view-doubted')).toBe(1);
    expect(statusOf(cluster, 3)).toMatchObject({ status: 'normal', waitsFor: 'primary' });
  });
});
