import type { Clock, Timer, Timers } from '../env/clock.ts';

/** The machine's monotonic clock. Setting the wall clock does not move it. */
export const systemClock: Clock = { nowMs: () => performance.now() };

/** The longest delay that the runtime keeps; above it a timer would fire at once. */
const delayMsMax = 2 ** 31 - 1;

function after(delayMs: number, action: () => void): Timer {
  if (delayMs <= 0) {
    const immediate = setImmediate(action);
    return { cancel: () => clearImmediate(immediate) };
  }
  const wholeMs = Math.min(Math.max(Math.ceil(delayMs), 0), delayMsMax);
  const startMs = performance.now();
  let handle: NodeJS.Timeout;
  const run = (): void => {
    // The runtime's timers count from a time cached at the start of the turn, so they may be a little early.
    const missingMs = delayMs - (performance.now() - startMs);
    if (missingMs > 0 && delayMs <= delayMsMax) arm(Math.ceil(missingMs));
    else action();
  };
  const arm = (armMs: number): void => {
    handle = setTimeout(run, armMs);
  };
  arm(wholeMs);
  return { cancel: () => clearTimeout(handle) };
}

/**
 * Timers that never fire early; delays end at about 24 days. A waiting timer keeps the process alive, because often it
 * is all that is left of an unfinished call (a retry while no server answers); owners cancel theirs when they close.
 */
export const systemTimers: Timers = { after };
