import { describe, expect, it } from 'vitest';
import { Simulation, SimulationFailed } from './simulation.ts';

describe('virtual time', () => {
  it('runs events by time, and those of one instant in the order of scheduling', async () => {
    const simulation = new Simulation({ seed: 1 });
    const order: string[] = [];
    simulation.after(2, () => order.push('c'));
    simulation.after(1, () => order.push('a'));
    simulation.after(1, () => order.push('b'));
    simulation.after(0, () => simulation.after(1, () => order.push('after b')));
    await simulation.runFor(5);
    expect(order).toEqual(['a', 'b', 'after b', 'c']);
    expect(simulation.nowMs).toBe(5);
  });

  it('keeps its order in a heap of many events, half of them cancelled', async () => {
    const simulation = new Simulation({ seed: 2 });
    const fired: number[] = [];
    const events = Array.from({ length: 5000 }, (_, index) => {
      const delayMs = simulation.prng.below(100);
      return simulation.after(delayMs, () => fired.push(delayMs * 10_000 + index));
    });
    for (const event of simulation.prng.shuffled(events).slice(0, 3000)) simulation.cancel(event);
    await simulation.runFor(100);
    expect(fired).toHaveLength(2000);
    expect(fired).toEqual([...fired].sort((a, b) => a - b));
  });

  it('lets promise jobs run dry between two events', async () => {
    const simulation = new Simulation({ seed: 1 });
    const order: string[] = [];
    const work = async (name: string): Promise<void> => {
      for (let i = 0; i < 5; i++) {
        order.push(`${name}${i}`);
        await Promise.resolve();
      }
    };
    for (const name of ['a', 'b', 'c']) simulation.after(1, () => void work(name));
    await simulation.runFor(1);
    expect(order.join(' ')).toBe('a0 a1 a2 a3 a4 b0 b1 b2 b3 b4 c0 c1 c2 c3 c4');
  });

  it('stops as soon as a condition holds, and says when it does not', async () => {
    const simulation = new Simulation({ seed: 1 });
    let count = 0;
    const tick = (): void => {
      count++;
      simulation.after(1, tick);
    };
    tick();
    expect(await simulation.runUntil(() => count === 4, 100)).toBe(true);
    expect(simulation.nowMs).toBe(3);
    expect(await simulation.runUntil(() => count === 400, 100)).toBe(false);
    expect(simulation.nowMs).toBe(103);
  });

  it('gives the outcome of a promise, or fails when it does not come', async () => {
    const simulation = new Simulation({ seed: 77 });
    const later = new Promise<string>((resolve) => simulation.after(10, () => resolve('done')));
    expect(await simulation.complete(later, 100)).toBe('done');
    expect(simulation.nowMs).toBe(10);
    const refused = Promise.reject(new RangeError('no'));
    await expect(simulation.complete(refused, 1)).rejects.toThrow(RangeError);
    const never = simulation.complete(new Promise(() => {}), 5);
    await expect(never).rejects.toThrow('seed 77, at 0.015 s: nothing came within 5 ms');
  });

  it('fails with seed, time and cause when an event throws, and stays failed', async () => {
    const simulation = new Simulation({ seed: 5 });
    simulation.after(7, () => {
      throw new RangeError('broken');
    });
    const run = simulation.runFor(10);
    await expect(run).rejects.toThrow(SimulationFailed);
    await expect(simulation.runFor(1)).rejects.toThrow(
      'seed 5, at 0.007 s: an event threw: broken',
    );
  });

  it('fails when a promise is rejected and nobody looks at it', async () => {
    // The run of the test before stops listening first.
    await new Promise((resolve) => setImmediate(resolve));
    // The test runner would take the rejection for a fault of its own.
    const listeners = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    try {
      const [simulation, other] = [new Simulation({ seed: 9 }), new Simulation({ seed: 8 })];
      simulation.after(2, async () => {
        await Promise.resolve();
        throw new RangeError('forgotten');
      });
      const others = other.runFor(50);
      await expect(simulation.runFor(5)).rejects.toThrow(/^seed 9, at 0.002 s.*forgotten$/);
      await others;
    } finally {
      for (const listener of listeners) process.on('unhandledRejection', listener);
    }
  });

  it('notices when time stands still', async () => {
    const simulation = new Simulation({ seed: 1, eventsPerInstantMax: 1000 });
    const spin = (): void => {
      simulation.after(0, spin, 'spinner');
    };
    simulation.after(3, spin);
    await expect(simulation.runFor(10)).rejects.toThrow(/time stands still.*spinner/);
  });

  it('refuses two runs at a time', async () => {
    const simulation = new Simulation({ seed: 1 });
    const first = simulation.runFor(1);
    await expect(simulation.runFor(1)).rejects.toThrow('two runs');
    await first;
  });
});

describe('the trace', () => {
  it('has a hash that depends on every part of every entry', () => {
    const hashes = new Set<string>();
    const hashOf = (text: string, atUs: number): string => {
      const simulation = new Simulation({ seed: 1 });
      const subject = simulation.trace.subject('a');
      simulation.trace.nowUs = atUs;
      simulation.trace.note('kind', subject, text);
      return simulation.trace.hash();
    };
    for (const text of ['', 'x', 'y', 'xy', 'yx']) {
      for (const atUs of [0, 1, 2 ** 32, 2 ** 33]) hashes.add(hashOf(text, atUs));
    }
    expect(hashes.size).toBe(20);
    expect(hashOf('x', 1)).toBe(hashOf('x', 1));
  });

  it('keeps the newest lines, in order, without changing the hash', () => {
    const seen: string[] = [];
    const onTraceLine = (line: string): void => void seen.push(line);
    const recorded = new Simulation({ seed: 1, traceLinesKept: 3, onTraceLine });
    const silent = new Simulation({ seed: 1 });
    for (const { trace } of [recorded, silent]) {
      const subject = trace.subject('a');
      for (let i = 0; i < 8; i++) trace.note('step', subject, `${i}`);
    }
    expect(recorded.trace.lines()).toEqual(['0 step a 5', '0 step a 6', '0 step a 7']);
    expect(seen).toHaveLength(8);
    expect(recorded.trace.hash()).toBe(silent.trace.hash());
  });
});
