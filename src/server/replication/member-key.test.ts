import { expect, test } from 'vitest';
import { HandTimers } from '../../../testing/node/tls-nodes.ts';
import { silentLog } from '../../env/log.ts';
import { refreshKeysInTime } from './member-key.ts';

test('keys are renewed soon after the clock is put right', () => {
  const lifetimeMs = 30 * 24 * 3_600_000;
  // The machine has started with a clock that is 60 days slow.
  let wrongMs = -60 * 24 * 3_600_000;
  let realMs = 1_700_000_000_000;
  const timeOfDayMs = (): number => realMs + wrongMs;
  const timers = new HandTimers();
  let expiresMs = timeOfDayMs() + lifetimeMs;
  refreshKeysInTime({
    timers,
    log: silentLog,
    timeOfDayMs,
    expiresMs: () => expiresMs,
    refresh: () => {
      expiresMs = timeOfDayMs() + lifetimeMs;
    },
  });
  realMs += 60_000;
  wrongMs = 0;
  // Clients refuse it.
  expect(expiresMs).toBeLessThan(realMs);
  timers.fireAll();
  expect(expiresMs).toBe(realMs + lifetimeMs);
});
