import { describe, expect, it } from 'vitest';
import { Turns, type Worker } from './turns.ts';

class Stage {
  nowMs = 0;
  readonly done: string[] = [];
  readonly turns = new Turns(() => this.nowMs);

  /** A worker with so many frames that each take `ms`. */
  worker(name: string, frames: number, ms: number, isKnown = true): Worker & { isDone: boolean } {
    let left = frames;
    return {
      isKnown,
      isDone: false,
      work: () => {
        this.nowMs += ms;
        this.done.push(name);
        left -= 1;
        return left > 0;
      },
      caughtUp() {
        this.isDone = true;
      },
    };
  }
}

const immediate = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('turns', () => {
  it('are not waited for while there is little to do', () => {
    const stage = new Stage();
    expect(stage.turns.run(stage.worker('a', 3, 1))).toBe(true);
    expect(stage.turns.run(stage.worker('b', 3, 1))).toBe(true);
    expect(stage.done.join('')).toBe('aaabbb');
  });

  it('end after a while, so that everything else goes on between them', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', 1000, 1);
    expect(stage.turns.run(flood)).toBe(false);
    expect(stage.done).toHaveLength(10);
    for (let turn = 2; turn <= 5; turn++) {
      await immediate();
      expect(stage.done).toHaveLength(10 * turn);
    }
    expect(flood.isDone).toBe(false);
  });

  it('go round, however much one has to do, and each is told when it has caught up', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', 100, 2);
    const late = stage.worker('b', 3, 2);
    expect(stage.turns.run(flood)).toBe(false);
    expect(stage.turns.run(late)).toBe(false);
    await immediate();
    await immediate();
    expect(late.isDone).toBe(true);
    expect(stage.done.lastIndexOf('b')).toBeLessThan(12);
    for (let i = 0; i < 40; i++) await immediate();
    expect(flood.isDone).toBe(true);
    expect(stage.done.filter((name) => name === 'a')).toHaveLength(100);
  });

  it('give strangers together no more than those who are known', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('x', 1000, 1, false));
    for (let i = 0; i < 50; i++) stage.turns.run(stage.worker('s', 1000, 1, false));
    stage.turns.run(stage.worker('k', 1000, 1));
    const before = stage.done.length;
    for (let i = 0; i < 20; i++) await immediate();
    const known = stage.done.slice(before).filter((name) => name === 'k').length;
    expect(known).toBeGreaterThanOrEqual(100);
  });
});
