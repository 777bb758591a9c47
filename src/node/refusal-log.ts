// Tells whoever runs a node of keys that it does not admit, without letting strangers fill the log.

import type { PeerId } from '../base/brand.ts';
import type { Clock } from '../env/clock.ts';
import type { Log } from '../env/log.ts';

const toldAgainMs = 60_000;
/** Of so many addresses at most in that time. */
export const toldAddressesMax = 64;

export class RefusalLog {
  readonly #log: Log;
  readonly #clock: Clock;
  /** When each address was told of, oldest first. */
  readonly #told = new Map<string, number>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A peer has proved a key that is not admitted. @param address without the port, which is another one each time. */
  notAdmitted(peer: PeerId, address: string): void {
    const nowMs = this.#clock.nowMs();
    for (const [old, atMs] of this.#told) {
      if (nowMs - atMs < toldAgainMs) break;
      this.#told.delete(old);
    }
    if (this.#told.has(address) || this.#told.size >= toldAddressesMax) return;
    this.#told.set(address, nowMs);
    this.#log.info('network.not-admitted', { peer, address });
  }
}
