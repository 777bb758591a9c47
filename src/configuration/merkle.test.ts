import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Bytes, concatBytes, toHex } from '../base/bytes.ts';
import { merkleTop } from './merkle.ts';

const sizeBytes = 32;

function node(left: Bytes, right: Bytes): Bytes {
  return new Uint8Array(createHash('sha256').update(left).update(right).digest());
}

/** From the top: the left part is the largest power of two below the count, whatever remains is the right part. */
function naiveTop(leaves: readonly Bytes[]): Bytes {
  const [only] = leaves;
  if (only === undefined) return new Uint8Array(sizeBytes);
  if (leaves.length === 1) return only;
  let left = 1;
  while (left * 2 < leaves.length) left *= 2;
  return node(naiveTop(leaves.slice(0, left)), naiveTop(leaves.slice(left)));
}

function leavesOf(count: number): Bytes[] {
  return Array.from(
    { length: count },
    (_, i) => new Uint8Array(createHash('sha256').update(`leaf ${i}`).digest()),
  );
}

it('is the recursive tree, for every count up to 70 and around powers of two', () => {
  for (const count of [...Array(71).keys(), 127, 128, 129, 255, 256, 257, 1000]) {
    const leaves = leavesOf(count);
    expect(toHex(merkleTop(concatBytes(...leaves)))).toBe(toHex(naiveTop(leaves)));
  }
});

it('moves an odd last leaf up unchanged', () => {
  const [a, b, c] = leavesOf(3) as [Bytes, Bytes, Bytes];
  expect(toHex(merkleTop(concatBytes(a, b, c)))).toBe(toHex(node(node(a, b), c)));
  expect(toHex(merkleTop(a))).toBe(toHex(a));
});

it('differs when the last leaf is repeated, as it would not with duplication', () => {
  for (const count of [1, 2, 3, 5, 6, 7, 9, 33]) {
    const leaves = leavesOf(count);
    const repeated = [...leaves, leaves.at(-1) as Bytes];
    expect(toHex(merkleTop(concatBytes(...repeated)))).not.toBe(
      toHex(merkleTop(concatBytes(...leaves))),
    );
  }
});

it('leaves its input alone and changes with every leaf and every order', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), fc.nat(), (count, i, j) => {
      const leaves = leavesOf(count);
      const joined = concatBytes(...leaves);
      const before = toHex(joined);
      const top = toHex(merkleTop(joined));
      expect(toHex(joined)).toBe(before);
      const [a, b] = [i % count, j % count];
      const swapped = [...leaves];
      swapped[a] = leaves[b] as Bytes;
      swapped[b] = leaves[a] as Bytes;
      expect(toHex(merkleTop(concatBytes(...swapped))) === top).toBe(a === b);
    }),
  );
});
