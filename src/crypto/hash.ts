// SHA-256 with a tag in front and every part length-prefixed, so that no two purposes and no two splits of the same
// bytes share a digest (amendment to the papers' raw concatenation).

import { createHash, hash as oneShot } from 'node:crypto';
import type { Bytes } from '../base/bytes.ts';
import { utf8 } from '../base/bytes.ts';

/** Every purpose for which something is hashed. Append only. */
export const hashTags = [
  'block',
  'object',
  'server-id',
  'system',
  'parameters',
  'member-leaf',
  'configuration-root',
  'epoch-certificate',
  'instance',
  'holding',
  'record',
  'object-key',
  'writer',
  'address',
  'request',
  'bundle-node',
  'page',
  'page-node',
  'state-root',
  'result',
  'pbft-batch',
  'pbft-null',
  'pbft-view-change',
  'pbft-new-view',
] as const;

export type HashTag = (typeof hashTags)[number];

export const hashSizeBytes = 32;

const prefixes = new Map<HashTag, Bytes>(
  hashTags.map((tag) => {
    const name = utf8(`holdfast/${tag}/v1`);
    const prefix = new Uint8Array(1 + name.length);
    prefix[0] = name.length;
    prefix.set(name, 1);
    return [tag, prefix];
  }),
);

/** Below this many bytes, joining and hashing at once is faster than a hash object. */
const joinSizeBytesMax = 4096;
/** Where parts are joined: hashing is done with it when it returns. */
const scratch = Buffer.allocUnsafeSlow(joinSizeBytesMax);

/** SHA-256 over the tag and the length-prefixed parts. 32 bytes. */
export function taggedHash(tag: HashTag, ...parts: readonly Bytes[]): Bytes {
  const prefix = prefixes.get(tag) as Bytes;
  let length = prefix.length;
  for (const part of parts) length += 4 + part.length;
  if (length <= joinSizeBytesMax) {
    scratch.set(prefix, 0);
    let offset = prefix.length;
    for (const part of parts) {
      offset = scratch.writeUInt32LE(part.length, offset);
      scratch.set(part, offset);
      offset += part.length;
    }
    return digestOf(oneShot('sha256', scratch.subarray(0, length), 'binary'));
  }
  const state = createHash('sha256').update(prefix);
  for (const part of parts) {
    const size = Buffer.allocUnsafe(4);
    size.writeUInt32LE(part.length);
    state.update(size).update(part);
  }
  return digestOf(state.digest('binary'));
}

/** Half the time of asking for a buffer goes this way: strings and small arrays cost the runtime less than buffers. */
function digestOf(characters: string): Bytes {
  const digest = new Uint8Array(hashSizeBytes);
  for (let i = 0; i < hashSizeBytes; i++) digest[i] = characters.charCodeAt(i);
  return digest;
}
