// All of a replica's state in memory: the service's pages and the table of clients, each under a tree of digests
// (BASE, hierarchical state). Checkpoints freeze both without copying; one undo scope takes tentative execution back.

import { assert } from '../base/assert.ts';
import type { Bytes } from '../base/bytes.ts';
import type { PageChange, PageStore, Region } from './contract.ts';
import {
  childrenOf,
  differences,
  type FrozenTree,
  frozenPage,
  isPageNumber,
  isPageSize,
  type Overwritten,
  PageTree,
  pagesUnder,
  regions,
  rootLevel,
  stateRoot,
} from './page-tree.ts';

/** All pages at one moment; later writes do not touch it. */
export interface FrozenState {
  readonly trees: Readonly<Record<Region, FrozenTree>>;
  readonly root: Bytes;
}

export interface Checkpoint {
  /** The root over all pages, 32 bytes. */
  readonly root: Bytes;
  /** Pages that differ from the checkpoint taken before; all of them the first time. */
  readonly changes: readonly PageChange[];
}

/** Why something from a disk or a peer is no page at all. */
export type NoPage = 'disk-page-too-long' | 'disk-page-misplaced';

export interface Sifted {
  /** Those that can be pages. Whether they are the right ones is not known before their root is. */
  readonly state: PagedState;
  /** Each once. */
  readonly found: readonly NoPage[];
}

export class PagedState {
  readonly #trees: Readonly<Record<Region, PageTree>> = {
    service: new PageTree('service'),
    clients: new PageTree('clients'),
  };
  readonly #frozen = new Map<number, FrozenState>();
  /** What `changes` of the next checkpoint are counted from. */
  #base: FrozenState | undefined;
  #journal: Overwritten[] | undefined;

  /** A state of its own of pages that come from elsewhere and may be anything. */
  static sift(pages: Iterable<PageChange>): Sifted {
    const state = new PagedState();
    const found = new Set<NoPage>();
    state.absorb(pages, found);
    return { state, found: [...found] };
  }

  /** Takes pages that come from elsewhere and may be anything. @param found gets to know of those that can be none. */
  absorb(pages: Iterable<PageChange>, found: Set<NoPage>): void {
    for (const { region, page, bytes } of pages) {
      if (!isPageNumber(page)) found.add('disk-page-misplaced');
      else if (!isPageSize(bytes)) found.add('disk-page-too-long');
      else this.#trees[region].write(page, bytes);
    }
  }

  /**
   * Makes this state have these pages and no others. Pages that are here already, as the same object, keep their digests.
   */
  become(pages: Iterable<PageChange>): void {
    const gone = { service: new Set<number>(), clients: new Set<number>() };
    for (const { region, page } of this.all()) gone[region].add(page);
    for (const { region, page, bytes } of pages) {
      gone[region].delete(page);
      const tree = this.#trees[region];
      if (tree.read(page) !== bytes) tree.write(page, bytes);
    }
    for (const region of regions) {
      for (const page of gone[region]) this.#trees[region].write(page, undefined);
    }
  }

  /** The current pages of a region. */
  region(region: Region): PageStore {
    return this.#trees[region];
  }

  /** How often the service has read a page. */
  get servicePagesRead(): number {
    return this.#trees.service.reads;
  }

  /** Begins an undo scope. Scopes do not nest. */
  mark(): void {
    assert(this.#journal === undefined, 'undo scopes do not nest');
    this.#setJournal([]);
  }

  /** Puts all pages back to what they were at `mark` and ends the scope. @returns whether anything had changed. */
  undo(): boolean {
    const journal = this.#journal;
    assert(journal !== undefined, 'an undo scope is open');
    this.#setJournal(undefined);
    for (let i = journal.length - 1; i >= 0; i--) {
      const { tree, page, bytes } = journal[i] as Overwritten;
      tree.write(page, bytes);
    }
    return journal.length > 0;
  }

  /** Ends the scope; what was written in it stays. */
  keep(): void {
    assert(this.#journal !== undefined, 'an undo scope is open');
    this.#setJournal(undefined);
  }

  /** Freezes the current pages as checkpoint `sequence`. Costs what changed since the last one. */
  checkpoint(sequence: number): Checkpoint {
    assert(this.#journal === undefined, 'tentative state is never a checkpoint');
    const base = this.#base;
    const frozen = this.#freeze(sequence);
    const changes: PageChange[] = [];
    for (const region of regions) {
      for (const change of differences(region, base?.trees[region], frozen.trees[region])) {
        changes.push(change);
      }
    }
    return { root: frozen.root, changes };
  }

  /** The root over the pages as they are now. */
  rootNow(): Bytes {
    return stateRoot(this.#trees.service.digest(), this.#trees.clients.digest());
  }

  root(sequence: number): Bytes | undefined {
    return this.#frozen.get(sequence)?.root;
  }

  /** Sequences of the checkpoints that are held, ascending. */
  checkpoints(): readonly number[] {
    return [...this.#frozen.keys()].sort((a, b) => a - b);
  }

  /** Forgets the checkpoints below `sequence`. */
  dropBelow(sequence: number): void {
    for (const held of this.#frozen.keys()) if (held < sequence) this.#frozen.delete(held);
  }

  /** Roots of the two regions at a checkpoint: children of the state's root. */
  regionRoots(sequence: number): readonly Bytes[] | undefined {
    const frozen = this.#frozen.get(sequence);
    return frozen === undefined ? undefined : regions.map((region) => frozen.trees[region].digest);
  }

  /** Digests of the 256 children of an inner node (level 1 to 3) of a checkpoint; undefined where nothing is. */
  node(
    sequence: number,
    region: Region,
    level: number,
    index: number,
  ): readonly Bytes[] | undefined {
    const frozen = this.#frozen.get(sequence);
    return frozen === undefined ? undefined : childrenOf(frozen.trees[region], level, index);
  }

  page(sequence: number, region: Region, page: number): Bytes | undefined {
    const frozen = this.#frozen.get(sequence);
    return frozen === undefined ? undefined : frozenPage(frozen.trees[region], page);
  }

  /**
   * Replaces everything, checkpoints and an open undo scope included, by the pages of another state, frozen as checkpoint
   * `sequence`.
   */
  adopt(other: PagedState, sequence: number): void {
    this.#setJournal(undefined);
    this.#frozen.clear();
    for (const region of regions) this.#trees[region].adopt(other.#trees[region]);
    this.#freeze(sequence);
  }

  /** Every page there is now, by region and number. */
  *all(): Generator<PageChange> {
    for (const region of regions) yield* this.#trees[region].all();
  }

  /** Goes back to a held checkpoint; forgets later ones and an open undo scope. */
  rollback(sequence: number): void {
    const frozen = this.#frozen.get(sequence);
    assert(frozen !== undefined, 'a checkpoint that is held');
    this.#setJournal(undefined);
    for (const region of regions) this.#trees[region].thaw(frozen.trees[region]);
    for (const held of this.#frozen.keys()) if (held > sequence) this.#frozen.delete(held);
  }

  /** Every page there is now, whatever is written later. May be iterated more than once. */
  frozenPages(): Iterable<PageChange> {
    const { trees } = this.snapshot();
    return {
      *[Symbol.iterator]() {
        for (const region of regions) yield* pagesUnder(region, trees[region], rootLevel, 0);
      },
    };
  }

  /** The current pages, frozen but not as a checkpoint. */
  snapshot(): FrozenState {
    const trees = { service: this.#trees.service.freeze(), clients: this.#trees.clients.freeze() };
    return { trees, root: stateRoot(trees.service.digest, trees.clients.digest) };
  }

  #freeze(sequence: number): FrozenState {
    const frozen = this.snapshot();
    this.#frozen.set(sequence, frozen);
    this.#base = frozen;
    return frozen;
  }

  #setJournal(journal: Overwritten[] | undefined): void {
    this.#journal = journal;
    for (const region of regions) this.#trees[region].journal = journal;
  }
}
