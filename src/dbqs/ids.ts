// Identifiers of what dBQS stores (paper section 4): self-verifying, in the same space as the servers' ids. The two
// kinds hash under different tags, so that no id can be both.

import type { Bytes } from '../base/bytes.ts';
import { taggedHash } from '../crypto/hash.ts';

/** Id of an immutable block: the hash of its bytes. */
export function blockId(data: Bytes): Bytes {
  return taggedHash('block', data);
}

/** Id of a mutable object: the hash of the public key that signs its versions. */
export function objectId(publicKey: Bytes): Bytes {
  return taggedHash('object', publicKey);
}

/** What a holder of a block answers to a challenge: shows that it has the bytes now, without sending them. */
export function holdingProof(challenge: Bytes, data: Bytes): Bytes {
  return taggedHash('holding', challenge, data);
}
