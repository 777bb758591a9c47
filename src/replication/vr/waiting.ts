// What clients have asked a backup for. It waits for its client's turn to be handed to the primary, and is outstanding then
// until it is executed. Never more is outstanding than the primary keeps places for, and a share of its batches: so what a
// backup waits for is done in time by a primary that does its work, however much clients bring here or there.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest } from '../../wire/replication.ts';
import { type FairItem, FairQueue, type Flow, newFlow } from '../fair-queue.ts';
import { type HandedOnBounds, handedOnBounds } from '../lanes.ts';

/** Fixed part of an encoded request and its offset in a list. */
const requestOverheadBytes = 32 + 8 + 1 + 4 + 4;
/** In VR a client's channel is its signature. */
export const noSignature: Bytes = new Uint8Array(0);

export function requestSizeBytes({ operation }: OrderedRequest): number {
  return requestOverheadBytes + operation.length;
}

interface Item extends FairItem {
  readonly request: OrderedRequest;
  readonly owner: Owner;
  /** When it was handed on last; undefined: not in this view. */
  handedOnAtMs: number | undefined;
}

interface Owner {
  readonly client: string;
  readonly items: Map<number, Item>;
  readonly flow: Flow<Item>;
}

export class WaitingRequests {
  readonly #bounds: HandedOnBounds;
  readonly #owners = new Map<string, Owner>();
  /** All of them, oldest first. */
  readonly #inOrder = new Set<Item>();
  #sizeBytes = 0;
  readonly #turns = new FairQueue<Item>();
  /** The outstanding ones, in the order in which they were handed on. */
  readonly #outstanding = new Set<Item>();
  #outstandingSizeBytes = 0;

  /** @param n members of the group. */
  constructor(n: number) {
    this.#bounds = handedOnBounds(n);
  }

  get size(): number {
    return this.#inOrder.size;
  }

  /** Handed on, and not executed yet. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  has(request: OrderedRequest): boolean {
    return this.#find(request) !== undefined;
  }

  #find({ client, number }: Pick<OrderedRequest, 'client' | 'number'>): Item | undefined {
    return this.#owners.get(mapKey(client))?.items.get(number);
  }

  /** @returns false when there is no room, or something under this client and number already. */
  add(request: OrderedRequest): boolean {
    const owner = this.#owners.get(mapKey(request.client));
    // What is outstanding counts among its client's too.
    if (owner !== undefined && owner.items.size >= limits.clientWindow) return false;
    const { backupRequestsSizeBytesMax } = limits;
    if (!this.#turns.hasRoom(owner?.flow, requestSizeBytes(request), backupRequestsSizeBytesMax)) {
      return false;
    }
    return this.keep(request);
  }

  /** As `add`, of what has found a place as a primary's already. */
  keep(request: OrderedRequest): boolean {
    const sizeBytes = requestSizeBytes(request);
    if (this.size >= limits.queuedRequestsMax || this.has(request)) return false;
    if (this.#sizeBytes + sizeBytes > limits.queuedRequestsSizeBytesMax) return false;
    const key = mapKey(request.client);
    let owner = this.#owners.get(key);
    if (owner === undefined) {
      owner = { client: key, items: new Map(), flow: newFlow() };
      this.#owners.set(key, owner);
    }
    const waits = { signature: noSignature, isWaiting: false, handedOnAtMs: undefined };
    const item: Item = { request, owner, sizeBytes, ...waits };
    owner.items.set(request.number, item);
    this.#inOrder.add(item);
    this.#sizeBytes += sizeBytes;
    this.#turns.add(owner.flow, item);
    return true;
  }

  /** @returns whether it was outstanding. */
  delete(request: Pick<OrderedRequest, 'client' | 'number'>): boolean {
    const item = this.#find(request);
    if (item === undefined) return false;
    const { owner, sizeBytes } = item;
    owner.items.delete(item.request.number);
    if (owner.items.size === 0) this.#owners.delete(owner.client);
    this.#inOrder.delete(item);
    this.#sizeBytes -= sizeBytes;
    this.#turns.drop(owner.flow, item);
    if (!this.#outstanding.delete(item)) return false;
    this.#outstandingSizeBytes -= sizeBytes;
    return true;
  }

  clear(): void {
    for (const { request } of [...this.#inOrder]) this.delete(request);
  }

  /** Oldest first. */
  *values(): Generator<OrderedRequest> {
    for (const { request } of this.#inOrder) yield request;
  }

  /** What is handed on now, from one client after another, as much as may be outstanding. */
  takeToHandOn(nowMs: number): OrderedRequest[] {
    const taken: Item[] = [];
    for (;;) {
      const count = this.#bounds.count - this.outstanding;
      const sizeBytes = this.#bounds.sizeBytes - this.#outstandingSizeBytes;
      if (count <= 0) break;
      const from = taken.length;
      if (this.#turns.takeTurn({ count, sizeBytes, isSmallOnly: false }, taken) === 0) break;
      for (const item of taken.slice(from)) {
        item.handedOnAtMs = nowMs;
        this.#outstanding.add(item);
        this.#outstandingSizeBytes += item.sizeBytes;
      }
    }
    return taken.map(({ request }) => request);
  }

  /** All that is outstanding, to be handed on again: the message may have been lost. */
  takeAgain(nowMs: number): OrderedRequest[] {
    const again = [...this.#outstanding];
    for (const item of again) item.handedOnAtMs = nowMs;
    return again.map(({ request }) => request);
  }

  /** Its client asks again. @returns whether it is to be handed on again: it was, but not since `beforeMs`. */
  mayHandOnAgain(request: OrderedRequest, beforeMs: number, nowMs: number): boolean {
    const item = this.#find(request);
    if (item?.handedOnAtMs === undefined || item.handedOnAtMs > beforeMs) return false;
    item.handedOnAtMs = nowMs;
    return true;
  }

  /** Nothing was handed to the new view's primary yet. */
  beginView(): void {
    const items = [...this.#inOrder];
    for (const item of items) this.#turns.drop(item.owner.flow, item);
    this.#outstanding.clear();
    this.#outstandingSizeBytes = 0;
    for (const item of items) {
      item.handedOnAtMs = undefined;
      this.#turns.add(item.owner.flow, item);
    }
  }
}
