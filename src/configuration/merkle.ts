// The Merkle tree of a configuration: a flat array of 32-byte leaves, hashed a level at a time. A node is the SHA-256
// of its two children; an odd last node moves up unchanged (duplicating it would give two lists one root). Leaves and
// root are tagged hashes, so that no inner node can pass for either.

import hashtree from '@chainsafe/hashtree';
import type { Bytes } from '../base/bytes.ts';
import { hashSizeBytes } from '../crypto/hash.ts';

/** Top of the tree over `leaves` (32 bytes each); 32 zero bytes for none. */
export function merkleTop(leaves: Bytes): Bytes {
  let level = leaves;
  if (level.length === 0) return new Uint8Array(hashSizeBytes);
  while (level.length > hashSizeBytes) level = parents(level);
  return level;
}

function parents(level: Bytes): Bytes {
  const count = level.length / hashSizeBytes;
  const pairs = Math.floor(count / 2);
  const next = new Uint8Array((pairs + (count % 2)) * hashSizeBytes);
  hashtree.hashInto(
    level.subarray(0, pairs * 2 * hashSizeBytes),
    next.subarray(0, pairs * hashSizeBytes),
  );
  if (count % 2 === 1) next.set(level.subarray((count - 1) * hashSizeBytes), pairs * hashSizeBytes);
  return next;
}
