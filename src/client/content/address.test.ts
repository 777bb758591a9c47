import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHex } from '../../base/bytes.ts';
import {
  type AddressKind,
  addressLength,
  formatAddress,
  looksLikeAddress,
  parseAddress,
} from './address.ts';

const kinds: readonly AddressKind[] = ['content', 'object'];
const ids = fc.uint8Array({ minLength: 32, maxLength: 32 });
const sample = Uint8Array.from({ length: 32 }, (_, index) => index * 7);

test('every id comes back from its address', () => {
  fc.assert(
    fc.property(fc.constantFrom(...kinds), ids, (kind, id) => {
      const text = formatAddress(kind, id);
      expect(text).toHaveLength(addressLength);
      expect(text).toMatch(/^hf[co]1[a-z2-7]{58}$/);
      expect(parseAddress(text)).toEqual({ kind, id });
      expect(looksLikeAddress(text)).toBe(true);
    }),
  );
});

test('the text of an address never changes', () => {
  const id = fromHex(`${'00'.repeat(31)}ff`) ?? sample;
  expect(formatAddress('content', id)).toMatchInlineSnapshot(
    `"hfc1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad7u6un5d4"`,
  );
  expect(formatAddress('object', id)).toMatchInlineSnapshot(
    `"hfo1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaad7xskvdey"`,
  );
});

test('every typo of one character is detected, and still taken for an attempt at an address', () => {
  const characters = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ -_/.é';
  for (const kind of kinds) {
    const text = formatAddress(kind, sample);
    for (let at = 0; at < text.length; at++) {
      const start = text.slice(0, at);
      for (const character of characters) {
        const changed = start + character + text.slice(at + 1);
        if (changed !== text) expect(parseAddress(changed), changed).toBeUndefined();
        expect(looksLikeAddress(changed), changed).toBe(true);
        const longer = start + character + text.slice(at);
        expect(parseAddress(longer), longer).toBeUndefined();
      }
      const shorter = start + text.slice(at + 1);
      expect(parseAddress(shorter), shorter).toBeUndefined();
      const swapped = start + text.charAt(at + 1) + text.charAt(at) + text.slice(at + 2);
      if (swapped !== text) expect(parseAddress(swapped), swapped).toBeUndefined();
    }
  }
});

test('an address is written in one way only', () => {
  const text = formatAddress('content', sample);
  expect(parseAddress(text.toUpperCase())).toBeUndefined();
  expect(parseAddress(` ${text}`)).toBeUndefined();
  // The last character carries two bits that belong to no byte.
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  const same = [...alphabet].filter((last) => parseAddress(text.slice(0, -1) + last) !== undefined);
  expect(same).toEqual([text.at(-1)]);
});

test('names are not taken for addresses, pieces of addresses are', () => {
  const text = formatAddress('object', sample);
  for (const name of ['', 'notes', 'hfc1', 'hfo1-report', 'hfc1notes', 'backups/2024/hfc1.tar.gz'])
    expect(looksLikeAddress(name), name).toBe(false);
  expect(looksLikeAddress(text.slice(0, 30))).toBe(true);
  expect(looksLikeAddress(`${text.toUpperCase()}\n`)).toBe(true);
});

test('any text is taken or refused without an error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
      expect(parseAddress(text)).toBeUndefined();
      looksLikeAddress(text);
    }),
  );
});
