import { describe, expect, it } from 'vitest';
import type { CheckpointVote, ViewChange } from '../../wire/pbft.ts';
import { diskForgottenCode } from '../contract.ts';
import { type PbftRules, pbftRules } from './rules.ts';
import { checkpointBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};

const votes = new Set(['prePrepare', 'pbftPrepare', 'pbftCommit', 'viewChange', 'newView']);

/** A group that has executed `writes` operations, one after the other. */
function group(seed: number, writes: number, rules: object = {}): TestCluster {
  const cluster = new TestCluster({ seed, parameters, rules: [rules, rules, rules, rules] });
  write(cluster, writes);
  return cluster;
}

function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}

function statusOf(cluster: TestCluster, index: number): string {
  return cluster.replica(index).engine.status().status;
}

function recovers(cluster: TestCluster, index: number): void {
  const isOver = cluster.run(cluster.nowMs + 20_000, () => statusOf(cluster, index) === 'normal');
  expect(isOver).toBe(true);
  expect(cluster.problems()).toEqual([]);
}

/** Nothing can be ordered any more without the member that had lost its disk. */
function isNeeded(cluster: TestCluster, index: number): void {
  cluster.crash((index + 1) % 4);
  write(cluster, 3);
  expect(cluster.problems()).toEqual([]);
}

describe('a member whose disk is lost', () => {
  it.each([0, 1, 2, 3])('is a full member again, member %i', (index) => {
    const cluster = group(10 + index, 30);
    cluster.wipe(index);
    expect(statusOf(cluster, index)).toBe('recovering');
    recovers(cluster, index);
    isNeeded(cluster, index);
  });

  it('recovers while clients work, and before there is any checkpoint', () => {
    for (const writes of [1, 13]) {
      const cluster = group(20, writes);
      cluster.wipe(2);
      write(cluster, 40);
      recovers(cluster, 2);
      isNeeded(cluster, 2);
    }
  });

  it('makes no promise until then', () => {
    const cluster = group(30, 21);
    const said: string[] = [];
    cluster.filter = (from, _, { name }) => {
      if (from === 1 && statusOf(cluster, 1) === 'recovering') said.push(name);
      return true;
    };
    cluster.wipe(1);
    cluster.crash(0);
    // Two members of four can do nothing without it, and it must not help them.
    cluster.client(0).write();
    const { length } = cluster.outcomes;
    cluster.run(cluster.nowMs + 3000);
    expect(cluster.outcomes.length).toBe(length);
    expect(said.length).toBeGreaterThan(0);
    expect(said.filter((name) => votes.has(name))).toEqual([]);
    cluster.restart(0);
    recovers(cluster, 1);
    expect(said.filter((name) => votes.has(name))).toEqual([]);
    isNeeded(cluster, 1);
  });

  it('goes on with it when it crashes meanwhile, and is done with it for ever afterwards', () => {
    const cluster = group(40, 17);
    cluster.wipe(3);
    for (let i = 0; i < 12 && statusOf(cluster, 3) === 'recovering'; i++) {
      cluster.run(cluster.nowMs + 15 * i);
      cluster.crash(3);
      cluster.restart(3);
    }
    recovers(cluster, 3);
    cluster.run(cluster.nowMs + 100);
    cluster.crash(3);
    cluster.restart(3);
    expect(statusOf(cluster, 3)).toBe('normal');
    isNeeded(cluster, 3);
  });

  it('fetches the state at once, though its new keys close the channels on which it has asked for that', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const cluster = group(seed, 9);
      cluster.wipe(seed % 4);
      cluster.run(cluster.nowMs + 5000, () => cluster.count('transfer-done') > 0);
      expect(cluster.count('transfer-done')).toBe(1);
      expect(cluster.count('transfer-silent')).toBe(0);
    }
  });

  it('may lose it again, and another one after it', () => {
    const cluster = group(50, 9);
    for (const index of [2, 2, 1, 3]) {
      cluster.wipe(index);
      recovers(cluster, index);
      write(cluster, 5);
    }
    isNeeded(cluster, 3);
  });

  it('comes back into a view that others have entered with its help', () => {
    const cluster = group(60, 6);
    cluster.crash(0);
    write(cluster, 6);
    cluster.restart(0);
    cluster.run(cluster.nowMs + 500);
    const { view } = cluster.replica(1).engine.status();
    expect(view).toBeGreaterThan(0);
    cluster.wipe(3);
    recovers(cluster, 3);
    expect(cluster.replica(3).engine.status().view).toBeGreaterThanOrEqual(view);
    isNeeded(cluster, 3);
  });
});

describe('a VIEW-CHANGE of before the loss', () => {
  /** Member 2 has left its view alone, and its message is caught; then it loses its disk. */
  function withStale(
    seed: number,
    rules: object = {},
  ): { cluster: TestCluster; stale: ViewChange } {
    const mustLeave: PbftRules['mustLeave'] = (members, faults, isOneOfThem) =>
      isOneOfThem || members > faults;
    const cluster = group(seed, 6, { ...rules, mustLeave });
    let stale: ViewChange | undefined;
    cluster.filter = (from, to, message) => {
      if (from === 2 && message.name === 'viewChange') {
        stale = message.value;
        return false;
      }
      // It learns of the request, and not that it was executed.
      return to !== 2 || message.name === 'prePrepare';
    };
    cluster.client(0).write();
    cluster.run(cluster.nowMs + 2000, () => stale !== undefined);
    cluster.filter = () => true;
    cluster.wipe(2);
    recovers(cluster, 2);
    if (stale === undefined) throw new TypeError('member 2 has not left its view');
    return { cluster, stale };
  }

  it('is void', () => {
    const { cluster, stale } = withStale(70);
    const before = cluster.count('view-change-void');
    cluster.speak(3, 1, 'viewChange', { ...stale, instance: testInstance });
    expect(cluster.count('view-change-void')).toBe(before + 1);
    expect(cluster.evidence).toEqual([]);
  });

  it('counts where nobody looks at that', () => {
    const { cluster, stale } = withStale(70, { isVoid: () => false });
    cluster.speak(3, 1, 'viewChange', { ...stale, instance: testInstance });
    expect(cluster.count('view-change-void')).toBe(0);
  });

  it('is no evidence beside one of afterwards', () => {
    const { cluster, stale } = withStale(80);
    cluster.crash(0);
    write(cluster, 2);
    cluster.speak(3, 1, 'viewChange', { ...stale, instance: testInstance });
    expect(cluster.evidence).toEqual([]);
    expect(cluster.problems()).toEqual([]);
  });
});

describe('a view that rests on a VIEW-CHANGE of before the loss', () => {
  const [lost, late] = [5, 6];

  /** f = 2. All others have entered it before the loss; the one that is late hears of it after that. */
  function entered(rules: Partial<PbftRules> = {}): TestCluster {
    const all = Array.from({ length: 7 }, () => rules);
    const cluster = new TestCluster({ seed: 4, faults: 2, parameters, rules: all });
    write(cluster, 3);
    let isResting = false;
    cluster.filter = (from, to, message) => {
      // The primary hears of the loser among the first.
      if (message.name === 'viewChange' && to === 1 && (from === 3 || from === 4)) return isResting;
      if (message.name !== 'newView') return true;
      const { viewChanges } = message.value.statement;
      isResting ||= viewChanges.some(({ replica }) => replica === lost);
      return to !== late;
    };
    cluster.recover(0);
    write(cluster, 3);
    expect(isResting).toBe(true);
    cluster.wipe(lost);
    recovers(cluster, lost);
    expect(cluster.replica(0).engine.status()).toMatchObject({ view: 1, status: 'normal' });
    expect(statusOf(cluster, late)).toBe('view-change');
    cluster.filter = () => true;
    cluster.run(cluster.nowMs + 2000);
    return cluster;
  }

  it('is entered by who has missed it when 2f+1 others work in it', () => {
    const cluster = entered();
    expect(cluster.replica(late).engine.status()).toMatchObject({ view: 1, status: 'normal' });
    for (const index of [2, 3]) cluster.crash(index);
    write(cluster, 3);
    expect(cluster.replica(0).engine.status().view).toBe(1);
    expect(cluster.problems()).toEqual([]);
  });

  it('is not entered when fewer say so', () => {
    const cluster = entered({ mayFollow: (members) => members >= 7 });
    expect(cluster.replica(late).engine.status().status).toBe('view-change');
    expect(cluster.count('new-view-void')).toBeGreaterThan(0);
    expect(pbftRules.mayFollow(2 * 2, 2)).toBe(false);
    expect(pbftRules.mayFollow(2 * 2 + 1, 2)).toBe(true);
  });
});

describe('a member that was given an empty disk as if it had never run', () => {
  function notices(cluster: TestCluster, index: number): void {
    expect(statusOf(cluster, index)).not.toBe('recovering');
    const isNoticed = () => statusOf(cluster, index) === 'recovering';
    expect(cluster.run(cluster.nowMs + 1000, isNoticed)).toBe(true);
    expect(cluster.count(diskForgottenCode)).toBe(1);
  }

  it.each([0, 1, 2, 3])('is shown a checkpoint that it has signed, member %i', (index) => {
    const cluster = group(90 + index, 30);
    cluster.wipe(index, false);
    notices(cluster, index);
    recovers(cluster, index);
    isNeeded(cluster, index);
    expect(cluster.evidence).toEqual([]);
  });

  it('is shown one that is not stable', () => {
    const cluster = group(95, 3);
    cluster.filter = (from, _, { name }) => name !== 'checkpoint' || from === 2;
    write(cluster, 1);
    cluster.run(cluster.nowMs + 200);
    expect(cluster.replica(0).engine.status().checkpoint).toBe(0);
    cluster.wipe(2, false);
    cluster.filter = (from, to, { name }) => name !== 'checkpoint' || from === 2 || to === 2;
    notices(cluster, 2);
    cluster.filter = () => true;
    recovers(cluster, 2);
  });

  it('is shown that it has left a view', () => {
    const cluster = group(96, 1);
    cluster.crash(0);
    write(cluster, 1);
    cluster.crash(1);
    cluster.client(0).write();
    const hasLeft = () => [2, 3].every((each) => cluster.replica(each).engine.status().view === 2);
    expect(cluster.run(cluster.nowMs + 5000, hasLeft)).toBe(true);
    cluster.run(cluster.nowMs + 50);
    cluster.wipe(2, false);
    notices(cluster, 2);
    for (const index of [0, 1]) cluster.restart(index);
    recovers(cluster, 2);
    isNeeded(cluster, 2);
  });

  it('is shown new keys of its own', () => {
    const cluster = group(97, 1);
    cluster.recover(2);
    cluster.run(cluster.nowMs + 50);
    cluster.wipe(2, false);
    notices(cluster, 2);
    recovers(cluster, 2);
    isNeeded(cluster, 2);
  });

  it('goes on with it when it crashes meanwhile, and is done with it for ever afterwards', () => {
    const cluster = group(98, 17);
    cluster.wipe(3, false);
    notices(cluster, 3);
    for (let i = 0; i < 12 && statusOf(cluster, 3) === 'recovering'; i++) {
      cluster.run(cluster.nowMs + 15 * (i + 1));
      cluster.crash(3);
      cluster.restart(3);
      expect(cluster.count(diskForgottenCode)).toBe(1);
    }
    recovers(cluster, 3);
    cluster.run(cluster.nowMs + 100);
    const { view } = cluster.replica(3).engine.status();
    cluster.crash(3);
    cluster.restart(3);
    expect(cluster.replica(3).engine.status()).toMatchObject({ view, status: 'normal' });
    isNeeded(cluster, 3);
  });

  it('believes nothing that it has not signed, nor what it knows, nor anything once it has changed its keys', () => {
    const cluster = group(99, 9);
    const own: CheckpointVote[] = [];
    cluster.filter = (from, _, message) => {
      if (from === 2 && message.name === 'checkpoint') own.push(message.value);
      return true;
    };
    write(cluster, 4);
    const vote = own.at(-1);
    if (vote === undefined) throw new TypeError('member 2 has not voted for a checkpoint');
    const forged = { ...vote, sequence: vote.sequence + 400 };
    for (const each of [vote, forged]) cluster.speak(1, 2, 'checkpoint', each);
    expect(statusOf(cluster, 2)).toBe('normal');
    expect(cluster.count('checkpoint-not-signed')).toBe(1);
    cluster.recover(2);
    recovers(cluster, 2);
    const signature = cluster.signers[2]?.sign(checkpointBytes(testInstance, forged));
    if (signature !== undefined) cluster.speak(1, 2, 'checkpoint', { ...forged, signature });
    expect(statusOf(cluster, 2)).toBe('normal');
    expect(cluster.count(diskForgottenCode)).toBe(0);
  });
});
