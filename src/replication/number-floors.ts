// What the table of clients still knows of clients that gave way to others: a number below which nothing of theirs, or of
// anyone with a similar key, is executed any more. Without it whoever fills the table with keys of his own could have a
// forgotten client's old requests executed again.

import type { Bytes } from '../base/bytes.ts';
import type { PageStore } from './contract.ts';

/** Keys are told apart by their first 12 bits: raising a floor touches few others, and raising all takes very long. */
const floorsMax = 4096;
const floorsPerPage = 1024;

export class NumberFloors {
  readonly #store: PageStore;
  readonly #firstPage: number;
  readonly #floors = new Float64Array(floorsMax);
  readonly #dirtyPages = new Set<number>();
  /** What the floors that were raised since `mark` were before. */
  #journal: Map<number, number> | undefined;

  /** @param firstPage of four pages that nothing else uses. */
  constructor(store: PageStore, firstPage: number) {
    this.#store = store;
    this.#firstPage = firstPage;
  }

  of(client: Bytes): number {
    return this.#floors[floorOf(client)] as number;
  }

  /** From now on only numbers above `number` count as new for clients of this kind that are not in the table. */
  raise(client: Bytes, number: number): void {
    const floor = floorOf(client);
    const before = this.#floors[floor] as number;
    if (number <= before) return;
    if (this.#journal?.has(floor) === false) this.#journal.set(floor, before);
    this.#set(floor, number);
  }

  mark(): void {
    this.#journal = new Map();
  }

  undo(): void {
    for (const [floor, before] of this.#journal ?? []) this.#set(floor, before);
    this.#journal = undefined;
  }

  keep(): void {
    this.#journal = undefined;
  }

  /** @returns false for pages that `flush` does not write. */
  load(): boolean {
    this.#floors.fill(0);
    this.#dirtyPages.clear();
    this.#journal = undefined;
    for (let at = 0; at < floorsMax / floorsPerPage; at++) {
      const page = this.#store.read(this.#firstPage + at);
      if (page === undefined) continue;
      if (page.length !== 8 * floorsPerPage) return false;
      const view = new DataView(page.buffer, page.byteOffset, page.length);
      for (let i = 0; i < floorsPerPage; i++) {
        const floor = view.getUint32(8 * i) * 2 ** 32 + view.getUint32(8 * i + 4);
        if (!Number.isSafeInteger(floor)) return false;
        this.#floors[at * floorsPerPage + i] = floor;
      }
    }
    return true;
  }

  flush(): void {
    for (const at of this.#dirtyPages) {
      const page = new Uint8Array(8 * floorsPerPage);
      const view = new DataView(page.buffer);
      for (let i = 0; i < floorsPerPage; i++) {
        const floor = this.#floors[at * floorsPerPage + i] as number;
        view.setUint32(8 * i, Math.floor(floor / 2 ** 32));
        view.setUint32(8 * i + 4, floor >>> 0);
      }
      this.#store.write(this.#firstPage + at, page.some((byte) => byte !== 0) ? page : undefined);
    }
    this.#dirtyPages.clear();
  }

  #set(floor: number, number: number): void {
    this.#floors[floor] = number;
    this.#dirtyPages.add(Math.floor(floor / floorsPerPage));
  }
}

function floorOf(client: Bytes): number {
  return (((client[0] as number) << 8) | (client[1] as number)) & (floorsMax - 1);
}
