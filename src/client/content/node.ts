// The tree of a content, as bytes. The root states the length; everything else follows from it: how deep the tree is,
// how many children each node has and how many bytes each child covers. So there is exactly one tree for given bytes,
// and what a block is (node or data) is told by its place in the tree, never by what it contains.
//
//   length ≤ inlineSizeBytesMax   depth 0   the root holds the bytes themselves
//   otherwise                     depth d   the least d ≥ 1 with length ≤ chunkSizeBytes · fanOut^d
//
// A node of height h (the root's is d) has children of height h - 1 that cover chunkSizeBytes · fanOut^(h-1) bytes
// each, the last one the remainder. Children of height 0 are data blocks. A node below the root is the SSZ encoding of
// List[Bytes32, fanOut], which is its children's ids joined.

import { ByteListType, ContainerType, ListCompositeType, UintNumberType } from '@chainsafe/ssz';
import { assert } from '../../base/assert.ts';
import { isCounter } from '../../base/brand.ts';
import { type Bytes, concatBytes, emptyBytes, equalBytes, utf8 } from '../../base/bytes.ts';
import { hashSizeBytes } from '../../crypto/hash.ts';
import { limits } from '../../wire/limits.ts';
import { Bytes16, Bytes32 } from '../../wire/types.ts';

/** The numbers that determine a tree. All content has the standard shape; tests use a smaller one. */
export interface TreeShape {
  /** Length of every data block but the last. Greater than `inlineSizeBytesMax`. */
  readonly chunkSizeBytes: number;
  /** Children of a full node: 2 … `limits.contentFanOut`. */
  readonly fanOut: number;
  /** At most `limits.contentInlineSizeBytesMax`. */
  readonly inlineSizeBytesMax: number;
}

export const standardShape: TreeShape = {
  chunkSizeBytes: limits.blockSizeBytesMax,
  fanOut: limits.contentFanOut,
  inlineSizeBytesMax: limits.contentInlineSizeBytesMax,
};

/** A root that has passed every check that needs no other block. */
export interface Root {
  /** 0 for content that lies in the root. */
  readonly depth: number;
  /** Bytes of the whole content. */
  readonly length: number;
  readonly children: readonly Bytes[];
  readonly inline: Bytes;
}

/** What is wrong with a block that should be a root, a node or data of a tree. */
export type TreeFault =
  | 'not-a-root'
  | 'unknown-version'
  | 'other-shape'
  | 'bad-length'
  | 'wrong-depth'
  | 'wrong-child-count'
  | 'not-canonical';

const formatVersion = 1;

/** Starts every root, so that the id of some other block is told apart from the address of a content. */
const mark = utf8('holdfast content');

const RootRecord = new ContainerType({
  mark: Bytes16,
  version: new UintNumberType(1),
  depth: new UintNumberType(1),
  chunkSizeBytes: new UintNumberType(4),
  length: new UintNumberType(8),
  children: new ListCompositeType(Bytes32, limits.contentFanOut),
  inline: new ByteListType(limits.contentInlineSizeBytesMax),
});

/** Bytes that one child of a node of this height (≥ 1) covers, unless it is the last. */
export function childSpanBytes(height: number, shape: TreeShape): number {
  return shape.chunkSizeBytes * shape.fanOut ** (height - 1);
}

export function depthOf(length: number, shape: TreeShape): number {
  if (length <= shape.inlineSizeBytesMax) return 0;
  let depth = 1;
  while (childSpanBytes(depth + 1, shape) < length) depth += 1;
  return depth;
}

/** Children of the node of this height (≥ 1) that covers `length` bytes. */
export function childCount(length: number, height: number, shape: TreeShape): number {
  return Math.ceil(length / childSpanBytes(height, shape));
}

/** The root of content that fits into it. */
export function encodeInlineRoot(inline: Bytes, shape: TreeShape): Bytes {
  assert(inline.length <= shape.inlineSizeBytesMax, 'content in a root is small');
  return encodeRoot({ depth: 0, length: inline.length, children: [], inline }, shape);
}

export function encodeTreeRoot(
  length: number,
  children: readonly Bytes[],
  shape: TreeShape,
): Bytes {
  const depth = depthOf(length, shape);
  assert(depth > 0 && children.length === childCount(length, depth, shape), 'the tree is complete');
  return encodeRoot({ depth, length, children, inline: emptyBytes }, shape);
}

function encodeRoot(root: Root, shape: TreeShape): Bytes {
  return RootRecord.serialize({
    ...root,
    children: [...root.children],
    mark,
    version: formatVersion,
    chunkSizeBytes: shape.chunkSizeBytes,
  });
}

/** Takes any bytes; work and memory are bounded by their length and by the bounds of a root. */
export function decodeRoot(data: Bytes, shape: TreeShape): Root | TreeFault {
  if (data.length <= mark.length || !equalBytes(data.subarray(0, mark.length), mark)) {
    return 'not-a-root';
  }
  // Ahead of the rest, since another version may lay out the rest in another way.
  if (data[mark.length] !== formatVersion) return 'unknown-version';
  const record = deserialized(data);
  if (record === undefined) return 'not-canonical';
  if (record.chunkSizeBytes !== shape.chunkSizeBytes) return 'other-shape';
  if (!isCounter(record.length)) return 'bad-length';
  const { depth, length, children, inline } = record;
  if (depth !== depthOf(length, shape)) return 'wrong-depth';
  if (inline.length !== (depth === 0 ? length : 0)) return 'bad-length';
  const count = depth === 0 ? 0 : childCount(length, depth, shape);
  if (children.length !== count) return 'wrong-child-count';
  // Whatever leniency the decoder may have, only the bytes that we would write ourselves pass.
  if (!equalBytes(RootRecord.serialize(record), data)) return 'not-canonical';
  return { depth, length, children, inline };
}

function deserialized(data: Bytes) {
  if (data.length > RootRecord.maxSize) return undefined;
  try {
    return RootRecord.deserialize(data);
  } catch {
    return undefined;
  }
}

export function encodeNode(children: readonly Bytes[]): Bytes {
  return concatBytes(...children);
}

/** @param count how many children a node in this place has; at most the fan-out. */
export function decodeNode(data: Bytes, count: number): readonly Bytes[] | TreeFault {
  if (data.length !== count * hashSizeBytes) return 'wrong-child-count';
  return Array.from({ length: count }, (_, index) =>
    data.subarray(index * hashSizeBytes, (index + 1) * hashSizeBytes),
  );
}
