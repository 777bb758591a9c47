import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareBytes,
  concatBytes,
  emptyBytes,
  equalBytes,
  fromHex,
  textOf,
  toHex,
  uint64Bytes,
  utf8,
} from './bytes.ts';

// Short strings over few letters, so that equal ones and prefixes occur.
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc
    .array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 4 })
    .map((values) => Uint8Array.from(values)),
);

describe('order of bytes', () => {
  it('is the order of unsigned bytes, a prefix first', () => {
    expect(compareBytes(Uint8Array.of(0x7f), Uint8Array.of(0x80))).toBeLessThan(0);
    expect(compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBeLessThan(0);
    expect(compareBytes(Uint8Array.of(2), Uint8Array.of(1, 0xff))).toBeGreaterThan(0);
    expect(compareBytes(emptyBytes, emptyBytes)).toBe(0);
  });

  it('is total, and the same as that of the hexadecimal texts', () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, (a, b, c) => {
        const order = Math.sign(compareBytes(a, b));
        expect(order).toBe(Math.sign(Buffer.compare(a, b)));
        expect(order + Math.sign(compareBytes(b, a))).toBe(0);
        expect(order === 0).toBe(toHex(a) === toHex(b));
        expect(equalBytes(a, b)).toBe(order === 0);
        if (order <= 0 && compareBytes(b, c) <= 0)
          expect(compareBytes(a, c)).toBeLessThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('uint64Bytes', () => {
  const counter = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(),
    fc.constantFrom(0, 255, 256, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1),
  );

  it('is big-endian', () => {
    expect(toHex(uint64Bytes(0))).toBe('0000000000000000');
    expect(toHex(uint64Bytes(2 ** 32 + 2))).toBe('0000000100000002');
    expect(toHex(uint64Bytes(Number.MAX_SAFE_INTEGER))).toBe('001fffffffffffff');
  });

  it('orders bytes as it orders numbers', () => {
    fc.assert(
      fc.property(counter, counter, (a, b) => {
        expect(Math.sign(compareBytes(uint64Bytes(a), uint64Bytes(b)))).toBe(Math.sign(a - b));
        expect(new DataView(uint64Bytes(a).buffer).getBigUint64(0)).toBe(BigInt(a));
      }),
    );
  });
});

describe('hexadecimal', () => {
  it('comes back', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(fromHex(toHex(value))).toEqual(value);
        expect(fromHex(toHex(value).toUpperCase())).toEqual(value);
        expect(toHex(value)).toBe(Buffer.from(value).toString('hex'));
      }),
    );
  });

  it.each(['a', 'zz', '0x', '12 4', ' 12', '1234\n', '１２', '+1'])('is not %j', (text) => {
    expect(fromHex(text)).toBeUndefined();
  });
});

describe('text', () => {
  it('comes back, and no two byte strings give one text', () => {
    fc.assert(
      fc.property(bytes, (value) => {
        const text = textOf(value);
        if (text !== undefined) expect(utf8(text)).toEqual(value);
      }),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => textOf(utf8(text)) === text));
  });

  it('keeps a byte order mark', () => {
    expect(textOf(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\uFEFFa');
  });

  it.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['above the last code point', [0xf4, 0x90, 0x80, 0x80]],
  ])('is not %s', (_, values) => {
    expect(textOf(Uint8Array.from(values))).toBeUndefined();
  });
});

it('concatBytes joins in order and copies', () => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), (parts) => {
      expect(Buffer.from(concatBytes(...parts))).toEqual(Buffer.concat(parts));
    }),
  );
  const part = Uint8Array.of(1);
  const joined = concatBytes(part);
  part[0] = 2;
  expect([...joined]).toEqual([1]);
});
