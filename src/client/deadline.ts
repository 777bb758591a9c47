// Deadlines: every operation ends in time, and an interruption by the caller ends it at once.

import { setMaxListeners } from 'node:events';
import { type Cancellation, Canceller } from '../base/cancellation.ts';
import type { Timers } from '../env/clock.ts';

export interface Deadline {
  readonly signal: Cancellation;
  /** To be called when the operation is over. */
  end(): void;
}

/** A signal that aborts after `timeoutMs`, or with any of `others`. */
export function deadline(
  timers: Timers,
  timeoutMs: number,
  ...others: readonly (Cancellation | undefined)[]
): Deadline {
  const canceller = new Canceller();
  const abort = (): void => canceller.abort();
  const timer = timers.after(timeoutMs, abort);
  const signals = others.filter((signal) => signal !== undefined);
  for (const signal of signals) {
    // Many operations may share their caller's signal; each takes its listener off again.
    if (signal instanceof AbortSignal) setMaxListeners(0, signal);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort);
  }
  return {
    signal: canceller,
    end() {
      timer.cancel();
      for (const signal of signals) signal.removeEventListener('abort', abort);
    },
  };
}
