import { describe, expect, it } from 'vitest';
import { FairShare } from './fair-share.ts';

/** A clock that only work moves, and timers that fire when asked to. */
function machine() {
  let nowMs = 0;
  const due: (() => void)[] = [];
  const share = new FairShare(
    { nowMs: () => nowMs },
    {
      after(_, action) {
        due.push(action);
        return { cancel() {} };
      },
    },
  );
  const done: number[] = [];
  const work = (id: number, costMs: number) =>
    share.run(() => {
      nowMs += costMs;
      done.push(id);
    });
  return { work, done, due, idle: (ms: number) => (nowMs += ms), turn: () => due.shift()?.() };
}

describe('FairShare', () => {
  it('works at once while little is asked', () => {
    const { work, done, due, idle } = machine();
    for (let id = 1; id <= 50; id++) {
      work(id, 1);
      idle(1);
    }
    expect(done).toHaveLength(50);
    expect(due).toHaveLength(0);
  });

  it('lets others come after a slice, and goes on slice by slice in order', () => {
    const { work, done, due, turn } = machine();
    for (let id = 1; id <= 20; id++) work(id, 2);
    expect(done).toEqual([1, 2, 3]);
    expect(due).toHaveLength(1);
    turn();
    expect(done).toEqual([1, 2, 3, 4, 5, 6]);
    while (due.length > 0) turn();
    expect(done).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  it('works at once again when nothing waits any more', () => {
    const { work, done, turn } = machine();
    work(1, 10);
    work(2, 1);
    expect(done).toEqual([1]);
    turn();
    work(3, 1);
    expect(done).toEqual([1, 2, 3]);
  });
});
