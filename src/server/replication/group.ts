// A fixed group of replicas, written down: who they are, where they are, and what names them.

import { type Bytes, concatBytes, utf8 } from '../../base/bytes.ts';
import { taggedHash } from '../../crypto/hash.ts';
import { ed25519 } from '../../crypto/signature.ts';
import type { Address } from '../../env/network.ts';
import type { ReplicaGroup } from '../../replication/contract.ts';
import { checkGroup, checkName, checkSeed } from './arguments.ts';

/** A group with the addresses of its members, by index. */
export interface PlacedGroup extends ReplicaGroup {
  readonly addresses: readonly Address[];
}

export interface GroupMember {
  /** Ed25519 public key, 32 bytes. */
  readonly publicKey: Bytes;
  readonly address: Address;
}

/**
 * The public key of a member or client with this secret seed of 32 bytes.
 * @throws HoldfastError `bad-configuration` for anything else.
 */
export function memberKey(seed: Bytes): Bytes {
  checkSeed('the seed of a key', seed);
  return ed25519.signer(seed).publicKey;
}

/**
 * The group of these members, in this order, under this name. The same arguments give the same instance everywhere; two
 * services on the same members need two names.
 * @param name not empty.
 * @param faults members that may be faulty at a time.
 * @param genesis `root` of the ending of another group (32 bytes), whose state this one begins with. Unless given it begins with none.
 * @throws HoldfastError `bad-configuration` for no name, keys that are not keys, doubled ones, no members, too many faults, or ports out of range.
 */
export function describeGroup(
  name: string,
  members: readonly GroupMember[],
  faults: number,
  genesis?: Bytes,
): PlacedGroup {
  checkName(name);
  const keys = Array.isArray(members) ? members.map(({ publicKey }) => publicKey) : [];
  const group = {
    members: keys,
    faults,
    addresses: keys.map((_, i) => members[i]?.address),
    ...(genesis !== undefined && { genesis }),
  };
  checkGroup({ ...group, instance: new Uint8Array(32) });
  const named = [utf8(name), Uint8Array.of(faults), concatBytes(...keys)];
  return {
    ...group,
    instance: taggedHash('instance', ...named, ...(genesis === undefined ? [] : [genesis])),
    addresses: members.map(({ address }) => address),
  };
}
