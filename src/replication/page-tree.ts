// One region of pages under a tree of digests: fan-out 256, three levels of inner nodes, sparse. Writing is a change in
// memory; digests are recomputed when asked for, along changed paths only. A frozen tree is kept by its root node: later
// writes copy the nodes on their way (copy on write), so freezing costs nothing and unchanged subtrees are shared.

import { assert } from '../base/assert.ts';
import type { Bytes } from '../base/bytes.ts';
import { hashSizeBytes, taggedHash } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { PageChange, PageStore, Region } from './contract.ts';

const fanOut = limits.pageTreeFanOut;
/** Levels of inner nodes: the children of level 1 are pages, the one node of this level is a region's root. */
export const rootLevel = 3;

/**
 * What does not exist, a page or a subtree without pages, has this digest. No hash is all zeros, and a node all of
 * whose children are absent is absent itself, so that equal pages always give equal digests.
 */
export const absentDigest: Bytes = new Uint8Array(hashSizeBytes);

export function isAbsent(digest: Bytes): boolean {
  for (let i = 0; i < hashSizeBytes; i++) if (digest[i] !== 0) return false;
  return true;
}

/** The number of a region on the wire and under digests. */
export const regionNumbers: Readonly<Record<Region, number>> = { service: 0, clients: 1 };
export const regions: readonly Region[] = ['service', 'clients'];

const regionBytes: Readonly<Record<Region, Bytes>> = {
  service: Uint8Array.of(regionNumbers.service),
  clients: Uint8Array.of(regionNumbers.clients),
};

export function isPageNumber(page: number): boolean {
  return page >= 0 && page < limits.pagesMax && Number.isInteger(page);
}

export function isPageSize(bytes: Bytes | undefined): boolean {
  return (bytes?.length ?? 0) <= limits.pageSizeBytesMax;
}

function uint32Bytes(value: number): Bytes {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export function pageDigest(region: Region, page: number, bytes: Bytes): Bytes {
  return taggedHash('page', regionBytes[region], uint32Bytes(page), bytes);
}

/** @param children the digests of all 256 children, one after the other. */
export function nodeDigest(region: Region, level: number, index: number, children: Bytes): Bytes {
  return taggedHash(
    'page-node',
    regionBytes[region],
    Uint8Array.of(level),
    uint32Bytes(index),
    children,
  );
}

/** The root over both regions: what a checkpoint states. */
export function stateRoot(service: Bytes, clients: Bytes): Bytes {
  return taggedHash('state-root', service, clients);
}

class TreeNode<Child extends object> {
  /** The freezes that had happened when this node was made; it may be changed until the next one. */
  readonly generation: number;
  readonly children: (Child | undefined)[];
  /** The children's digests, one after the other; those marked in `stale` are out of date. */
  readonly digests: Bytes;
  readonly stale: Uint8Array = new Uint8Array(fanOut);
  hasStale = false;
  count: number;

  constructor(generation: number, from?: TreeNode<Child>) {
    this.generation = generation;
    this.children = from?.children.slice() ?? new Array<Child | undefined>(fanOut).fill(undefined);
    this.digests = from?.digests.slice() ?? new Uint8Array(fanOut * hashSizeBytes);
    this.count = from?.count ?? 0;
  }

  put(slot: number, child: Child | undefined): void {
    if (this.children[slot] === undefined) this.count += 1;
    if (child === undefined) this.count -= 1;
    this.children[slot] = child;
  }

  markStale(slot: number): void {
    this.stale[slot] = 1;
    this.hasStale = true;
  }

  digest(slot: number): Bytes {
    return this.digests.subarray(slot * hashSizeBytes, (slot + 1) * hashSizeBytes);
  }
}

type Leaves = TreeNode<Bytes>;
type Middle = TreeNode<Leaves>;
type Top = TreeNode<Middle>;

/** A region as it was at a freeze. */
export interface FrozenTree {
  readonly top: Top;
  /** The region's root. */
  readonly digest: Bytes;
}

/** What a page held before a write, to take that write back. */
export interface Overwritten {
  readonly tree: PageTree;
  readonly page: number;
  readonly bytes: Bytes | undefined;
}

export class PageTree implements PageStore {
  readonly region: Region;
  /** Where overwritten pages are noted; undefined when nothing needs taking back. */
  journal: Overwritten[] | undefined;
  /** Counts reads. */
  reads = 0;
  #generation = 0;
  #top: Top = new TreeNode<Middle>(0);

  constructor(region: Region) {
    this.region = region;
  }

  read(page: number): Bytes | undefined {
    this.reads += 1;
    return pageOf(this.#top, page);
  }

  write(page: number, bytes: Bytes | undefined): void {
    assert(isPageNumber(page), 'a page has a number');
    assert(isPageSize(bytes), 'a page is not too long');
    const before = pageOf(this.#top, page);
    if (before === bytes) return;
    this.journal?.push({ tree: this, page, bytes: before });
    const slot = page & 0xff;
    const leaves = this.#ownLeaves(page, slot);
    leaves.put(slot, bytes);
  }

  /** The root over the pages as they are. */
  digest(): Bytes {
    return refreshTop(this.region, this.#top);
  }

  /** The region as it is, for good. */
  freeze(): FrozenTree {
    const digest = this.digest();
    const frozen = { top: this.#top, digest };
    this.#generation += 1;
    return frozen;
  }

  /** Goes back to a frozen tree. */
  thaw(frozen: FrozenTree): void {
    this.#top = frozen.top;
  }

  /** Takes over the pages of another tree of the region, frozen: without copying, and they stay that tree's too. */
  adopt(other: PageTree): void {
    this.#top = other.freeze().top;
    // Nodes count as this tree's own to change by their generation: none of the other tree's may.
    this.#generation = Math.max(this.#generation, other.#generation);
  }

  all(): Generator<PageChange> {
    return pagesOf(this.region, this.#top);
  }

  /** The leaves' node of a page, free to be changed, with the way to it marked as stale. */
  #ownLeaves(page: number, slot: number): Leaves {
    const topSlot = page >>> 16;
    const middleSlot = (page >>> 8) & 0xff;
    const known = this.#top.children[topSlot]?.children[middleSlot];
    // Stale here means owned and stale all the way up.
    if (known?.generation === this.#generation && known.stale[slot] === 1) return known;
    this.#top = this.#owned(this.#top);
    const middle = this.#ownedChild(this.#top, topSlot);
    const leaves = this.#ownedChild(middle, middleSlot);
    leaves.markStale(slot);
    return leaves;
  }

  #ownedChild<Child extends object>(parent: TreeNode<TreeNode<Child>>, slot: number) {
    const child = this.#owned(parent.children[slot]);
    if (child !== parent.children[slot]) parent.put(slot, child);
    parent.markStale(slot);
    return child;
  }

  #owned<Child extends object>(node: TreeNode<Child> | undefined): TreeNode<Child> {
    if (node?.generation === this.#generation) return node;
    return new TreeNode<Child>(this.#generation, node);
  }
}

function pageOf(top: Top, page: number): Bytes | undefined {
  return top.children[page >>> 16]?.children[(page >>> 8) & 0xff]?.children[page & 0xff];
}

function refreshLeaves(region: Region, node: Leaves, index: number): Bytes {
  return refresh(region, node, 1, index, (bytes, page) => pageDigest(region, page, bytes));
}

function refreshMiddle(region: Region, node: Middle, index: number): Bytes {
  return refresh(region, node, 2, index, (leaves, child) => refreshLeaves(region, leaves, child));
}

function refreshTop(region: Region, node: Top): Bytes {
  return refresh(region, node, rootLevel, 0, (middle, child) =>
    refreshMiddle(region, middle, child),
  );
}

/** Recomputes the stale digests of a node; gives the node's own. Takes away children that have become empty. */
function refresh<Child extends object>(
  region: Region,
  node: TreeNode<Child>,
  level: number,
  index: number,
  digestOf: (child: Child, index: number) => Bytes,
): Bytes {
  if (node.hasStale) {
    for (let slot = 0; slot < fanOut; slot++) {
      if (node.stale[slot] !== 1) continue;
      const child = node.children[slot];
      const digest = child === undefined ? absentDigest : digestOf(child, index * fanOut + slot);
      if (child !== undefined && digest === absentDigest) node.put(slot, undefined);
      node.digests.set(digest, slot * hashSizeBytes);
    }
    node.stale.fill(0);
    node.hasStale = false;
  }
  return node.count === 0 ? absentDigest : nodeDigest(region, level, index, node.digests);
}

function* pagesOf(region: Region, top: Top): Generator<PageChange> {
  for (let i = 0; i < fanOut; i++) {
    const middle = top.children[i];
    for (let j = 0; middle !== undefined && j < fanOut; j++)
      yield* pagesOfLeaves(region, middle.children[j], (i << 8) | j);
  }
}

function* pagesOfLeaves(
  region: Region,
  leaves: Leaves | undefined,
  index: number,
): Generator<PageChange> {
  for (let slot = 0; leaves !== undefined && slot < fanOut; slot++) {
    const bytes = leaves.children[slot];
    if (bytes !== undefined) yield { region, page: index * fanOut + slot, bytes };
  }
}

/** The digest of a node, or of a page (level 0), of a frozen tree. */
export function digestOf(frozen: FrozenTree, level: number, index: number): Bytes {
  if (level === rootLevel) return index === 0 ? frozen.digest : absentDigest;
  const parent = nodeOf(frozen.top, level + 1, index >>> 8);
  return parent?.digest(index & 0xff) ?? absentDigest;
}

/** The pages below a node (level 1 to 3) of a frozen tree, or the page itself (level 0). */
export function* pagesUnder(
  region: Region,
  frozen: FrozenTree,
  level: number,
  index: number,
): Generator<PageChange> {
  if (level === 0) {
    const bytes = frozenPage(frozen, index);
    if (bytes !== undefined) yield { region, page: index, bytes };
  } else if (level === rootLevel) {
    yield* pagesOf(region, frozen.top);
  } else if (level === 2) {
    const middle = frozen.top.children[index];
    for (let j = 0; j < fanOut; j++) {
      yield* pagesOfLeaves(region, middle?.children[j], index * fanOut + j);
    }
  } else {
    yield* pagesOfLeaves(region, frozen.top.children[index >>> 8]?.children[index & 0xff], index);
  }
}

/** The pages in which `after` differs from `before`, in ascending order. Costs only what differs. */
export function differences(
  region: Region,
  before: FrozenTree | undefined,
  after: FrozenTree,
): PageChange[] {
  const changes: PageChange[] = [];
  differing(before?.top, after.top, (oldMiddle, newMiddle, topSlot) =>
    differing(oldMiddle, newMiddle, (oldLeaves, newLeaves, middleSlot) =>
      differing(oldLeaves, newLeaves, (_, bytes, slot) => {
        changes.push({ region, page: (topSlot << 16) | (middleSlot << 8) | slot, bytes });
      }),
    ),
  );
  return changes;
}

function differing<Child extends object>(
  before: TreeNode<Child> | undefined,
  after: TreeNode<Child> | undefined,
  visit: (before: Child | undefined, after: Child | undefined, slot: number) => void,
): void {
  if (before === after) return;
  for (let slot = 0; slot < fanOut; slot++) {
    const old = before?.children[slot];
    const now = after?.children[slot];
    if (old !== now) visit(old, now, slot);
  }
}

/** Digests of the children of an inner node; undefined when there is no such node. */
export function childrenOf(
  frozen: FrozenTree,
  level: number,
  index: number,
): readonly Bytes[] | undefined {
  const node = nodeOf(frozen.top, level, index);
  if (node === undefined || node.count === 0) return undefined;
  return Array.from({ length: fanOut }, (_, slot) => node.digest(slot));
}

function nodeOf(top: Top, level: number, index: number): TreeNode<object> | undefined {
  if (!Number.isInteger(index) || index < 0) return undefined;
  if (level === 3) return index === 0 ? top : undefined;
  if (level === 2) return top.children[index];
  return level === 1 ? top.children[index >>> 8]?.children[index & 0xff] : undefined;
}

export function frozenPage(frozen: FrozenTree, page: number): Bytes | undefined {
  return pageOf(frozen.top, page);
}
