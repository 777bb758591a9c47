// Shares the event loop among the connections of a process. A socket hands over as much as has arrived, and a peer who
// sends work faster than it can be done would keep timers, sends and everybody else waiting for as long as it goes on.

/** What has frames to be handled. */
export interface Worker {
  /** Whether its peer is one that this process works for or with; strangers together get no more than those together. */
  readonly isKnown: boolean;
  /** Handles one frame. False when none is left after it. */
  work(): boolean;
  /** All its frames are handled. */
  caughtUp(): void;
}

/** Handling goes on for so long, then what else there is to do comes first. */
const turnMs = 10;
/** And for one connection for so long while others wait. */
const sliceMs = 1;

export class Turns {
  /** Who waits, known ones first and strangers second. */
  readonly #waiting: readonly [Worker[], Worker[]] = [[], []];
  #next = 0;
  #spentMs = 0;
  #isScheduled = false;
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /**
   * Lets a worker handle what has come, now if nobody waits and this turn is young, else after those who wait.
   * @returns whether it has caught up; if not, `caughtUp` tells it later, and it does not ask again before that.
   */
  run(worker: Worker): boolean {
    const [known, strangers] = this.#waiting;
    this.#schedule();
    if (known.length + strangers.length === 0 && this.#slice(worker, turnMs)) return true;
    (worker.isKnown ? known : strangers).push(worker);
    return false;
  }

  /** @returns whether it has caught up. */
  #slice(worker: Worker, untilSpentMs: number): boolean {
    while (this.#spentMs < untilSpentMs) {
      const startMs = this.#nowMs();
      const isMore = worker.work();
      this.#spentMs += this.#nowMs() - startMs;
      if (!isMore) return true;
    }
    return false;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#spentMs = 0;
      this.#turn();
    });
  }

  #turn(): void {
    for (;;) {
      const worker = this.#takeNext();
      if (worker === undefined) return;
      this.#schedule();
      const hasCaughtUp = this.#slice(worker, Math.min(this.#spentMs + sliceMs, turnMs));
      if (hasCaughtUp) worker.caughtUp();
      else this.#waiting[worker.isKnown ? 0 : 1].push(worker);
      if (this.#spentMs >= turnMs) return;
    }
  }

  /** Known ones and strangers take turns. */
  #takeNext(): Worker | undefined {
    this.#next = 1 - this.#next;
    return this.#waiting[this.#next]?.shift() ?? this.#waiting[1 - this.#next]?.shift();
  }
}
