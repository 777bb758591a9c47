// A key for channels that an identity key vouches for, so that the identity key itself need not be where channels end.

import { type Bytes, concatBytes, uint64Bytes } from '../base/bytes.ts';
import { signedBytes } from './domains.ts';

export interface ChannelKeyClaim {
  /** The number of the identity's last change of keys: keys of before count for nothing to who knows of that change. */
  readonly counter: number;
  /** After this time of day nobody takes the key who has not heard of changes; milliseconds since 1970. */
  readonly notAfterMs: number;
}

/** What an identity signs to vouch for a raw Ed25519 key. @param system in which it speaks for the identity, 32 bytes. */
export function channelKeyBytes(system: Bytes, claim: ChannelKeyClaim, key: Bytes): Bytes {
  const { counter: scope, notAfterMs } = claim;
  const body = concatBytes(key, uint64Bytes(notAfterMs));
  return signedBytes({ purpose: 'channel-key', system, scope, body });
}
