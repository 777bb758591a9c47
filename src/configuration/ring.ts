// Consistent hashing (paper section 4): ids of servers and of data share one circular space of 32-byte numbers; the
// group of an id is the first 3f+1 active servers at or after it, wrapping round.

import type { Bytes } from '../base/bytes.ts';

export const idSizeBytes = 32;

/** Ids in ascending order, packed into one array. */
export class Ring {
  readonly #ids: Bytes;
  readonly size: number;

  /** @param ids ascending, distinct, 32 bytes each, joined. */
  constructor(ids: Bytes) {
    this.#ids = ids;
    this.size = ids.length / idSizeBytes;
  }

  id(position: number): Bytes {
    return this.#ids.subarray(position * idSizeBytes, (position + 1) * idSizeBytes);
  }

  /** Position of the first server whose id is equal to or follows `id`. */
  firstAtOrAfter(id: Bytes): number {
    let low = 0;
    let high = this.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#precedes(middle, id)) low = middle + 1;
      else high = middle;
    }
    return low === this.size ? 0 : low;
  }

  /** Positions of the `count` servers responsible for `id`, in ring order from it. `count` is at most `size`. */
  successors(id: Bytes, count: number): number[] {
    const first = this.firstAtOrAfter(id);
    return Array.from({ length: count }, (_, step) => (first + step) % this.size);
  }

  #precedes(position: number, id: Bytes): boolean {
    const offset = position * idSizeBytes;
    for (let i = 0; i < idSizeBytes; i++) {
      const difference = (this.#ids[offset + i] as number) - (id[i] as number);
      if (difference !== 0) return difference < 0;
    }
    return false;
  }
}
