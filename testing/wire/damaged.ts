// Bytes for decoders to refuse, or to take for exactly what they are.

import fc from 'fast-check';
import { type Bytes, concatBytes } from '../../src/base/bytes.ts';
import { arbitraryOf, type Bounds, piecesOf, type Shape } from './ssz.ts';

/** Bytes that are almost an encoding: what a liar or a broken cable would send. */
export function damagedEncodings(shape: Shape, bounds: Bounds): fc.Arbitrary<Bytes> {
  return arbitraryOf(shape, bounds).chain((value) => {
    const pieces = piecesOf(shape, value);
    const valid = concatBytes(...pieces.map((piece) => piece.bytes));
    const at = fc.nat({ max: Math.max(0, valid.length - 1) });
    const offsets = pieces.flatMap((piece, i) =>
      piece.what === 'offset'
        ? [pieces.slice(0, i).reduce((sum, p) => sum + p.bytes.length, 0)]
        : [],
    );
    const flips = fc.array(fc.tuple(at, fc.nat({ max: 7 })), { minLength: 1, maxLength: 3 });
    const choices: fc.Arbitrary<Bytes>[] = [
      flips.map((places) => {
        const bytes = Uint8Array.from(valid);
        for (const [place, bit] of places) bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
        return bytes;
      }),
      at.map((length) => valid.slice(0, length)),
      fc.uint8Array({ minLength: 1, maxLength: 40 }).map((more) => concatBytes(valid, more)),
      fc
        .tuple(at, fc.uint8Array({ minLength: 1, maxLength: 8 }))
        .map(([place, more]) => concatBytes(valid.slice(0, place), more, valid.slice(place))),
      fc
        .tuple(at, fc.integer({ min: 1, max: 8 }))
        .map(([place, length]) => concatBytes(valid.slice(0, place), valid.slice(place + length))),
    ];
    if (offsets.length > 0) {
      const offset = fc.constantFrom(...offsets);
      const wild = fc.oneof(
        fc.nat({ max: valid.length + 8 }),
        fc.constantFrom(0, 1, 3, 4, 2 ** 31, 2 ** 32 - 1),
      );
      choices.push(
        fc.tuple(offset, wild).map(([place, target]) => {
          const bytes = Uint8Array.from(valid);
          new DataView(bytes.buffer).setUint32(place, target, true);
          return bytes;
        }),
        fc.tuple(offset, offset).map(([a, b]) => {
          const bytes = Uint8Array.from(valid);
          bytes.set(valid.slice(b, b + 4), a);
          bytes.set(valid.slice(a, a + 4), b);
          return bytes;
        }),
      );
    }
    return fc.oneof(...choices);
  });
}
