// Pages of the tree, decoded and encoded. Integers most significant first.
//
//   leaf   0  count2  { keyLength2 valueLength2 key value } …
//   inner  1  count2  child4  { keyLength2 key child4 } …      (`count2` keys, one child more)
//   free   2  next4

import { type Bytes, bytesOfMapKey, mapKey } from './bytes.ts';

/**
 * Nodes above this are split; only a single large value takes more. Small pages are cheap to change and to hash, and
 * much smaller ones make the tree deep.
 */
export const nodeSizeBytesMax = 4096;

/** Keys are strings with one character for each byte: they compare as the bytes do, and fast. */
export interface Leaf {
  readonly kind: 'leaf';
  readonly keys: string[];
  /** Where each entry begins, and where the last one ends. */
  readonly offsets: number[];
  bytes: Bytes;
}

export interface Inner {
  readonly kind: 'inner';
  /** `keys[i]` is the smallest key that may lie below `children[i + 1]`. */
  readonly keys: string[];
  readonly children: number[];
}

export type Node = Leaf | Inner;

const headerSizeBytes = 3;
const entryHeaderSizeBytes = 4;

function viewOf(bytes: Bytes): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function emptyLeaf(): Leaf {
  return { kind: 'leaf', keys: [], offsets: [headerSizeBytes], bytes: new Uint8Array(3) };
}

export function decodeNode(page: Bytes): Node {
  const view = viewOf(page);
  const count = view.getUint16(1);
  let offset = headerSizeBytes;
  const keys: string[] = [];
  if (page[0] === 0) {
    const offsets = [offset];
    for (let i = 0; i < count; i++) {
      const keyLength = view.getUint16(offset);
      const start = offset + entryHeaderSizeBytes;
      keys.push(mapKey(page.subarray(start, start + keyLength)));
      offset = start + keyLength + view.getUint16(offset + 2);
      offsets.push(offset);
    }
    return { kind: 'leaf', keys, offsets, bytes: page };
  }
  const children = [view.getUint32(offset)];
  offset += 4;
  for (let i = 0; i < count; i++) {
    const keyLength = view.getUint16(offset);
    keys.push(mapKey(page.subarray(offset + 2, offset + 2 + keyLength)));
    offset += 2 + keyLength;
    children.push(view.getUint32(offset));
    offset += 4;
  }
  return { kind: 'inner', keys, children };
}

export function innerSizeBytes({ keys }: Inner): number {
  let sizeBytes = headerSizeBytes + 4;
  for (const key of keys) sizeBytes += 2 + key.length + 4;
  return sizeBytes;
}

export function encodeInner(node: Inner): Bytes {
  const page = new Uint8Array(innerSizeBytes(node));
  const view = viewOf(page);
  page[0] = 1;
  view.setUint16(1, node.keys.length);
  view.setUint32(3, node.children[0] as number);
  let offset = headerSizeBytes + 4;
  node.keys.forEach((key, i) => {
    view.setUint16(offset, key.length);
    page.set(bytesOfMapKey(key), offset + 2);
    offset += 2 + key.length;
    view.setUint32(offset, node.children[i + 1] as number);
    offset += 4;
  });
  return page;
}

/** Index of the first key that is not below `key`. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the child under which `key` lies. */
export function childIndex({ keys }: Inner, key: string): number {
  const at = lowerBound(keys, key);
  return keys[at] === key ? at + 1 : at;
}

export function valueAt({ bytes, keys, offsets }: Leaf, index: number): Bytes {
  const start = (offsets[index] as number) + entryHeaderSizeBytes + (keys[index] as string).length;
  return bytes.subarray(start, offsets[index + 1] as number);
}

/** Puts an entry at `index`: a new one, or in place of the one with the same key. The page's bytes are made anew. */
export function putEntry(leaf: Leaf, index: number, key: string, value: Bytes): void {
  const isNew = leaf.keys[index] !== key;
  const start = leaf.offsets[index] as number;
  const sizeBytes = entryHeaderSizeBytes + key.length + value.length;
  const bytes = respliced(
    leaf,
    start,
    isNew ? start : (leaf.offsets[index + 1] as number),
    sizeBytes,
  );
  const view = viewOf(bytes);
  view.setUint16(start, key.length);
  view.setUint16(start + 2, value.length);
  for (let i = 0; i < key.length; i++) bytes[start + 4 + i] = key.charCodeAt(i);
  bytes.set(value, start + entryHeaderSizeBytes + key.length);
  if (isNew) {
    leaf.keys.splice(index, 0, key);
    leaf.offsets.splice(index, 0, start);
  }
  shift(leaf, index + 1, start + sizeBytes - (isNew ? start : (leaf.offsets[index + 1] as number)));
  finish(leaf, bytes);
}

export function removeEntry(leaf: Leaf, index: number): void {
  const start = leaf.offsets[index] as number;
  const end = leaf.offsets[index + 1] as number;
  const bytes = respliced(leaf, start, end, 0);
  leaf.keys.splice(index, 1);
  leaf.offsets.splice(index, 1);
  shift(leaf, index, start - end);
  finish(leaf, bytes);
}

/** A copy of the page in which the bytes from `start` to `end` have given way to `room` bytes. */
function respliced({ bytes }: Leaf, start: number, end: number, room: number): Bytes {
  const copy = new Uint8Array(bytes.length - (end - start) + room);
  copy.set(bytes.subarray(0, start), 0);
  copy.set(bytes.subarray(end), start + room);
  return copy;
}

function shift(leaf: Leaf, from: number, by: number): void {
  for (let i = from; i < leaf.offsets.length; i++)
    leaf.offsets[i] = (leaf.offsets[i] as number) + by;
}

function finish(leaf: Leaf, bytes: Bytes): void {
  viewOf(bytes).setUint16(1, leaf.keys.length);
  leaf.bytes = bytes;
}

/** The entries from `from` to before `to` as a leaf of their own. */
export function leafSlice(leaf: Leaf, from: number, to: number): Leaf {
  const start = leaf.offsets[from] as number;
  const end = leaf.offsets[to] as number;
  const bytes = new Uint8Array(headerSizeBytes + end - start);
  bytes.set(leaf.bytes.subarray(start, end), headerSizeBytes);
  const offsets = leaf.offsets
    .slice(from, to + 1)
    .map((offset) => offset - start + headerSizeBytes);
  const slice: Leaf = { kind: 'leaf', keys: leaf.keys.slice(from, to), offsets, bytes };
  finish(slice, bytes);
  return slice;
}

/** Leaves of at most `nodeSizeBytesMax`, or of one entry, with the entries of `leaf` in order. */
export function splitLeaf(leaf: Leaf): Leaf[] {
  if (leaf.bytes.length <= nodeSizeBytesMax || leaf.keys.length === 1) return [leaf];
  const half = leaf.bytes.length / 2;
  let at = 1;
  while (at < leaf.keys.length - 1 && (leaf.offsets[at] as number) < half) at += 1;
  return [
    ...splitLeaf(leafSlice(leaf, 0, at)),
    ...splitLeaf(leafSlice(leaf, at, leaf.keys.length)),
  ];
}

/** Both leaves' entries in one; all of `left` are below all of `right`. */
export function joinLeaves(left: Leaf, right: Leaf): Leaf {
  const grown = right.bytes.length - headerSizeBytes;
  const bytes = new Uint8Array(left.bytes.length + grown);
  bytes.set(left.bytes, 0);
  bytes.set(right.bytes.subarray(headerSizeBytes), left.bytes.length);
  const by = left.bytes.length - headerSizeBytes;
  const offsets = [...left.offsets, ...right.offsets.slice(1).map((offset) => offset + by)];
  const joined: Leaf = { kind: 'leaf', keys: [...left.keys, ...right.keys], offsets, bytes };
  finish(joined, bytes);
  return joined;
}
