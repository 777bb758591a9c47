// Addresses as text: what a user copies, mails and pastes. A checksum tells a mistyped address from an unknown one.

import { assert } from '../../base/assert.ts';
import { type Bytes, concatBytes, equalBytes, utf8 } from '../../base/bytes.ts';
import { hashSizeBytes, taggedHash } from '../../crypto/hash.ts';

export type AddressKind = 'content' | 'object';

export interface Address {
  readonly kind: AddressKind;
  /** 32 bytes: the id of a content's root block, or of an object. */
  readonly id: Bytes;
}

const prefixes: Readonly<Record<AddressKind, string>> = { content: 'hfc1', object: 'hfo1' };
const prefixLength = 4;
const checksumSizeBytes = 4;

/** RFC 4648 in lower case. */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Characters of every address: the prefix and 36 bytes at five bits a character. */
export const addressLength =
  prefixLength + Math.ceil(((hashSizeBytes + checksumSizeBytes) * 8) / 5);

/** Shorter text is a name, even if it happens to start like an address. */
const fragmentLengthMin = 20;

export function formatAddress(kind: AddressKind, id: Bytes): string {
  assert(id.length === hashSizeBytes, 'an address names 32 bytes');
  const prefix = prefixes[kind];
  return prefix + toBase32(concatBytes(id, checksum(prefix, id)));
}

/** The address that `text` is, or undefined when it is none: wrong form, a typo, or not written canonically. */
export function parseAddress(text: string): Address | undefined {
  if (text.length !== addressLength) return undefined;
  const prefix = text.slice(0, prefixLength);
  const kind = prefix === prefixes.content ? 'content' : 'object';
  if (prefix !== prefixes[kind]) return undefined;
  const bytes = fromBase32(text.slice(prefixLength));
  if (bytes === undefined) return undefined;
  const id = bytes.slice(0, hashSizeBytes);
  if (!equalBytes(bytes.subarray(hashSizeBytes), checksum(prefix, id))) return undefined;
  return { kind, id };
}

/**
 * True for text that was meant as an address, also with a typo or a part missing: if `parseAddress` does not take it,
 * the user is better told of a mistyped address than of an object of that name.
 */
export function looksLikeAddress(text: string): boolean {
  const lower = text.toLowerCase();
  const rest = lower.slice(prefixLength);
  const strangers = [...rest].filter((character) => !alphabet.includes(character)).length;
  if (strangers > 2) return false;
  const wrong = Math.min(...Object.values(prefixes).map((prefix) => differences(prefix, lower)));
  if (wrong === 0) return lower.length >= fragmentLengthMin;
  return wrong === 1 && Math.abs(lower.length - addressLength) <= 1;
}

/** Characters of `prefix` that `text` does not have in the same place. */
function differences(prefix: string, text: string): number {
  return [...prefix].filter((character, index) => text[index] !== character).length;
}

function checksum(prefix: string, id: Bytes): Bytes {
  return taggedHash('address', utf8(prefix), id).subarray(0, checksumSizeBytes);
}

function toBase32(bytes: Bytes): string {
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet.charAt((buffer >>> (bits - 5)) & 31);
    buffer &= 31;
  }
  if (bits > 0) text += alphabet.charAt((buffer << (5 - bits)) & 31);
  return text;
}

/** Undefined for a character outside the alphabet, and for bits beyond the last whole byte that are not zero. */
function fromBase32(text: string): Bytes | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let filled = 0;
  let buffer = 0;
  let bits = 0;
  for (const character of text) {
    const value = alphabet.indexOf(character);
    if (value < 0) return undefined;
    buffer = ((buffer << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[filled++] = buffer >>> bits;
    }
  }
  return (buffer & ((1 << bits) - 1)) === 0 ? bytes : undefined;
}
