// Makes the digests of stored pages anew, a slice of them in each turn, so that a member with a large state goes on with
// everything else meanwhile.

import type { PageChange } from '../contract.ts';
import { type NoPage, PagedState } from '../pages.ts';

/** What is read and hashed in one turn: a few milliseconds' worth. */
const sliceSizeBytes = 1024 * 1024;
/** What a page costs besides its bytes. */
const perPageSizeBytes = 256;

export class PageCheck {
  readonly #pages: Iterator<PageChange>;
  readonly #found = new Set<NoPage>();
  /** The pages read so far, none of which was ever in use. */
  readonly state = new PagedState();

  constructor(pages: Iterable<PageChange>) {
    this.#pages = pages[Symbol.iterator]();
  }

  /** Takes the next slice. @returns whether it was the last one. */
  step(): boolean {
    let roomBytes = sliceSizeBytes;
    let isLast = false;
    const slice: PageChange[] = [];
    while (roomBytes > 0 && !isLast) {
      const next = this.#pages.next();
      if (next.done === true) {
        isLast = true;
      } else {
        slice.push(next.value);
        roomBytes -= perPageSizeBytes + (next.value.bytes?.length ?? 0);
      }
    }
    this.state.absorb(slice, this.#found);
    // Digests are kept: the next root costs what the next slice changes.
    this.state.rootNow();
    return isLast;
  }

  /** Of what was read and cannot be a page, each code once. */
  get found(): readonly NoPage[] {
    return [...this.#found];
  }

  /** Gives up before the last slice. */
  close(): void {
    this.#pages.return?.();
  }
}
