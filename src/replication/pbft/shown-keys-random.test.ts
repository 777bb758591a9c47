// NEW-KEYs signed ahead, recoveries, restarts and silence at random: the group works on, and whoever recovers ends.

import { describe, expect, it } from 'vitest';
import { Prng } from '../../base/prng.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey } from '../../wire/pbft.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 50,
  timeoutMsMax: 800,
  statusIntervalMs: 10,
  idleStatusIntervalMs: 50,
};

function newKey(cluster: TestCluster, replica: number, counter: number, forgotten: number): NewKey {
  const stated = { replica, counter, forgotten };
  const signature = (cluster.signers[replica] as Signer).sign(newKeyBytes(testInstance, stated));
  return { instance: testInstance, ...stated, signature };
}

function play(seed: number): string | undefined {
  const prng = new Prng(seed);
  const faults = 1 + (seed % 2);
  const cluster = new TestCluster({ seed, faults, clients: 2, parameters });
  const n = 3 * faults + 1;
  const all = [...Array(n).keys()];
  for (const member of all) {
    cluster.recover(member);
    const times = member + 1;
    if (!cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-done') >= times))
      return 'first recoveries';
  }
  const shift = prng.below(n);
  const liars = all.slice(0, faults).map((each) => (each + shift) % n);
  const honest = all.filter((each) => !liars.includes(each));
  const pick = (of: readonly number[]): number => of[prng.below(of.length)] as number;
  let answers = true;
  cluster.filter = (from, _to, { name }) =>
    answers ||
    !liars.includes(from) ||
    !(name === 'replyStable' || name === 'requestReply' || name === 'newKey');
  for (let step = 0; step < 60; step++) {
    const author = pick(honest);
    const counter = [3 + prng.below(40), 2 ** 20 - prng.below(10), 2 ** 21, 2 ** 36 - 1][
      prng.below(10) < 7 ? 0 : prng.below(4)
    ] as number;
    const forgotten = [0, counter, prng.below(Math.min(counter, 50)), 2 ** 35][
      prng.below(8) < 7 ? prng.below(3) : 3
    ] as number;
    const move = prng.below(10);
    if (move < 5) {
      const message = newKey(cluster, author, counter, forgotten);
      for (const to of honest)
        if (prng.below(2) === 0) cluster.speak(pick(liars), to, 'newKey', message);
    } else if (move < 7) cluster.recover(author);
    else if (move === 7) {
      cluster.crash(author);
      cluster.run(cluster.nowMs + prng.below(100));
      cluster.restart(author);
    } else if (move === 8) answers = !answers;
    cluster.client(prng.below(2)).write();
    cluster.run(cluster.nowMs + ([1, 5, 20, 300, 3000][prng.below(5)] as number));
  }
  // All that liars can do from now on is to be silent.
  cluster.filter = (from, to) => !liars.includes(from) && !liars.includes(to);
  const { length } = cluster.outcomes;
  cluster.client(0).write();
  if (!cluster.run(cluster.nowMs + 400_000, () => cluster.outcomes.length > length))
    return 'stands';
  const recovering = (): number[] =>
    honest.filter((each) => cluster.replica(each).engine.status().status === 'recovering');
  if (!cluster.run(cluster.nowMs + 100_000, () => recovering().length === 0))
    return `recovering ${recovering().length}`;
  return cluster.problems().length > 0 ? cluster.problems().join(';') : undefined;
}

describe('NEW-KEYs signed ahead, shown at random', () => {
  it('keep no recovery from ending, nor the group from working', () => {
    const found: string[] = [];
    for (let seed = 0; seed < 24; seed++) {
      const what = play(seed);
      if (what !== undefined) found.push(`${seed}: ${what}`);
    }
    expect(found).toEqual([]);
  });
});
