// Counts the answers to one request: one vote per member, first valid one wins, strangers and second thoughts never
// count. A later vote replaces an earlier one only where the caller says that it may (a newer version of the same thing).

import type { PeerId } from '../base/brand.ts';

export type Tally = 'pending' | 'reached' | 'impossible';

export type VoteOutcome = 'counted' | 'replaced' | 'repeated' | 'stranger';

export class Collector<Body> {
  readonly #members: ReadonlySet<PeerId>;
  readonly #quorum: number;
  readonly #votes = new Map<PeerId, Body>();
  readonly #refused = new Set<PeerId>();

  constructor(members: Iterable<PeerId>, quorum: number) {
    this.#members = new Set(members);
    this.#quorum = quorum;
  }

  /** @param replaces decides whether `body` may take the place of this member's earlier vote. */
  vote(from: PeerId, body: Body, replaces: (earlier: Body) => boolean = () => false): VoteOutcome {
    if (!this.#members.has(from)) return 'stranger';
    const earlier = this.#votes.get(from);
    if (earlier !== undefined) {
      if (!replaces(earlier)) return 'repeated';
      this.#votes.set(from, body);
      return 'replaced';
    }
    this.#refused.delete(from);
    this.#votes.set(from, body);
    return 'counted';
  }

  /** This member will not answer; a vote it has cast stays. */
  refuse(from: PeerId): void {
    if (this.#members.has(from) && !this.#votes.has(from)) this.#refused.add(from);
  }

  /** Takes a member's vote back, so that it may be asked again. */
  retract(from: PeerId): void {
    this.#votes.delete(from);
  }

  get votes(): ReadonlyMap<PeerId, Body> {
    return this.#votes;
  }

  has(from: PeerId): boolean {
    return this.#votes.has(from);
  }

  isOpen(from: PeerId): boolean {
    return this.#members.has(from) && !this.#votes.has(from) && !this.#refused.has(from);
  }

  get tally(): Tally {
    if (this.#votes.size >= this.#quorum) return 'reached';
    const possible = this.#members.size - this.#refused.size;
    return possible >= this.#quorum ? 'pending' : 'impossible';
  }
}
