// An integer-only generator for simulations and for protocol choices that need no secrecy (jitter, load spreading).
// sfc32 after a SplitMix-style seeding; probabilities are ratios, so that no floating point enters a trace.

import { assert } from './assert.ts';

export class Prng {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  constructor(seed: number) {
    let state = seed >>> 0;
    let high = Math.floor(seed / 2 ** 32) >>> 0;
    const mix = (): number => {
      state = (state + 0x9e3779b9) >>> 0;
      high = (high ^ (state << 7)) >>> 0;
      let z = (state ^ high) >>> 0;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = mix();
    this.#b = mix();
    this.#c = mix();
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** Uniform in 0 … 2^32 - 1. */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in 0 … bound - 1. `bound` is in 1 … 2^32. */
  below(bound: number): number {
    assert(bound >= 1 && bound <= 2 ** 32, 'a bound is in 1 … 2^32');
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let draw = this.uint32();
    while (draw >= limit) draw = this.uint32();
    return draw % bound;
  }

  /** Uniform in low … high, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with probability numerator / denominator. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /** One element; undefined only when `items` is empty. */
  pick<T>(items: readonly T[]): T | undefined {
    return items.length === 0 ? undefined : items[this.below(items.length)];
  }

  /** A new array in random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swapped = result[i] as T;
      result[i] = result[j] as T;
      result[j] = swapped;
    }
    return result;
  }

  bytes(length: number): Uint8Array {
    const result = new Uint8Array(length);
    for (let i = 0; i < length; i++) result[i] = this.uint32() & 0xff;
    return result;
  }

  /** An independent generator; drawing from one does not shift the other. */
  fork(): Prng {
    return new Prng(this.uint32() * 2 ** 20 + this.below(2 ** 20));
  }
}
