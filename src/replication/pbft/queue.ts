// Requests that are known and not executed: from clients, and from the primary's batches, so that a request that one
// primary ordered in vain keeps the clock running under the next one. First come, first timed; taken for batches in
// turn from one client after another, at each turn what shares a signature, so that a busy client cannot crowd others
// out. A client has one window of places here for what it brings itself, and one for what each member hands on:
// whatever a member times, and a client has a window of places there too, its primary has a place for, even if the
// client has asked that one for other things.

import { type Bytes, equalBytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { SignedRequest } from '../../wire/replication.ts';

/** Where a request came from, besides members by their index: a channel of its client's own, or a batch. */
export const ownOrigin = -1;
export const batchOrigin = -2;
const originsBefore = 2;

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
  readonly arrivedAtMs: number;
  readonly sizeBytes: number;
}

interface Entry extends QueuedRequest {
  readonly owner: Owner;
  readonly origin: number;
  /** In a batch of the current view. */
  isProposed: boolean;
  isGone: boolean;
  before: Entry | undefined;
  after: Entry | undefined;
}

interface Owner {
  readonly key: string;
  readonly entries: Map<number, Entry>;
  /** Entries that are in no batch of the current view, by origin, and their bytes. */
  places: number[];
  placesSizeBytes: number[];
  /** Entries for batches, in order of arrival; those proposed or gone are skipped when they come up. */
  waiting: Entry[];
  isInTurn: boolean;
  /** Bytes that it may put into a batch: more with every turn at which its next request was too large. */
  creditSizeBytes: number;
}

/**
 * Requests under one signature that a client gets into a batch at its turn. Apart they would each cost a check of that
 * signature somewhere, and their answers as many messages; and a client that is answered all at once bundles again.
 */
const turnRequestsMax = 8;
/** Bytes that each turn is worth (deficit round robin): a client with large requests waits more turns for each of them. */
const turnSizeBytes = 8192;

/** Fixed parts, proof and offsets of one request in a batch. */
const overheadSizeBytes = 160;

export class RequestQueue {
  readonly #owners = new Map<string, Owner>();
  #first: Entry | undefined;
  #last: Entry | undefined;
  #size = 0;
  #sizeBytes = 0;
  /** Clients with entries for batches, whose turn comes round. */
  #turns: Owner[] = [];
  #waiting = 0;
  #waitingSizeBytes = 0;
  /** Whether this member is the primary, which alone takes batches. */
  #isTakenFrom = false;

  get size(): number {
    return this.#size;
  }

  /** The request that has waited longest. */
  get head(): QueuedRequest | undefined {
    return this.#first;
  }

  /** Requests that are in no batch of the current view. */
  get waiting(): number {
    return this.#waiting;
  }

  get waitingSizeBytes(): number {
    return this.#waitingSizeBytes;
  }

  find(client: Bytes, number: number): QueuedRequest | undefined {
    return this.#owners.get(mapKey(client))?.entries.get(number);
  }

  /** @returns false when there is no room, or something under this client and number already. */
  add(request: SignedRequest, digest: Bytes, arrival: Arrival): boolean {
    const { origin, fullReplier, nowMs, isProposed } = arrival;
    const key = mapKey(request.request.client);
    const { number, operation } = request.request;
    const sizeBytes = overheadSizeBytes + 32 * request.proof.path.length + operation.length;
    if (this.#size >= limits.queuedRequestsMax) return false;
    if (this.#sizeBytes + sizeBytes > limits.queuedRequestsSizeBytesMax) return false;
    let owner = this.#owners.get(key);
    if (owner === undefined) {
      owner = newOwner(key);
      this.#owners.set(key, owner);
    } else if (owner.entries.has(number) || !hasRoom(owner, origin, isProposed, sizeBytes)) {
      return false;
    }
    const entry: Entry = {
      request,
      digest,
      fullReplier,
      arrivedAtMs: nowMs,
      sizeBytes,
      owner,
      origin,
      isProposed,
      isGone: false,
      before: this.#last,
      after: undefined,
    };
    if (this.#last === undefined) this.#first = entry;
    else this.#last.after = entry;
    this.#last = entry;
    this.#size += 1;
    this.#sizeBytes += sizeBytes;
    owner.entries.set(number, entry);
    if (!isProposed) this.#wait(entry);
    return true;
  }

  /** A request was executed, or can never be. @returns what was known of it. */
  remove(client: Bytes, number: number): QueuedRequest | undefined {
    const owner = this.#owners.get(mapKey(client));
    const entry = owner?.entries.get(number);
    if (owner === undefined || entry === undefined) return undefined;
    owner.entries.delete(number);
    if (owner.entries.size === 0) this.#owners.delete(owner.key);
    if (!entry.isProposed) this.#unwait(entry);
    entry.isGone = true;
    if (entry.before === undefined) this.#first = entry.after;
    else entry.before.after = entry.after;
    if (entry.after === undefined) this.#last = entry.before;
    else entry.after.before = entry.before;
    this.#size -= 1;
    this.#sizeBytes -= entry.sizeBytes;
    return entry;
  }

  /** The primary put this request into a batch. */
  markProposed(client: Bytes, number: number): void {
    const entry = this.#owners.get(mapKey(client))?.entries.get(number);
    if (entry === undefined || entry.isProposed) return;
    this.#unwait(entry);
    entry.isProposed = true;
  }

  /** Takes requests for one batch, from one client after another. */
  take(countMax: number, sizeBytesMax: number): QueuedRequest[] {
    const taken: QueuedRequest[] = [];
    let sizeBytes = 0;
    while (taken.length < countMax) {
      const owner = this.#turns.shift();
      if (owner === undefined) break;
      const ofTurn = Math.min(turnRequestsMax, countMax - taken.length);
      owner.creditSizeBytes += turnSizeBytes;
      for (const entry of bundleOf(owner, ofTurn)) {
        if (entry.sizeBytes > owner.creditSizeBytes) break;
        if (taken.length > 0 && sizeBytes + entry.sizeBytes > sizeBytesMax) {
          this.#turns.unshift(owner);
          return taken;
        }
        owner.creditSizeBytes -= entry.sizeBytes;
        this.#unwait(entry);
        entry.isProposed = true;
        sizeBytes += entry.sizeBytes;
        taken.push(entry);
      }
      if (nextOf(owner) === undefined) {
        owner.isInTurn = false;
        owner.creditSizeBytes = 0;
      } else this.#turns.push(owner);
    }
    return taken;
  }

  /** A view begins: nothing is in a batch of it. */
  beginView(isPrimary: boolean): void {
    this.#isTakenFrom = isPrimary;
    this.#turns = [];
    this.#waiting = 0;
    this.#waitingSizeBytes = 0;
    for (const owner of this.#owners.values()) {
      owner.places = [];
      owner.placesSizeBytes = [];
      owner.waiting = [];
      owner.isInTurn = false;
      owner.creditSizeBytes = 0;
    }
    for (let entry = this.#first; entry !== undefined; entry = entry.after) {
      entry.isProposed = false;
      this.#wait(entry);
    }
  }

  /** Everything, oldest first. */
  *all(): Generator<QueuedRequest> {
    for (let entry = this.#first; entry !== undefined; entry = entry.after) yield entry;
  }

  #wait(entry: Entry): void {
    const { owner } = entry;
    takePlaces(entry, 1);
    if (!this.#isTakenFrom) return;
    this.#waiting += 1;
    this.#waitingSizeBytes += entry.sizeBytes;
    owner.waiting.push(entry);
    if (owner.isInTurn) return;
    owner.isInTurn = true;
    this.#turns.push(owner);
  }

  #unwait(entry: Entry): void {
    takePlaces(entry, -1);
    if (!this.#isTakenFrom) return;
    this.#waiting -= 1;
    this.#waitingSizeBytes -= entry.sizeBytes;
  }
}

function newOwner(key: string): Owner {
  return {
    key,
    entries: new Map(),
    places: [],
    placesSizeBytes: [],
    waiting: [],
    isInTurn: false,
    creditSizeBytes: 0,
  };
}

/** @param count 1 or -1. */
function takePlaces({ owner, origin, sizeBytes }: Entry, count: number): void {
  const at = origin + originsBefore;
  owner.places[at] = (owner.places[at] ?? 0) + count;
  owner.placesSizeBytes[at] = (owner.placesSizeBytes[at] ?? 0) + count * sizeBytes;
}

/**
 * What is in a batch has left its client's window, which bounds what waits for one. Its bytes are bounded too, but for
 * one request of any size.
 */
function hasRoom(owner: Owner, origin: number, isProposed: boolean, sizeBytes: number): boolean {
  if (owner.entries.size >= limits.queuedRequestsPerClientMax) return false;
  const count = owner.places[origin + originsBefore] ?? 0;
  const waiting = owner.placesSizeBytes[origin + originsBefore] ?? 0;
  if (isProposed || count === 0) return true;
  return (
    count < limits.clientWindow && waiting + sizeBytes <= limits.queuedRequestsClientSizeBytesMax
  );
}

/** The client's oldest entry that is still for a batch. */
function nextOf({ waiting }: Owner): Entry | undefined {
  for (;;) {
    const entry = waiting[0];
    if (entry === undefined || !(entry.isGone || entry.isProposed)) return entry;
    waiting.shift();
  }
}

/** The client's oldest entries for batches that share a signature. */
function bundleOf(owner: Owner, countMax: number): Entry[] {
  const first = nextOf(owner);
  if (first === undefined) return [];
  const { signature } = first.request.proof;
  const bundle: Entry[] = [];
  for (const entry of owner.waiting) {
    if (entry.isGone || entry.isProposed) continue;
    if (bundle.length === countMax) break;
    if (!equalBytes(entry.request.proof.signature, signature)) break;
    bundle.push(entry);
  }
  return bundle;
}
