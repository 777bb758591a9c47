// The time during which a replica works in the background. Its pauses and deadlines end with it: a timer left behind
// would keep the process alive, up to the next scrub a day later.

import { type Cancellation, Canceller } from '../base/cancellation.ts';
import type { Timer, Timers } from '../env/clock.ts';

export interface Deadline {
  readonly signal: Cancellation;
  /** To be called when what it bounds is over. */
  end(): void;
}

export class Lifetime {
  readonly #timers: Timers;
  /** Each ends one pause or deadline at once. */
  readonly #running = new Set<() => void>();
  #over = false;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Resolves after `delayMs`, or when the lifetime ends. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#start(delayMs, resolve);
    });
  }

  /** Aborts after `timeoutMs`, or when the lifetime ends. */
  deadline(timeoutMs: number): Deadline {
    const canceller = new Canceller();
    const end = this.#start(timeoutMs, () => canceller.abort());
    return { signal: canceller, end };
  }

  /** Ends all that waits, now and later. */
  end(): void {
    this.#over = true;
    for (const finish of [...this.#running]) finish();
  }

  /** @returns forgets the action. */
  #start(delayMs: number, action: () => void): () => void {
    if (this.#over) {
      action();
      return () => undefined;
    }
    let timer: Timer | undefined;
    const forget = (): void => {
      timer?.cancel();
      this.#running.delete(finish);
    };
    const finish = (): void => {
      forget();
      action();
    };
    this.#running.add(finish);
    timer = this.#timers.after(delayMs, finish);
    return forget;
  }
}
