// How much that is large a primary has proposed and is not done yet. Everything is executed in order, so what is small
// must not be proposed behind much of it.

import { limits } from '../wire/limits.ts';
import { isLarge } from './fair-queue.ts';

/** So many batches after one with a small request there is nothing small about any more. */
const smallRememberedBatches = 32;

export class InFlight {
  /** Oldest first, with what is large in them; those that are done go when it is asked. */
  #batches: { readonly sequence: number; readonly sizeBytes: number }[] = [];
  #sizeBytes = 0;
  /** Up to here something small counts as being about. */
  #smallUntil = 0;

  /** Another view: what was proposed is done, or comes again by other ways. */
  clear(): void {
    this.#batches = [];
    this.#sizeBytes = 0;
  }

  note(requests: readonly { readonly sizeBytes: number }[], sequence: number): void {
    let sizeBytes = 0;
    for (const request of requests) {
      // What is small is in nobody's way: a steady stream of it must not keep what is large waiting for ever.
      if (isLarge(request)) sizeBytes += request.sizeBytes;
      else this.#smallUntil = sequence + smallRememberedBatches;
    }
    this.#batches.push({ sequence, sizeBytes });
    this.#sizeBytes += sizeBytes;
  }

  /**
   * Whether what is large waits until more of what is in flight is done: while there is anything small about, which would
   * have to wait for it too.
   * @param next where the next batch goes. @param done the last batch that is.
   */
  isSmallOnly(next: number, done: number): boolean {
    for (;;) {
      const oldest = this.#batches[0];
      if (oldest === undefined || oldest.sequence > done) break;
      this.#sizeBytes -= oldest.sizeBytes;
      this.#batches.shift();
    }
    return next < this.#smallUntil && this.#sizeBytes >= limits.batchSizeBytesMax;
  }
}
