// When a client believes replies. An engine's rule is a pure function of the replies at hand, one of each member.

import { type Bytes, equalBytes } from '../base/bytes.ts';

/** What one member says about one request. */
export interface Reply {
  /** Index of the member whose channel brought it. */
  readonly from: number;
  readonly view: number;
  readonly sequence: number;
  /** Executed tentatively: it may still be taken back. */
  readonly isTentative: boolean;
  /** As in a `requestReply`: 0 a result, 1 ended, 2 too old, 3 none from this member. */
  readonly outcome: number;
  /** Of outcome and result. */
  readonly digest: Bytes;
}

/** `impossible`: the members that have not answered cannot make it enough any more. */
export type Judgement =
  | { readonly kind: 'accepted'; readonly reply: Reply }
  | { readonly kind: 'open' }
  | { readonly kind: 'impossible' };

export interface Acceptance {
  /** For an operation that was ordered; never `impossible`: there is no other way. */
  ordered(replies: readonly Reply[]): Judgement;
  /** For a read in one round. */
  query(replies: readonly Reply[]): Judgement;
  /** Whether reads in one round go to all members, or to the primary only. */
  readonly asksAll: boolean;
  /** False: members do not check requests' signatures, and none are made. True unless it is said. */
  readonly isSigned?: boolean;
  /** The largest number that the client has used before, from what members say it is; undefined: ask more. */
  lastNumber(numbers: readonly number[]): number | undefined;
  /** Members 0 … so many - 1 take turns as primary; all of them unless given. */
  readonly primaries?: number;
  /** Members that may lie: as many views in replies are not believed. */
  readonly liars: number;
}

/** Outcome: none from this member. */
const noAnswer = 3;

const open: Judgement = { kind: 'open' };
const impossible: Judgement = { kind: 'impossible' };

/**
 * More requests than one client ever makes between two answers of a correct member that is behind. A liar can make a
 * restarted client skip as many numbers, of 2^53.
 */
const numbersSkippedMax = 2 ** 32;

/**
 * PBFT, of `3 × faults + 1` members: `faults + 1` equal replies of batches executed for good, or `2 × faults + 1` equal
 * ones of which some are tentative and all are for one batch in one view; reads in one round need `2 × faults + 1`.
 */
export function byzantineAcceptance(faults: number): Acceptance {
  const weak = faults + 1;
  const strong = 2 * faults + 1;
  const members = 3 * faults + 1;
  return {
    asksAll: true,
    liars: faults,
    ordered: (replies) => {
      for (const reply of replies) {
        const equal = replies.filter((other) => isSame(reply, other));
        if (equal.filter(({ isTentative }) => !isTentative).length >= weak) return accepted(reply);
        if (equal.filter((other) => isSameBatch(reply, other)).length >= strong) {
          return accepted(reply);
        }
      }
      return open;
    },
    query: (replies) => {
      let most = 0;
      for (const reply of replies) {
        if (reply.outcome === noAnswer) continue;
        const equal = replies.filter((other) => isSame(reply, other)).length;
        if (equal >= strong) return accepted(reply);
        most = Math.max(most, equal);
      }
      return most + members - replies.length < strong ? impossible : open;
    },
    // Of 2f+1 members at least one correct one has prepared whatever this client was ever told is done. More members
    // than may lie must come near a number, lest one of them spends all numbers at once.
    lastNumber: (numbers) => {
      if (numbers.length < strong) return undefined;
      const descending = [...numbers].sort((a, b) => b - a);
      const vouched = descending[faults] as number;
      return Math.min(descending[0] as number, vouched + numbersSkippedMax);
    },
  };
}

function accepted(reply: Reply): Judgement {
  return { kind: 'accepted', reply };
}

function isSame(a: Reply, b: Reply): boolean {
  return a === b || (a.outcome === b.outcome && equalBytes(a.digest, b.digest));
}

function isSameBatch(a: Reply, b: Reply): boolean {
  return a.view === b.view && a.sequence === b.sequence;
}
