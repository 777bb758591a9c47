// What clients saw: each operation with the moment it was asked for and the moment it was answered. The checkers read
// nothing else, so that they judge the system from outside.

import { assert } from '../../src/base/assert.ts';
import type { Brand } from '../../src/base/brand.ts';

/** Number of an operation in its history, from 0 in order of invocation. */
export type OperationId = Brand<number, 'OperationId'>;

/**
 * How an operation ended.
 * - pending: no answer yet. Checkers treat it as unknown.
 * - completed: answered; it took effect between its invocation and its answer.
 * - failed: certainly had no effect and never will.
 * - unknown: timed out, or its client died. It may take effect at any time after its invocation, or never.
 */
type Outcome = 'pending' | 'completed' | 'failed' | 'unknown';

export interface Operation {
  readonly id: OperationId;
  readonly client: string;
  readonly object: string;
  readonly kind: 'write' | 'read';
  /** Digest of what was written, or of what a completed read returned. Null is the initial value: nothing there. */
  readonly value: string | null;
  readonly outcome: Outcome;
  /** In the history's unit of time, whatever it is. */
  readonly invokedAt: number;
  /** Infinity unless completed or failed. */
  readonly endedAt: number;
  /** Place of the invocation among all invocations and answers of the history; no two places are equal. */
  readonly begin: number;
  /** Place of the answer; Infinity unless completed or failed. */
  readonly end: number;
}

/** All that checkers need of a history. `operations` is in order of `begin`. */
export interface RecordedHistory {
  readonly operations: readonly Operation[];
}

export type Invocation = {
  /** Any unit and origin, the same for the whole history; never decreasing. */
  readonly time: number;
  readonly client: string;
  readonly object: string;
} & ({ readonly kind: 'write'; readonly value: string | null } | { readonly kind: 'read' });

/** One line of a recording. An operation without an answer is unknown, so a killed process needs no last words. */
export type HistoryEvent =
  | ({ readonly event: 'invoke'; readonly id: number } & Invocation)
  | {
      readonly event: 'complete';
      readonly id: number;
      readonly time: number;
      readonly value?: string | null;
    }
  | { readonly event: 'fail'; readonly id: number; readonly time: number };

type Recorded = { -readonly [Key in keyof Operation]: Operation[Key] };

/**
 * Records the operations of one process. The order of calls is the order of events: an answer recorded before an
 * invocation precedes it, even at the same time. One client may have several operations under way.
 */
export class History implements RecordedHistory {
  readonly #operations: Recorded[] = [];
  readonly #sink: ((event: HistoryEvent) => void) | undefined;
  #placeNext = 0;
  #timeLast = Number.NEGATIVE_INFINITY;

  /** @param sink receives each event as it happens, before the call returns; a real process appends it to a file. */
  constructor(sink?: (event: HistoryEvent) => void) {
    this.#sink = sink;
  }

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  invoke(invocation: Invocation): OperationId {
    const { time, client, object, kind } = invocation;
    const value = invocation.kind === 'write' ? invocation.value : null;
    const id = this.#operations.length as OperationId;
    this.#operations.push({
      id,
      client,
      object,
      kind,
      value,
      outcome: 'pending',
      invokedAt: time,
      endedAt: Number.POSITIVE_INFINITY,
      begin: this.#place(time),
      end: Number.POSITIVE_INFINITY,
    });
    const call = { event: 'invoke', id, time, client, object } as const;
    this.#sink?.(kind === 'write' ? { ...call, kind, value } : { ...call, kind });
    return id;
  }

  /** The write was acknowledged. */
  completeWrite(id: OperationId, time: number): void {
    assert(this.#under(id).kind === 'write', `operation ${id} is not a write`);
    this.#end(id, time, 'completed');
    this.#sink?.({ event: 'complete', id, time });
  }

  /** The read returned `value`; null when it found nothing. */
  completeRead(id: OperationId, time: number, value: string | null): void {
    assert(this.#under(id).kind === 'read', `operation ${id} is not a read`);
    this.#end(id, time, 'completed').value = value;
    this.#sink?.({ event: 'complete', id, time, value });
  }

  /** The operation certainly had no effect and never will: it was refused, or never left. */
  fail(id: OperationId, time: number): void {
    this.#end(id, time, 'failed');
    this.#sink?.({ event: 'fail', id, time });
  }

  /** Nobody waits for the answer any more; the operation may still take effect. */
  abandon(id: OperationId): void {
    this.#under(id).outcome = 'unknown';
  }

  #under(id: OperationId): Recorded {
    const operation = this.#operations[id];
    assert(operation?.outcome === 'pending', `operation ${id} is not under way`);
    return operation;
  }

  #end(id: OperationId, time: number, outcome: 'completed' | 'failed'): Recorded {
    const operation = this.#under(id);
    operation.outcome = outcome;
    operation.endedAt = time;
    operation.end = this.#place(time);
    return operation;
  }

  #place(time: number): number {
    assert(time >= this.#timeLast, `time ran backwards in a history: ${this.#timeLast}, ${time}`);
    this.#timeLast = time;
    return this.#placeNext++;
  }
}

/** The operations of each object, in order of invocation. */
export function byObject(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const group = groups.get(operation.object);
    if (group === undefined) groups.set(operation.object, [operation]);
    else group.push(operation);
  }
  return groups;
}
