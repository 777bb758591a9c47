// Requests under way: at the primary those in its queue and those in the log that are not executed yet; at a backup those
// that wait to be handed to the primary, and those that it has handed on and times.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import { type FairItem, type Flow, newFlow, type Room } from '../fair-queue.ts';
import { LanedQueue, ownOrigin } from '../laned-queue.ts';
import { handedOnAgainMs } from '../lanes.ts';
import { isWellFormed } from '../requests.ts';
import type { Core } from './core.ts';
import { noSignature, requestSizeBytes, WaitingRequests } from './waiting.ts';

const emptyProof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };

function keyOf(request: OrderedRequest): string {
  return `${mapKey(request.client)}${request.number}`;
}

interface Queued extends FairItem {
  readonly request: OrderedRequest;
  /** The member in whose lane it waits, or `ownOrigin`. */
  origin: number;
}

interface Pending {
  /** By number; undefined for what came with the log of another view. */
  readonly numbers: Map<number, Queued | undefined>;
  /** Of those that its client has brought itself, what is not proposed yet. */
  readonly flow: Flow<Queued>;
}

export class Requests {
  readonly #core: Core;
  /** Not proposed yet. */
  readonly #queue: LanedQueue<Queued>;
  /** What is under way by client, at the primary. */
  #pending = new Map<string, Pending>();
  /** At a backup. */
  readonly #waiting: WaitingRequests;
  /** Pending requests whose clients have asked again: with three-message writes these get a reply at commit. */
  readonly #askedAgain = new Set<string>();
  /** Since when the primary has done nothing of what it was handed; undefined while nothing is outstanding. */
  #waitingSinceMs: number | undefined;
  /** What was executed then. */
  #executedThen = 0;
  /** When the primary was told again of what waits, since then. */
  #remindedMs: number | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#queue = new LanedQueue(core.size);
    this.#waiting = new WaitingRequests(core.size);
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
    if (this.#core.isPrimary) {
      this.#enqueue(request, from.kind === 'client' ? ownOrigin : from.index);
    } else if (from.kind === 'client') this.#accept(request);
    else this.#core.out.count('vr-not-primary');
  }

  /** @param origin the member that has handed it on, or `ownOrigin`. */
  #enqueue(request: OrderedRequest, origin: number): void {
    const { out, parts } = this.#core;
    const pending = this.#pending.get(mapKey(request.client));
    if (pending?.numbers.has(request.number) === true) {
      return this.#askAgain(pending, request, origin);
    }
    if (!this.#hasRoom(pending, request, origin)) return out.count('vr-queue-full');
    if (origin === ownOrigin && pending !== undefined && pending.numbers.size >= ownPlacesMax) {
      return out.count('vr-client-queue-full');
    }
    this.#queueUp(request, origin);
    parts.normal.proposeIfDue();
  }

  /** What a backup hands on has places that it counts on; nothing else takes them, nor does it take others'. */
  #hasRoom(pending: Pending | undefined, request: OrderedRequest, origin: number): boolean {
    const sizeBytes = requestSizeBytes(request);
    const hasLaneRoom = this.#queue.hasLaneRoom(origin, sizeBytes);
    if (hasLaneRoom !== undefined) return hasLaneRoom;
    return this.#queue.own.hasRoom(pending?.flow, sizeBytes, limits.waitingRequestsSizeBytesMax);
  }

  #queueUp(request: OrderedRequest, origin: number): void {
    const { numbers, flow } = this.#pendingOf(request);
    const sizeBytes = requestSizeBytes(request);
    const waits = { signature: noSignature, isWaiting: true };
    const item: Queued = { request, origin, sizeBytes, ...waits };
    numbers.set(request.number, item);
    this.#queue.add(flow, item, origin);
  }

  /** It is under way. What a backup hands on does not go on waiting among all that clients have brought themselves. */
  #askAgain({ numbers, flow }: Pending, request: OrderedRequest, origin: number): void {
    const { out, parameters } = this.#core;
    out.count('vr-pending');
    if (parameters.threeMessageWrites) this.#askedAgain.add(keyOf(request));
    const item = numbers.get(request.number);
    if (item?.origin !== ownOrigin) return;
    if (this.#queue.moveToLane(flow, item, origin)) item.origin = origin;
  }

  #pendingOf({ client }: OrderedRequest): Pending {
    const key = mapKey(client);
    let pending = this.#pending.get(key);
    if (pending === undefined) {
      pending = { numbers: new Map(), flow: newFlow() };
      this.#pending.set(key, pending);
    }
    return pending;
  }

  // ---- Backup ----

  #accept(request: OrderedRequest): void {
    const { isWitness, parts, awakeMs, out } = this.#core;
    // Who does not execute never learns that something was executed: it waits for nothing.
    if (isWitness || parts.repair.isNeeded) return this.#forward(request);
    if (this.#waiting.has(request)) {
      const againMs = awakeMs - handedOnAgainMs;
      if (this.#waiting.mayHandOnAgain(request, againMs, awakeMs)) this.#forward(request);
    } else if (!this.#waiting.add(request)) out.count('vr-queue-full');
  }

  /** At the end of an event: what waits goes to the primary, as much as may be outstanding there. */
  handOn(): void {
    const { status, isPrimary, awakeMs } = this.#core;
    const { size, outstanding } = this.#waiting;
    if (size === outstanding || isPrimary || status !== 'normal') return;
    for (const request of this.#waiting.takeToHandOn(awakeMs)) this.#forward(request);
    if (this.#waitingSinceMs === undefined) this.#waitAnew();
  }

  #waitAnew(): void {
    this.#waitingSinceMs = this.#waiting.outstanding > 0 ? this.#core.awakeMs : undefined;
    this.#remindedMs = undefined;
    this.#executedThen = this.#core.parts.execution.executed;
  }

  /**
   * Whether what the primary was handed has seen no progress for too long. At half of that it is told again: it may never
   * have heard. A member that is behind and comes nearer waits once more: what it waits for may be in what it lacks. A
   * primary that commits nothing more is caught up with, and is given up then.
   */
  isOverdue(patienceMs: number): boolean {
    if (this.#waitingSinceMs === undefined) return false;
    const { awakeMs } = this.#core;
    const isLate = awakeMs - (this.#remindedMs ?? this.#waitingSinceMs) > patienceMs / 2;
    if (!isLate) return false;
    if (this.#remindedMs !== undefined) {
      const { normal, execution } = this.#core.parts;
      if (!normal.isBehind || execution.executed === this.#executedThen) return true;
      this.#waitAnew();
      return false;
    }
    this.#forgetAnswered();
    if (this.#waiting.outstanding === 0) {
      this.#waitAnew();
      return false;
    }
    this.#remindedMs = awakeMs;
    for (const request of this.#waiting.takeAgain(awakeMs)) this.#forward(request);
    return false;
  }

  #forward(request: OrderedRequest): void {
    const { instance, status, view, out } = this.#core;
    if (status !== 'normal') return;
    const signed: SignedRequest = { request, proof: emptyProof };
    const value = { instance, request: signed, fullReplier: 0 };
    out.toReplica(this.#core.primaryOf(view), 'submitRequest', value, view, true);
  }

  // ---- Both ----

  /** The next batch's requests, from one client after another; the first one whatever its size. */
  take(room: Room): readonly Queued[] {
    return this.#queue.takeBatch(room);
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
    for (const number of this.#pending.get(mapKey(client))?.numbers.keys() ?? []) {
      largest = Math.max(largest, number);
    }
    return largest;
  }

  /** The log is another one or this replica stands elsewhere: what is under way is seen anew. */
  viewChanged(): void {
    const { isPrimary, rules, parts, parameters } = this.#core;
    for (const request of this.#takeAll()) this.#waiting.keep(request);
    this.#askedAgain.clear();
    if (rules.rebuildsPending()) this.#pending = new Map();
    this.#forgetAnswered();
    this.#waiting.beginView();
    if (isPrimary) {
      this.#markInherited();
      for (const request of this.#waiting.values()) {
        if (!this.#pendingOf(request).numbers.has(request.number)) {
          this.#queueUp(request, ownOrigin);
        } else if (parameters.threeMessageWrites) this.#askedAgain.add(keyOf(request));
      }
      this.#waiting.clear();
      parts.normal.proposeIfDue();
    }
    this.#waitAnew();
  }

  #takeAll(): OrderedRequest[] {
    const all: OrderedRequest[] = [];
    for (const { numbers, flow } of this.#pending.values()) {
      for (const item of numbers.values()) {
        if (item?.isWaiting !== true) continue;
        all.push(item.request);
        this.#queue.drop(flow, item, item.origin);
      }
    }
    return all;
  }

  #markInherited(): void {
    const { log, parts } = this.#core;
    for (let n = Math.max(parts.execution.executed + 1, log.first); n <= log.last; n++) {
      for (const request of log.at(n).entry.requests) {
        this.#pendingOf(request).numbers.set(request.number, undefined);
      }
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

const emptyAgreed: Bytes = new Uint8Array(0);
/** What a client has unexecuted at the primary of what it brought itself: a client counts a reply before we do. */
const ownPlacesMax = 2 * limits.clientWindow;
