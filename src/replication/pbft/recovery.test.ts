import { describe, expect, it } from 'vitest';
import { type Bytes, fromHex } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import { PagedState } from '../pages.ts';
import { bundle, requestDigest } from '../requests.ts';
import { batchDigest } from './batch.ts';
import { PageCheck } from './page-check.ts';
import { checkedParameters } from './parameters.ts';
import { pageCheckTimer } from './recovery-pages.ts';
import { estimateStable, recoveredView, recoveryPoint } from './recovery-rules.ts';
import type { PbftRules } from './rules.ts';
import { newKeyBytes, viewChangeBytes, viewChangeDigest } from './statements.ts';
import { runCampaign } from './test-campaign.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { prePrepareOf, requestOf } from './test-messages.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};

/** A group that has executed `writes` operations, one after the other. */
function group(seed: number, writes = 10, change = {}): TestCluster {
  const cluster = new TestCluster({ seed, parameters: { ...parameters, ...change } });
  for (let i = 1; i <= writes; i++) {
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === i)).toBe(true);
  }
  return cluster;
}

function signerOf(cluster: TestCluster, index: number): Signer {
  return cluster.signers[index] as Signer;
}

/** Root of the state that nobody has changed. */
function genesisOf(cluster: TestCluster): Bytes {
  return fromHex(cluster.replica(1).engine.status().root) ?? new Uint8Array(32);
}

function isRecovering(cluster: TestCluster, index: number): boolean {
  return cluster.replica(index).engine.status().status === 'recovering';
}

function recoverWholly(cluster: TestCluster, index: number): void {
  cluster.recover(index);
  expect(isRecovering(cluster, index)).toBe(true);
  expect(cluster.run(cluster.nowMs + 10_000, () => !isRecovering(cluster, index))).toBe(true);
  expect(cluster.problems()).toEqual([]);
}

const at = (checkpoint: number, prepared = checkpoint, view = 0) => ({
  checkpoint,
  prepared,
  view,
});

describe('the numbers of a recovery', () => {
  it('takes a checkpoint that 2f others are not above and f others have reached', () => {
    expect(estimateStable([at(8), at(8, 9), at(8), undefined], 1)).toBe(8);
    expect(estimateStable([at(4), at(8, 9), at(4, 8), undefined], 1)).toBe(8);
  });

  it('waits while too few members have answered', () => {
    expect(estimateStable([at(8), at(8), undefined, undefined], 1)).toBeUndefined();
  });

  it('cannot be pushed up by a liar, nor below what is stable', () => {
    expect(estimateStable([at(8), at(8, 10), at(8, 9), at(1e9)], 1)).toBe(8);
    expect(estimateStable([at(8), at(8, 10), at(8, 9), at(0)], 1)).toBe(8);
    expect(estimateStable([at(1e9), at(8), at(8), at(8)], 1)).toBe(8);
  });

  it('keeps a view that the others are in or right before, and leaves one that they are not', () => {
    expect(recoveredView(3, [3], 1).kind).toBe('kept');
    expect(recoveredView(4, [0, 0, 3], 1).kind).toBe('kept');
    expect(recoveredView(1e9, [3, 3, 2], 1)).toEqual({ kind: 'fallen-back', view: 3 });
  });

  it('leaves no view while those who know of it may not have answered', () => {
    expect(recoveredView(4, [0, 0], 1).kind).toBe('open');
    expect(recoveredView(4, [3, 0, 0, 0, 0], 2).kind).toBe('open');
    expect(recoveredView(4, [3, 0, 0, 0, 0, 3], 2).kind).toBe('kept');
    expect(recoveredView(4, [3, 0, 0, 0, 0, 0], 2)).toEqual({ kind: 'fallen-back', view: 0 });
  });

  it('ends above all that was ordered before', () => {
    expect(recoveryPoint(16, 9, 4, 8)).toBe(20);
    expect(recoveryPoint(24, 9, 4, 8)).toBe(24);
  });
});

describe('the interval of recoveries', () => {
  const members = Array.from({ length: 10 }, (_, i) => new Uint8Array(32).fill(i + 1));
  const ten = { instance: testInstance, members, faults: 3 };

  it('gives every member time for one, or the smallest that does is named', () => {
    expect(() => checkedParameters(ten, { recoveryIntervalMs: 10_000 })).toThrow(
      'at least 32000 ms for 10 members',
    );
    expect(checkedParameters(ten, { recoveryIntervalMs: 32_000 }).recoveryIntervalMs).toBe(32_000);
    expect(checkedParameters(ten, { recoveryIntervalMs: 0 }).recoveryIntervalMs).toBe(0);
  });
});

describe('a check of pages', () => {
  const pages = Array.from({ length: 200 }, (_, page) => ({
    region: 'service' as const,
    page,
    bytes: new Uint8Array(limits.pageSizeBytesMax).fill(page),
  }));

  it('takes a bounded slice in each turn, and gives what all at once would', () => {
    const odd = { region: 'service' as const, page: -1, bytes: new Uint8Array(1) };
    const check = new PageCheck([...pages, odd]);
    let slices = 1;
    while (!check.step()) slices += 1;
    expect(slices).toBe(4);
    expect(check.state.rootNow()).toEqual(PagedState.sift(pages).state.rootNow());
    expect(check.found).toEqual(['disk-page-misplaced']);
  });

  it('lets go of what it reads when it is given up', () => {
    let isHeld = true;
    function* held() {
      try {
        yield* pages;
      } finally {
        isHeld = false;
      }
    }
    const check = new PageCheck(held());
    expect(check.step()).toBe(false);
    expect(isHeld).toBe(true);
    check.close();
    expect(isHeld).toBe(false);
  });
});

describe('a recovery', () => {
  it('of a backup ends while nobody asks for anything', () => {
    const cluster = group(1);
    recoverWholly(cluster, 2);
    expect(cluster.count('recovery-pages-checked')).toBe(1);
    expect(cluster.count('recovery-pages-differ')).toBe(0);
    expect(cluster.count('view-left')).toBe(0);
    expect(cluster.count('new-key')).toBe(3);
  });

  it('ends though a request waits here that a liar has shown to no other member', () => {
    const cluster = group(1, 3, { timeoutMs: 60_000 });
    const { requests } = requestOf(cluster, 0, 4);
    cluster.speak(0, 2, 'prePrepare', prePrepareOf(0, 4, requests));
    recoverWholly(cluster, 2);
    expect(cluster.outcomes).toHaveLength(3);
  });

  it('of the primary begins with leaving its view, and nobody waits for a time-out', () => {
    const cluster = group(2);
    recoverWholly(cluster, 0);
    expect(cluster.count('primary-too-slow')).toBe(0);
    expect(cluster.replica(1).engine.status().view).toBe(1);
  });

  it('finds a page that was altered on the disk, and replaces it', () => {
    const cluster = group(3);
    cluster.run(cluster.nowMs + 500);
    const { saved } = cluster.replica(3);
    const page = saved?.pages.get('service/0');
    if (saved === undefined || page === undefined) throw new TypeError('nothing was saved');
    saved.pages.set('service/0', { ...page, bytes: new Uint8Array(9).fill(1) });
    recoverWholly(cluster, 3);
    expect(cluster.count('recovery-pages-differ')).toBe(1);
    cluster.run(cluster.nowMs + 500);
    expect(cluster.replica(3).saved?.pages.get('service/0')?.bytes).not.toEqual(
      new Uint8Array(9).fill(1),
    );
    cluster.crash(3);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 500);
    expect(cluster.problems()).toEqual([]);
    expect(cluster.count('state-diverged')).toBe(0);
  });

  it('reads a large state in slices, and everything else in between', () => {
    const cluster = group(10);
    cluster.run(cluster.nowMs + 500);
    const { engine, saved } = cluster.replica(3);
    for (let page = 100; page < 500; page++) {
      const bytes = new Uint8Array(limits.pageSizeBytesMax).fill(page);
      saved?.pages.set(`service/${page}`, { region: 'service', page, bytes });
    }
    let slices = 0;
    const handle = engine.handle.bind(engine);
    engine.handle = (event, nowMs) => {
      if (event.kind === 'timer' && event.name === pageCheckTimer) slices += 1;
      return handle(event, nowMs);
    };
    recoverWholly(cluster, 3);
    expect(slices).toBe(6);
    expect(cluster.count('recovery-pages-differ')).toBe(1);
    cluster.run(cluster.nowMs + 500);
    expect(cluster.replica(3).saved?.pages.has('service/100')).toBe(false);
    expect(cluster.problems()).toEqual([]);
  });

  it('that takes longer than its share puts off the next one', () => {
    const recoveryIntervalMs = 4000;
    const cluster = group(11, 10, { recoveryIntervalMs });
    cluster.run(cluster.nowMs + 9000, () => isRecovering(cluster, 3));
    const beganMs = cluster.nowMs;
    cluster.filter = (_, to, { name }) => name !== 'replyStable' || to !== 3;
    cluster.run(beganMs + 1500);
    cluster.filter = () => true;
    expect(cluster.run(beganMs + 3000, () => !isRecovering(cluster, 3))).toBe(true);
    expect(cluster.count('recovery-slow')).toBe(1);
    const tookMs = cluster.nowMs - beganMs;
    expect(cluster.run(beganMs + 4 * tookMs - 50, () => isRecovering(cluster, 3))).toBe(false);
    expect(cluster.run(beganMs + 4 * tookMs + 50, () => isRecovering(cluster, 3))).toBe(true);
  });

  it('makes NEW-KEYs of before worthless, also after a restart, and a forged one', () => {
    const cluster = group(4);
    recoverWholly(cluster, 2);
    recoverWholly(cluster, 2);
    cluster.run(cluster.nowMs + 200);
    cluster.crash(1);
    cluster.restart(1);
    const signer = cluster.signers[2];
    const signed = (counter: number) => ({
      instance: testInstance,
      replica: 2,
      counter,
      forgotten: 0,
      signature:
        signer?.sign(newKeyBytes(testInstance, { replica: 2, counter, forgotten: 0 })) ??
        new Uint8Array(64),
    });
    const before = cluster.count('new-key-old');
    cluster.speak(2, 1, 'newKey', signed(1));
    cluster.speak(2, 1, 'newKey', signed(2));
    expect(cluster.count('new-key-old')).toBe(before + 2);
    cluster.speak(2, 1, 'newKey', { ...signed(3), signature: new Uint8Array(64) });
    expect(cluster.count('new-key-not-signed')).toBe(1);
    const early = cluster.count('query-stable-early');
    cluster.speak(2, 1, 'queryStable', { instance: testInstance, counter: 3, forgotten: 0 });
    expect(cluster.count('query-stable-early')).toBe(early + 1);
  });

  it('gets the votes again that it and others forget', () => {
    const cluster = group(5, 0, { timeoutMs: 60_000 });
    cluster.filter = (_, __, message) => message.name !== 'pbftCommit';
    cluster.client(0).write();
    cluster.run(cluster.nowMs + 60);
    expect(cluster.replica(1).engine.status().committed).toBe(0);
    cluster.filter = () => true;
    recoverWholly(cluster, 3);
    expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === 1)).toBe(true);
  });

  it('is not misled by a liar in its estimation', () => {
    const cluster = group(6);
    cluster.filter = (from, _, { name, value }) => {
      if (name === 'replyStable' && from === 3) {
        Object.assign(value, { checkpoint: 1_000_000, prepared: 1_000_000, view: 1_000_000 });
      }
      return true;
    };
    recoverWholly(cluster, 1);
    expect(cluster.replica(1).engine.status().view).toBe(0);
    expect(cluster.replica(1).engine.status().checkpoint).toBeLessThan(100);
  });

  it('of a member that has left for a later view never works in an older one again', () => {
    const [liar, behind, ahead, recovering] = [0, 1, 2, 3];
    // The liar is said to have lost patience too, whenever one of them has.
    const mustLeave: PbftRules['mustLeave'] = (members, faults, isOneOfThem) =>
      isOneOfThem || members > faults;
    const rules = Array.from({ length: 4 }, () => ({ mustLeave }));
    const cluster = new TestCluster({ seed: 9, clients: 2, parameters, rules, absent: [liar] });
    const says = <Name extends ReplicationMessageName>(
      to: readonly number[],
      name: Name,
      value: ReplicationMessageValue<Name>,
    ) => {
      for (const member of to) cluster.speak(liar, member, name, value);
    };
    const leave = (view: number) => {
      const certificate = { sequence: 0, root: genesisOf(cluster), isFinal: 0, signatures: [] };
      const claims = { certificate, prepared: [], accepted: [] };
      const statement = { replica: liar, view, forgotten: 0, ...claims };
      const digest = viewChangeDigest(statement);
      const signature = signerOf(cluster, liar).sign(viewChangeBytes(testInstance, view, digest));
      says([ahead, recovering], 'viewChange', { instance: testInstance, statement, signature });
    };
    const viewOf = (index: number) => cluster.replica(index).engine.status().view;
    // Two members, with the liar's help, leave for view 2; one of them does not hear that it has begun.
    cluster.filter = (from, to, { name }) =>
      from !== behind && to !== behind && (to !== recovering || name === 'viewChange');
    cluster.client(0).write();
    for (const view of [1, 2]) {
      expect(cluster.run(5000, () => viewOf(ahead) === view || viewOf(recovering) === view)).toBe(
        true,
      );
      leave(view);
    }
    expect(cluster.run(5000, () => viewOf(ahead) === 2 && viewOf(recovering) === 2)).toBe(true);
    cluster.run(cluster.nowMs + 10);
    expect(cluster.replica(ahead).engine.isCurrent(2)).toBe(true);
    // It recovers, and hears of nobody who knows of that view.
    cluster.filter = (from, to) => from !== ahead && to !== ahead && from >= 0;
    cluster.recover(recovering);
    const reply = { instance: testInstance, counter: 1, checkpoint: 0, prepared: 0, view: 0 };
    says([recovering], 'replyStable', reply);
    cluster.run(cluster.nowMs + 100);
    expect(cluster.count('recovery-estimated')).toBe(1);
    // In the first view something is ordered, then in the later one something else.
    const signer = cluster.clientSigners[1] as Signer;
    const operation = cluster.client(1).operation(1);
    const request = { client: signer.publicKey, number: 1, kind: 0, operation };
    const requests = bundle(signer, testInstance, [request]);
    const agreed = new Uint8Array(0);
    const first = { instance: testInstance, view: 0, sequence: 1 };
    const digest = batchDigest([requestDigest(testInstance, request)], agreed);
    says([behind, recovering], 'prePrepare', { ...first, requests, agreed, fullRepliers: [0] });
    cluster.run(cluster.nowMs + 20);
    says([behind, recovering], 'pbftCommit', { ...first, digest });
    cluster.run(cluster.nowMs + 20);
    expect(cluster.replica(behind).engine.status().committed).toBe(0);
    cluster.filter = () => true;
    expect(cluster.run(20_000, () => cluster.outcomes.length === 1)).toBe(true);
    expect(cluster.problems()).toEqual([]);
  });

  it('of a primary has nobody prepare what it may not accept itself', () => {
    const cluster = group(10, 0);
    cluster.filter = (_, __, { name }) => name !== 'pbftCommit';
    cluster.client(0).write();
    cluster.run(cluster.nowMs + 60);
    // The next primary recovers and learns nothing yet, the view after takes too long to be waited for.
    cluster.crash(0);
    cluster.filter = (_, to, { name }) =>
      name !== 'pbftCommit' &&
      (name !== 'replyStable' || to !== 1) &&
      (name !== 'newView' || to !== 0);
    cluster.recover(1);
    const isLeft = () => cluster.replica(2).engine.status().view > 0;
    expect(cluster.run(cluster.nowMs + 2000, isLeft)).toBe(true);
    cluster.run(cluster.nowMs + 50);
    // One of the two that would have accepted it is out; the others must be able to begin a view.
    cluster.crash(3);
    cluster.restart(0);
    const isLater = () => [1, 2].every((i) => cluster.replica(i).engine.status().view > 1);
    expect(cluster.run(cluster.nowMs + 5000, isLater)).toBe(true);
    cluster.filter = () => true;
    expect(cluster.run(cluster.nowMs + 20_000, () => cluster.outcomes.length === 1)).toBe(true);
    expect(cluster.problems()).toEqual([]);
  });

  it('does not give up a state before it is stable, for an older one that nobody may hold', () => {
    const cluster = group(11, 6);
    cluster.filter = (_, __, { name }) => name !== 'checkpoint';
    for (let i = 7; i <= 9; i++) {
      cluster.client(0).write();
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === i)).toBe(true);
    }
    // All have saved their state since, and after a restart hold no other.
    cluster.run(cluster.nowMs + 50);
    for (const { index } of cluster.replicas) {
      cluster.crash(index);
      cluster.restart(index);
      cluster.recover(index);
    }
    cluster.run(cluster.nowMs + 2000);
    expect(cluster.count('recovery-estimated')).toBe(4);
    expect(cluster.replica(1).engine.status().checkpoint).toBe(4);
    expect(cluster.count('transfer-started')).toBe(0);
    cluster.filter = () => true;
    const isAnyRecovering = () =>
      cluster.replicas.some(({ index }) => isRecovering(cluster, index));
    expect(cluster.run(cluster.nowMs + 20_000, () => !isAnyRecovering())).toBe(true);
    expect(cluster.count('recovery-pages-checked')).toBe(4);
    expect(cluster.problems()).toEqual([]);
  });

  it('is told of a checkpoint by who voted for it, though its pages are lost since', () => {
    const cluster = group(12, 6);
    // Member 1 votes for the checkpoint at 8 and does not learn that it is stable.
    cluster.filter = (_, to, { name }) => name !== 'checkpoint' || to !== 1;
    for (let i = 7; i <= 8; i++) {
      cluster.client(0).write();
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === i)).toBe(true);
    }
    const isStable = () => cluster.replica(2).engine.status().checkpoint === 8;
    expect(cluster.run(cluster.nowMs + 100, isStable)).toBe(true);
    cluster.run(cluster.nowMs + 20);
    const told: number[] = [];
    cluster.filter = (from, to, { name, value }) => {
      if (from === 1 && name === 'replyStable') told.push(value.checkpoint);
      return name !== 'stableCheckpoint' || to !== 1;
    };
    cluster.crash(1);
    cluster.replica(1).saved = undefined;
    cluster.restart(1);
    cluster.recover(2);
    expect(cluster.run(cluster.nowMs + 1000, () => told.length > 0)).toBe(true);
    expect(told[0]).toBe(8);
  });

  it('asks again who has answered before they had come far enough', () => {
    const cluster = new TestCluster({ seed: 13, parameters, absent: [2] });
    for (let i = 1; i <= 9; i++) {
      cluster.client(0).write();
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length === i)).toBe(true);
    }
    cluster.run(cluster.nowMs + 200);
    expect(cluster.replica(3).engine.status().checkpoint).toBe(8);
    // What two of them said a while ago arrives only now; the fourth says nothing at all.
    cluster.filter = (_, __, { name }) => name !== 'replyStable';
    cluster.recover(3);
    cluster.run(cluster.nowMs + 5);
    const early = { instance: testInstance, counter: 1, checkpoint: 4, prepared: 7, view: 0 };
    cluster.filter = () => true;
    for (const member of [0, 1]) cluster.speak(member, 3, 'replyStable', early);
    expect(cluster.count('recovery-estimated')).toBe(0);
    expect(cluster.run(cluster.nowMs + 10_000, () => !isRecovering(cluster, 3))).toBe(true);
    expect(cluster.problems()).toEqual([]);
  });

  it('goes on after a restart in the middle', () => {
    const cluster = group(7);
    cluster.recover(2);
    cluster.run(cluster.nowMs + 15);
    cluster.crash(2);
    cluster.restart(2);
    expect(isRecovering(cluster, 2)).toBe(true);
    expect(cluster.run(cluster.nowMs + 10_000, () => !isRecovering(cluster, 2))).toBe(true);
    cluster.run(cluster.nowMs + 20);
    cluster.crash(2);
    cluster.restart(2);
    expect(isRecovering(cluster, 2)).toBe(false);
    expect(cluster.problems()).toEqual([]);
  });

  it('is made by one member after the other under load, and every request is answered', () => {
    const cluster = new TestCluster({
      seed: 8,
      clients: 3,
      parameters: { ...parameters, recoveryIntervalMs: 4000 },
    });
    let asked = 0;
    while (cluster.nowMs < 9000) {
      for (let i = 0; i < 3; i++) {
        if (cluster.client(i).inFlight > 2) continue;
        cluster.client(i).write();
        asked += 1;
      }
      cluster.run(cluster.nowMs + 20);
    }
    expect(cluster.run(20_000, () => cluster.outcomes.length === asked)).toBe(true);
    expect(cluster.problems()).toEqual([]);
    expect(cluster.count('recovery-done')).toBeGreaterThanOrEqual(8);
    // Not every one is the primary's.
    expect(cluster.replica(0).engine.status().view).toBeLessThanOrEqual(4);
    expect(cluster.count('recovery-refused')).toBe(0);
  });
});

it('random runs with recoveries agree and answer everything after healing', () => {
  let done = 0;
  for (let seed = 1; seed <= 30; seed++) {
    const { problems, cluster } = runCampaign(seed, {}, { recoveryIntervalMs: 1600 });
    expect(problems, `seed ${seed}`).toEqual([]);
    done += cluster.count('recovery-done');
  }
  expect(done).toBeGreaterThan(40);
}, 120_000);
