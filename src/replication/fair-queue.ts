// What clients want done and is not begun: who is next. Clients take turns, counted in bytes (deficit round robin), and
// small requests do not stand behind large ones: those that fit into a turn and those that do not have turns of their own,
// and each kind gets at least half of the bytes while both wait. So what a client with small requests waits for does not
// grow with what others with large ones have waiting, and neither can shut the other out.

import { type Bytes, equalBytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';

export interface FairItem {
  readonly sizeBytes: number;
  /** What shares a signature is kept together; empty where nothing is signed. */
  readonly signature: Bytes;
  /** Set by the queue. */
  isWaiting: boolean;
}

/** One client's part of a queue. */
export interface Flow<Item extends FairItem> {
  /** In order of arrival; what waits no longer is skipped when it comes up. */
  items: Item[];
  /** Of those that wait. */
  count: number;
  sizeBytes: number;
  isInTurn: boolean;
  /** Bytes that it may take: more with every turn at which its next request was too large. */
  creditSizeBytes: number;
}

export function newFlow<Item extends FairItem>(): Flow<Item> {
  return { items: [], count: 0, sizeBytes: 0, isInTurn: false, creditSizeBytes: 0 };
}

/**
 * Requests under one signature that a client gets done at its turn. Apart they would each cost a check of that signature
 * somewhere, and their answers as many messages; and a client that is answered all at once bundles again.
 */
const turnRequestsMax = 8;
/** Bytes that each turn is worth: a client with larger requests waits more turns for each of them. */
export const turnSizeBytes = 8192;

/** Whether it is more than a client gets done at one turn. */
export function isLarge({ sizeBytes }: { readonly sizeBytes: number }): boolean {
  return sizeBytes > turnSizeBytes;
}

/** What may be taken. */
export interface Room {
  readonly count: number;
  readonly sizeBytes: number;
  /** Only what fits into a turn. */
  readonly isSmallOnly: boolean;
}

export class FairQueue<Item extends FairItem> {
  /** Clients whose next request fits into a turn, and those whose next one does not. */
  #small: Flow<Item>[] = [];
  #large: Flow<Item>[] = [];
  /** What each kind got since both wait, while either could have. */
  #smallTakenSizeBytes = 0;
  #largeTakenSizeBytes = 0;
  #count = 0;
  #sizeBytes = 0;
  #flows = 0;

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Clients of which something waits. */
  get flows(): number {
    return this.#flows;
  }

  /**
   * Whether one more request of a client finds a place: within a window of each client's, and its share of the bytes, half
   * of which are for whoever comes. A turn's worth is taken as long as there is any room at all, so that nobody who asks for
   * little is refused on account of others.
   * @param flow of the client; undefined if nothing of it waits. @param sharedSizeBytesMax the bytes that are shared.
   */
  hasRoom(flow: Flow<Item> | undefined, sizeBytes: number, sharedSizeBytesMax: number): boolean {
    if (this.#count >= limits.queuedRequestsMax) return false;
    const { count, sizeBytes: waiting } = flow ?? { count: 0, sizeBytes: 0 };
    if (this.#sizeBytes + sizeBytes > limits.queuedRequestsSizeBytesMax / 2) return false;
    if (count >= limits.clientWindow) return false;
    if (waiting + sizeBytes <= turnSizeBytes) return true;
    if (count > 0 && waiting + sizeBytes > limits.queuedRequestsClientSizeBytesMax) return false;
    const total = this.#sizeBytes + sizeBytes;
    if (total <= sharedSizeBytesMax / 2) return true;
    if (total > sharedSizeBytesMax) return false;
    const clients = this.#flows + (count === 0 ? 1 : 0);
    return waiting + sizeBytes <= sharedSizeBytesMax / clients;
  }

  add(flow: Flow<Item>, item: Item): void {
    item.isWaiting = true;
    flow.items.push(item);
    if (flow.count === 0) this.#flows += 1;
    flow.count += 1;
    flow.sizeBytes += item.sizeBytes;
    this.#count += 1;
    this.#sizeBytes += item.sizeBytes;
    if (!flow.isInTurn) this.#line(flow);
  }

  /** It waits no longer, taken or not. */
  drop(flow: Flow<Item>, item: Item): void {
    if (!item.isWaiting) return;
    item.isWaiting = false;
    flow.count -= 1;
    flow.sizeBytes -= item.sizeBytes;
    if (flow.count === 0) {
      this.#flows -= 1;
      flow.items = [];
    }
    this.#count -= 1;
    this.#sizeBytes -= item.sizeBytes;
  }

  /** As `drop`, of what is to wait in another queue, under the same name. */
  give(flow: Flow<Item>, item: Item): void {
    this.drop(flow, item);
    // Skipped only for as long as it waits nowhere.
    flow.items = flow.items.filter((other) => other !== item);
  }

  /** Whether something waits that fits into a turn. */
  get hasSmall(): boolean {
    return this.#small.length > 0;
  }

  /**
   * One client's turn.
   * @returns the bytes taken; 0 when nothing waits or what is next has more than the room leaves.
   */
  takeTurn({ count, sizeBytes: sizeBytesMax, isSmallOnly }: Room, taken: Item[]): number {
    for (;;) {
      const isSmall = isSmallOnly || this.#isTurnOfSmall();
      const line = isSmall ? this.#small : this.#large;
      const flow = line.shift();
      if (flow === undefined) return 0;
      const next = nextOf(flow);
      if (next === undefined || next.sizeBytes > turnSizeBytes === isSmall) {
        this.#line(flow);
        continue;
      }
      if (next.sizeBytes > sizeBytesMax) {
        line.unshift(flow);
        return 0;
      }
      flow.creditSizeBytes += turnSizeBytes;
      if (next.sizeBytes > flow.creditSizeBytes) {
        line.push(flow);
        continue;
      }
      const sizeBytes = this.#serve(flow, Math.min(count, turnRequestsMax), sizeBytesMax, taken);
      // What may not be taken now need not be made up for later: small requests would wait for all of that.
      if (!isSmall) this.#largeTakenSizeBytes += sizeBytes;
      else if (!isSmallOnly) this.#smallTakenSizeBytes += sizeBytes;
      this.#line(flow);
      return sizeBytes;
    }
  }

  #isTurnOfSmall(): boolean {
    if (this.#small.length > 0 && this.#large.length > 0) {
      return this.#smallTakenSizeBytes <= this.#largeTakenSizeBytes;
    }
    this.#smallTakenSizeBytes = 0;
    this.#largeTakenSizeBytes = 0;
    return this.#small.length > 0;
  }

  /** To the end of the line of its kind, if anything of it waits. */
  #line(flow: Flow<Item>): void {
    const next = nextOf(flow);
    flow.isInTurn = next !== undefined;
    if (next === undefined) flow.creditSizeBytes = 0;
    else if (next.sizeBytes > turnSizeBytes) this.#large.push(flow);
    else this.#small.push(flow);
  }

  /** The client's oldest requests that share a signature, as far as its credit goes. */
  #serve(flow: Flow<Item>, countMax: number, sizeBytesMax: number, taken: Item[]): number {
    let sizeBytes = 0;
    let signature: Bytes | undefined;
    for (let count = 0; count < countMax; count++) {
      const item = nextOf(flow);
      if (item === undefined || item.sizeBytes > flow.creditSizeBytes) break;
      if (sizeBytes + item.sizeBytes > sizeBytesMax) break;
      signature ??= item.signature;
      if (!equalBytes(item.signature, signature)) break;
      flow.creditSizeBytes -= item.sizeBytes;
      sizeBytes += item.sizeBytes;
      this.drop(flow, item);
      taken.push(item);
    }
    // Only a large request needs what is left over.
    if ((nextOf(flow)?.sizeBytes ?? 0) <= turnSizeBytes) flow.creditSizeBytes = 0;
    return sizeBytes;
  }
}

/** The client's oldest request that still waits. */
function nextOf<Item extends FairItem>({ items }: Flow<Item>): Item | undefined {
  for (;;) {
    const item = items[0];
    if (item === undefined || item.isWaiting) return item;
    items.shift();
  }
}
