// How often one address may begin a handshake: before a key is proved there is nobody else whom to charge for it.

import type { Clock } from '../env/clock.ts';
import { limits } from '../wire/limits.ts';

interface Begun {
  /** Less what the address may begin; as of `atMs`. */
  readonly count: number;
  readonly atMs: number;
}

export class HandshakeRates {
  readonly #clock: Clock;
  readonly #countsLoopback: boolean;
  /** By place; whoever has been silent longest comes first. */
  readonly #begun = new Map<string, Begun>();
  /** Where those have come from last who keep their places: few, each with one address. */
  readonly #known = new Map<string, string>();

  constructor(clock: Clock, countsLoopback: boolean) {
    this.#clock = clock;
    this.#countsLoopback = countsLoopback;
  }

  /** Places of which something is kept. */
  get placesCount(): number {
    return this.#begun.size;
  }

  /** Whether an address may begin one more handshake; counts it if so. */
  take(address: string): boolean {
    if (!this.#countsLoopback && isLoopback(address)) return true;
    const place = this.#placeOf(address);
    const count = this.#count(this.#begun.get(place));
    this.#begun.delete(place);
    this.#forgetOld();
    const mayBegin = count + 1 <= limits.handshakesAtOnceMax;
    this.#note(place, mayBegin ? count + 1 : count);
    return mayBegin;
  }

  /** It was somebody whom this process works for or with. */
  giveBack(address: string): void {
    const place = this.#placeOf(address);
    const begun = this.#begun.get(place);
    if (begun !== undefined) this.#note(place, Math.max(0, this.#count(begun) - 1));
  }

  /** A peer whose place nobody else ever gets has come from there: it has a place of its own among its neighbours. */
  know(peer: string, address: string): void {
    this.#known.set(peer, address);
  }

  /** Strangers on its network, which may be that of a whole data centre, do not keep out who is known to be there. */
  #placeOf(address: string): string {
    for (const known of this.#known.values()) if (known === address) return address;
    return placeOf(address);
  }

  #note(place: string, count: number): void {
    this.#begun.set(place, { count, atMs: this.#clock.nowMs() });
  }

  #count(begun: Begun | undefined): number {
    if (begun === undefined) return 0;
    const passedMs = this.#clock.nowMs() - begun.atMs;
    return Math.max(0, begun.count - (passedMs * limits.handshakesPerSecondMax) / 1000);
  }

  #forgetOld(): void {
    for (const [place, begun] of this.#begun) {
      const isFull = this.#begun.size >= limits.handshakeAddressesMax;
      if (!isFull && this.#count(begun) > 0) return;
      this.#begun.delete(place);
    }
  }
}

/** Who is on this machine takes of its processor time what it likes anyway, and may be many that come from one address. */
function isLoopback(address: string): boolean {
  return address === '::1' || address.replace('::ffff:', '').startsWith('127.');
}

/** Whoever has one address of version 6 has all of its network. */
function placeOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [front = '', back] = address.split('%', 1)[0]?.split('::') ?? [];
  const groups = front === '' ? [] : front.split(':');
  // What is left out in the middle are zeros.
  const after = back === undefined || back === '' ? 0 : back.split(':').length;
  if (back !== undefined) {
    while (groups.length + after < 8) groups.push('0');
    if (after > 0) groups.push(...back.split(':'));
  }
  return groups.slice(0, 4).join(':');
}
