// How much each client key has stored at this replica, and the totals. Rebuilt from the records at every start.

import { type Bytes, mapKey } from '../base/bytes.ts';
import type { ItemKind } from './records.ts';

/** Charged for every item beside its data: its record and its place in the index. */
export const itemOverheadBytes = 256;

export class Accounts {
  readonly #bytesByOwner = new Map<string, number>();
  readonly items = { object: 0, block: 0 };
  storedSizeBytes = 0;

  /** @param change +1 for an item that appears, -1 for one that goes. */
  record(kind: ItemKind, owner: Bytes, lengthBytes: number, change: 1 | -1): void {
    const key = mapKey(owner);
    const charged = change * (lengthBytes + itemOverheadBytes);
    const balance = (this.#bytesByOwner.get(key) ?? 0) + charged;
    if (balance > 0) this.#bytesByOwner.set(key, balance);
    else this.#bytesByOwner.delete(key);
    this.items[kind] += change;
    this.storedSizeBytes += change * lengthBytes;
  }

  usedBytes(owner: Bytes): number {
    return this.#bytesByOwner.get(mapKey(owner)) ?? 0;
  }
}
