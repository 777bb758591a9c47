import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, compareBytes, concatBytes, toHex } from '../base/bytes.ts';
import { idSizeBytes, Ring } from './ring.ts';

const zero = new Uint8Array(idSizeBytes);
const last = new Uint8Array(idSizeBytes).fill(0xff);

/** An id with a few bytes set, so that equal and neighbouring ones occur. */
const id = fc
  .tuple(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.constantFrom(0, 1, 0xff))
  .map(([first, end]) => {
    const bytes = new Uint8Array(idSizeBytes);
    bytes[0] = first;
    bytes[idSizeBytes - 1] = end;
    return bytes;
  });

const ids = fc.uniqueArray(
  fc.oneof(id, fc.uint8Array({ minLength: idSizeBytes, maxLength: idSizeBytes })),
  {
    minLength: 1,
    maxLength: 30,
    selector: toHex,
  },
);

function ringOf(servers: readonly Bytes[]): { ring: Ring; sorted: Bytes[] } {
  const sorted = [...servers].sort(compareBytes);
  return { ring: new Ring(concatBytes(...sorted)), sorted };
}

/** By distance round the ring, in plain integers. */
function naiveSuccessors(servers: readonly Bytes[], x: Bytes, count: number): string[] {
  const number = (bytes: Bytes): bigint => BigInt(`0x${toHex(bytes)}`);
  const round = 2n ** 256n;
  const distance = (server: Bytes): bigint => (number(server) - number(x) + round) % round;
  const order = [...servers].sort((a, b) => (distance(a) < distance(b) ? -1 : 1));
  return order.slice(0, count).map(toHex);
}

it('places an id at the servers that follow it', () => {
  fc.assert(
    fc.property(ids, fc.oneof(id, fc.constantFrom(zero, last)), fc.nat(), (servers, x, some) => {
      const { ring, sorted } = ringOf(servers);
      const count = 1 + (some % servers.length);
      const found = ring.successors(x, count).map((position) => toHex(ring.id(position)));
      expect(found).toEqual(naiveSuccessors(servers, x, count));
      expect(new Set(found).size).toBe(count);
      expect(toHex(ring.id(ring.firstAtOrAfter(x)))).toBe(found[0]);
      expect(sorted.map(toHex)).toContain(found[0]);
    }),
    { numRuns: 500 },
  );
});

describe('at the edges', () => {
  const at = (value: number): Bytes => new Uint8Array(idSizeBytes).fill(value);
  const { ring } = ringOf([at(0x10), at(0x20), at(0x30), at(0x40)]);

  it.each([
    ['before all', zero, 0],
    ['equal to one: that one, not the next', at(0x20), 1],
    ['one above it', Uint8Array.from([...at(0x20).slice(0, 31), 0x21]), 2],
    ['one below it', Uint8Array.from([...at(0x20).slice(0, 31), 0x1f]), 1],
    ['equal to the last', at(0x40), 3],
    ['after all: round to the first', last, 0],
  ])('%s', (_, x, position) => {
    expect(ring.firstAtOrAfter(x)).toBe(position);
  });

  it('wraps without taking one twice', () => {
    expect(ring.successors(at(0x35), 4)).toEqual([3, 0, 1, 2]);
  });

  it('has one server only', () => {
    const { ring: alone } = ringOf([at(0x80)]);
    expect([zero, at(0x80), last].map((x) => alone.firstAtOrAfter(x))).toEqual([0, 0, 0]);
  });
});
