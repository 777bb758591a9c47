// Requests that are known and not executed: from clients, and from the primary's batches, so that a request that one
// primary ordered in vain keeps the clock running under the next one. What waits here waits for its client's turn: at the
// primary for a place in a batch, at a backup for being handed on to the primary.
//
// A backup times only what the primary must know, the oldest first: what is in a batch, and what it has handed on itself,
// of which it has no more outstanding than the primary keeps places and a share of the batches for, for each member apart.
// So however much clients bring, what is timed is done in time by a primary that does its work.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import { type Flow, newFlow, type Room } from '../fair-queue.ts';
import { LanedQueue, ownOrigin } from '../laned-queue.ts';
import { requestSizeBytes } from './batch.ts';

/** Where a request came from, besides members by their index and a channel of its client's own: a batch. */
export const batchOrigin = -2;

export interface Arrival {
  readonly origin: number;
  /** Which member the client asked for the whole result; undefined if the client did not say. */
  readonly fullReplier: number | undefined;
  readonly nowMs: number;
  /** In a batch of the current view. */
  readonly isProposed: boolean;
}

export interface QueuedRequest {
  readonly request: SignedRequest;
  readonly digest: Bytes;
  /** Which member the client asked for the whole result; undefined if the client did not say. */
  fullReplier: number | undefined;
  readonly sizeBytes: number;
  /** Since when its primary must know it. */
  readonly timedAtMs: number;
}

interface Entry extends QueuedRequest {
  readonly signature: Bytes;
  readonly owner: Owner;
  /** Counts arrivals. */
  readonly order: number;
  /** Which member's places it takes; `ownOrigin` for none's. */
  origin: number;
  isWaiting: boolean;
  /** In a batch of the current view. */
  isProposed: boolean;
  /** When it was handed to the primary last; undefined: not in this view. */
  handedOnAtMs: number | undefined;
  isTimed: boolean;
  timedAtMs: number;
  before: Entry | undefined;
  after: Entry | undefined;
}

interface Owner {
  readonly key: string;
  readonly entries: Map<number, Entry>;
  readonly flow: Flow<Entry>;
}

export class RequestQueue {
  readonly #owners = new Map<string, Owner>();
  /** The timed ones, in the order in which they became that. */
  #first: Entry | undefined;
  #last: Entry | undefined;
  #size = 0;
  #sizeBytes = 0;
  #arrivals = 0;
  readonly #waiting: LanedQueue<Entry>;
  /** Of a backup: handed on and in no batch yet. */
  #outstanding = 0;
  #outstandingSizeBytes = 0;
  /** Whether this member is the primary, which alone takes batches. */
  #isTakenFrom = false;

  /** @param n members of the group. */
  constructor(n: number) {
    this.#waiting = new LanedQueue(n);
  }

  get size(): number {
    return this.#size;
  }

  /** The request that the primary has known longest. */
  get head(): QueuedRequest | undefined {
    return this.#first;
  }

  /** Requests that wait for their turn. */
  get waiting(): number {
    return this.#waiting.count;
  }

  get waitingSizeBytes(): number {
    return this.#waiting.sizeBytes;
  }

  find(client: Bytes, number: number): QueuedRequest | undefined {
    return this.#owners.get(mapKey(client))?.entries.get(number);
  }

  /** Whether a request that is not known yet would find a place; to be asked before anything dear is done with it. */
  hasRoom(request: SignedRequest, origin: number): boolean {
    const owner = this.#owners.get(mapKey(request.request.client));
    return this.#hasRoom(owner, requestSizeBytes(request), origin);
  }

  /** What a primary has put into its batches takes nothing of clients' own places, nor of members'. */
  #hasRoom(owner: Owner | undefined, sizeBytes: number, origin: number): boolean {
    // Places that members count on: theirs alone bound them, even if all that they hand on is of one client.
    const hasLaneRoom = this.#waiting.hasLaneRoom(origin, sizeBytes);
    if (hasLaneRoom !== undefined) return hasLaneRoom;
    if (owner !== undefined && owner.entries.size >= limits.queuedRequestsPerClientMax)
      return false;
    if (origin === ownOrigin) {
      const sizeBytesMax = this.#isTakenFrom
        ? limits.waitingRequestsSizeBytesMax
        : limits.backupRequestsSizeBytesMax;
      return this.#waiting.own.hasRoom(owner?.flow, sizeBytes, sizeBytesMax);
    }
    return (
      this.#size < limits.queuedRequestsMax &&
      this.#sizeBytes + sizeBytes <= limits.queuedRequestsSizeBytesMax
    );
  }

  /** @returns false when there is no room, or something under this client and number already. */
  add(request: SignedRequest, digest: Bytes, arrival: Arrival): boolean {
    const { origin, fullReplier, nowMs, isProposed } = arrival;
    const key = mapKey(request.request.client);
    const { number } = request.request;
    const sizeBytes = requestSizeBytes(request);
    const known = this.#owners.get(key);
    if (known?.entries.has(number) === true) return false;
    if (!this.#hasRoom(known, sizeBytes, isProposed ? batchOrigin : origin)) return false;
    const owner = known ?? { key, entries: new Map<number, Entry>(), flow: newFlow<Entry>() };
    if (known === undefined) this.#owners.set(key, owner);
    this.#arrivals += 1;
    const entry: Entry = {
      request,
      digest,
      fullReplier,
      order: this.#arrivals,
      sizeBytes,
      signature: request.proof.signature,
      owner,
      origin: origin >= 0 ? origin : ownOrigin,
      isWaiting: false,
      isProposed,
      handedOnAtMs: undefined,
      isTimed: false,
      timedAtMs: nowMs,
      before: undefined,
      after: undefined,
    };
    this.#size += 1;
    this.#sizeBytes += sizeBytes;
    owner.entries.set(number, entry);
    if (isProposed) this.#time(entry, nowMs);
    else this.#wait(entry);
    return true;
  }

  /** A request was executed, or can never be. @returns what was known of it. */
  remove(client: Bytes, number: number): QueuedRequest | undefined {
    const owner = this.#owners.get(mapKey(client));
    const entry = owner?.entries.get(number);
    if (owner === undefined || entry === undefined) return undefined;
    this.#unwait(entry);
    this.#untime(entry);
    owner.entries.delete(number);
    if (owner.entries.size === 0) this.#owners.delete(owner.key);
    this.#size -= 1;
    this.#sizeBytes -= entry.sizeBytes;
    return entry;
  }

  /** A member hands on to this primary what is known already: it shall not wait among all that clients have brought. */
  moveToLane(client: Bytes, number: number, origin: number): void {
    const entry = this.#owners.get(mapKey(client))?.entries.get(number);
    if (!this.#isTakenFrom || entry?.origin !== ownOrigin) return;
    if (this.#waiting.moveToLane(entry.owner.flow, entry, origin)) entry.origin = origin;
  }

  /** The primary put this request into a batch. */
  markProposed(client: Bytes, number: number, nowMs: number): void {
    const entry = this.#owners.get(mapKey(client))?.entries.get(number);
    if (entry === undefined || entry.isProposed) return;
    this.#unwait(entry);
    entry.isProposed = true;
    if (!entry.isTimed) this.#time(entry, nowMs);
  }

  // ---- Turns ----

  /** A primary takes requests for one batch, from one client after another; the first one whatever its size. */
  take(room: Room, nowMs: number): QueuedRequest[] {
    const taken = this.#waiting.takeBatch(room);
    for (const entry of taken) {
      entry.isProposed = true;
      this.#time(entry, nowMs);
    }
    return taken;
  }

  /** A backup takes what it hands on to the primary now, as much as may be outstanding there. */
  takeToHandOn(nowMs: number): QueuedRequest[] {
    const { bounds, own } = this.#waiting;
    const taken: Entry[] = [];
    for (;;) {
      const count = bounds.count - this.#outstanding;
      const sizeBytes = bounds.sizeBytes - this.#outstandingSizeBytes;
      if (count <= 0) break;
      const from = taken.length;
      if (own.takeTurn({ count, sizeBytes, isSmallOnly: false }, taken) === 0) break;
      for (let i = from; i < taken.length; i++) {
        const entry = taken[i] as Entry;
        entry.handedOnAtMs = nowMs;
        this.#outstanding += 1;
        this.#outstandingSizeBytes += entry.sizeBytes;
        this.#time(entry, nowMs);
      }
    }
    return taken;
  }

  /**
   * What was handed on and is in no batch, the oldest first: the message may have been lost.
   * @param beforeMs only what was not handed on since then.
   */
  *toHandOnAgain(beforeMs: number, nowMs: number): Generator<QueuedRequest> {
    if (this.#outstanding === 0) return;
    for (let entry = this.#first; entry !== undefined; entry = entry.after) {
      if (handOnAgain(entry, beforeMs, nowMs)) yield entry;
    }
  }

  /** Its client asks again. @returns what is to be handed on again, if so. */
  handOnAgain(client: Bytes, number: number, beforeMs: number, nowMs: number): boolean {
    const entry = this.#owners.get(mapKey(client))?.entries.get(number);
    return entry !== undefined && handOnAgain(entry, beforeMs, nowMs);
  }

  /** A view begins: nothing is in a batch of it, nor handed to its primary. */
  beginView(isPrimary: boolean): void {
    const entries = [...this.all()] as Entry[];
    entries.sort((a, b) => a.order - b.order);
    for (const entry of entries) {
      this.#unwait(entry);
      this.#untime(entry);
      entry.isProposed = false;
      entry.handedOnAtMs = undefined;
      entry.origin = ownOrigin;
    }
    this.#isTakenFrom = isPrimary;
    for (const entry of entries) this.#wait(entry);
  }

  /** Everything, what is timed first. */
  *all(): Generator<QueuedRequest> {
    for (let entry = this.#first; entry !== undefined; entry = entry.after) yield entry;
    if (this.waiting === 0) return;
    for (const { entries } of this.#owners.values()) {
      for (const entry of entries.values()) if (!entry.isTimed) yield entry;
    }
  }

  #wait(entry: Entry): void {
    this.#waiting.add(entry.owner.flow, entry, entry.origin);
  }

  /** It does not wait for its turn any more, nor for its primary. */
  #unwait(entry: Entry): void {
    if (entry.handedOnAtMs !== undefined && !entry.isProposed) {
      this.#outstanding -= 1;
      this.#outstandingSizeBytes -= entry.sizeBytes;
    }
    this.#waiting.drop(entry.owner.flow, entry, entry.origin);
  }

  #time(entry: Entry, nowMs: number): void {
    entry.isTimed = true;
    entry.timedAtMs = nowMs;
    entry.before = this.#last;
    entry.after = undefined;
    if (this.#last === undefined) this.#first = entry;
    else this.#last.after = entry;
    this.#last = entry;
  }

  #untime(entry: Entry): void {
    if (!entry.isTimed) return;
    entry.isTimed = false;
    if (entry.before === undefined) this.#first = entry.after;
    else entry.before.after = entry.after;
    if (entry.after === undefined) this.#last = entry.before;
    else entry.after.before = entry.before;
  }
}

function handOnAgain(entry: Entry, beforeMs: number, nowMs: number): boolean {
  if (entry.isProposed || entry.handedOnAtMs === undefined || entry.handedOnAtMs > beforeMs) {
    return false;
  }
  entry.handedOnAtMs = nowMs;
  return true;
}
