// What holds for every message of a registry, whoever's it is: its encoding is the one that the written rules give, and
// the decoder takes that and nothing else.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { damagedEncodings } from './damaged.ts';
import { arbitraryOf, decodeNaively, encodeNaively, shapeOf, type Value } from './ssz.ts';

/** A registry as it is tested; names and values belong together in a way that the compiler cannot see here. */
export interface TestedRegistry {
  readonly entries: Readonly<Record<string, Parameters<typeof shapeOf>[0]>>;
  encode(name: string, value: unknown): Uint8Array;
  decode(name: string, bytes: Uint8Array): { name: string; value: unknown } | undefined;
  /** How many runs each property gets: values, damaged encodings, any bytes. */
  readonly runs: readonly [number, number, number];
}

const small = { bytesMax: 48, listMax: 3 };

/** Decodes, and demands of whatever is accepted that its encoding is the bytes it came from. */
export function accepts(registry: TestedRegistry, name: string, bytes: Uint8Array): boolean {
  const message = registry.decode(name, bytes);
  if (message === undefined) return false;
  expect(message.name).toBe(name);
  expect(Buffer.compare(registry.encode(message.name, message.value), bytes)).toBe(0);
  return true;
}

export function describeMessages(registry: TestedRegistry): void {
  const [values, damaged, runsOfAnyBytes] = registry.runs;
  const cases = Object.entries(registry.entries).map(([name, type]) => ({
    name,
    shape: shapeOf(type),
  }));
  describe.each(cases)('message $name', ({ name, shape }) => {
    it('keeps every valid value, in the encoding that the written rules give', () => {
      fc.assert(
        fc.property(arbitraryOf(shape, small), (value: Value) => {
          const bytes = registry.encode(name, value);
          expect(Buffer.compare(bytes, encodeNaively(shape, value))).toBe(0);
          expect(registry.decode(name, bytes)).toEqual({ name, value });
        }),
        { numRuns: values, seed: 1 },
      );
    });

    it('agrees with the naive decoder about damaged encodings', () => {
      let accepted = 0;
      let refused = 0;
      fc.assert(
        fc.property(damagedEncodings(shape, small), (bytes) => {
          const isValid = accepts(registry, name, bytes);
          expect(isValid).toBe(decodeNaively(shape, bytes) !== undefined);
          if (isValid) accepted += 1;
          else refused += 1;
        }),
        { numRuns: damaged, seed: 2 },
      );
      expect(accepted).toBeGreaterThan(0);
      expect(refused).toBeGreaterThan(0);
    });

    it('agrees with the naive decoder about any bytes', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
          const isValid = decodeNaively(shape, bytes) !== undefined;
          expect(accepts(registry, name, bytes)).toBe(isValid);
        }),
        { numRuns: runsOfAnyBytes, seed: 3 },
      );
    });
  });
}

type Numbered = Readonly<Record<string, { readonly number: number }>>;

/**
 * @param everUsed all numbers with their names, append only. What is given up keeps its line with `retired` in place of
 *   its name, so that its number is never given a second meaning.
 */
export function describeNumbers(
  what: string,
  table: Numbered,
  everUsed: readonly (readonly [number, string])[],
): void {
  describe(what, () => {
    it('never change or come back with another meaning', () => {
      const current = Object.entries(table).map(([name, { number }]) => [number, name] as const);
      expect(current).toEqual(everUsed.filter(([, name]) => name !== 'retired'));
    });

    it('are distinct, fit two bytes, and leave 0 alone', () => {
      const numbers = everUsed.map(([number]) => number);
      expect(new Set(numbers).size).toBe(numbers.length);
      expect(numbers.every((number) => number > 0 && number < 2 ** 16)).toBe(true);
    });
  });
}
