// Operations on byte strings. A byte string is never changed after it has been handed on.

export type Bytes = Uint8Array;

const encoder = new TextEncoder();
// A byte order mark is a character like any other: dropping it would give two byte strings one text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const emptyBytes: Bytes = new Uint8Array(0);

export function utf8(text: string): Bytes {
  return encoder.encode(text);
}

/** The text of UTF-8 bytes, or undefined when they are not UTF-8. */
export function textOf(bytes: Bytes): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A view, not a copy. The runtime's own conversions are several times faster than a loop over bytes. */
function viewOf(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function toHex(bytes: Bytes): string {
  return viewOf(bytes).toString('hex');
}

/** Up to so many bytes become a string faster without a buffer around them. */
const spreadSizeBytesMax = 64;

/** The bytes as a key of a map: one character for each, so that keys compare as the bytes do. Not for people. */
export function mapKey(bytes: Bytes): string {
  if (bytes.length <= spreadSizeBytesMax)
    return Reflect.apply(String.fromCharCode, undefined, bytes);
  return viewOf(bytes).toString('latin1');
}

/** The bytes of a `mapKey`. */
export function bytesOfMapKey(key: string): Bytes {
  return new Uint8Array(Buffer.from(key, 'latin1'));
}

/** The bytes of lower-case or upper-case hexadecimal, or undefined when `text` is not that. */
export function fromHex(text: string): Bytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Up to here a loop is quicker than the runtime's own comparison. */
const comparedSizeBytesMax = 128;

export function equalBytes(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  return a.length > comparedSizeBytesMax ? viewOf(a).equals(b) : compareBytes(a, b) === 0;
}

/** Lexicographic order of unsigned bytes: negative, zero or positive. */
export function compareBytes(a: Bytes, b: Bytes): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function concatBytes(...parts: readonly Bytes[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Eight bytes, most significant first, so that byte order is number order. */
export function uint64Bytes(value: number): Bytes {
  const bytes = new Uint8Array(8);
  let high = Math.floor(value / 2 ** 32);
  let low = value >>> 0;
  for (let i = 3; i >= 0; i--) {
    bytes[i] = high & 0xff;
    bytes[i + 4] = low & 0xff;
    high >>>= 8;
    low >>>= 8;
  }
  return bytes;
}
