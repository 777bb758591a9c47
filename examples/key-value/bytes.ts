// Byte strings. One is never changed after it has been handed on.

export type Bytes = Uint8Array;

/** A view, not a copy. */
function viewOf(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The bytes as a text with one character for each: a key of a map, and texts compare as the bytes do. */
export function mapKey(bytes: Bytes): string {
  return viewOf(bytes).toString('latin1');
}

/** The bytes of a `mapKey`. */
export function bytesOfMapKey(key: string): Bytes {
  return new Uint8Array(Buffer.from(key, 'latin1'));
}

export function equalBytes(a: Bytes, b: Bytes): boolean {
  return viewOf(a).equals(b);
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
