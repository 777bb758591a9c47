// What a replica does in the background: it finishes coming back after its disk was lost, reads through all that it
// holds to find damage before a reader does, and fetches what it missed while it was away.

import { AssertionFailed } from '../base/assert.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Env } from '../env/env.ts';
import type { ItemKind } from './records.ts';
import type { Repair } from './repair.ts';
import type { StorageReplica } from './replica.ts';
import { type SynchronizeMode, type SynchronizeOptions, Synchronizer } from './synchronize.ts';

export interface MaintenanceOptions extends SynchronizeOptions {
  /** Pause between two passes over everything. */
  readonly scrubIntervalMs: number;
  /** Bytes read through per second, at most. */
  readonly scrubRateBytesPerSecond: number;
  /** The replica has its contents back; makes that durable. Resolves when it is. */
  readonly onRecovered: () => Promise<void>;
}

/** Ids looked at between two pauses of the scrub. */
const scrubPageItems = 16;
const retryDelayMs = 5_000;
/**
 * Too few of the others answered to catch up; tried again after this, and twice as long with each time in a row. At first
 * soon: a server that has just started, perhaps with all the others, reaches them a moment later.
 */
const catchUpRetryMsMin = 1_000;
const catchUpRetryMsMax = 60_000;
/** How often an idle replica looks at the clock, and how far a look must be late to mean that it was suspended. */
const idleTickMs = 5_000;
const suspendedMsMin = 5_000;
const firstId = new Uint8Array(32);

export class Maintenance {
  readonly #env: Env;
  readonly #replica: StorageReplica;
  readonly #repair: Repair;
  readonly #options: MaintenanceOptions;
  /** Complete passes of the scrub since the start of the process. */
  scrubPasses = 0;
  #synchronizer: Synchronizer | undefined;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#env = options.env;
    this.#replica = options.replica;
    this.#repair = options.repair;
  }

  /** Runs until the lifetime ends. */
  async run(): Promise<void> {
    if (!this.#replica.serving) await this.#recover();
    const { scrubIntervalMs } = this.#options;
    const { clock } = this.#env;
    let scrubbedMs = clock.nowMs();
    let retryMs = catchUpRetryMsMin;
    while (!this.#stopped) {
      const caughtUp = await this.#synchronize('behind');
      const dueMs = scrubbedMs + scrubIntervalMs - clock.nowMs();
      await this.#idle(caughtUp ? dueMs : Math.min(dueMs, retryMs));
      retryMs = caughtUp ? catchUpRetryMsMin : Math.min(2 * retryMs, catchUpRetryMsMax);
      if (this.#stopped || clock.nowMs() < scrubbedMs + scrubIntervalMs) continue;
      await this.#scrub();
      scrubbedMs = clock.nowMs();
    }
  }

  /** Items that the others have and this replica is about to fetch. */
  get lagItems(): number {
    return this.#synchronizer?.missing ?? 0;
  }

  /** Waits for `durationMs`, or until it turns out that the process was suspended and so has missed writes. */
  async #idle(durationMs: number): Promise<void> {
    const { clock } = this.#env;
    const endMs = clock.nowMs() + durationMs;
    for (let nowMs = clock.nowMs(); nowMs < endMs && !this.#stopped; nowMs = clock.nowMs()) {
      const tickMs = Math.min(idleTickMs, endMs - nowMs);
      await this.#pause(tickMs);
      if (clock.nowMs() - nowMs > tickMs + suspendedMsMin) {
        this.#env.log.info('suspension-noticed', { forMs: Math.round(clock.nowMs() - nowMs) });
        return;
      }
    }
  }

  get #stopped(): boolean {
    return this.#options.lifetime.over;
  }

  /** Fills an empty replica before it answers anybody: until then it is one of the faulty ones. */
  async #recover(): Promise<void> {
    this.#env.log.info('recovery-started');
    while (!this.#stopped && !(await this.#synchronize('lost'))) await this.#pause(retryDelayMs);
    if (this.#stopped) return;
    await this.#options.onRecovered();
    this.#replica.serve();
    this.#env.log.info('recovery-finished');
  }

  async #synchronize(mode: SynchronizeMode): Promise<boolean> {
    const synchronizer = new Synchronizer(this.#options, mode);
    this.#synchronizer = synchronizer;
    try {
      await synchronizer.run(() => this.#stopped);
      if (synchronizer.fetched > 0) {
        this.#env.log.info('caught-up', { fetched: synchronizer.fetched });
        this.#env.metrics.count('items_caught_up_total', mode, synchronizer.fetched);
      }
      return !this.#stopped && synchronizer.skipped === 0;
    } catch (error) {
      if (error instanceof AssertionFailed) throw error;
      const message = error instanceof Error ? error.message : String(error);
      this.#env.log.warn('synchronization-incomplete', { mode, message });
      return false;
    } finally {
      this.#synchronizer = undefined;
    }
  }

  async #scrub(): Promise<void> {
    for (const kind of ['object', 'block'] as const) {
      let cursor: Bytes | undefined = firstId;
      while (cursor !== undefined && !this.#stopped) cursor = await this.#scrubPage(kind, cursor);
    }
    if (!this.#stopped) this.scrubPasses += 1;
  }

  async #scrubPage(kind: ItemKind, from: Bytes): Promise<Bytes | undefined> {
    const { ids, next } = this.#replica.holdings.idsFrom(kind, from, scrubPageItems);
    let readBytes = 0;
    for (const id of ids) {
      readBytes += this.#replica.holdings.storedLength({ kind, id });
      if (this.#replica.holdings.inspect({ kind, id }) !== 'damaged') continue;
      this.#replica.holdings.markDamaged({ kind, id });
      this.#repair.add({ kind, id });
    }
    await this.#pause((1000 * readBytes) / this.#options.scrubRateBytesPerSecond);
    return next;
  }

  #pause(delayMs: number): Promise<void> {
    return this.#options.lifetime.pause(delayMs);
  }
}
