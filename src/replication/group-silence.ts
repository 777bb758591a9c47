// Tells whoever runs a client that its group does not answer: a client waits as long as it is let, and somebody must hear
// of it meanwhile.

import type { Log } from '../env/log.ts';

/** How long nothing is accepted, though something waits, before it is told; doubled with each time in a row. */
const firstToldMs = 5_000;
const toldAgainMsMax = 300_000;

export interface GroupSilenceOptions {
  readonly log: Log;
  /** How many members there are. */
  readonly members: number;
  /** How many of them are connected; undefined where nobody knows. */
  readonly connected: () => number | undefined;
}

export class GroupSilence {
  readonly #options: GroupSilenceOptions;
  /** Since when something waits and nothing was accepted; undefined while nothing waits. */
  #sinceMs: number | undefined;
  #toldAfterMs = firstToldMs;
  #nextMs = Number.POSITIVE_INFINITY;
  #isTold = false;
  /** Members still connected that have said anything since the last answer that was accepted, or since it was told last. */
  readonly #heard = new Set<number>();

  constructor(options: GroupSilenceOptions) {
    this.#options = options;
  }

  /** When it is to be told next, on the clock of the calls. */
  get nextMs(): number {
    return this.#nextMs;
  }

  /** Something waits for an answer. */
  begin(nowMs: number): void {
    if (this.#sinceMs !== undefined) return;
    this.#sinceMs = nowMs;
    this.#nextMs = nowMs + firstToldMs;
  }

  /** A member has said something, whether or not it is of use. */
  heard(member: number): void {
    this.#heard.add(member);
  }

  /** The connection to a member is gone: whatever it said before, it answers no more. */
  lost(member: number): void {
    this.#heard.delete(member);
  }

  /** An answer was accepted. @param isWaiting whether something else still waits. */
  answered(nowMs: number, isWaiting: boolean): void {
    if (this.#isTold) {
      const silentMs = Math.round(nowMs - (this.#sinceMs ?? nowMs));
      this.#options.log.info('group-answers', { silentMs });
      this.#isTold = false;
      this.#toldAfterMs = firstToldMs;
    }
    this.#heard.clear();
    this.#sinceMs = isWaiting ? nowMs : undefined;
    this.#nextMs = isWaiting ? nowMs + firstToldMs : Number.POSITIVE_INFINITY;
  }

  /** Tells if it is time. @param operations how many of the application's wait. */
  check(nowMs: number, operations: number): void {
    if (this.#sinceMs === undefined || nowMs < this.#nextMs) return;
    const { log, members, connected } = this.#options;
    log.warn('group-silent', {
      silentMs: Math.round(nowMs - this.#sinceMs),
      members,
      connected: connected(),
      answering: this.#heard.size,
      operations,
    });
    this.#isTold = true;
    this.#heard.clear();
    this.#toldAfterMs = Math.min(2 * this.#toldAfterMs, toldAgainMsMax);
    this.#nextMs = nowMs + this.#toldAfterMs;
  }
}
