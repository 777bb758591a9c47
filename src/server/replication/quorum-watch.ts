// Tells whoever runs a member that it cannot reach a quorum: the group then executes nothing, and no other event says so.

import type { Timer, Timers } from '../../env/clock.ts';
import type { Log } from '../../env/log.ts';
import type { ReplicaStatus } from '../../replication/contract.ts';

const checkIntervalMs = 5_000;
/** Members that start one after the other, or one that is started again, are nothing to tell of. */
const toldAfterMs = 15_000;
const toldAgainMsMax = 300_000;

export interface Reach {
  /** Members that are connected, this one among them. */
  readonly reached: number;
  /** How many it takes. */
  readonly quorum: number;
}

export interface QuorumWatchOptions {
  readonly timers: Timers;
  readonly log: Log;
  /** Undefined while nobody need be reached. */
  readonly reach: () => Reach | undefined;
}

export class QuorumWatch {
  readonly #options: QuorumWatchOptions;
  #timer: Timer | undefined;
  /** For how long too few have been reached, in steps of a check. */
  #lostMs = 0;
  #tellAtMs = toldAfterMs;

  /** Begins at once; `close` ends it. */
  constructor(options: QuorumWatchOptions) {
    this.#options = options;
    this.#wait();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #wait(): void {
    this.#timer = this.#options.timers.after(checkIntervalMs, () => {
      this.#check();
      this.#wait();
    });
  }

  #check(): void {
    const { log, reach } = this.#options;
    const now = reach();
    if (now === undefined || now.reached >= now.quorum) {
      if (this.#tellAtMs > toldAfterMs) log.info('quorum-reached', { lostMs: this.#lostMs });
      this.#lostMs = 0;
      this.#tellAtMs = toldAfterMs;
      return;
    }
    this.#lostMs += checkIntervalMs;
    if (this.#lostMs < this.#tellAtMs) return;
    const message =
      'too few members can be reached, and nothing is executed: start those that are out';
    log.warn('quorum-lost', { ...now, lostMs: this.#lostMs, message });
    this.#tellAtMs = this.#lostMs + Math.min(2 * this.#lostMs, toldAgainMsMax);
  }
}

/**
 * Whom a member reaches of those that it needs. A member of an ended instance needs nobody, nor does one that has failed.
 * A backup of Viewstamped Replication talks to its primary alone, and whether that one reaches a quorum is for it to tell.
 * @param connected by index of the member.
 * @param faults how many of them may be out.
 */
export function reachOf(
  kind: 'pbft' | 'vr',
  { status, primary }: Pick<ReplicaStatus, 'status' | 'primary'>,
  self: number,
  connected: readonly boolean[],
  faults: number,
): Reach | undefined {
  if (status === 'final' || status === 'failed') return undefined;
  const isBackup = status === 'normal' && primary !== self;
  if (kind === 'vr' && isBackup && connected[primary] === true) return undefined;
  const reached = connected.filter((isConnected, index) => isConnected || index === self).length;
  return { reached, quorum: connected.length - faults };
}
