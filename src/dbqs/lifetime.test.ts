import { describe, expect, test } from 'vitest';
import type { Timer } from '../env/clock.ts';
import { Lifetime } from './lifetime.ts';

/** Timers that fire when told to. */
function manualTimers() {
  const waiting = new Set<() => void>();
  return {
    waiting,
    after(_: number, action: () => void): Timer {
      waiting.add(action);
      return { cancel: () => waiting.delete(action) };
    },
    fire(): void {
      for (const action of [...waiting]) {
        waiting.delete(action);
        action();
      }
    },
  };
}

describe('a lifetime', () => {
  test('its end leaves no timer, ends pauses and aborts what is under way', async () => {
    const timers = manualTimers();
    const lifetime = new Lifetime(timers);
    const pause = lifetime.pause(86_400_000);
    const { signal } = lifetime.deadline(1000);
    expect(timers.waiting.size).toBe(2);
    lifetime.end();
    await pause;
    expect(signal.aborted).toBe(true);
    expect(timers.waiting.size).toBe(0);
  });

  test('nothing waits after its end', async () => {
    const timers = manualTimers();
    const lifetime = new Lifetime(timers);
    lifetime.end();
    await lifetime.pause(1000);
    expect(lifetime.deadline(1000).signal.aborted).toBe(true);
    expect(timers.waiting.size).toBe(0);
  });

  test('a deadline that ended in time never aborts', () => {
    const timers = manualTimers();
    const lifetime = new Lifetime(timers);
    const met = lifetime.deadline(1000);
    const missed = lifetime.deadline(1000);
    met.end();
    expect(timers.waiting.size).toBe(1);
    timers.fire();
    lifetime.end();
    expect(met.signal.aborted).toBe(false);
    expect(missed.signal.aborted).toBe(true);
  });
});
