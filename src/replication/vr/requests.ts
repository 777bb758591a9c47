// Requests under way: at the primary those in its queue and those in the log that are not executed yet; at a backup those
// that it handed to the primary and waits for.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import {
  type FairItem,
  FairQueue,
  type Flow,
  newFlow,
  type Room,
  turnSizeBytes,
} from '../fair-queue.ts';
import { isWellFormed } from '../requests.ts';
import type { Core } from './core.ts';
import { requestSizeBytes, WaitingRequests } from './waiting.ts';

const emptyProof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };

function keyOf(request: OrderedRequest): string {
  return `${mapKey(request.client)}${request.number}`;
}

interface Queued extends FairItem {
  readonly request: OrderedRequest;
}

interface Pending {
  readonly numbers: Set<number>;
  /** Of those, what is not proposed yet. */
  readonly flow: Flow<Queued>;
}

export class Requests {
  readonly #core: Core;
  /** Not proposed yet. */
  readonly #queue = new FairQueue<Queued>();
  /** What is under way by client, at the primary. */
  #pending = new Map<string, Pending>();
  /** Handed to the primary. */
  readonly #waiting = new WaitingRequests();
  /** Pending requests whose clients have asked again: with three-message writes these get a reply at commit. */
  readonly #askedAgain = new Set<string>();
  /** Since when the requests waited for have seen no progress; undefined while there is none. */
  #waitingSinceMs: number | undefined;
  /** When the primary was told again of what waits, since then. */
  #remindedMs: number | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  get queued(): number {
    return this.#queue.count;
  }

  get queuedSizeBytes(): number {
    return this.#queue.sizeBytes;
  }

  onSubmit(from: Sender, value: ReplicationMessageValue<'submitRequest'>): void {
    const { request } = value.request;
    if (!isWellFormed(request)) return this.#core.out.count('vr-request-kind');
    // A client may speak on its own channel for itself only; members are trusted to have checked that.
    if (from.kind === 'client' && mapKey(from.key) !== mapKey(request.client)) {
      this.#core.out.count('vr-foreign-request');
      return;
    }
    if (this.#core.parts.questions.onRequest(request)) return;
    const isOwn = from.kind === 'client';
    if (this.#core.isPrimary) this.#enqueue(request, isOwn);
    else if (from.kind === 'client') this.#handOn(request);
    else this.#core.out.count('vr-not-primary');
  }

  #isPending(request: OrderedRequest): boolean {
    return this.#pending.get(mapKey(request.client))?.numbers.has(request.number) === true;
  }

  /**
   * Places of one client at the primary. Those that it cannot take itself are enough for a window of each backup's, so
   * that what a backup waits for finds a place whatever else its client has asked for here.
   */
  get #placesMax(): number {
    return ownPlacesMax + (this.#core.size - 1) * limits.clientWindow;
  }

  /** @param isOwn its client brought it, not a backup that has a place for it. */
  #enqueue(request: OrderedRequest, isOwn: boolean): void {
    if (this.#isPending(request)) {
      this.#core.out.count('vr-pending');
      if (this.#core.parameters.threeMessageWrites) this.#askedAgain.add(keyOf(request));
      return;
    }
    const sizeBytes = requestSizeBytes(request);
    const pending = this.#pending.get(mapKey(request.client));
    if (!this.#hasRoom(pending, sizeBytes, isOwn)) return this.#core.out.count('vr-queue-full');
    if (pending !== undefined && pending.numbers.size >= (isOwn ? ownPlacesMax : this.#placesMax)) {
      this.#core.out.count('vr-client-queue-full');
      return;
    }
    const { flow } = this.#markPending(request);
    this.#queue.add(flow, { request, sizeBytes, signature: emptySignature, isWaiting: true });
    this.#core.parts.normal.proposeIfDue();
  }

  /**
   * Half of the bytes are for whoever comes, of the other half a client has its share; a turn's worth is taken as long as
   * there is any room at all. What backups hand on they have bounded themselves.
   */
  #hasRoom(pending: Pending | undefined, sizeBytes: number, isOwn: boolean): boolean {
    const queue = this.#queue;
    const total = queue.sizeBytes + sizeBytes;
    if (queue.count >= limits.queuedRequestsMax) return false;
    if (total > limits.queuedRequestsSizeBytesMax) return false;
    const { count, sizeBytes: waiting } = pending?.flow ?? { count: 0, sizeBytes: 0 };
    if (!isOwn || waiting + sizeBytes <= turnSizeBytes) return true;
    const sizeBytesMax = limits.waitingRequestsSizeBytesMax;
    if (total <= sizeBytesMax / 2) return true;
    const clients = queue.flows + (count === 0 ? 1 : 0);
    return total <= sizeBytesMax && waiting + sizeBytes <= sizeBytesMax / clients;
  }

  #markPending(request: OrderedRequest): Pending {
    const key = mapKey(request.client);
    const pending = this.#pending.get(key);
    if (pending !== undefined) {
      pending.numbers.add(request.number);
      return pending;
    }
    const made: Pending = { numbers: new Set([request.number]), flow: newFlow() };
    this.#pending.set(key, made);
    return made;
  }

  #handOn(request: OrderedRequest): void {
    // A witness never learns that something was executed: it waits for nothing.
    if (this.#core.isWitness) return this.#forward(request);
    if (!this.#waiting.has(request)) {
      if (!this.#waiting.add(request)) return this.#core.out.count('vr-queue-full');
      if (this.#waitingSinceMs === undefined) this.#waitAnew();
    }
    this.#forward(request);
  }

  #waitAnew(): void {
    this.#waitingSinceMs = this.#waiting.size > 0 ? this.#core.awakeMs : undefined;
    this.#remindedMs = undefined;
  }

  /**
   * Whether what the primary was handed has seen no progress for too long. At half of that it is told again: it may have
   * had no place, or never have heard.
   */
  isOverdue(patienceMs: number): boolean {
    if (this.#waitingSinceMs === undefined) return false;
    const { awakeMs } = this.#core;
    const isLate = awakeMs - (this.#remindedMs ?? this.#waitingSinceMs) > patienceMs / 2;
    if (!isLate || this.#remindedMs !== undefined) return isLate;
    this.#forgetAnswered();
    if (this.#waiting.size === 0) {
      this.#waitAnew();
      return false;
    }
    this.#remindedMs = awakeMs;
    let count = 0;
    for (const request of this.#waiting.values()) {
      if (count++ === limits.clientWindow) break;
      this.#forward(request);
    }
    return false;
  }

  #forward(request: OrderedRequest): void {
    const { instance, status, view, out } = this.#core;
    if (status !== 'normal') return;
    const signed: SignedRequest = { request, proof: emptyProof };
    const value = { instance, request: signed, fullReplier: 0 };
    out.toReplica(this.#core.primaryOf(view), 'submitRequest', value, view, true);
  }

  /** The next batch's requests, from one client after another; the first one whatever its size. */
  take({ count, sizeBytes, isSmallOnly }: Room): readonly Queued[] {
    const batch: Queued[] = [];
    let left = Number.POSITIVE_INFINITY;
    while (batch.length < count) {
      const room = { count: count - batch.length, sizeBytes: left, isSmallOnly };
      const takenSizeBytes = this.#queue.takeTurn(room, batch);
      if (takenSizeBytes === 0) break;
      left = Math.min(left, sizeBytes) - takenSizeBytes;
    }
    return batch;
  }

  /** A request was executed for good. @returns whether its client asked again meanwhile. */
  done(request: OrderedRequest): boolean {
    const { client, number } = request;
    if (this.#pending.size > 0) {
      const key = mapKey(client);
      const numbers = this.#pending.get(key)?.numbers;
      if (numbers?.delete(number) === true && numbers.size === 0) this.#pending.delete(key);
    }
    if (this.#waiting.size > 0 && this.#waiting.delete(request)) this.#waitAnew();
    return this.#askedAgain.size > 0 && this.#askedAgain.delete(keyOf(request));
  }

  /** The largest number of a client that is under way here. */
  largest(client: Bytes): number {
    let largest = 0;
    for (const number of this.#pending.get(mapKey(client))?.numbers ?? []) {
      largest = Math.max(largest, number);
    }
    return largest;
  }

  /** The log is another one or this replica stands elsewhere: what is under way is seen anew. */
  viewChanged(): void {
    const { isPrimary, status, rules } = this.#core;
    const queue = this.#takeAll();
    this.#askedAgain.clear();
    if (rules.rebuildsPending()) this.#pending = new Map();
    for (const request of queue) this.#waiting.add(request);
    this.#forgetAnswered();
    this.#waitAnew();
    if (isPrimary) {
      this.#markInherited();
      const waiting = [...this.#waiting.values()];
      this.#waiting.clear();
      this.#waitAnew();
      for (const request of waiting) this.#enqueue(request, false);
    } else if (status === 'normal') {
      for (const request of this.#waiting.values()) this.#forward(request);
    }
  }

  #takeAll(): OrderedRequest[] {
    const all: OrderedRequest[] = [];
    for (const { flow } of this.#pending.values()) {
      for (const item of [...flow.items]) {
        if (!item.isWaiting) continue;
        all.push(item.request);
        this.#queue.drop(flow, item);
      }
    }
    return all;
  }

  #markInherited(): void {
    const { log, parts } = this.#core;
    for (let n = Math.max(parts.execution.executed + 1, log.first); n <= log.last; n++) {
      for (const request of log.at(n).entry.requests) this.#markPending(request);
    }
  }

  /** After a jump of the state: what was executed elsewhere is no longer waited for. */
  #forgetAnswered(): void {
    const { table } = this.#core.executor;
    for (const request of [...this.#waiting.values()]) {
      const { client, number } = request;
      if (table.isSettled(client, number)) this.#waiting.delete(request);
    }
  }

  /** The instance has ended: everything under way is answered so. */
  endAll(): void {
    const { execution } = this.#core.parts;
    const all = [...this.#takeAll(), ...this.#waiting.values()];
    this.#waiting.clear();
    this.#pending.clear();
    this.#waitAnew();
    for (const request of all) {
      const { outcome, result } = this.#core.executor.execute(request, emptyAgreed, 0);
      execution.reply(request, outcome, result, 0);
    }
  }
}

const emptySignature: Bytes = new Uint8Array(0);
const emptyAgreed: Bytes = new Uint8Array(0);
/** What a client has unexecuted at the primary of what it brought itself: a client counts a reply before we do. */
const ownPlacesMax = 2 * limits.clientWindow;
