import { describe, expect, it } from 'vitest';
import { RetryDelay } from './retry-delay.ts';

function delayAfter(latencies: readonly number[]): RetryDelay {
  const delay = new RetryDelay();
  for (const latencyMs of latencies) delay.note(latencyMs);
  return delay;
}
const times = (count: number, latencyMs: number): number[] => Array(count).fill(latencyMs);

describe('the delay before asking again', () => {
  it('is that of an unknown group first, and never below a floor', () => {
    expect(delayAfter([]).afterMs(0)).toBe(250);
    expect(delayAfter(times(50, 1)).afterMs(0)).toBe(50);
  });

  it('is little more than what steady answers take, and much more when they differ', () => {
    expect(delayAfter(times(50, 100)).afterMs(0)).toBeLessThan(110);
    const differing = Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? 50 : 150));
    expect(delayAfter(differing).afterMs(0)).toBeGreaterThan(250);
  });

  it('follows a group that has become slower than it', () => {
    const delay = delayAfter(times(50, 10));
    let late = 0;
    for (let i = 0; i < 40; i++) {
      if (delay.afterMs(0) < 800) late += 1;
      delay.note(800);
    }
    expect(late).toBeLessThan(12);
    expect(delay.afterMs(0)).toBeGreaterThan(800);
  });

  it('forgets one answer that took very long', () => {
    const delay = delayAfter([...times(50, 10), 5000]);
    expect(delay.afterMs(0)).toBeLessThan(200);
    for (const latencyMs of times(10, 10)) delay.note(latencyMs);
    expect(delay.afterMs(0)).toBe(50);
  });

  it('doubles with every retry in a row, up to a bound', () => {
    const delay = delayAfter(times(50, 1));
    expect([0, 1, 2, 20].map((retries) => delay.afterMs(retries))).toEqual([50, 100, 200, 10_000]);
  });
});
