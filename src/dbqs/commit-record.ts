// One commit as a journal record: sequence (u64), then per change: key length (u16), key, present (u8), value length
// (u32), value. Integers most significant first. The journal checks the record's integrity.

import type { Bytes } from '../base/bytes.ts';
import type { Change } from '../env/disk.ts';

export interface Commit {
  readonly sequence: number;
  readonly changes: readonly Change[];
}

const changeHeaderSizeBytes = 7;

export function encodeCommit({ sequence, changes }: Commit): Bytes {
  let length = 8;
  for (const { key, value } of changes)
    length += changeHeaderSizeBytes + key.length + (value?.length ?? 0);
  const record = new Uint8Array(length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(sequence));
  let offset = 8;
  for (const { key, value } of changes) {
    view.setUint16(offset, key.length);
    view.setUint8(offset + 2, value === undefined ? 0 : 1);
    view.setUint32(offset + 3, value?.length ?? 0);
    offset += changeHeaderSizeBytes;
    record.set(key, offset);
    offset += key.length;
    if (value !== undefined) record.set(value, offset);
    offset += value?.length ?? 0;
  }
  return record;
}

/** undefined for bytes that are not exactly one encoded commit. */
export function decodeCommit(record: Bytes): Commit | undefined {
  if (record.length < 8) return undefined;
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const sequence = Number(view.getBigUint64(0));
  if (!Number.isSafeInteger(sequence)) return undefined;
  const changes: Change[] = [];
  let offset = 8;
  while (offset < record.length) {
    if (record.length - offset < changeHeaderSizeBytes) return undefined;
    const keyLength = view.getUint16(offset);
    const present = view.getUint8(offset + 2);
    const valueLength = view.getUint32(offset + 3);
    offset += changeHeaderSizeBytes;
    if (present > 1 || (present === 0 && valueLength > 0)) return undefined;
    if (record.length - offset < keyLength + valueLength) return undefined;
    const key = record.subarray(offset, offset + keyLength);
    offset += keyLength;
    const value = present === 1 ? record.subarray(offset, offset + valueLength) : undefined;
    offset += valueLength;
    changes.push({ key, value });
  }
  return { sequence, changes };
}
