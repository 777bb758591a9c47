// Quorum calls: the contract between register protocols and the ways to find a quorum (design, idea 1). A register
// protocol never knows how its quorum was found; static groups, epochs and views implement this one interface.

import type { Bytes } from '../../base/bytes.ts';
import type { Cancellation } from '../../base/cancellation.ts';
import type { Member } from '../../configuration/configuration.ts';
import type { Message, RefusalCode } from '../../wire/registry.ts';

/** Classes of calls: a `read` must be sound and timely, a `timestamp` timely, a `write` makes others so. */
export type CallKind = 'read' | 'write' | 'timestamp';

/** What every request carries beside its own fields. */
export interface MessageContext {
  readonly instance: Bytes;
  readonly epoch: number;
  readonly nonce: Bytes;
}

export interface Outgoing {
  readonly type: number;
  readonly payload: Bytes;
}

/** A reply, judged: a vote, or a fault of the sender that is counted but never a vote. */
export type Reply<Body> = { readonly vote: Body } | { readonly invalid: string };

export interface Request<Body> {
  /** Made once for a conversation and sent to all members. */
  encode(context: MessageContext): Outgoing;
  /**
   * What the f+1 members that have answered fastest lately are asked instead: every quorum has one of them. Absent: the
   * same as the others.
   */
  encodeEager?(context: MessageContext): Outgoing;
  /** Instance, nonce, epoch and sender have been checked; this judges the contents. */
  accept(message: Message, from: Member): Reply<Body>;
  /** True where a member's later vote may replace its earlier one. Absent: never. */
  replaces?(later: Body, earlier: Body): boolean;
  /**
   * Asks members one after the other by rank, the next one when the last has not answered within this time, instead of
   * all at once. For large answers of which one is enough.
   */
  readonly staggerMs?: number;
}

export interface Vote<Body> {
  readonly from: Member;
  readonly body: Body;
}

/** Where and when a quorum answered. Replies of two contexts are never mixed. */
export interface Context {
  readonly epoch: number;
}

/** A consistent quorum of valid replies. The thresholds belong to the answer: the group may have changed meanwhile. */
export interface Quorum<Body> {
  readonly replies: ReadonlyArray<Vote<Body>>;
  readonly n: number;
  readonly quorum: number;
  readonly byzantine: number;
  readonly vouch: number;
  readonly context: Context;
}

/** Ask these members, in this order, until one gives a valid answer, which replaces its vote. */
export interface Fetch<Body> {
  /** Names what is fetched, so that it is fetched once. */
  readonly key: string;
  readonly from: readonly Member[];
  readonly request: Request<Body>;
}

/** Looks at the votes so far: finish, wait for more, or fetch what is missing before a vote may count. */
export type Verdict<Body> = 'enough' | 'more' | { readonly fetch: Fetch<Body> };
export type Judge<Body> = (soFar: Quorum<Body>) => Verdict<Body>;

/** The client may not go on: its knowledge of the configuration is too old. State is kept; renew and resume. */
export interface Halted {
  readonly halted: 'freshness-expired';
}

export function isHalted(value: object): value is Halted {
  return 'halted' in value;
}

/** Why a call ended without a quorum. */
export interface Unanswered {
  readonly from: Member;
  readonly why: 'silent' | 'invalid' | 'incomplete' | RefusalCode;
}

/** Thrown by a call that was aborted (its deadline passed) or can no longer reach a quorum. */
export class QuorumUnavailable extends Error {
  override readonly name = 'QuorumUnavailable';
  readonly kind: 'timeout' | 'refused';
  readonly answered: number;
  readonly needed: number;
  readonly unanswered: readonly Unanswered[];

  constructor(
    kind: 'timeout' | 'refused',
    answered: number,
    needed: number,
    unanswered: readonly Unanswered[],
  ) {
    super(`${answered} of the ${needed} servers needed have answered`);
    this.kind = kind;
    this.answered = answered;
    this.needed = needed;
    this.unanswered = unanswered;
  }
}

export interface QuorumCalls {
  /**
   * Sends `request` to the group of `object`, resending until a consistent quorum of valid replies satisfies `judge`
   * (without one: a quorum of votes).
   * @throws QuorumUnavailable when `signal` aborts first or too many members refuse for good.
   */
  call<Body>(
    kind: CallKind,
    object: Bytes,
    request: Request<Body>,
    judge: Judge<Body> | undefined,
    signal: Cancellation,
  ): Promise<Quorum<Body> | Halted>;
}
