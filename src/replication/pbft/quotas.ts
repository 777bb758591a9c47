// How much work one member may cause here. Every class of work has its own budget per member, so that nothing that one
// member does spends what another one needs, nor what is needed of the same member for another purpose.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { ViewChangeStatement } from '../../wire/pbft.ts';

/** Dear checks and answers of one class that one member may cause per status interval. */
const spendingMax = {
  checkpoint: 64,
  certificate: 8,
  viewChange: 64,
  newView: 8,
  fetchBody: 64,
  fetchViewChanges: 32,
  fetchState: 64,
  recovery: 32,
} as const;

export type Work = keyof typeof spendingMax;

/** Batches that a VIEW-CHANGE places for each piece as which it counts: hashing them takes as long as one signature. */
const placedPerPiece = 256;

/**
 * As how many pieces of work a VIEW-CHANGE counts: 3 with one digest for each place of the default window, 66 with all that
 * there may be in that window, and 131 with all of the largest.
 */
export function viewChangePieces({ prepared, accepted }: ViewChangeStatement): number {
  return 1 + Math.floor((prepared.length + accepted.length) / placedPerPiece);
}

/** As how many a NEW-VIEW counts: all that there are in one interval once its primary has offered a wrong one for that view. */
export function newViewPieces(isRefuted: boolean): number {
  return isRefuted ? spendingMax.newView : 1;
}

/** VIEW-CHANGEs sent to one member per interval, in bytes: one that is larger is sent if it is the first. */
const answeredSizeBytesMax = 512 * 1024;

/**
 * Bytes of bodies, of pages and of batches proposed again that one member may cause to be sent to it per interval. What
 * crosses a bound is still sent, so that nothing is too large to be had.
 */
const sentSizeBytesMax = {
  body: 4 * limits.batchSizeBytesMax,
  state: 4 * 1024 * 1024,
  proposal: 4 * limits.batchSizeBytesMax,
} as const;

export type Sent = keyof typeof sentSizeBytesMax;

interface Account {
  readonly spent: Record<Work, number>;
  readonly sentSizeBytes: Record<Sent, number>;
  /** Digests that were answered. */
  readonly answered: Set<string>;
  answeredSizeBytes: number;
}

const nothingSpent: Account['spent'] = {
  checkpoint: 0,
  certificate: 0,
  viewChange: 0,
  newView: 0,
  fetchBody: 0,
  fetchViewChanges: 0,
  fetchState: 0,
  recovery: 0,
};

function accountWith(spent: Account['spent']): Account {
  const sentSizeBytes = { body: 0, state: 0, proposal: 0 };
  return { spent, sentSizeBytes, answered: new Set(), answeredSizeBytes: 0 };
}

/** So many intervals later: of what was spent remains what these do not make up for. */
function nextAccount(spent: Account['spent'], intervals: number): Account {
  const left = { ...nothingSpent };
  for (const work of Object.keys(spendingMax) as Work[]) {
    left[work] = Math.max(0, spent[work] - intervals * spendingMax[work]);
  }
  return accountWith(left);
}

export class Quotas {
  readonly #intervalMs: number;
  /** Of this interval, by member; made when first needed. */
  #accounts: Account[] = [];
  #sinceMs = Number.NEGATIVE_INFINITY;

  /** @param intervalMs after so long everybody may cause as much again. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /**
   * Whether a member has not caused too much of this work in this interval; if so, counts one more piece of it. What
   * crosses the bound may be done, so that nothing is too large for ever, and is made up for in the next intervals.
   * @param pieces as how many it counts.
   */
  maySpend(member: number, work: Work, nowMs: number, pieces = 1): boolean {
    const { spent } = this.#accountOf(member, nowMs);
    if (spent[work] >= spendingMax[work]) return false;
    spent[work] += pieces;
    return true;
  }

  /** Whether a member may be sent what it asked for by its digest: once per interval, and not too many bytes in all. */
  mayAnswer(member: number, digest: Bytes, sizeBytes: number, nowMs: number): boolean {
    const account = this.#accountOf(member, nowMs);
    const key = mapKey(digest);
    if (account.answered.has(key)) return false;
    const total = account.answeredSizeBytes + sizeBytes;
    if (account.answeredSizeBytes > 0 && total > answeredSizeBytesMax) return false;
    account.answered.add(key);
    account.answeredSizeBytes = total;
    return true;
  }

  /** Whether a member may be sent more of this kind in this interval. */
  maySend(member: number, kind: Sent, nowMs: number): boolean {
    return this.#accountOf(member, nowMs).sentSizeBytes[kind] < sentSizeBytesMax[kind];
  }

  noteSent(member: number, kind: Sent, sizeBytes: number, nowMs: number): void {
    this.#accountOf(member, nowMs).sentSizeBytes[kind] += sizeBytes;
  }

  #accountOf(member: number, nowMs: number): Account {
    const intervals = Math.floor((nowMs - this.#sinceMs) / this.#intervalMs);
    if (intervals > 0) {
      this.#sinceMs = nowMs;
      this.#accounts = this.#accounts.map(({ spent }) => nextAccount(spent, intervals));
    }
    const account = this.#accounts[member] ?? accountWith({ ...nothingSpent });
    this.#accounts[member] = account;
    return account;
  }
}
