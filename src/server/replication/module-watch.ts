// While a replica runs: has keys of its channels replaced before clients take them no more, and says when the module that
// vouches for them is gone, since the replica ends when it has to sign.

import type { Timer, Timers } from '../../env/clock.ts';
import type { Log } from '../../env/log.ts';
import type { Metrics } from '../../env/metrics.ts';
import type { Identity } from '../../node/identity.ts';

export interface WatchedModule {
  /** When the newest keys of channels expire, milliseconds since 1970. */
  expiresMs(): number;
  /** Why it does not answer; undefined if it does. */
  silence(): Promise<string | undefined>;
  /** Makes other keys, of the same change of keys. */
  renewLater(): Promise<Identity>;
}

export interface ModuleWatchOptions {
  readonly module: WatchedModule;
  readonly timers: Timers;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly timeOfDayMs: () => number;
  /** Shows the new keys from now on. */
  readonly present: (identity: Identity) => void;
}

/** How often the module is asked, and the clock looked at: it may have been wrong, and be put right. */
const lookMs = 10_000;

export class ModuleWatch {
  readonly #options: ModuleWatchOptions;
  #timer: Timer | undefined;
  #isOver = false;
  #isSilent = false;
  /** Those of this time are replaced when so much of it is left. */
  #knownMs = 0;
  #halfMs = 0;

  constructor(options: ModuleWatchOptions) {
    this.#options = options;
    options.metrics.gauge('replication_signing_module', 1);
    this.#note();
    this.#arm();
  }

  close(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#isOver) return;
    this.#timer = this.#options.timers.after(lookMs, () => {
      void this.#look().then(() => this.#arm());
    });
  }

  /** The first half of the time of new keys begins. */
  #note(): void {
    const { module, timeOfDayMs } = this.#options;
    const expiresMs = module.expiresMs();
    if (expiresMs === this.#knownMs) return;
    this.#knownMs = expiresMs;
    this.#halfMs = (expiresMs - timeOfDayMs()) / 2;
  }

  async #look(): Promise<void> {
    const { module, timeOfDayMs, present, log } = this.#options;
    this.#note();
    const why = await module.silence();
    if (this.#isOver) return;
    this.#tell(why);
    if (why !== undefined || module.expiresMs() - timeOfDayMs() > this.#halfMs) return;
    try {
      const identity = await module.renewLater();
      if (!this.#isOver) present(identity);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn('channel-keys-not-renewed', { why: reason });
    }
  }

  #tell(why: string | undefined): void {
    const { log, metrics } = this.#options;
    const isSilent = why !== undefined;
    if (isSilent === this.#isSilent) return;
    this.#isSilent = isSilent;
    metrics.gauge('replication_signing_module', isSilent ? 0 : 1);
    if (isSilent) log.warn('signing-module-silent', { why });
    else log.info('signing-module-answers');
  }
}
