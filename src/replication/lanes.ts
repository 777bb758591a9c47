// What members have handed on to this primary: a lane for each, first come, first served, since each has given its clients
// their turns itself. A lane has room for all that an honest member has outstanding, and gets its share of every batch.

import { limits } from '../wire/limits.ts';
import type { FairItem } from './fair-queue.ts';

/** What was handed on is handed on again when its client asks again, but not more often than this. */
export const handedOnAgainMs = 250;

/** What a member may have outstanding at its primary. */
export interface HandedOnBounds {
  readonly count: number;
  readonly sizeBytes: number;
}

/** @param n members of the group. */
export function handedOnBounds(n: number): HandedOnBounds {
  const share = Math.floor(limits.handedOnSizeBytesMax / (n - 1));
  return {
    count: limits.handedOnRequestsMax,
    sizeBytes: Math.max(limits.handedOnSizeBytesMin, share),
  };
}

export class Lane<Item extends FairItem> {
  #items: Item[] = [];
  #count = 0;
  #sizeBytes = 0;
  /** Bytes taken from it, on the scale of all lanes: who has had least is next. */
  takenSizeBytes = 0;

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  hasRoom(sizeBytes: number, bounds: HandedOnBounds): boolean {
    return this.#count < bounds.count && this.#sizeBytes + sizeBytes <= bounds.sizeBytes;
  }

  add(item: Item): void {
    item.isWaiting = true;
    this.#items.push(item);
    this.#count += 1;
    this.#sizeBytes += item.sizeBytes;
  }

  /** It waits no longer, taken or not. @returns whether it did. */
  drop(item: Item): boolean {
    if (!item.isWaiting) return false;
    item.isWaiting = false;
    this.#count -= 1;
    this.#sizeBytes -= item.sizeBytes;
    if (this.#count === 0) this.#items = [];
    return true;
  }

  /** The oldest. */
  get next(): Item | undefined {
    for (;;) {
      const item = this.#items[0];
      if (item === undefined || item.isWaiting) return item;
      this.#items.shift();
    }
  }
}
