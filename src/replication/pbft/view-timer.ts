// How long a replica waits for its primary, and for a NEW-VIEW (PBFT, 4.4 and 4.5.2). There is one patience for both. It
// doubles with every view left, and shrinks only when requests are executed: so views become long enough for whatever
// the network takes, and a primary that orders nothing new is not given more time.

import type { Core } from './core.ts';
import type { QueuedRequest } from './queue.ts';

export const requestTimer = 'request';
export const viewChangeTimer = 'view-change';

/** What the time depends on, and what is done when it is up. */
export interface Timed
  extends Pick<Core, 'parameters' | 'queue' | 'nowMs' | 'isActive' | 'out' | 'rules'> {
  readonly executor: Pick<Core['executor'], 'ended'>;
  readonly parts: {
    readonly transfers: Pick<Core['parts']['transfers'], 'isRunning'>;
    readonly clientRequests: Pick<Core['parts']['clientRequests'], 'remind'>;
    readonly execution: Pick<Core['parts']['execution'], 'executed'>;
    readonly statusExchange: Pick<Core['parts']['statusExchange'], 'isInTouch' | 'isBehind'>;
    readonly viewChanges: Pick<Core['parts']['viewChanges'], 'doubt' | 'isDoubting'>;
  };
}

export class ViewTimer {
  readonly #core: Timed;
  #patienceMs: number;
  /** Whether a request that was new has been executed in this view. */
  #hasProgress = true;
  /** The request that is timed, and since when. */
  #timed: QueuedRequest | undefined;
  #sinceMs: number | undefined;
  /** What was executed then. */
  #executedThen = 0;
  /** The request over which patience with this view was lost. */
  #missed: QueuedRequest | undefined;
  /** When the primary was reminded of what waits, at half the patience. */
  #remindedMs: number | undefined;
  /** When the host's timer runs out; it may have been set for an earlier request. */
  #setForMs: number | undefined;
  #viewChangeDueMs: number | undefined;

  constructor(core: Timed) {
    this.#core = core;
    this.#patienceMs = core.parameters.timeoutMs;
  }

  /** @returns how long is waited now, in milliseconds. */
  get patienceMs(): number {
    return this.#patienceMs;
  }

  /** Whether the request over which patience was lost still waits. */
  get isMissing(): boolean {
    if (this.#missed === undefined) return false;
    const { client, number } = this.#missed.request.request;
    return this.#core.queue.find(client, number) === this.#missed;
  }

  // ---- Requests ----

  /** After every event: times the request that has waited longest. */
  refresh(): void {
    const { queue, parts, nowMs, rules } = this.#core;
    const head = queue.head;
    if (head === undefined || !this.#isTiming) {
      this.#timed = undefined;
      this.#forget();
      return;
    }
    // Until the view has executed something new, whatever leaves the queue otherwise gives its primary no more time.
    if (
      this.#sinceMs === undefined ||
      rules.restartsClock(this.#timed !== head, this.#hasProgress)
    ) {
      this.#sinceMs = nowMs;
      this.#executedThen = parts.execution.executed;
      this.#remindedMs = undefined;
    }
    this.#timed = head;
    const dueMs = (this.#remindedMs ?? this.#sinceMs) + this.#patienceMs / 2;
    if (this.#setForMs !== undefined && this.#setForMs <= dueMs) return;
    this.#setForMs = dueMs;
    this.#core.out.timer(requestTimer, dueMs);
  }

  /** A member that cannot have heard what its primary does, or cannot execute, accuses nobody. */
  get #isTiming(): boolean {
    const { executor, isActive, parts } = this.#core;
    if (!isActive || executor.ended || parts.transfers.isRunning) return false;
    return parts.statusExchange.isInTouch && !parts.viewChanges.isDoubting;
  }

  onRequestTimer(): void {
    this.#setForMs = undefined;
    const { nowMs, parts, out } = this.#core;
    this.refresh();
    if (this.#sinceMs === undefined) return;
    if (nowMs < (this.#remindedMs ?? this.#sinceMs) + this.#patienceMs / 2) return;
    if (this.#remindedMs === undefined) {
      this.#remindedMs = nowMs;
      parts.clientRequests.remind();
      this.#setForMs = undefined;
      return this.refresh();
    }
    // The others went on while this member was away: as long as it comes nearer, what it waits for is not the primary.
    if (parts.statusExchange.isBehind && parts.execution.executed > this.#executedThen) {
      this.#forget();
      return this.refresh();
    }
    out.count('primary-too-slow');
    this.#missed = this.#timed;
    parts.viewChanges.doubt();
  }

  /** Requests that were new have been executed. */
  onProgress(): void {
    if (!this.#core.isActive) return;
    if (this.#hasProgress) {
      if (this.#isQuick()) {
        this.#patienceMs = Math.max(this.#core.parameters.timeoutMs, this.#patienceMs / 2);
      }
    } else {
      this.#hasProgress = true;
      this.#forget();
    }
  }

  /** Whether what waits has come lately. With long queues less patience would mean a view change after each doubling. */
  #isQuick(): boolean {
    const { queue, nowMs } = this.#core;
    const { head } = queue;
    return head === undefined || nowMs - head.timedAtMs < this.#patienceMs / 8;
  }

  #forget(): void {
    this.#sinceMs = undefined;
    this.#remindedMs = undefined;
  }

  // ---- View changes ----

  onViewLeft(): void {
    this.#missed = undefined;
    this.#patienceMs = Math.min(2 * this.#patienceMs, this.#core.parameters.timeoutMsMax);
    this.#forget();
    if (this.#viewChangeDueMs === undefined) return;
    this.#viewChangeDueMs = undefined;
    this.#core.out.timer(viewChangeTimer, undefined);
  }

  onViewEntered(): void {
    this.#hasProgress = false;
    this.#forget();
    if (this.#viewChangeDueMs === undefined) return;
    this.#viewChangeDueMs = undefined;
    this.#core.out.timer(viewChangeTimer, undefined);
  }

  /** So many members have left their views that the next primary could act: from now on it is late. */
  awaitNewView(): void {
    if (this.#viewChangeDueMs !== undefined) return;
    this.#viewChangeDueMs = this.#core.nowMs + this.#patienceMs;
    this.#core.out.timer(viewChangeTimer, this.#viewChangeDueMs);
  }

  onViewChangeTimer(): void {
    const { isActive, nowMs, parts } = this.#core;
    if (isActive || this.#viewChangeDueMs === undefined || nowMs < this.#viewChangeDueMs) return;
    this.#viewChangeDueMs = undefined;
    // A member without its state could not do better in the next view.
    if (parts.transfers.isRunning) this.awaitNewView();
    else parts.viewChanges.doubt();
  }

  /** The state is complete again: what waits is timed from now. */
  onTransferred(): void {
    this.#forget();
  }
}
