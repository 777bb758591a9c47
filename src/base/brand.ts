// Branded numbers and strings: the compiler keeps an epoch from being passed where a counter is meant.

declare const brand: unique symbol;

/** A `Base` that only a named constructor makes, so that two kinds of it do not mix. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Number of a configuration; the first one is 0. At most 2^53 - 1. */
export type Epoch = Brand<number, 'Epoch'>;

/** Lower-case hexadecimal of a 32-byte Ed25519 public key: who a peer is. */
export type PeerId = Brand<string, 'PeerId'>;

/** Largest counter that goes on the wire. */
export const counterMax = Number.MAX_SAFE_INTEGER;

export function isCounter(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** @throws RangeError if `value` is not an integer in 0 … 2^53 - 1. */
export function epoch(value: number): Epoch {
  if (!isCounter(value)) throw new RangeError(`not an epoch: ${value}`);
  return value as Epoch;
}
