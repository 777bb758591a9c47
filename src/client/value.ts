// What the data of an object version holds: the value itself, or the root of a content that is kept as blocks.

import { type Bytes, concatBytes, uint64Bytes } from '../base/bytes.ts';

/** Values up to this size stand in the object itself. */
export const inlineValueSizeBytesMax = 32 * 1024;

export type StoredValue =
  | { readonly inline: Bytes }
  | { readonly root: Bytes; readonly lengthBytes: number };

const inlineTag = new Uint8Array([0]);
const contentTag = new Uint8Array([1]);
const contentSizeBytes = 1 + 32 + 8;

export function encodeValue(value: StoredValue): Bytes {
  if ('inline' in value) return concatBytes(inlineTag, value.inline);
  return concatBytes(contentTag, value.root, uint64Bytes(value.lengthBytes));
}

/** undefined for data that this version does not know how to read. */
export function decodeValue(data: Bytes): StoredValue | undefined {
  if (data[0] === 0) return { inline: data.subarray(1) };
  if (data[0] !== 1 || data.length !== contentSizeBytes) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const lengthBytes = Number(view.getBigUint64(33));
  return Number.isSafeInteger(lengthBytes) ? { root: data.slice(1, 33), lengthBytes } : undefined;
}
