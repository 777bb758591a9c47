// Looks at the start of a source to learn whether it is short, without losing what was read.

import { type Bytes, concatBytes } from '../base/bytes.ts';
import { requirePiece } from './arguments.ts';

/** `head` is everything when `rest` is undefined; else `rest` gives everything, the part already read included. */
export async function splitAt(
  source: Bytes | AsyncIterable<Bytes>,
  sizeBytesMax: number,
): Promise<{ head: Bytes; rest: Bytes | AsyncIterable<Bytes> | undefined }> {
  if (source instanceof Uint8Array) {
    return { head: source, rest: source.length <= sizeBytesMax ? undefined : source };
  }
  const iterator = source[Symbol.asyncIterator]();
  const read: Bytes[] = [];
  let length = 0;
  while (length <= sizeBytesMax) {
    const next = await iterator.next();
    if (next.done === true) return { head: concatBytes(...read), rest: undefined };
    // A source may use its buffer again.
    const piece = Uint8Array.from(requirePiece(next.value));
    read.push(piece);
    length += piece.length;
  }
  return { head: concatBytes(...read), rest: continued(read, iterator) };
}

async function* continued(
  read: readonly Bytes[],
  iterator: AsyncIterator<Bytes>,
): AsyncGenerator<Bytes> {
  try {
    yield* read;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
      yield next.value;
  } finally {
    await iterator.return?.();
  }
}
