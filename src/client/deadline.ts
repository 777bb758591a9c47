// Deadlines: every operation ends in time, and an interruption by the caller ends it at once.

import { setMaxListeners } from 'node:events';
import type { Timers } from '../env/clock.ts';

export interface Deadline {
  readonly signal: AbortSignal;
  /** To be called when the operation is over. */
  end(): void;
}

/** A signal that aborts after `timeoutMs`, or with any of `others`. */
export function deadline(
  timers: Timers,
  timeoutMs: number,
  ...others: readonly (AbortSignal | undefined)[]
): Deadline {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const timer = timers.after(timeoutMs, abort);
  const signals = others.filter((signal) => signal !== undefined);
  for (const signal of signals) {
    // Many operations may share their caller's signal; each takes its listener off again.
    setMaxListeners(0, signal);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort);
  }
  return {
    signal: controller.signal,
    end() {
      timer.cancel();
      for (const signal of signals) signal.removeEventListener('abort', abort);
    },
  };
}
