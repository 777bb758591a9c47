// Brings a replica up to date with the other members: after its disk was lost it answers nobody until this is done;
// after it was merely away this runs in the background. The union of the lists of enough members counts: a finished
// write may be visible at a single correct one of them.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Member } from '../configuration/configuration.ts';
import type { Env } from '../env/env.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { compareTimestamps } from '../registers/timestamp.ts';
import { limits } from '../wire/limits.ts';
import type { ObjectHeader } from '../wire/types.ts';
import type { HeaderVerifier } from './headers.ts';
import type { Item } from './holdings.ts';
import type { Lifetime } from './lifetime.ts';
import { type Listed, ListWalk } from './list-walk.ts';
import type { ItemKind } from './records.ts';
import type { Repair } from './repair.ts';
import type { StorageReplica } from './replica.ts';

export interface SynchronizeOptions {
  readonly env: Env;
  readonly exchange: Exchange;
  readonly replica: StorageReplica;
  readonly repair: Repair;
  readonly verifier: HeaderVerifier;
  readonly self: PeerId;
  readonly lifetime: Lifetime;
}

/** `lost`: own contents count for nothing. `behind`: own contents are intact and count as one member's. */
export type SynchronizeMode = 'lost' | 'behind';

/** Items of one member that nobody delivers, after which its other claims that stand alone wait for the next run. */
const emptyClaimsMax = 64;

export class Synchronizer {
  readonly #options: SynchronizeOptions;
  readonly #mode: SynchronizeMode;
  /** By member: items that it listed and that could be neither fetched nor disproved. Each has cost a time-out. */
  readonly #emptyClaims = new Map<PeerId, number>();
  /** Items brought in by this run. */
  fetched = 0;
  /** Items that somebody lists and that could be neither fetched nor disproved: to be tried again. */
  skipped = 0;
  /** Items that others list and that are not here yet, as far as this run has got. */
  missing = 0;

  constructor(options: SynchronizeOptions, mode: SynchronizeMode) {
    this.#options = options;
    this.#mode = mode;
  }

  /** @throws QuorumUnavailable, SynchronizeIncomplete when too few members answer in time. Run again from the start. */
  async run(shouldStop: () => boolean): Promise<void> {
    for (const kind of ['object', 'block'] as const) {
      for await (const batch of this.#walk(kind).batches()) {
        if (shouldStop()) return;
        await this.#bringAll(kind, batch, shouldStop);
      }
    }
  }

  #walk(kind: ItemKind): ListWalk {
    const { exchange, replica, self, lifetime } = this.#options;
    const { configuration } = replica;
    return new ListWalk({
      exchange,
      epoch: configuration.epoch,
      kind,
      self,
      groups: configuration.groupsOf(self),
      needed: 2 * configuration.faults + (this.#mode === 'lost' ? 1 : 0),
      wanted: (id, header) => this.#isWanted(id, header),
      lifetime,
    });
  }

  /** A forged header is dropped here, before it could hide an honest one behind its higher version. */
  #isWanted(id: Bytes, header: ObjectHeader | undefined): boolean {
    const { replica, verifier } = this.#options;
    if (!replica.responsibleFor(id)) return false;
    if (header === undefined) return true;
    const own = replica.holdings.headerOf(id);
    const isNewer = own === undefined || compareTimestamps(own.version, header.version) < 0;
    return isNewer && verifier.verify(id, header);
  }

  async #bringAll(
    kind: ItemKind,
    batch: readonly Listed[],
    shouldStop: () => boolean,
  ): Promise<void> {
    const rest = batch.filter((listed) => this.#isMissing(kind, listed)).reverse();
    this.missing = rest.length;
    const worker = async (): Promise<void> => {
      for (let next = rest.pop(); next !== undefined && !shouldStop(); next = rest.pop())
        await this.#bring(kind, next).finally(() => {
          this.missing -= 1;
        });
    };
    await Promise.all(Array.from({ length: limits.repairsInFlightMax }, worker));
  }

  async #bring(kind: ItemKind, listed: Listed): Promise<void> {
    const { replica, repair } = this.#options;
    const { id, holders } = listed;
    if (!this.#isMissing(kind, listed)) return;
    // So few may all be liars that made the item up, and waiting for each of them would cost more than asking everybody.
    const mayBeInvented = holders.length <= replica.configuration.faults;
    if (mayBeInvented && this.#mode === 'behind' && this.#areDoubtful(holders)) {
      this.skipped += 1;
      return;
    }
    if (!mayBeInvented && (await this.#fetch(kind, listed))) return;
    // A member listed what it does not deliver, and may hide something older behind it: a full read decides.
    const item: Item = { kind, id };
    if (await repair.mend(item)) {
      if (!this.#isMissing(kind, listed)) this.fetched += 1;
      return;
    }
    if (this.#mode === 'lost') throw new SynchronizeIncomplete(kind);
    if (mayBeInvented && (await this.#fetch(kind, listed))) return;
    this.skipped += 1;
    for (const { peer } of holders)
      this.#emptyClaims.set(peer, (this.#emptyClaims.get(peer) ?? 0) + 1);
  }

  #areDoubtful(holders: readonly Member[]): boolean {
    return holders.every(({ peer }) => (this.#emptyClaims.get(peer) ?? 0) >= emptyClaimsMax);
  }

  /** True if less is here than was listed. */
  #isMissing(kind: ItemKind, { id, header }: Listed): boolean {
    const { replica } = this.#options;
    if (kind === 'block') return !replica.holdings.isRecorded({ kind, id });
    if (header === undefined) return false;
    const own = replica.holdings.headerOf(id);
    return own === undefined || compareTimestamps(own.version, header.version) < 0;
  }

  async #fetch(kind: ItemKind, { id, header, holders }: Listed): Promise<boolean> {
    const { repair } = this.#options;
    const done =
      header !== undefined
        ? await repair.fetchObject(header, id, holders)
        : kind === 'block' && (await repair.fetchBlock(id, holders));
    if (done) this.fetched += 1;
    return done;
  }
}

/** Too few members could be asked about one item; nothing may be concluded, so the whole run is made again. */
export class SynchronizeIncomplete extends Error {
  override readonly name = 'SynchronizeIncomplete';

  constructor(kind: ItemKind) {
    super(`too few servers answered about one ${kind}`);
  }
}
