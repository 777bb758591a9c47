// Which servers are faulty in the Byzantine sense: no more than f in any group at a time. Crashes with an intact disk,
// pauses, and damage that a server finds by itself are not counted here.

import type { PeerId } from '../../src/base/brand.ts';
import type { Configuration } from '../../src/configuration/configuration.ts';

export class FaultBudget {
  readonly #groups: readonly ReadonlySet<PeerId>[];
  readonly #allowed: number;
  readonly #faulty = new Set<PeerId>();

  /** @param extra so many more than a system claims to bear, to see that it does not. */
  constructor(configuration: Configuration, extra = 0) {
    this.#allowed = configuration.faults + extra;
    this.#groups = configuration.members.map(
      ({ id }) => new Set(configuration.groupOf(id).members.map(({ peer }) => peer)),
    );
  }

  /** Counts a server as faulty, if every group that it is in bears it. */
  take(peer: PeerId): boolean {
    if (this.#faulty.has(peer)) return true;
    const full = this.#groups.some(
      (group) => group.has(peer) && this.#faultyIn(group) >= this.#allowed,
    );
    if (!full) this.#faulty.add(peer);
    return !full;
  }

  /** The server is as good as any other again. */
  giveBack(peer: PeerId): void {
    this.#faulty.delete(peer);
  }

  has(peer: PeerId): boolean {
    return this.#faulty.has(peer);
  }

  #faultyIn(group: ReadonlySet<PeerId>): number {
    let count = 0;
    for (const peer of this.#faulty) if (group.has(peer)) count++;
    return count;
  }
}
