// One sequence number between the water marks: what was accepted for it in the current view, and who voted for what.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { MemberSet } from './member-set.ts';

/** Votes for one digest in one view. */
export interface Tally {
  readonly view: number;
  readonly digest: Bytes;
  readonly members: MemberSet;
}

/** What became of a vote. */
export type Counted = 'counted' | 'duplicate' | 'stale' | 'contradiction';

/**
 * One vote of each member: its newest view's, and within a view its first. A member that votes for far views or for
 * nonsense replaces its own vote and nobody else's, so there are never more tallies than members.
 */
export class VoteBox {
  readonly #tallies: Tally[] = [];

  add(member: number, view: number, digest: Bytes): Counted {
    let matching: Tally | undefined;
    let previous: Tally | undefined;
    for (const tally of this.#tallies) {
      if (tally.members.has(member)) previous = tally;
      if (tally.view === view && equalBytes(tally.digest, digest)) matching = tally;
    }
    if (previous !== undefined) {
      if (previous === matching) return 'duplicate';
      if (previous.view === view) return 'contradiction';
      if (previous.view > view) return 'stale';
      previous.members.remove(member);
      if (previous.members.size === 0) this.#tallies.splice(this.#tallies.indexOf(previous), 1);
    }
    if (matching === undefined) {
      matching = { view, digest, members: new MemberSet() };
      this.#tallies.push(matching);
    }
    matching.members.add(member);
    return 'counted';
  }

  tally(view: number, digest: Bytes): Tally | undefined {
    for (const tally of this.#tallies) {
      if (tally.view === view && equalBytes(tally.digest, digest)) return tally;
    }
    return undefined;
  }

  remove(member: number): void {
    const index = this.#tallies.findIndex(({ members }) => members.has(member));
    const tally = this.#tallies[index];
    if (tally === undefined) return;
    tally.members.remove(member);
    if (tally.members.size === 0) this.#tallies.splice(index, 1);
  }

  /** Members whose votes for this view are here, for whatever digest, as bits of a number. */
  membersOf(view: number): number {
    let members = 0;
    for (const tally of this.#tallies) {
      if (tally.view === view) members += tally.members.toNumber();
    }
    return members;
  }
}

export class Slot {
  readonly sequence: number;
  readonly prepares = new VoteBox();
  readonly commits = new VoteBox();
  /** Who says that it knows what is committed here. */
  readonly claims = new VoteBox();
  /** The digest of the current view's PRE-PREPARE or NEW-VIEW. */
  accepted: Bytes | undefined;
  /** Whether `accepted` is prepared in the current view. */
  isPrepared = false;
  /** The digest known to be committed, in whatever view. */
  committed: Bytes | undefined;

  constructor(sequence: number) {
    this.sequence = sequence;
  }

  /** What came on a channel whose keys others may have, as far as nothing follows from it yet. */
  forgetVotes(member: number): void {
    if (!this.isPrepared) this.prepares.remove(member);
    if (this.committed !== undefined) return;
    this.commits.remove(member);
    this.claims.remove(member);
  }

  /** Votes stay: those of the view that is entered may be here already. */
  leaveView(): void {
    this.accepted = undefined;
    this.isPrepared = false;
  }
}
