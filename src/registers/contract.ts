// What a register promises, and what one protocol adds to the code that all of them share (framework paper, section 4).

import type { Bytes } from '../base/bytes.ts';
import type { Cancellation } from '../base/cancellation.ts';
import type { Halted, Judge, Quorum, Request } from '../quorum/calls/contract.ts';
import type { Timestamp } from './timestamp.ts';

/** A value with its place in the order of versions. */
export interface Versioned {
  readonly timestamp: Timestamp;
  readonly data: Bytes;
}

/** Three outcomes, never an exception for one and an empty value for another. */
export type Outcome<T> = { readonly value: T } | { readonly aborted: true } | Halted;

/** What a quorum's replies amount to: a tuple, the initial value (nothing was ever written), or no answer. */
export type Chosen<Tuple> = { readonly tuple: Tuple } | 'initial' | 'abort';

export interface Register {
  /** undefined is the initial value. Atomic with respect to all reads and writes of the object. */
  read(signal: Cancellation): Promise<Outcome<Versioned | undefined>>;
  write(data: Bytes, signal: Cancellation): Promise<Outcome<Timestamp>>;
}

/** One register protocol: how its messages look, and which of the replies it believes. */
export interface Rule<Tuple extends Versioned, Body> {
  readonly object: Bytes;
  readRequest(): Request<Body>;
  timestampRequest(): Request<Body>;
  writeRequest(tuple: Tuple): Request<unknown>;
  /** Decides when a read has enough; absent: at a quorum of replies. */
  readonly readJudge?: Judge<Body>;
  /** The value that the replies of a read amount to. */
  choose(quorum: Quorum<Body>): Chosen<Tuple>;
  /** True if the reply shows that its sender already has `chosen`. */
  carries(reply: Body, chosen: Tuple): boolean;
  /** Highest counter that the replies of a timestamp call vouch for; 0 when there is none. */
  counterMax(quorum: Quorum<Body>): number;
  /** A new tuple with this counter, signed where the protocol signs. */
  make(counter: number, data: Bytes): Tuple;
}
