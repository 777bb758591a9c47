// What applications pass in, checked where it enters: a mistake is told by the argument's name, before anything is sent.

import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { type Address, looksLikeAddress, parseAddress } from './content/address.ts';

const usage = (message: string, cure: string): HoldfastError =>
  new HoldfastError('usage', message, { cure });

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return `${/^[aeiou]/.test(typeof value) ? 'an' : 'a'} ${typeof value}`;
}

/** The longest that the runtime's timers measure: about 24 days. */
export const timeoutMsMax = 2 ** 31 - 1;

/** @throws HoldfastError `usage` unless it is a time in milliseconds that a timer can measure. */
export function requireTimeoutMs(timeoutMs: unknown): void {
  if (typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= timeoutMsMax) return;
  const shown = typeof timeoutMs === 'number' ? String(timeoutMs) : kindOf(timeoutMs);
  throw usage(
    `timeoutMs must be a number of milliseconds above 0 and up to ${timeoutMsMax}, not ${shown}`,
    'Leave it out for the default, or give for example 30_000.',
  );
}

/** @throws HoldfastError `usage` unless it is text. */
export function requireText(argument: string, value: unknown): void {
  if (typeof value === 'string') return;
  throw usage(`${argument} must be a string, not ${kindOf(value)}`, `Pass ${argument} as text.`);
}

const isAsyncIterable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Symbol.asyncIterator in value;

/** @throws HoldfastError `usage` unless it is bytes or gives them piece by piece. */
export function requireBytes(argument: string, value: unknown): void {
  if (value instanceof Uint8Array || isAsyncIterable(value)) return;
  throw usage(
    `${argument} must be a Uint8Array or an AsyncIterable of them, not ${kindOf(value)}`,
    'Pass bytes; text becomes bytes by new TextEncoder().encode(text).',
  );
}

/** One piece of an iterable source. @throws HoldfastError `usage` unless it is bytes. */
export function requirePiece(piece: unknown): Bytes {
  if (piece instanceof Uint8Array) return piece;
  throw usage(
    `the source gave ${kindOf(piece)} instead of bytes (Uint8Array)`,
    'Encode text as UTF-8 before it is stored.',
  );
}

const nameLengthMax = 1024;

/** @throws HoldfastError `usage` for a text that cannot name an object. */
export function requireName(name: string): void {
  if (name.length > 0 && name.length <= nameLengthMax) return;
  throw usage(`a name has 1 to ${nameLengthMax} characters`, 'Give another name.');
}

/** @throws HoldfastError `usage` for a text that is no address. */
export function parsedAddress(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  throw usage(
    `${text} is not an address: it is incomplete or has a typing error`,
    'Copy it again as `put` or `write` printed it.',
  );
}

/** The id of the content that `address` names. @throws HoldfastError `usage`. */
export function contentIdOf(address: string): Bytes {
  requireText('address', address);
  const { kind, id } = parsedAddress(address);
  if (kind === 'content') return id;
  throw usage(
    `${address} is the address of an object, which can change`,
    'Read it with `holdfast read`.',
  );
}

/** The address that stands in place of a name; undefined for a name. @throws HoldfastError `usage` for neither. */
export function addressIn(name: string): Address | undefined {
  requireText('name', name);
  if (looksLikeAddress(name)) return parsedAddress(name);
  requireName(name);
  return undefined;
}

/** As `addressIn`, where only an object makes sense. @throws HoldfastError `usage` for the address of a content. */
export function objectAddressIn(name: string): Address | undefined {
  const address = addressIn(name);
  if (address?.kind !== 'content') return address;
  throw usage(
    `${name} is the address of content that never changes`,
    'Get it with `holdfast get`.',
  );
}

/** @throws HoldfastError `usage` for what cannot be written to: an address, or no name. */
export function requireWritable(name: string): void {
  requireText('name', name);
  if (!looksLikeAddress(name)) return requireName(name);
  throw usage(
    `${name} is an address; objects are written by name`,
    'Use the name that it was first written under, with the same key (`holdfast key list`).',
  );
}
