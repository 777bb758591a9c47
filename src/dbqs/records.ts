// What a storage replica keeps in its table, and how damage is found. Small records carry a checksum over key and
// contents, so that a value that turns up under another key is damage too; data is checked by the hash that names it.
//
//   h <object id>   header and owner of an object       d <object id>   data of that version
//   c <block id>    length and owner of a block         b <block id>    its bytes
//   m <name>        state of the replica itself

import { ByteVectorType, ContainerType, UintNumberType, type ValueOf } from '@chainsafe/ssz';
import type { Bytes } from '../base/bytes.ts';
import { concatBytes, equalBytes, utf8 } from '../base/bytes.ts';
import { taggedHash } from '../crypto/hash.ts';
import { decodeAs } from '../wire/registry.ts';
import { ObjectHeader } from '../wire/types.ts';

const Bytes32 = new ByteVectorType(32);

/** `owner` is the client key that is charged for the bytes. */
export const ObjectRecord: ContainerType<{
  header: typeof ObjectHeader;
  owner: ByteVectorType;
}> = new ContainerType({ header: ObjectHeader, owner: Bytes32 });
export const BlockRecord = new ContainerType({ length: new UintNumberType(4), owner: Bytes32 });
export type ObjectRecord = ValueOf<typeof ObjectRecord>;
export type BlockRecord = ValueOf<typeof BlockRecord>;

export type ItemKind = 'object' | 'block';

/** `after`: the first key behind all records of a kind. */
const letters = {
  object: { record: utf8('h'), after: utf8('i'), data: utf8('d') },
  block: { record: utf8('c'), after: utf8('d'), data: utf8('b') },
} as const;

export function recordKey(kind: ItemKind, id: Bytes): Bytes {
  return concatBytes(letters[kind].record, id);
}

export function dataKey(kind: ItemKind, id: Bytes): Bytes {
  return concatBytes(letters[kind].data, id);
}

export function metaKey(name: string): Bytes {
  return concatBytes(utf8('m'), utf8(name));
}

/** The keys of all records of a kind whose id is at or after `from`. */
export function recordRange(kind: ItemKind, from: Bytes): { from: Bytes; to: Bytes } {
  return { from: recordKey(kind, from), to: letters[kind].after };
}

export function idOfKey(key: Bytes): Bytes {
  return key.subarray(1);
}

const checksumSizeBytes = 16;

/** `body` with a checksum in front that binds it to `key`. */
export function seal(key: Bytes, body: Bytes): Bytes {
  return concatBytes(checksum(key, body), body);
}

/** The body of a sealed record, or undefined if it is damaged or belongs to another key. */
export function unseal(key: Bytes, sealed: Bytes): Bytes | undefined {
  if (sealed.length < checksumSizeBytes) return undefined;
  const body = sealed.subarray(checksumSizeBytes);
  return equalBytes(sealed.subarray(0, checksumSizeBytes), checksum(key, body)) ? body : undefined;
}

function checksum(key: Bytes, body: Bytes): Bytes {
  return taggedHash('record', key, body).subarray(0, checksumSizeBytes);
}

export function sealObject(id: Bytes, record: ObjectRecord): Bytes {
  return seal(recordKey('object', id), ObjectRecord.serialize(record));
}

export function unsealObject(id: Bytes, sealed: Bytes): ObjectRecord | undefined {
  const body = unseal(recordKey('object', id), sealed);
  return body === undefined ? undefined : decodeAs(ObjectRecord, body);
}

export function sealBlock(id: Bytes, record: BlockRecord): Bytes {
  return seal(recordKey('block', id), BlockRecord.serialize(record));
}

export function unsealBlock(id: Bytes, sealed: Bytes): BlockRecord | undefined {
  const body = unseal(recordKey('block', id), sealed);
  return body === undefined ? undefined : decodeAs(BlockRecord, body);
}
