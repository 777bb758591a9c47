// Reads a table's file page by page and compares every page with what the others say of it. LMDB keeps no checksums: a
// page changed behind its back can end the process, or hide entries without a word, and a server that has forgotten
// what it promised must not answer. Values are not looked at; what is kept in tables is checked where it is read.
//
// Offsets, integers little-endian, as LMDB with data version 2 lays them out:
//
//   page:  number u64 | transaction u64 | u16 | flags u16 | lower u16 | upper u16 | node offsets u16 …
//          (pages of one large value: … | flags u16 | count u32 | the value)
//   node:  low u16 | high u16 | flags u16 | key length u16 | key | value
//          In a branch low, high and flags are the child's number; in a leaf low and high are the value's length.
//   Lower, upper and node offsets count from the end of the page's head.

import fs from 'node:fs';

/** One of the two trees of the file, as its meta page describes it. */
export interface TreeClaim {
  /** Undefined when it is empty. */
  readonly root: number | undefined;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
  /** Keys are u64 instead of bytes: the tree of free pages, by transaction. */
  readonly isNumbered: boolean;
}

export interface TreeFile {
  readonly descriptor: number;
  readonly pageSizeBytes: number;
  /** Pages that the file has. */
  readonly pages: number;
}

const pageHeadSizeBytes = 24;
const nodeHeadSizeBytes = 8;
const flags = { branch: 1, leaf: 2, overflow: 4 } as const;
const bigValue = 1;
const bigValueSizeBytes = 24;
const depthMax = 32;

/** Raised inside a check, never out of it. */
class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

function require(condition: boolean): void {
  if (!condition) throw new Mismatch('pages contradict each other');
}

/** True if the pages of the tree are as its meta page says, and its keys in order. */
export function isTreeSound(file: TreeFile, claim: TreeClaim, seen: PageSet): boolean {
  if (claim.root === undefined) return claim.entries === 0;
  if (claim.depth < 1 || claim.depth > depthMax) return false;
  try {
    const walk = new TreeWalk(file, claim, seen);
    walk.visit(claim.root, 1);
    return walk.agrees();
  } catch (error) {
    if (error instanceof Mismatch || error instanceof RangeError) return false;
    throw error;
  }
}

/** Pages that were met; each has one place only. */
export class PageSet {
  readonly #bits: Uint8Array;

  constructor(pages: number) {
    this.#bits = new Uint8Array(Math.ceil(pages / 8));
  }

  /** False if it was there already. */
  add(page: number): boolean {
    const mask = 1 << (page & 7);
    const byte = this.#bits[page >>> 3] ?? 0xff;
    this.#bits[page >>> 3] = byte | mask;
    return (byte & mask) === 0;
  }
}

class TreeWalk {
  readonly #file: TreeFile;
  readonly #claim: TreeClaim;
  readonly #seen: PageSet;
  readonly #found = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
  #lastKey: Buffer | undefined;
  /** Of the branches on the way to the next entry: its key is not before this. */
  #leastKey: Buffer | undefined;

  constructor(file: TreeFile, claim: TreeClaim, seen: PageSet) {
    this.#file = file;
    this.#claim = claim;
    this.#seen = seen;
  }

  agrees(): boolean {
    const { branchPages, leafPages, overflowPages, entries } = this.#found;
    const claim = this.#claim;
    return (
      branchPages === claim.branchPages &&
      leafPages === claim.leafPages &&
      overflowPages === claim.overflowPages &&
      entries === claim.entries
    );
  }

  visit(number: number, depth: number): void {
    const isLeaf = depth === this.#claim.depth;
    const page = this.#read(number, this.#file.pageSizeBytes, isLeaf ? flags.leaf : flags.branch);
    this.#found[isLeaf ? 'leafPages' : 'branchPages'] += 1;
    const lower = page.readUInt16LE(20);
    const upper = page.readUInt16LE(22);
    const room = page.length - pageHeadSizeBytes;
    require(lower <= upper && upper <= room);
    const nodes = lower >> 1;
    // A branch with a single child is what deletions may leave behind; one without any is not.
    require(nodes >= 1);
    for (let index = 0; index < nodes; index++) {
      const at = page.readUInt16LE(pageHeadSizeBytes + 2 * index);
      require(at >= upper && at + nodeHeadSizeBytes <= room);
      if (isLeaf) this.#entry(page, pageHeadSizeBytes + at);
      else this.#child(page, pageHeadSizeBytes + at, index, depth + 1);
    }
  }

  #child(page: Buffer, at: number, index: number, depth: number): void {
    // The first child has no key: all that is before the second one's is there.
    if (index > 0) {
      const keyAt = at + nodeHeadSizeBytes;
      const end = keyAt + page.readUInt16LE(at + 6);
      require(end > keyAt && end <= page.length);
      const key = page.subarray(keyAt, end);
      require(this.#lastKey !== undefined && this.#compare(this.#lastKey, key) < 0);
      this.#leastKey = key;
    }
    this.visit(page.readUIntLE(at, 6), depth);
  }

  #entry(page: Buffer, at: number): void {
    const length = page.readUInt16LE(at) + 0x1_0000 * page.readUInt16LE(at + 2);
    const kind = page.readUInt16LE(at + 4);
    const keyAt = at + nodeHeadSizeBytes;
    const valueAt = keyAt + page.readUInt16LE(at + 6);
    require(valueAt > keyAt && valueAt <= page.length);
    const key = page.subarray(keyAt, valueAt);
    require(this.#lastKey === undefined || this.#compare(this.#lastKey, key) < 0);
    require(this.#leastKey === undefined || this.#compare(this.#leastKey, key) <= 0);
    this.#lastKey = key;
    this.#leastKey = undefined;
    this.#found.entries += 1;
    if (kind === bigValue) this.#bigValue(page, valueAt, length);
    else require(kind === 0 && valueAt + length <= page.length);
  }

  #compare(a: Buffer, b: Buffer): number {
    if (!this.#claim.isNumbered) return Buffer.compare(a, b);
    return Number(a.readBigUInt64LE() - b.readBigUInt64LE());
  }

  /** `at`: where the leaf names the first page of the value; its number of pages stands 16 bytes further. */
  #bigValue(page: Buffer, at: number, length: number): void {
    require(at + bigValueSizeBytes <= page.length);
    const { pageSizeBytes, pages } = this.#file;
    const number = pageNumber(page, at);
    const head = this.#read(number, pageHeadSizeBytes, flags.overflow);
    const count = head.readUInt32LE(20);
    // A shorter value in the place of a longer one may leave pages over.
    require(pageHeadSizeBytes + length <= count * pageSizeBytes && number + count <= pages);
    require(pageNumber(page, at + 16) === count);
    for (let further = 1; further < count; further++) require(this.#seen.add(number + further));
    this.#found.overflowPages += count;
  }

  #read(number: number, sizeBytes: number, kind: number): Buffer {
    const { descriptor, pageSizeBytes, pages } = this.#file;
    require(number >= 2 && number < pages && this.#seen.add(number));
    const page = Buffer.allocUnsafe(sizeBytes);
    const read = fs.readSync(descriptor, page, 0, sizeBytes, number * pageSizeBytes);
    require(read === sizeBytes && pageNumber(page, 0) === number && page.readUInt16LE(18) === kind);
    return page;
  }
}

function pageNumber(page: Buffer, at: number): number {
  require(page.readUInt16LE(at + 6) === 0);
  return page.readUIntLE(at, 6);
}
