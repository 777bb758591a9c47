import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import { genesisOf, TestCluster, type TestClusterOptions } from './test-cluster.ts';
import { type Ledger, stopOperation } from './test-service.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 100,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
  batchRequests: 1,
};

function clusterOf(options: Partial<TestClusterOptions> = {}): TestCluster {
  return new TestCluster({ seed: 1, clients: 2, parameters, ...options });
}

function writeAll(cluster: TestCluster, count: number): void {
  for (let i = 0; i < count; i++) {
    cluster.client(0).write();
    const wanted = cluster.outcomes.length + 1;
    expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === wanted)).toBe(true);
  }
}

function executedBy(cluster: TestCluster): number[] {
  return cluster.replicas.map(({ engine }) => engine.status().executed);
}

describe('a replica that fell behind', () => {
  it('keeps up by what f+1 others know to be committed while its primary starves it', () => {
    const cluster = clusterOf();
    cluster.filter = (from, to) => !(from === 0 && to === 3);
    writeAll(cluster, 3);
    cluster.run(cluster.nowMs + 500);
    expect(executedBy(cluster)).toEqual([3, 3, 3, 3]);
    expect(cluster.count('view-left')).toBe(0);
    expect(cluster.problems()).toEqual([]);
  });

  it('fetches the state when the others have forgotten the batches', () => {
    const cluster = clusterOf();
    cluster.crash(3);
    writeAll(cluster, 25);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 1000);
    expect(executedBy(cluster)).toEqual([25, 25, 25, 25]);
    expect(cluster.count('transfer-done')).toBe(1);
    expect(cluster.problems()).toEqual([]);
  });

  it('says which share of the state is here while it fetches it, and nothing before and after', () => {
    const cluster = clusterOf();
    const share = () => cluster.replica(3).engine.status().transferred;
    cluster.crash(3);
    writeAll(cluster, 25);
    cluster.restart(3);
    expect(share()).toBeUndefined();
    const shares: number[] = [];
    cluster.run(cluster.nowMs + 1000, () => {
      const now = share();
      if (now !== undefined) shares.push(now);
      return false;
    });
    expect(cluster.count('transfer-done')).toBe(1);
    expect(shares[0]).toBe(0);
    expect(shares.some((each) => each > 0 && each < 1)).toBe(true);
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(Math.max(...shares)).toBeLessThanOrEqual(1);
    expect(share()).toBeUndefined();
  });

  it('has everything after all lost their power at once', () => {
    const cluster = clusterOf();
    writeAll(cluster, 10);
    for (let i = 0; i < 4; i++) cluster.crash(i);
    for (let i = 0; i < 4; i++) cluster.restart(i);
    writeAll(cluster, 1);
    cluster.run(cluster.nowMs + 500);
    expect(executedBy(cluster)).toEqual([11, 11, 11, 11]);
    expect(cluster.problems()).toEqual([]);
    expect(cluster.count('transfer-started')).toBe(0);
  });

  it('takes over a state that f+1 state when nobody holds the stable one any more', () => {
    const cluster = clusterOf();
    cluster.crash(3);
    writeAll(cluster, 5);
    // Without member 2 the lagging one is needed for every vote; it votes, and gets no state.
    cluster.crash(2);
    cluster.filter = (_from, to, message) => !(to === 3 && message.name === 'statePart');
    cluster.restart(3);
    for (let i = 0; i < 7; i++) cluster.client(0).write();
    cluster.run(cluster.nowMs + 3000);
    expect(executedBy(cluster)[0]).toBe(12);
    expect(cluster.replicas[0]?.engine.status().checkpoint).toBe(4);
    // Their disks hold the newest checkpoint only.
    for (const member of [0, 1]) cluster.crash(member);
    for (const member of [0, 1]) cluster.restart(member);
    cluster.filter = () => true;
    cluster.run(cluster.nowMs + 5000);
    expect([0, 1, 3].map((member) => executedBy(cluster)[member])).toEqual([12, 12, 12]);
    expect(cluster.replicas[3]?.engine.status().checkpoint).toBe(12);
    expect(cluster.problems()).toEqual([]);
  });

  it('notices that its own state is damaged, and repairs it', () => {
    const cluster = clusterOf();
    writeAll(cluster, 2);
    cluster.run(cluster.nowMs + 200);
    damage(cluster.replica(3).service);
    writeAll(cluster, 4);
    cluster.run(cluster.nowMs + 1000);
    expect(cluster.count('state-diverged')).toBe(1);
    expect(executedBy(cluster)).toEqual([6, 6, 6, 6]);
    expect(cluster.problems()).toEqual([]);
  });
});

/** Behind the engine's back: as if memory had failed. */
function damage(service: Ledger): void {
  service.entries[0] = 'damaged!';
}

describe('reads in one round', () => {
  it('wait until what is prepared in the view is executed', () => {
    const cluster = clusterOf();
    cluster.run(20);
    // Nobody can commit: COMMITs are lost. A read must not be answered from before the batch.
    let isLossy = true;
    cluster.filter = (_from, _to, { name }) => !isLossy || name !== 'pbftCommit';
    cluster.client(0).write();
    cluster.run(cluster.nowMs + 15);
    const answers: number[] = [];
    cluster.onReply = (client, _from, { kind }) => {
      if (client === 1) answers.push(kind);
    };
    cluster.client(1).retryMs = 1000;
    cluster.client(1).read();
    cluster.run(cluster.nowMs + 15);
    expect(answers).toEqual([]);
    isLossy = false;
    cluster.run(cluster.nowMs + 500, () => cluster.outcomes.length === 2);
    expect(cluster.outcomes.find(({ isQuery }) => isQuery)?.place).toBe(1);
    expect(answers.every((kind) => kind === 2)).toBe(true);
  });

  it('wait for a stable checkpoint that is not executed here', () => {
    const cluster = clusterOf();
    writeAll(cluster, 3);
    cluster.run(cluster.nowMs + 200);
    // Member 0 gets neither votes nor state any more, only word of the checkpoint.
    let isLossy = true;
    cluster.filter = (from, to, { name }) =>
      !isLossy || to !== 0 || from < 0 || name === 'checkpoint' || name === 'stableCheckpoint';
    const answers: number[] = [];
    cluster.onReply = (_client, from, { kind }) => {
      if (from === 0 && kind === 2) answers.push(kind);
    };
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === 4)).toBe(true);
    cluster.run(cluster.nowMs + 50);
    expect(cluster.replica(0).engine.status()).toMatchObject({ executed: 3 });
    cluster.client(1).retryMs = 100_000;
    cluster.client(1).read();
    cluster.run(cluster.nowMs + 50);
    expect(answers).toEqual([]);
    isLossy = false;
    cluster.run(cluster.nowMs + 2000);
    expect(answers).toHaveLength(1);
    expect(cluster.problems()).toEqual([]);
  });

  it('are refused for operations that change something', () => {
    const cluster = clusterOf();
    const key = cluster.client(0).signer.publicKey;
    cluster.deliver({ kind: 'client', key }, 0, {
      name: 'queryRequest',
      value: {
        instance: cluster.group.instance,
        number: 1,
        fullReplier: 0,
        operation: utf8('change!!'),
      },
    });
    cluster.run(20);
    expect(cluster.count('query-changes-state')).toBe(1);
  });
});

describe('the end of an instance', () => {
  const together = { ...parameters, batchRequests: 8 };

  it('takes effect at its place in its batch; what stands behind it is for the next instance', () => {
    const cluster = clusterOf({ parameters: together, clients: 6, delayMsMax: 1 });
    cluster.client(0).write();
    cluster.run(2);
    // All of these wait while the first batch is in flight, and share the next one.
    cluster.client(1).write();
    cluster.client(2).write(stopOperation);
    for (const client of [3, 4, 5]) cluster.client(client).write();
    expect(cluster.run(5000, () => cluster.outcomes.length === 6)).toBe(true);
    cluster.run(cluster.nowMs + 1000);
    const { entries } = cluster.replica(0).service;
    expect(entries.at(-1)).toBe('stop!!!!');
    const ended = cluster.outcomes.filter(({ outcome }) => outcome === 1).length;
    expect(ended).toBeGreaterThan(0);
    expect(entries.length + ended).toBe(6);
    for (const { engine } of cluster.replicas) {
      expect(engine.status()).toMatchObject({ status: 'final' });
    }
    expect(new Set(cluster.replicas.map(({ engine }) => engine.status().root)).size).toBe(1);
    // The table must not remember what was not executed: the client will ask the next instance.
    cluster.client(0).read();
    cluster.client(1).write();
    expect(cluster.run(cluster.nowMs + 2000, () => cluster.outcomes.length === 8)).toBe(true);
    expect(cluster.outcomes.slice(6).map(({ outcome }) => outcome)).toEqual([1, 1]);
    expect(cluster.count('view-left')).toBe(0);
  });

  it('reaches a member that slept through it', () => {
    const cluster = clusterOf();
    cluster.crash(3);
    cluster.client(0).write(stopOperation);
    cluster.run(1000, () => cluster.outcomes.length === 1);
    cluster.run(cluster.nowMs + 200);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 2000);
    expect(cluster.replica(3).engine.status()).toMatchObject({ status: 'final', executed: 1 });
    cluster.crash(3);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 200);
    expect(cluster.replica(3).engine.status()).toMatchObject({ status: 'final', executed: 1 });
  });

  it('is ordered though its primary keeps it back', () => {
    const cluster = clusterOf();
    cluster.filter = (_from, _to, message) =>
      message.name !== 'prePrepare' ||
      message.value.view > 0 ||
      message.value.requests.every(({ request }) => request.operation.length !== 8);
    cluster.client(0).write(stopOperation);
    expect(cluster.run(10_000, () => cluster.outcomes.length === 1)).toBe(true);
    cluster.run(cluster.nowMs + 500);
    for (const { engine } of cluster.replicas) expect(engine.status().status).toBe('final');
  });

  it('is not executed tentatively', () => {
    const cluster = clusterOf({ parameters: { ...parameters, isTentative: true } });
    const kinds: number[] = [];
    cluster.onReply = (_client, _from, { kind }) => {
      kinds.push(kind);
    };
    cluster.client(0).write(stopOperation);
    cluster.run(500);
    expect(new Set(kinds)).toEqual(new Set([0]));
  });

  it('gives the next instance its state: checkpoint 0', () => {
    const cluster = clusterOf();
    writeAll(cluster, 3);
    cluster.client(1).write(stopOperation);
    cluster.run(cluster.nowMs + 1000);
    const next = clusterOf({ genesis: genesisOf(cluster.replica(0).engine) });
    expect(next.replica(0).engine.status()).toMatchObject({ status: 'normal', executed: 0 });
    expect(next.replica(0).engine.status().root).toBe(cluster.replica(0).engine.status().root);
    next.client(1).write();
    next.client(1).write();
    expect(next.run(1000, () => next.outcomes.length === 2)).toBe(true);
    // The first number was used in the instance before, so its stored result is given.
    expect(next.outcomes.map(({ place }) => place).sort()).toEqual([3, 4]);
  });
});

describe('tentative execution', () => {
  const tentative = { ...parameters, isTentative: true };

  it('answers one message delay earlier', () => {
    const cluster = clusterOf({ parameters: tentative, delayMsMax: 1, flushMsMax: 0 });
    cluster.run(50);
    const startMs = cluster.nowMs;
    cluster.client(0).write();
    expect(cluster.run(startMs + 100, () => cluster.outcomes.length === 1)).toBe(true);
    expect(cluster.nowMs - startMs).toBe(4);
  });

  it('is taken back when the view changes and another batch is chosen', () => {
    const cluster = clusterOf({ parameters: tentative });
    // Two members prepare; nobody commits.
    cluster.filter = (_from, _to, message) => {
      if (message.name === 'pbftCommit') return message.value.view > 0;
      return true;
    };
    cluster.client(0).write();
    cluster.client(1).write();
    expect(cluster.run(20_000, () => cluster.outcomes.length === 2)).toBe(true);
    cluster.filter = () => true;
    cluster.run(cluster.nowMs + 2000);
    expect(cluster.problems()).toEqual([]);
    expect(executedBy(cluster).every((executed) => executed >= 2)).toBe(true);
  });

  it('keeps the clock running for requests that only a NEW-VIEW brought', () => {
    const cluster = clusterOf({ parameters: { ...tentative, timeoutMs: 200 } });
    // Members 0 and 1 prepare, and answer; nothing is ever committed, and no NEW-VIEW can be made.
    let isLeaving = true;
    cluster.filter = (from, to, { name }) => {
      if (from < 0 && to > 1 && !isLeaving) return false;
      if (name === 'pbftCommit') return false;
      if (name === 'pbftPrepare') return to < 2;
      return !(isLeaving && name === 'viewChange' && to === 1);
    };
    cluster.client(0).retryMs = 100_000;
    cluster.client(0).write();
    const everyoneLeft = () =>
      cluster.replicas.every(({ engine }) => engine.status().status === 'view-change');
    expect(cluster.run(1000, everyoneLeft)).toBe(true);
    cluster.run(cluster.nowMs + 10);
    // Nobody remembers the client's request but in its batch.
    for (let i = 0; i < 4; i++) cluster.crash(i);
    isLeaving = false;
    for (let i = 0; i < 4; i++) cluster.restart(i);
    const isEntered = () => cluster.replicas.every(({ engine }) => engine.isCurrent(1));
    expect(cluster.run(cluster.nowMs + 1000, isEntered)).toBe(true);
    expect(
      cluster.run(cluster.nowMs + 5000, () => cluster.replica(0).engine.status().view > 1),
    ).toBe(true);
  });
});

describe('a service that is not deterministic', () => {
  /** The first so many members note down something else than they were told, each its own. */
  function clusterThatStrays(members: number): TestCluster {
    const cluster = clusterOf();
    for (const { index, service } of cluster.replicas.slice(0, members)) {
      const execute = service.execute.bind(service);
      service.execute = (operation, context) =>
        execute(
          operation.map((byte) => byte ^ (index + 1)),
          context,
        );
    }
    for (let i = 0; i < 6; i++) cluster.client(0).write();
    cluster.run(cluster.nowMs + 3000);
    return cluster;
  }
  const divergedAt = (cluster: TestCluster): unknown[] =>
    cluster.replicas.map(({ engine }) => engine.status().divergedAt);

  it('is said to be so, once at each member, when no state can become stable any more', () => {
    const cluster = clusterThatStrays(2);
    expect(divergedAt(cluster)).toEqual([4, 4, 4, 4]);
    expect(cluster.count('states-differ')).toBe(4);
    expect(cluster.replicas[0]?.engine.status().checkpoint).toBe(0);
  });

  it('at no more members than may be faulty is their own trouble', () => {
    const cluster = clusterThatStrays(1);
    expect(divergedAt(cluster)).toEqual([undefined, undefined, undefined, undefined]);
    expect(cluster.count('states-differ')).toBe(0);
    expect(cluster.replicas[1]?.engine.status().checkpoint).toBe(4);
  });
});
