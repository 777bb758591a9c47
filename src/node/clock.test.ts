import { expect, test } from 'vitest';
import { systemClock, systemTimers } from './clock.ts';

test('a timer never fires early, and a cancelled one never', async () => {
  let cancelled = false;
  systemTimers
    .after(1, () => {
      cancelled = true;
    })
    .cancel();
  for (const delayMs of [0, 0.4, 3, 7.5]) {
    const startMs = systemClock.nowMs();
    await new Promise<void>((resolve) => systemTimers.after(delayMs, resolve));
    expect(systemClock.nowMs() - startMs).toBeGreaterThanOrEqual(delayMs);
  }
  expect(cancelled).toBe(false);
});

test('a very long delay does not fire at once', async () => {
  let fired = false;
  const timer = systemTimers.after(1e12, () => {
    fired = true;
  });
  await new Promise<void>((resolve) => systemTimers.after(5, resolve));
  timer.cancel();
  expect(fired).toBe(false);
});
