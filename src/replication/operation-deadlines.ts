// When the operations of a client are given up, all after the same time.

import { HoldfastError } from '../base/errors.ts';
import type { Operation } from './client-operation.ts';
import type { GroupReach } from './group-silence.ts';

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

  /** Ends those that have waited for too long. @param group says who of it is there. @returns them. */
  expire(nowMs: number, group: { readonly reach: GroupReach }): Operation[] {
    const over: Operation[] = [];
    for (const [operation, atMs] of this.#waiting) {
      if (atMs > nowMs) break;
      over.push(operation);
      this.#waiting.delete(operation);
      operation.finish(timedOut(operation, this.#timeoutMs ?? 0, group.reach));
    }
    return over;
  }
}

function timedOut(operation: Operation, timeoutMs: number, reach: GroupReach): HoldfastError {
  const { members, connected } = reach;
  const there = connected === undefined ? '' : ` (${connected} of ${members} are connected)`;
  const what = `not enough members of the group answered within ${timeoutMs} ms${there}`;
  return new HoldfastError('unavailable', `${what}${fateOf(operation)}`, {
    cure: 'See which members run and can be reached, and by status() of each whether it takes part.',
    details: { timeoutMs, ...reach },
  });
}

/** What may have become of an operation that nobody waits for any more. A read changes nothing. */
function fateOf({ kind, isSent }: Operation): string {
  if (kind === 1) return '';
  return isSent
    ? '; the operation may have been executed or not, and may still be'
    : '; the operation was not sent, and is not executed';
}
