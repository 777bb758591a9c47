// The decisions on which the protocol's safety rests, each as a small pure function. The engine takes them as one object,
// so that a test can swap one for a wrong one and show that it is found. Sections are those of "Viewstamped Replication
// Revisited" unless said otherwise.

import type { VrParameters } from './parameters.ts';

/** What a DOVIEWCHANGE says of its sender's log. */
export interface LogClaim {
  readonly hasLog: boolean;
  readonly lastNormal: number;
  readonly sequence: number;
}

export interface Standing {
  readonly view: number;
  /** The last view in which this replica was normal: the view that its log belongs to. */
  readonly lastNormal: number;
  readonly status: string;
}

export interface RecoveryAnswer {
  readonly view: number;
}

/** Rules are passed what they need to decide, and perhaps more, so that a wrong one can be written too. */
export const vrRules = {
  /**
   * The end of the committed log. Of the acknowledging backups the `needed` furthest count; without witnesses f of 2f,
   * with witnesses all f that are active. The primary's own copy must be there as well.
   */
  committed(own: number, acknowledged: readonly number[], needed: number): number {
    let reached = needed === 0 ? own : 0;
    for (const candidate of acknowledged) {
      if (candidate <= reached) continue;
      let count = 0;
      for (const other of acknowledged) if (other >= candidate) count += 1;
      if (count >= needed) reached = candidate;
    }
    return Math.min(own, reached);
  },

  /** How far the primary's own copy counts: f acknowledgements and a copy that a power cut takes make only f copies. */
  ownCopy(mode: VrParameters['mode'], last: number, durable: number): number {
    return mode === 'full' ? durable : last;
  },

  /** What a backup acknowledges when entry `received` has come and its log has every entry up to `last`. */
  acknowledged(last: number, _received: number): number {
    return last;
  },

  /**
   * The one rule for replacing a log by that of view `v`. Without `v > lastNormal` a late copy of a message cuts off
   * what was acknowledged in `v`.
   */
  mayReplaceLog(own: Standing, v: number): boolean {
    return v >= own.view && v > own.lastNormal;
  },

  /**
   * How much of the own log stays when one that is given from `first` on replaces it; undefined: what lies between is
   * missing and must be fetched. Own entries that are not known to be committed are void, below `first` too.
   */
  kept(commit: number, first: number, _last: number): number | undefined {
    return first <= commit + 1 ? commit : undefined;
  },

  /**
   * Whether a log of view `lastNormal` has what the state is made of, whose last batches were committed in `stateView` at
   * the latest. A log of an earlier view may have something else there: nobody who has one may be told that it is committed.
   */
  isInLog(lastNormal: number, stateView: number): boolean {
    return lastNormal >= stateView;
  },

  /** Index of the log to go on with, -1 for none: the newest view decides, then the length; no log is merged. */
  chooseLog(claims: readonly LogClaim[]): number {
    let best = -1;
    claims.forEach((claim, i) => {
      const leader = claims[best];
      if (!claim.hasLog) return;
      if (
        leader === undefined ||
        claim.lastNormal > leader.lastNormal ||
        (claim.lastNormal === leader.lastNormal && claim.sequence > leader.sequence)
      ) {
        best = i;
      }
    });
    return best;
  },

  /** STARTVIEWCHANGEs of `others` than this replica let it vote. */
  mayDoViewChange(others: number, faults: number): boolean {
    return others >= faults;
  },

  /** DOVIEWCHANGEs, the own one included, that start a view. */
  mayStartView(votes: number, faults: number): boolean {
    return votes >= faults + 1;
  },

  /** Whether a restarted replica lacks its log, and must have it from the others before it takes part in anything. */
  mustRecover(mode: VrParameters['mode']): boolean {
    return mode === 'view';
  },

  /** The view that a restarted replica is in: what it has promised by leaving another one holds. */
  viewAfterRestart(view: number, _lastNormal: number): number {
    return view;
  },

  /** A replica whose log is older than its view must not acknowledge anything in that view. */
  statusAfterRestart(view: number, lastNormal: number): 'normal' | 'view-change' {
    return lastNormal === view ? 'normal' : 'view-change';
  },

  /** A restarted primary may have sent PREPAREs that it no longer knows: it gives its view up. */
  resumesView(isPrimary: boolean): boolean {
    return !isPrimary;
  },

  /** The view below which a replica that lost its memory must not recover: it may have voted for it. */
  promisedView(onDisk: number): number {
    return onDisk;
  },

  /** While a replica fetches the log of a later view it is still what it was, should a view change come. */
  keepsLogWhileTransferring(): boolean {
    return true;
  },

  /** Whether a recovering replica listens to a message: to answers to its own questions only. */
  hearsWhileRecovering(name: string): boolean {
    return name === 'vrRecoveryResponse' || name === 'vrNewState' || name === 'statePart';
  },

  /**
   * The view to recover into, or undefined: more answers are needed. Answers of f+1 others, none newer than that
   * view's primary's, which is among them, and none older than a view promised before the crash (`promised`).
   */
  recoveryView(
    answers: ReadonlyMap<number, RecoveryAnswer>,
    promised: number,
    faults: number,
    primaryOf: (view: number) => number,
  ): number | undefined {
    if (answers.size < faults + 1) return undefined;
    let newest = 0;
    for (const { view } of answers.values()) newest = Math.max(newest, view);
    if (newest < promised) return undefined;
    return answers.get(primaryOf(newest))?.view === newest ? newest : undefined;
  },

  /** The end of a lease on the primary's clock: counted from when it was asked for, not from the grant. */
  leaseEnd(sentAtMs: number, _nowMs: number, leaseMs: number, driftPpm: number): number {
    return sentAtMs + leaseMs * (1 - driftPpm / 1e6);
  },

  /** Until when a replica that grants a lease, or may have done so before a restart, does not vote. */
  promiseEnd(nowMs: number, leaseMs: number, driftPpm: number): number {
    return nowMs + leaseMs * (1 + driftPpm / 1e6);
  },

  /** Whether the time of a promise is over. */
  mayVote(nowMs: number, promisedUntilMs: number): boolean {
    return nowMs >= promisedUntilMs;
  },

  /** Reads are served by a primary that holds a lease and has committed all it inherited. */
  mayRead(nowMs: number, leaseUntilMs: number, commit: number, inherited: number): boolean {
    return nowMs < leaseUntilMs && commit >= inherited;
  },

  /**
   * How far `commit` must be before a read that arrives now is served. A three-message write ends at its client before
   * the primary knows it to be committed, so there a read waits for all that was in the log.
   */
  readTarget(commit: number, last: number, threeMessageWrites: boolean): number {
    return threeMessageWrites ? last : commit;
  },

  /** Whether the state is one that a read may see: all that it waits for, and nothing that may still be taken back. */
  mayServe(target: number, executed: number, isAhead: boolean): boolean {
    return executed >= target && !isAhead;
  },

  /** Whether the marks of requests under way are made anew when a log was replaced; stale ones drop retries for ever. */
  rebuildsPending(): boolean {
    return true;
  },

  /** The view that a witness's log belongs to once another view has begun without it: none but that which it is of. */
  lastNormalOutside(lastNormal: number, _view: number): number {
    return lastNormal;
  },

  /** A witness drops its log when every designated replica holds all of it durably as committed. */
  mayDropLog(last: number, low: number): boolean {
    return low >= last;
  },
};

export type VrRules = typeof vrRules;
