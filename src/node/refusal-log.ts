// Tells whoever runs a node of what it refuses, without letting strangers fill the log.

import type { PeerId } from '../base/brand.ts';
import type { Clock } from '../env/clock.ts';
import type { Log } from '../env/log.ts';

const toldAgainMs = 60_000;
/** Of so many addresses at most in that time. */
export const toldAddressesMax = 64;

/** Addresses, without the port, which is another one each time. */
class Told {
  /** When each was told of, oldest first. */
  readonly #atMs = new Map<string, number>();

  mayTell(address: string, nowMs: number): boolean {
    for (const [old, atMs] of this.#atMs) {
      if (nowMs - atMs < toldAgainMs) break;
      this.#atMs.delete(old);
    }
    if (this.#atMs.has(address) || this.#atMs.size >= toldAddressesMax) return false;
    this.#atMs.set(address, nowMs);
    return true;
  }
}

export class RefusalLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #notAdmitted = new Told();
  readonly #badFrames = new Told();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A peer has proved a key that is not admitted. */
  notAdmitted(peer: PeerId, address: string): void {
    if (!this.#notAdmitted.mayTell(address, this.#clock.nowMs())) return;
    this.#log.info('network.not-admitted', { peer, address });
  }

  /** A peer has sent what is no message. */
  badFrame(peer: PeerId, address: string, error: string): void {
    if (!this.#badFrames.mayTell(address, this.#clock.nowMs())) return;
    this.#log.warn('network.bad-frame', { peer, address, error });
  }
}
