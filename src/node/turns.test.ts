import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { Turns, type Worker } from './turns.ts';

interface Traits {
  readonly frames?: number;
  /** What one frame takes. */
  readonly ms: number;
  readonly isKnown?: boolean;
  readonly isInVain?: boolean;
  /** What receiving one takes besides, outside of any turn. */
  readonly receiptMs?: number;
}

type StageWorker = Worker & { isKnown: boolean; isDone: boolean };

class Stage {
  nowMs = 0;
  readonly done: string[] = [];
  readonly spentMs: Record<string, number> = {};
  #doneBefore = 0;
  /** What receiving more in place of what was handled takes. */
  #arrivingMs = 0;
  readonly #timers: { atMs: number; then: () => void }[] = [];
  /** So often a peer was made to wait for what it had done in vain. */
  held = 0;
  /** Which part of all time this process gets of its processor. */
  granted = 1;
  readonly turns = new Turns(() => (this.held += 1), {
    nowMs: () => this.nowMs,
    grantedMs: () => this.nowMs * this.granted,
    after: (delayMs, then) => this.#timers.push({ atMs: this.nowMs + delayMs, then }),
  });

  /** A connection with so many frames, without end unless given. */
  worker(peer: string, traits: Traits): StageWorker {
    const { frames, ms, isKnown = true, isInVain = false, receiptMs = 0 } = traits;
    let receivedMs = 0;
    let left = frames ?? Number.POSITIVE_INFINITY;
    return {
      peer: peer as PeerId,
      isKnown,
      isDone: false,
      inVainMsMax: isInVain ? 1 : 0,
      receiptMs,
      takeReceiptMs: () => {
        const taken = receivedMs;
        receivedMs = 0;
        return taken;
      },
      work: () => {
        this.nowMs += ms;
        this.#arrivingMs += receiptMs;
        receivedMs += receiptMs;
        this.done.push(peer);
        this.spentMs[peer] = (this.spentMs[peer] ?? 0) + ms + receiptMs;
        left -= 1;
        return left > 0;
      },
      caughtUp() {
        this.isDone = true;
      },
    };
  }

  /** One turn of the event loop, which takes a little time of its own, and waits when there is nothing to do. */
  async loop(): Promise<void> {
    this.nowMs += this.done.length > this.#doneBefore ? 1 / 128 : 1;
    this.#doneBefore = this.done.length;
    this.nowMs += this.#arrivingMs;
    this.#arrivingMs = 0;
    for (const timer of this.#timers.splice(0)) {
      if (timer.atMs <= this.nowMs) timer.then();
      else this.#timers.push(timer);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }

  async until(ms: number): Promise<void> {
    while (this.nowMs < ms) await this.loop();
  }

  /** Share of a peer in all time that has gone by. */
  share(peer: string): number {
    return (this.spentMs[peer] ?? 0) / this.nowMs;
  }
}

describe('turns', () => {
  it('are not waited for while there is little to do', () => {
    const stage = new Stage();
    expect(stage.turns.run(stage.worker('a', { frames: 3, ms: 0.2 }))).toBe(true);
    expect(stage.turns.run(stage.worker('b', { frames: 3, ms: 0.2 }))).toBe(true);
    expect(stage.done.join('')).toBe('aaabbb');
  });

  it('end after a slice of each, so that everything else goes on between them', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', { frames: 1000, ms: 0.5 });
    expect(stage.turns.run(flood)).toBe(false);
    expect(stage.done).toHaveLength(2);
    for (let turn = 2; turn <= 5; turn++) {
      await stage.loop();
      expect(stage.done).toHaveLength(2 * turn);
    }
    expect(flood.isDone).toBe(false);
  });

  it('take no longer than is good for what else there is to do, however many wait', async () => {
    const stage = new Stage();
    for (let i = 0; i < 50; i++) stage.turns.run(stage.worker(`${i}`, { ms: 1 }));
    await stage.loop();
    const beforeMs = stage.nowMs;
    await stage.loop();
    expect(stage.nowMs - beforeMs).toBeLessThan(12);
  });

  it('go round, however much one has to do, and each is told when it has caught up', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', { frames: 100, ms: 2 });
    expect(stage.turns.run(flood)).toBe(false);
    const late = stage.worker('b', { frames: 3, ms: 2 });
    expect(stage.turns.run(late)).toBe(false);
    await stage.until(20);
    expect(late.isDone).toBe(true);
    expect(stage.done.lastIndexOf('b')).toBeLessThan(7);
    await stage.until(300);
    expect(flood.isDone).toBe(true);
    expect(stage.done.filter((name) => name === 'a')).toHaveLength(100);
  });

  it('are not waited for behind a flood by who asks for less than its share', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('flood', { ms: 0.5 }));
    for (let i = 0; i < 20; i++) {
      await stage.loop();
      expect(stage.turns.run(stage.worker('modest', { frames: 1, ms: 0.5 }))).toBe(true);
    }
  });

  it('leave a flood all that nobody else wants', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('flood', { ms: 0.5 }));
    await stage.until(1000);
    expect(stage.share('flood')).toBeGreaterThan(0.95);
  });

  it('give a peer no more than another one, however many connections it has', async () => {
    const stage = new Stage();
    for (let i = 0; i < 64; i++) stage.turns.run(stage.worker('liar', { ms: 1 }));
    stage.turns.run(stage.worker('honest', { ms: 1 }));
    await stage.until(10_000);
    expect(stage.share('honest')).toBeGreaterThan(0.45);
  });

  it('give a peer no more than another one, however long its frames take', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('liar', { ms: 36 }));
    stage.turns.run(stage.worker('honest', { ms: 1 }));
    await stage.until(10_000);
    expect(stage.share('honest')).toBeGreaterThan(0.45);
    expect(stage.share('liar')).toBeGreaterThan(0.45);
  });

  it('let nobody save up time, nor owe for what nobody else wanted', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('late', { frames: 1, ms: 0.5 }));
    stage.turns.run(stage.worker('early', { ms: 1 }));
    await stage.until(1000);
    stage.turns.run(stage.worker('late', { ms: 1 }));
    const before = stage.done.length;
    await stage.until(1100);
    const late = stage.done.slice(before).filter((name) => name === 'late').length;
    expect(late).toBeGreaterThan(40);
    expect(late).toBeLessThan(60);
  });

  it('give strangers together no more than those who are known', async () => {
    const stage = new Stage();
    for (let i = 0; i < 50; i++) {
      stage.turns.run(stage.worker(`s${i}`, { ms: 1, isKnown: false }));
    }
    stage.turns.run(stage.worker('k', { ms: 1 }));
    await stage.until(1000);
    expect(stage.share('k')).toBeGreaterThan(0.45);
    expect(stage.share('k')).toBeLessThan(0.55);
  });

  it('count a stranger as known from when it is, though it waits already', async () => {
    const stage = new Stage();
    for (let i = 0; i < 50; i++) {
      stage.turns.run(stage.worker(`s${i}`, { ms: 1, isKnown: false }));
    }
    const greeting = stage.worker('k', { ms: 1, isKnown: false });
    stage.turns.run(greeting);
    await stage.until(100);
    greeting.isKnown = true;
    await stage.until(2000);
    expect(stage.share('k')).toBeGreaterThan(0.4);
  });
});

it('give a peer no more than another one, however much has to be received of what it sends', async () => {
  const stage = new Stage();
  stage.turns.run(stage.worker('liar', { ms: 0.1, receiptMs: 0.9 }));
  stage.turns.run(stage.worker('honest', { ms: 1 }));
  await stage.until(10_000);
  expect(stage.share('honest')).toBeGreaterThan(0.45);
  expect(stage.share('liar')).toBeGreaterThan(0.45);
});

describe('what is of no use', () => {
  it('is given little time, even when nobody else wants it', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', { ms: 0.1, isInVain: true });
    stage.turns.run(flood);
    await stage.until(5000);
    expect(stage.share('a')).toBeLessThan(0.15);
    expect(stage.share('a')).toBeGreaterThan(0.05);
    expect(stage.held).toBeGreaterThan(10);
  });

  it('is given as small a part of what a process gets that has to wait for its processor', async () => {
    const stage = new Stage();
    stage.granted = 0.2;
    stage.turns.run(stage.worker('a', { ms: 0.1, isInVain: true }));
    await stage.until(10_000);
    expect(stage.share('a')).toBeLessThan(0.03);
    expect(stage.share('a')).toBeGreaterThan(0.01);
  });

  it('counts what receiving it took, too', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('a', { ms: 0.1, receiptMs: 0.4, isInVain: true }));
    await stage.until(5000);
    expect(stage.share('a')).toBeLessThan(0.15);
  });

  it('is counted by peer, not by connection, and holds up nobody else', async () => {
    const stage = new Stage();
    for (let i = 0; i < 64; i++) stage.turns.run(stage.worker('a', { ms: 0.1, isInVain: true }));
    stage.turns.run(stage.worker('b', { ms: 0.1 }));
    await stage.until(5000);
    expect(stage.share('a')).toBeLessThan(0.15);
    expect(stage.share('b')).toBeGreaterThan(0.8);
  });

  it('counts no more than it can take, however long the process had to wait for its processor', async () => {
    const stage = new Stage();
    stage.turns.run(stage.worker('a', { ms: 20, isInVain: true }));
    await stage.until(5000);
    expect(stage.share('a')).toBeGreaterThan(0.9);
  });

  it('is forgiven in time', async () => {
    const stage = new Stage();
    const flood = stage.worker('a', { frames: 700, ms: 0.1, isInVain: true });
    stage.turns.run(flood);
    await stage.until(400);
    expect(flood.isDone).toBe(true);
    expect(stage.turns.run(stage.worker('a', { frames: 1, ms: 0.1 }))).toBe(true);
  });
});

it('keeps nothing of peers that come once', async () => {
  const stage = new Stage();
  const held = stage.worker('flood', { ms: 0.1, isInVain: true });
  stage.turns.run(held);
  for (let i = 0; i < 5000; i++) {
    stage.turns.run(stage.worker(`${i}`, { frames: 1, ms: 0.001, isKnown: false }));
    if (i % 100 === 0) await stage.loop();
  }
  expect(stage.turns.peersCount).toBeLessThan(2100);
  expect(stage.share('flood')).toBeLessThan(1);
});
