// Requests under way: at the primary those in its queue and those in the log that are not executed yet; at a backup those
// that it handed to the primary and waits for.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import type { Core } from './core.ts';

const emptyProof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };

function keyOf(request: OrderedRequest): string {
  return `${mapKey(request.client)}${request.number}`;
}

export class Requests {
  readonly #core: Core;
  /** Not proposed yet, from `#head` on. */
  #queue: OrderedRequest[] = [];
  #head = 0;
  /** Numbers under way by client, at the primary. */
  #pending = new Map<string, Set<number>>();
  /** Handed to the primary, oldest first. */
  readonly #waiting = new Map<string, OrderedRequest>();
  /** Pending requests whose clients have asked again: with three-message writes these get a reply at commit. */
  readonly #askedAgain = new Set<string>();
  /** Since when the requests waited for have seen no progress; undefined while there is none. */
  waitingSinceMs: number | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  get queued(): number {
    return this.#queue.length - this.#head;
  }

  onSubmit(from: Sender, value: ReplicationMessageValue<'submitRequest'>): void {
    const { request } = value.request;
    // A client may speak on its own channel for itself only; members are trusted to have checked that.
    if (from.kind === 'client' && mapKey(from.key) !== mapKey(request.client)) {
      this.#core.out.count('vr-foreign-request');
      return;
    }
    if (this.#answer(request)) return;
    if (this.#core.isPrimary) this.#enqueue(request);
    else if (from.kind === 'client') this.#handOn(request);
    else this.#core.out.count('vr-not-primary');
  }

  /** Answers from the table if the request was executed for good. */
  #answer(request: OrderedRequest): boolean {
    const { executor, parts } = this.#core;
    if (this.#core.isWitness) return false;
    if (executor.ended) {
      const { outcome, result } = executor.execute(request, emptyAgreed, 0);
      parts.execution.reply(request, outcome, result, 0);
      return true;
    }
    const found = executor.table.find(request.client, request.number);
    // A tentative result is in the table too, above what is committed.
    if (found.kind !== 'stored' || found.sequence > this.#core.commit) return false;
    parts.execution.reply(request, found.outcome, found.result, found.sequence);
    return true;
  }

  #isPending(request: OrderedRequest): boolean {
    return this.#pending.get(mapKey(request.client))?.has(request.number) === true;
  }

  #enqueue(request: OrderedRequest): void {
    if (this.#isPending(request)) {
      this.#core.out.count('vr-pending');
      if (this.#core.parameters.threeMessageWrites) this.#askedAgain.add(keyOf(request));
      return;
    }
    if (this.queued >= limits.queuedRequestsMax) {
      this.#core.out.count('vr-queue-full');
      return;
    }
    const numbers = this.#pending.get(mapKey(request.client));
    if (numbers !== undefined && numbers.size >= limits.queuedRequestsPerClientMax) {
      this.#core.out.count('vr-client-queue-full');
      return;
    }
    this.#markPending(request);
    this.#queue.push(request);
    this.#core.parts.normal.proposeIfDue();
  }

  #markPending(request: OrderedRequest): void {
    const key = mapKey(request.client);
    const numbers = this.#pending.get(key);
    if (numbers === undefined) this.#pending.set(key, new Set([request.number]));
    else numbers.add(request.number);
  }

  #handOn(request: OrderedRequest): void {
    // A witness never learns that something was executed: it waits for nothing.
    if (this.#core.isWitness) return this.#forward(request);
    const key = keyOf(request);
    if (!this.#waiting.has(key)) {
      if (this.#waiting.size >= limits.queuedRequestsMax) {
        this.#core.out.count('vr-queue-full');
        return;
      }
      this.#waiting.set(key, request);
      this.waitingSinceMs ??= this.#core.nowMs;
    }
    this.#forward(request);
  }

  #forward(request: OrderedRequest): void {
    const { instance, status, view, out } = this.#core;
    if (status !== 'normal') return;
    const signed: SignedRequest = { request, proof: emptyProof };
    const value = { instance, request: signed, fullReplier: 0 };
    out.toReplica(this.#core.primaryOf(view), 'submitRequest', value, view, true);
  }

  /** The next batch's requests, at most `requestsMax` and what fits into an entry. */
  take(requestsMax: number): OrderedRequest[] {
    const batch: OrderedRequest[] = [];
    let size = 0;
    while (batch.length < requestsMax && this.#head < this.#queue.length) {
      const request = this.#queue[this.#head] as OrderedRequest;
      size += request.operation.length + requestOverheadBytes;
      if (batch.length > 0 && size > limits.batchSizeBytesMax) break;
      batch.push(request);
      this.#head += 1;
    }
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > compactAt) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return batch;
  }

  /** A request was executed for good. @returns whether its client asked again meanwhile. */
  done(request: OrderedRequest): boolean {
    const { client, number } = request;
    if (this.#pending.size > 0) {
      const key = mapKey(client);
      const numbers = this.#pending.get(key);
      if (numbers?.delete(number) === true && numbers.size === 0) this.#pending.delete(key);
    }
    if (this.#waiting.size > 0 && this.#waiting.delete(keyOf(request))) {
      this.waitingSinceMs = this.#waiting.size > 0 ? this.#core.nowMs : undefined;
    }
    return this.#askedAgain.size > 0 && this.#askedAgain.delete(keyOf(request));
  }

  /** The largest number of a client that is under way here. */
  largest(client: Bytes): number {
    let largest = 0;
    for (const number of this.#pending.get(mapKey(client)) ?? []) {
      largest = Math.max(largest, number);
    }
    return largest;
  }

  /** The log is another one or this replica stands elsewhere: what is under way is seen anew. */
  viewChanged(): void {
    const { isPrimary, status, rules } = this.#core;
    const queue = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    this.#askedAgain.clear();
    if (rules.rebuildsPending()) this.#pending = new Map();
    for (const request of queue) this.#waiting.set(keyOf(request), request);
    this.#forgetAnswered();
    this.waitingSinceMs = this.#waiting.size > 0 ? this.#core.nowMs : undefined;
    if (isPrimary) {
      this.#markInherited();
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      this.waitingSinceMs = undefined;
      for (const request of waiting) this.#enqueue(request);
    } else if (status === 'normal') {
      for (const request of this.#waiting.values()) this.#forward(request);
    }
  }

  #markInherited(): void {
    const { log, parts } = this.#core;
    for (let n = parts.execution.executed + 1; n <= log.last; n++) {
      for (const request of log.at(n).entry.requests) this.#markPending(request);
    }
  }

  /** After a jump of the state: what was executed elsewhere is no longer waited for. */
  #forgetAnswered(): void {
    const { table } = this.#core.executor;
    for (const [key, { client, number }] of this.#waiting) {
      if (table.find(client, number).kind !== 'new') this.#waiting.delete(key);
    }
  }

  /** The instance has ended: everything under way is answered so. */
  endAll(): void {
    const { execution } = this.#core.parts;
    const all = [...this.#queue.slice(this.#head), ...this.#waiting.values()];
    this.#queue = [];
    this.#head = 0;
    this.#waiting.clear();
    this.#pending.clear();
    this.waitingSinceMs = undefined;
    for (const request of all) {
      const { outcome, result } = this.#core.executor.execute(request, emptyAgreed, 0);
      execution.reply(request, outcome, result, 0);
    }
  }
}

const emptyAgreed: Bytes = new Uint8Array(0);
/** Fixed part of an encoded request and its offset in the list. */
const requestOverheadBytes = 32 + 8 + 1 + 4 + 4;
/** Entries of the queue's spent front that are cut off together. */
const compactAt = 1024;
