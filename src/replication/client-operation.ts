// An operation that an application has submitted, until it is settled: with an outcome, or with an error.

import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { SignedRequest } from '../wire/replication.ts';
import type { Outcome } from './contract.ts';
import type { ReplyBox } from './reply-box.ts';

export type Settle = (outcome: Outcome | HoldfastError) => void;

/** As in an `OrderedRequest`. */
type Kind = 0 | 1 | 2;

export class Operation {
  readonly bytes: Bytes;
  readonly kind: Kind;
  readonly #settle: Settle;
  /** It is a write, or was tried as a read in one round, in vain. */
  mustOrder: boolean;
  /** It went out under a number of its own: from then on it may be executed, whoever still waits for it. */
  isSent = false;
  #isOver = false;

  constructor(bytes: Bytes, kind: Kind, settle: Settle) {
    this.bytes = bytes;
    this.kind = kind;
    this.mustOrder = kind !== 1;
    this.#settle = settle;
  }

  /** Nobody waits for it any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The first outcome counts. */
  finish(outcome: Outcome | HoldfastError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#settle(outcome);
  }
}

/** An operation that was sent. */
export interface InFlight {
  readonly operation: Operation;
  readonly number: number;
  /** The request with its proof; undefined for a read in one round. */
  readonly signed: SignedRequest | undefined;
  readonly fullReplier: number;
  readonly box: ReplyBox;
  readonly sentAtMs: number;
  /** How often it was sent again. */
  retries: number;
  retryAtMs: number;
  /** Enough members agree on a result that none of them has sent whole. */
  lacksBody: boolean;
}

/** What a client has not been answered when its group has ended: another one goes on with it in the next instance. */
export interface Unanswered {
  /** The next request's number; undefined while it was not known. */
  readonly next: number | undefined;
  /** Requests that were sent, by ascending number. The next instance knows which of them were executed. */
  readonly requests: readonly { readonly number: number; readonly operation: Operation }[];
  /** What was not sent yet, and reads. */
  readonly waiting: readonly Operation[];
}

/** @param outcome as in a `requestReply`. */
export function outcomeOf(outcome: number, result: Bytes): Outcome {
  if (outcome === 0) return { kind: 'result', result };
  return outcome === 1 ? { kind: 'ended' } : { kind: 'too-old' };
}

export interface Entry {
  begin(operation: Operation): void;
  /** The caller's signal has ended waiting. */
  abandon(operation: Operation): void;
}

/** @returns what is settled with the operation. @throws HoldfastError `interrupted` by the signal. */
export function enter(
  bytes: Bytes,
  kind: 0 | 1,
  signal: AbortSignal | undefined,
  entry: Entry,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      operation.finish(interruption(kind, signal?.reason));
      entry.abandon(operation);
    };
    const operation = new Operation(bytes, kind, (outcome) => {
      signal?.removeEventListener('abort', abort);
      if (outcome instanceof HoldfastError) reject(outcome);
      else resolve(outcome);
    });
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort);
    entry.begin(operation);
  });
}

function interruption(kind: 0 | 1, cause: unknown): HoldfastError {
  return new HoldfastError(
    'interrupted',
    kind === 1
      ? "the read was ended by the caller's signal before enough members had answered"
      : "waiting was ended by the caller's signal; the operation may still be executed",
    { cure: 'Give it more time; status() of the replicas tells which of them take part.', cause },
  );
}
