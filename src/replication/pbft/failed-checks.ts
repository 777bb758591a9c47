// Whose signatures fail. A wrong proof on a channel is the fault of whoever the channel belongs to: a client signs for
// itself, and a member checks all that it hands on or orders. So each may cause few checks that come to nothing. And whose
// signatures hold and contradict each other.

import { limits } from '../../wire/limits.ts';

/** So many failures of one within this time; then nothing of it is checked until that is over. */
const failuresMax = 16;
const failuresWithinMs = 1000;

export class FailedChecks {
  /** Who failed lately, in order of when that began: keys of clients, indexes of members. */
  readonly #failures = new Map<string | number, { readonly sinceMs: number; count: number }>();

  /** Whether nothing of it is to be checked now. */
  isThrottled(whom: string | number, nowMs: number): boolean {
    const failed = this.#failures.get(whom);
    if (failed === undefined || failed.count < failuresMax) return false;
    return nowMs - failed.sinceMs < failuresWithinMs;
  }

  get isEmpty(): boolean {
    return this.#failures.size === 0;
  }

  note(whom: string | number, nowMs: number): void {
    const failed = this.#failures.get(whom);
    if (failed !== undefined && nowMs - failed.sinceMs < failuresWithinMs) {
      failed.count += 1;
      return;
    }
    this.#failures.delete(whom);
    if (this.#failures.size >= limits.throttledClientsMax) dropOldest(this.#failures);
    this.#failures.set(whom, { sinceMs: nowMs, count: 1 });
  }
}

/** Clients that were proved to contradict themselves: what they contradict after that is neither checked nor proved. */
export class CaughtClients {
  readonly #keys = new Set<string>();

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  note(key: string): void {
    if (this.#keys.size >= limits.caughtClientsMax) dropOldest(this.#keys);
    this.#keys.add(key);
  }
}

function dropOldest<Key>(kept: Map<Key, unknown> | Set<Key>): void {
  for (const oldest of kept.keys()) {
    kept.delete(oldest);
    return;
  }
}
