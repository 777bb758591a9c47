// What an intruder has a member sign for a time to come, before the member recovers.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { CheckpointVote } from '../../wire/pbft.ts';
import { PagedState } from '../pages.ts';
import { answerFetch } from '../transfer-answer.ts';
import type { MemberSigner } from './core.ts';
import { checkpointBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 2000,
  timeoutMsMax: 5000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};
const [liar, laggard, recovered] = [1, 2, 3];
const sequence = 4000;

function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}

function isTold(cluster: TestCluster, index: number): boolean {
  return cluster.replica(index).engine.status().executed >= sequence;
}

function recover(cluster: TestCluster, member: number): void {
  const times = cluster.count('recovery-done') + 1;
  cluster.recover(member);
  const isOver = () => cluster.count('recovery-done') === times;
  expect(cluster.run(cluster.nowMs + 40_000, isOver)).toBe(true);
}

const nothing: Step = () => {};

/** A member needs a state while another one vouches for one that it has made up, and has what a third signed before. */
type Step = (cluster: TestCluster, vote: CheckpointVote) => void;

function attack(beforeRecovery: Step, afterRecovery: Step): TestCluster {
  const cluster = new TestCluster({ seed: 8, clients: 2, parameters });
  write(cluster, 5);
  const madeUp = new PagedState();
  madeUp.region('service').write(0, utf8('stolen!!'));
  const { root } = madeUp.checkpoint(sequence);
  const vote = (replica: number): CheckpointVote => {
    const claim = { sequence, root, isFinal: 0 };
    const message = checkpointBytes(testInstance, claim);
    const signature = (cluster.signers[replica] as Signer).sign(message);
    return { instance: testInstance, replica, ...claim, signature };
  };
  beforeRecovery(cluster, vote(recovered));
  recover(cluster, recovered);
  afterRecovery(cluster, vote(recovered));
  cluster.filter = (from, to) => from !== laggard && to !== laggard;
  write(cluster, 20);
  cluster.crash(liar);
  cluster.filter = (from, to, { name, value }) => {
    if (from === laggard && to === liar && name === 'fetchState') {
      const part = answerFetch(madeUp, value);
      cluster.plan(1, () => cluster.speak(liar, laggard, 'statePart', part));
    }
    // The network is slow where the liar likes it.
    return name !== 'statePart' || to !== laggard || value.sequence >= sequence;
  };
  cluster.run(cluster.nowMs + 200);
  cluster.speak(liar, laggard, 'checkpoint', vote(liar));
  cluster.speak(liar, laggard, 'checkpoint', vote(recovered));
  cluster.run(cluster.nowMs + 3000);
  return cluster;
}

const plant: Step = (cluster, vote) => cluster.speak(recovered, laggard, 'checkpoint', vote);

describe('changes of keys that were signed ahead', () => {
  it('are left behind by a recovery, where a module has counted them', () => {
    const cluster = new TestCluster({ seed: 9, parameters });
    write(cluster, 3);
    const signer: MemberSigner = cluster.signers[recovered] as Signer;
    signer.keyChanges = () => 7;
    const counters: number[] = [];
    cluster.filter = (from, _to, { name, value }) => {
      if (name === 'newKey' && from === recovered) counters.push(value.counter);
      return true;
    };
    recover(cluster, recovered);
    expect(new Set(counters)).toEqual(new Set([8]));
    expect(cluster.problems()).toEqual([]);
  });

  it('are not lost by a module unnoticed', () => {
    const cluster = new TestCluster({ seed: 11, parameters });
    write(cluster, 3);
    recover(cluster, recovered);
    const signer: MemberSigner = cluster.signers[recovered] as Signer;
    signer.keyChanges = () => 0;
    cluster.crash(recovered);
    expect(() => cluster.restart(recovered)).toThrow('signed 0 changes of keys');
    signer.keyChanges = () => 1;
    cluster.crash(recovered);
    cluster.restart(recovered);
    expect(cluster.problems()).toEqual([]);
  });

  it('end channels with keys of before at each member that hears of them, also after its restart', () => {
    const cluster = new TestCluster({ seed: 10, parameters });
    write(cluster, 3);
    recover(cluster, recovered);
    recover(cluster, recovered);
    const demanded = [0, 0, 0, 0];
    demanded[recovered] = 2;
    expect(cluster.replica(laggard).keyCounters).toEqual(demanded);
    cluster.crash(laggard);
    cluster.restart(laggard);
    expect(cluster.replica(laggard).keyCounters).toEqual(demanded);
  });

  it('are demanded by a member that has lost its disk, too: others tell it', () => {
    const cluster = new TestCluster({ seed: 12, parameters });
    write(cluster, 3);
    recover(cluster, recovered);
    recover(cluster, recovered);
    cluster.wipe(laggard);
    const isOver = () => cluster.count('recovery-done') === 3;
    expect(cluster.run(cluster.nowMs + 60_000, isOver)).toBe(true);
    expect(cluster.replica(laggard).keyCounters[recovered]).toBe(2);
  });
});

describe('a CHECKPOINT that was signed ahead', () => {
  it('vouches for nothing when another member shows it', () => {
    const cluster = attack(nothing, nothing);
    expect(isTold(cluster, laggard)).toBe(false);
    expect(cluster.problems()).toEqual([]);
  });

  it('is forgotten with the keys of its time', () => {
    const cluster = attack(plant, nothing);
    expect(isTold(cluster, laggard)).toBe(false);
    expect(cluster.problems()).toEqual([]);
  });

  it('is forgotten also by a member that refreshes its own keys, into which it was brought meanwhile', () => {
    const cluster = attack(nothing, (after, vote) => {
      // The intruder is in the laggard, and has its ends of the channels.
      plant(after, vote);
      recover(after, laggard);
    });
    expect(isTold(cluster, laggard)).toBe(false);
    expect(cluster.problems()).toEqual([]);
  });
});
