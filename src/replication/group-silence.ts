// Tells whoever runs a client that its group does not answer: a client waits as long as it is let, and somebody must hear
// of it meanwhile.

import type { Log } from '../env/log.ts';

/** How long something waits, and nothing is accepted, before it is told; doubled with each time in a row. */
const firstToldMs = 5_000;
const toldAgainMsMax = 300_000;

export interface GroupSilenceOptions {
  readonly log: Log;
  /** How many members there are. */
  readonly members: number;
  /** How many of them are connected; undefined where nobody knows. */
  readonly connected: () => number | undefined;
}

/** Who of a group can be asked, and who answers. */
export interface GroupReach {
  readonly members: number;
  readonly connected: number | undefined;
  readonly answering: number;
}

export class GroupSilence {
  readonly #options: GroupSilenceOptions;
  /** Since when something waits; undefined while nothing does. */
  #sinceMs: number | undefined;
  /** For how long something waited before that since the last answer that was accepted. */
  #waitedMs = 0;
  /** After how much waiting it is told next. */
  #tellAfterMs = firstToldMs;
  #pauseMs = firstToldMs;
  #isTold = false;
  /** Members still connected that have said anything since the last answer that was accepted, or since it was told last. */
  readonly #heard = new Set<number>();

  constructor(options: GroupSilenceOptions) {
    this.#options = options;
  }

  /** When it is to be told next, on the clock of the calls; infinity while nothing waits. */
  get nextMs(): number {
    if (this.#sinceMs === undefined) return Number.POSITIVE_INFINITY;
    return this.#sinceMs + Math.max(0, this.#tellAfterMs - this.#waitedMs);
  }

  /** As it is now. */
  get reach(): GroupReach {
    const { members, connected } = this.#options;
    return { members, connected: connected(), answering: this.#heard.size };
  }

  /** Somebody waits for an answer. */
  begin(nowMs: number): void {
    this.#sinceMs ??= nowMs;
  }

  /**
   * Nobody waits any more, though nothing was answered: there is nobody to tell. Whoever tries again and again, each time
   * for a moment, is told in the end.
   */
  rest(nowMs: number): void {
    this.#waitedMs = this.#silentMs(nowMs);
    this.#sinceMs = undefined;
  }

  /** A member has said something, whether or not it is of use. */
  heard(member: number): void {
    this.#heard.add(member);
  }

  /** The connection to a member is gone: whatever it said before, it answers no more. */
  lost(member: number): void {
    this.#heard.delete(member);
  }

  /** An answer was accepted. @param isWaiting whether somebody still waits for another one. */
  answered(nowMs: number, isWaiting: boolean): void {
    if (this.#isTold) {
      this.#options.log.info('group-answers', { silentMs: this.#silentMs(nowMs) });
      this.#isTold = false;
    }
    this.#heard.clear();
    this.#waitedMs = 0;
    this.#tellAfterMs = firstToldMs;
    this.#pauseMs = firstToldMs;
    this.#sinceMs = isWaiting ? nowMs : undefined;
  }

  /** Tells if it is time. @param operations how many of the application's wait. */
  check(nowMs: number, operations: () => number): void {
    if (nowMs < this.nextMs) return;
    const waiting = operations();
    if (waiting === 0) return this.rest(nowMs);
    const silentMs = this.#silentMs(nowMs);
    this.#options.log.warn('group-silent', { silentMs, ...this.reach, operations: waiting });
    this.#isTold = true;
    this.#heard.clear();
    this.#pauseMs = Math.min(2 * this.#pauseMs, toldAgainMsMax);
    this.#tellAfterMs = silentMs + this.#pauseMs;
  }

  #silentMs(nowMs: number): number {
    return Math.round(this.#waitedMs + nowMs - (this.#sinceMs ?? nowMs));
  }
}
