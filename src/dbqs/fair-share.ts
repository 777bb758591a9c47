// Keeps one channel from holding the event loop: a burst of requests that each cost a hash over a megabyte would
// otherwise be answered in one go, and nobody else meanwhile. A channel that has used up its slice waits for the others'
// turn with what it still wants.

import type { Clock, Timers } from '../env/clock.ts';

/** Working time after which a channel lets others come first. */
const sliceMs = 5;

export class FairShare {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #waiting: (() => void)[] = [];
  #spentMs = 0;
  #lastMs = 0;
  #scheduled = false;

  constructor(clock: Clock, timers: Timers) {
    this.#clock = clock;
    this.#timers = timers;
  }

  /** Does `work` now, or after what waits already. Works of one channel keep their order. */
  run(work: () => void): void {
    if (this.#scheduled) this.#waiting.push(work);
    else this.#timed(work);
  }

  #timed(work: () => void): void {
    const startMs = this.#clock.nowMs();
    // Time in which it did nothing counts for it.
    this.#spentMs = Math.max(0, this.#spentMs - (startMs - this.#lastMs));
    work();
    this.#lastMs = this.#clock.nowMs();
    this.#spentMs += this.#lastMs - startMs;
    if (this.#spentMs > sliceMs && !this.#scheduled) this.#yield();
  }

  #yield(): void {
    this.#scheduled = true;
    this.#timers.after(0, () => {
      this.#spentMs = 0;
      while (this.#waiting.length > 0 && this.#spentMs <= sliceMs) {
        const work = this.#waiting.shift();
        if (work !== undefined) this.#timed(work);
      }
      this.#scheduled = false;
      if (this.#waiting.length > 0) this.#yield();
    });
  }
}
