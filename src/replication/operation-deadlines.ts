// When the operations of a client are given up, all after the same time.

import { HoldfastError } from '../base/errors.ts';
import type { Operation } from './client-operation.ts';

export class OperationDeadlines {
  readonly #timeoutMs: number | undefined;
  /** What waits, oldest first, with when it is over. */
  readonly #waiting = new Map<Operation, number>();

  /** @param timeoutMs undefined: never. */
  constructor(timeoutMs: number | undefined) {
    this.#timeoutMs = timeoutMs;
  }

  /** When the first of them is over; infinity when none is. */
  get nextMs(): number {
    for (const atMs of this.#waiting.values()) return atMs;
    return Number.POSITIVE_INFINITY;
  }

  /** An operation begins to wait. */
  begin(operation: Operation, nowMs: number): void {
    if (this.#timeoutMs !== undefined) this.#waiting.set(operation, nowMs + this.#timeoutMs);
  }

  settled(operation: Operation): void {
    this.#waiting.delete(operation);
  }

  /** Ends those that have waited for too long. @returns them. */
  expire(nowMs: number): Operation[] {
    const over: Operation[] = [];
    for (const [operation, atMs] of this.#waiting) {
      if (atMs > nowMs) break;
      over.push(operation);
      this.#waiting.delete(operation);
      operation.finish(timedOut(operation, this.#timeoutMs ?? 0));
    }
    return over;
  }
}

function timedOut({ kind }: Operation, timeoutMs: number): HoldfastError {
  const what = `not enough members of the group answered within ${timeoutMs} ms`;
  return new HoldfastError(
    'unavailable',
    kind === 1 ? what : `${what}; the operation may have been executed or not, and may still be`,
    {
      cure: 'See which members run and can be reached: the log says group-silent, and status() of each tells whether it takes part.',
      details: { timeoutMs },
    },
  );
}
