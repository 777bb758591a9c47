// What an intruder had a member sign for times to come, when it changes its keys: a liar shows it later, to whom and when it likes.

import { describe, expect, it } from 'vitest';
import type { Signer } from '../../crypto/signature.ts';
import type { NewKey } from '../../wire/pbft.ts';
import { newKeyBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';

const parameters = {
  checkpointInterval: 4,
  window: 8,
  timeoutMs: 200,
  timeoutMsMax: 2000,
  statusIntervalMs: 20,
  idleStatusIntervalMs: 100,
};

function write(cluster: TestCluster, times: number): void {
  for (let i = 0; i < times; i++) {
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(true);
  }
}

function newKey(cluster: TestCluster, replica: number, counter: number, forgotten: number): NewKey {
  const stated = { replica, counter, forgotten };
  const signature = (cluster.signers[replica] as Signer).sign(newKeyBytes(testInstance, stated));
  return { instance: testInstance, ...stated, signature };
}

/** Member 3 has recovered once: it is a correct one. Only member 1 lies from here on. */
function recoveredOnce(seed = 3): TestCluster {
  const cluster = new TestCluster({ seed, parameters });
  write(cluster, 6);
  cluster.recover(3);
  expect(cluster.run(cluster.nowMs + 10_000, () => cluster.count('recovery-done') === 1)).toBe(
    true,
  );
  cluster.run(cluster.nowMs + 1000);
  return cluster;
}

function goesOnWithout(cluster: TestCluster, silent: number, forMs = 120_000): boolean {
  const before = cluster.filter;
  cluster.filter = (from, to, message) =>
    from !== silent && to !== silent && before(from, to, message);
  const { length } = cluster.outcomes;
  cluster.client(0).write();
  return cluster.run(cluster.nowMs + forMs, () => cluster.outcomes.length > length);
}

describe('one NEW-KEY that an intruder had it sign, shown to a member that recovers', () => {
  it.each([
    ['control: a near one', 9, 0],
    ['of the last counter but one', 2 ** 36 - 1, 0],
    ['of a counter that nobody takes', 2 ** 21, 0],
    ['malformed: forgotten above counter', 5, 2 ** 35],
  ])('%s', (_, counter, forgotten) => {
    const cluster = recoveredOnce();
    cluster.recover(3);
    cluster.speak(1, 3, 'newKey', newKey(cluster, 3, counter, forgotten));
    const ended = cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === 2);
    const works = goesOnWithout(cluster, 1);
    cluster.crash(3);
    cluster.restart(3);
    const endedAfter = cluster.run(
      cluster.nowMs + 300_000,
      () => cluster.count('recovery-done') === 2,
    );
    const worksAfter = goesOnWithout(cluster, 1);
    expect({ ended, works, endedAfter, worksAfter }).toEqual({
      ended: true,
      works: true,
      endedAfter: true,
      worksAfter: true,
    });
  });
});

describe('a stock of NEW-KEYs signed ahead, of which the liar shows others the next one each time', () => {
  it.each([false, true])('ends all the same; of losses: %s', (isOfLoss) => {
    const lossOf = (counter: number): number => (isOfLoss ? counter : 0);
    const cluster = recoveredOnce();
    // What the others know of member 3, as the liar (whom everybody asks and tells) knows too.
    let top = 10;
    for (const to of [0, 2]) cluster.speak(1, to, 'newKey', newKey(cluster, 3, top, lossOf(top)));
    cluster.run(cluster.nowMs + 1000);
    // The liar is nearer than member 3: whenever that one says a newer NEW-KEY, it shows the next before.
    cluster.filter = (from, to, { name, value }) => {
      if (name === 'newKey' && from === 3 && to !== 1 && value.replica === 3) {
        if (value.counter > top) top = value.counter + 1;
        cluster.speak(1, to, 'newKey', newKey(cluster, 3, top, lossOf(top)));
      }
      return !(from === 1 && to === 3);
    };
    const beganMs = cluster.nowMs;
    cluster.recover(3);
    const ended = cluster.run(beganMs + 600_000, () => cluster.count('recovery-done') === 2);
    const works = goesOnWithout(cluster, 1);
    expect({ ended, works }).toEqual({ ended: true, works: true });
  });
});

describe('NEW-KEYs of losses signed ahead: one to its author first, the next to the others whenever it begins', () => {
  it('ends all the same', () => {
    const cluster = recoveredOnce();
    cluster.run(cluster.nowMs + 64 * 200);
    let top = 10;
    let isBurnt = false;
    cluster.filter = (from, to, { name, value }) => {
      if (name === 'newKey' && from === 3 && to !== 1 && value.replica === 3) {
        // While member 3 makes its channels anew the liar has its own: it is first. But not before it has made member 3 begin again.
        if (isBurnt) {
          if (value.counter > top) top = value.counter + 2;
          cluster.speak(1, to, 'newKey', newKey(cluster, 3, top, top));
        }
      }
      return !(from === 1 && to === 3);
    };
    const beganMs = cluster.nowMs;
    cluster.recover(3);
    isBurnt = true;
    cluster.speak(1, 3, 'newKey', newKey(cluster, 3, 5, 0));
    const ended = cluster.run(beganMs + 600_000, () => cluster.count('recovery-done') === 2);
    const works = goesOnWithout(cluster, 1);
    expect({ ended, works }).toEqual({ ended: true, works: true });
  });
});

describe('a NEW-KEY of a loss shown during a recovery, and a restart before that ends', () => {
  it.each([0, 9])('forgets nothing: %i', (forgotten) => {
    const cluster = recoveredOnce();
    for (const to of [0, 2]) cluster.speak(1, to, 'newKey', newKey(cluster, 3, 9, forgotten));
    cluster.run(cluster.nowMs + 1000);
    cluster.recover(3);
    cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-started') === 3);
    cluster.run(cluster.nowMs + 2);
    cluster.crash(3);
    cluster.restart(3);
    cluster.run(cluster.nowMs + 1);
    const works = goesOnWithout(cluster, 1, 300_000);
    const ended = cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === 2);
    expect({ ended, works }).toEqual({ ended: true, works: true });
  });
});

describe('pages that are being read when a recovery begins again', () => {
  /** Reads as the host gives them: nothing is saved, and no others are read, before they are read to the end or let go. */
  function recoverBeside(isShown: boolean): object {
    const cluster = recoveredOnce();
    let isReading = false;
    let reads = 0;
    let waiting: (() => void)[] = [];
    const handle = cluster.handle.bind(cluster);
    const letGo = (): void => {
      isReading = false;
      const all = waiting;
      waiting = [];
      for (const run of all) cluster.plan(0, run);
    };
    cluster.handle = (replica, event) => {
      if (replica.index !== 3) return handle(replica, event);
      const isOfDisk = event.kind === 'reloaded' || event.kind === 'saved';
      if (isOfDisk && isReading) {
        waiting.push(() => cluster.handle(replica, event));
        return;
      }
      if (event.kind !== 'reloaded' || event.checkpoint === undefined)
        return handle(replica, event);
      const pages = [...event.checkpoint.pages];
      // A large state takes several turns.
      for (let page = 0; page < 20_000; page++)
        pages.push({ region: 'service', page: 1_000_000 + page, bytes: undefined });
      let next = 0;
      const end = (): IteratorReturnResult<undefined> => {
        if (isReading) letGo();
        return { done: true, value: undefined };
      };
      const held = {
        [Symbol.iterator]: () => held,
        next: () => {
          const value = pages[next++];
          return value === undefined ? end() : { done: false as const, value };
        },
        return: end,
      };
      isReading = true;
      reads += 1;
      handle(replica, { kind: 'reloaded', checkpoint: { ...event.checkpoint, pages: held } });
      if (reads === 1 && isShown) cluster.speak(1, 3, 'newKey', newKey(cluster, 3, 9, 0));
    };
    cluster.recover(3);
    const ended = cluster.run(cluster.nowMs + 300_000, () => cluster.count('recovery-done') === 2);
    cluster.run(cluster.nowMs + 100);
    const heldForEver = isReading;
    // More than a window, so that checkpoints must become stable.
    let works = true;
    for (let i = 0; i < 12 && works; i++) works = goesOnWithout(cluster, 1);
    return { ended, heldForEver, works };
  }
  it.each([false, true])('are let go: %s', (isShown) => {
    expect(recoverBeside(isShown)).toEqual({ ended: true, heldForEver: false, works: true });
  });
});

describe('a NEW-KEY of a loss, signed ahead, shown while its author does not recover', () => {
  it.each([false, true])('does not keep the group from changing views; shown: %s', (isShown) => {
    const cluster = new TestCluster({ seed: 3, parameters });
    write(cluster, 6);
    cluster.recover(3);
    expect(cluster.run(cluster.nowMs + 40_000, () => cluster.count('recovery-done') === 1)).toBe(
      true,
    );
    cluster.run(cluster.nowMs + 1000);
    const liar = cluster.replica(0).engine.status().primary as number;
    const others = [0, 1, 2].filter((each) => each !== liar);
    if (isShown)
      for (const to of others) cluster.speak(liar, to, 'newKey', newKey(cluster, 3, 9, 9));
    cluster.run(cluster.nowMs + 1000);
    cluster.filter = (from, to) => from !== liar && to !== liar;
    const { length } = cluster.outcomes;
    cluster.client(0).write();
    const works = cluster.run(cluster.nowMs + 600_000, () => cluster.outcomes.length > length);
    expect(works).toBe(true);
  });
});

describe('a loss of another one, signed ahead, that a liar tells a member which has lost its disk', () => {
  it.each([false, true])('does not keep views from beginning afterwards: %s', (isTold) => {
    const cluster = new TestCluster({ seed: 5, faults: 2, parameters });
    for (let i = 0; i < 6; i++) {
      const { length } = cluster.outcomes;
      cluster.client(0).write();
      expect(cluster.run(cluster.nowMs + 10_000, () => cluster.outcomes.length > length)).toBe(
        true,
      );
    }
    const liar = cluster.replica(1).engine.status().primary as number;
    const [author, lost, silent] = [1, 2, 3, 4, 5, 6].filter((each) => each !== liar) as [
      number,
      number,
      number,
    ];
    // It was broken into, and is a correct one again.
    cluster.recover(author);
    expect(cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-done') === 1)).toBe(
      true,
    );
    cluster.run(cluster.nowMs + 1000);
    cluster.wipe(lost);
    cluster.run(cluster.nowMs + 5);
    if (isTold) cluster.speak(liar, lost, 'newKey', newKey(cluster, author, 9, 9));
    expect(cluster.run(cluster.nowMs + 60_000, () => cluster.count('recovery-done') === 2)).toBe(
      true,
    );
    cluster.run(cluster.nowMs + 5000);
    const { length } = cluster.outcomes;
    // Two faulty ones: the liar, and one that has stopped.
    cluster.filter = (from, to) => ![from, to].some((each) => each === liar || each === silent);
    cluster.client(0).write();
    const works = cluster.run(cluster.nowMs + 600_000, () => cluster.outcomes.length > length);
    expect(works).toBe(true);
  });
});
