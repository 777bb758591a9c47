// Requests that a backup handed to the primary and waits for, oldest first: a window of each client's, within a bound of
// bytes that leaves room for small ones. What finds no place here is neither handed on nor waited for.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest } from '../../wire/replication.ts';
import { isLarge } from '../fair-queue.ts';

/** Fixed part of an encoded request and its offset in a list. */
const requestOverheadBytes = 32 + 8 + 1 + 4 + 4;

export function requestSizeBytes({ operation }: OrderedRequest): number {
  return requestOverheadBytes + operation.length;
}

interface Owner {
  readonly client: string;
  readonly requests: Map<number, OrderedRequest>;
}

export class WaitingRequests {
  readonly #owners = new Map<string, Owner>();
  /** All of them, oldest first. */
  readonly #inOrder = new Set<OrderedRequest>();
  #sizeBytes = 0;

  get size(): number {
    return this.#inOrder.size;
  }

  has({ client, number }: OrderedRequest): boolean {
    return this.#owners.get(mapKey(client))?.requests.has(number) === true;
  }

  /** @returns false when there is no room, or something under this client and number already. */
  add(request: OrderedRequest): boolean {
    const sizeBytes = requestSizeBytes(request);
    if (this.size >= limits.queuedRequestsMax) return false;
    const sizeBytesMax = isLarge({ sizeBytes })
      ? limits.backupRequestsSizeBytesMax
      : limits.queuedRequestsSizeBytesMax;
    if (this.#sizeBytes + sizeBytes > sizeBytesMax) return false;
    const key = mapKey(request.client);
    let owner = this.#owners.get(key);
    if (owner === undefined) {
      owner = { client: key, requests: new Map() };
      this.#owners.set(key, owner);
    } else if (owner.requests.has(request.number) || owner.requests.size >= limits.clientWindow) {
      return false;
    }
    owner.requests.set(request.number, request);
    this.#inOrder.add(request);
    this.#sizeBytes += sizeBytes;
    return true;
  }

  /** @returns whether it was there. */
  delete({ client, number }: { readonly client: Bytes; readonly number: number }): boolean {
    const owner = this.#owners.get(mapKey(client));
    const request = owner?.requests.get(number);
    if (owner === undefined || request === undefined) return false;
    owner.requests.delete(number);
    if (owner.requests.size === 0) this.#owners.delete(owner.client);
    this.#inOrder.delete(request);
    this.#sizeBytes -= requestSizeBytes(request);
    return true;
  }

  clear(): void {
    this.#owners.clear();
    this.#inOrder.clear();
    this.#sizeBytes = 0;
  }

  values(): Iterable<OrderedRequest> {
    return this.#inOrder;
  }
}
