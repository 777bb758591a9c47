// The results of each client's last requests: what makes execution at most once. Part of the replicated state, so every
// decision here (places, slots, who gives way) follows from the contents alone and never from how they came about.
//
// Pages of the region: page `place` is the head of one client, with its small results; larger results lie in pages of
// their own, four for each of a client's 32 slots.

import { assert } from '../base/assert.ts';
import { type Bytes, bytesOfMapKey, concatBytes, emptyBytes, mapKey } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import {
  decodeHead,
  encodeHead,
  lostSlot,
  noSlot,
  resultInlineSizeBytesMax,
} from './client-head.ts';
import type { PageStore } from './contract.ts';
import { NumberFloors } from './number-floors.ts';

const { clientWindow, replicatedClientsMax, pageSizeBytesMax } = limits;
/** Pages that one large result may take. */
const pagesPerResult = Math.ceil(limits.resultSizeBytesMax / pageSizeBytesMax);

/** How far above what is known of a client its next number may lie: bounds how fast numbers can be used up. */
export const numberStepMax = 2 ** 38;
/** Behind the heads and all results. */
const firstFloorPage = replicatedClientsMax * (1 + clientWindow * pagesPerResult);

/** A result's bytes: in memory, or only in its pages after these were loaded. */
interface Body {
  readonly sizeBytes: number;
  readonly bytes: Bytes | undefined;
}

interface Entry {
  readonly number: number;
  readonly sequence: number;
  readonly body: Body;
  /** Which of the client's slots holds the bytes; `noSlot` when they are small, `lostSlot` when they are gone. */
  readonly slot: number;
}

interface Client {
  readonly client: Bytes;
  readonly key: string;
  readonly base: number;
  /** By ascending number, at most `clientWindow`. Replaced, never changed. */
  readonly entries: readonly Entry[];
}

export type Found =
  | { readonly kind: 'new' }
  | {
      readonly kind: 'stored';
      /** 0, a result: nothing else is ever stored. */
      readonly outcome: 0;
      readonly result: Bytes;
      readonly sequence: number;
    }
  /** It may have been executed; nobody knows any more. */
  | { readonly kind: 'too-old' }
  /** Too far above what is known of the client here. Who knows more may judge otherwise. */
  | { readonly kind: 'too-far' };

const isNew: Found = { kind: 'new' };
const isTooOld: Found = { kind: 'too-old' };
const isTooFar: Found = { kind: 'too-far' };

/** State that no correct replica can have agreed on: pages that are not a table of clients. */
export class StateDamaged extends Error {
  override readonly name = 'StateDamaged';
}

export class ClientTable {
  readonly #store: PageStore;
  /** Without gaps: a new client takes the next place, or the place of the one that gives way. */
  #places: Client[] = [];
  readonly #placeOf = new Map<string, number>();
  /** Sequence of each place's newest result. */
  readonly #newest = new Float64Array(replicatedClientsMax);
  /** Places whose pages are out of date. */
  readonly #dirty = new Set<number>();
  /** What the slots' pages hold, by place and slot. */
  readonly #written = new Map<number, (Body | undefined)[]>();
  /** Of clients that are not in the table. */
  readonly #floors: NumberFloors;
  /** What the places that were touched since `mark` held before. */
  #journal: Map<number, Client | undefined> | undefined;

  /** @param store the region of the client table, used by nothing else. */
  constructor(store: PageStore) {
    this.#store = store;
    this.#floors = new NumberFloors(store, firstFloorPage);
  }

  /** Reads everything from the pages. @throws StateDamaged if they are not what `flush` writes. */
  load(): void {
    this.#places = [];
    this.#placeOf.clear();
    this.#newest.fill(0);
    this.#dirty.clear();
    this.#written.clear();
    this.#journal = undefined;
    if (!this.#floors.load()) throw new StateDamaged('the numbers of forgotten clients');
    for (let place = 0; place < replicatedClientsMax; place++) {
      const page = this.#store.read(place);
      if (page === undefined) return;
      const head = decodeHead(page);
      if (head === undefined) throw new StateDamaged(`page ${place} is not a client's`);
      const entries = head.entries.map(({ bytes, ...entry }) => ({
        ...entry,
        body: { sizeBytes: entry.sizeBytes, bytes },
      }));
      const client = { client: head.client, key: mapKey(head.client), base: head.base, entries };
      this.#put(place, client);
      for (const { slot, body } of entries) if (isInPages(slot)) this.#slots(place)[slot] = body;
    }
  }

  /** Whether a request is executed already, or can never be, whatever else this replica has yet to learn. */
  isSettled(client: Bytes, number: number): boolean {
    const { kind } = this.find(client, number);
    return kind === 'stored' || kind === 'too-old';
  }

  /** Whether a request is to be executed; judged at execution, never when it is proposed. */
  find(client: Bytes, number: number): Found {
    const place = this.#placeOf.get(mapKey(client));
    if (place === undefined) return isAbove(number, this.#floors.of(client));
    const { entries, base } = this.#places[place] as Client;
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i] as Entry;
      if (entry.number < number) break;
      if (entry.number > number) continue;
      if (entry.slot === lostSlot) return isTooOld;
      const result = this.#bytesOf(place, entry);
      return { kind: 'stored', outcome: 0, result, sequence: entry.sequence };
    }
    const largest = entries.at(-1)?.number ?? base;
    if (number <= base) return isTooOld;
    return number <= largest + stepAbove(largest) ? isNew : isTooFar;
  }

  /**
   * Stores the result of a request that `find` called new. Beyond the window the smallest number goes and becomes the
   * base, even if it is this one.
   * @param sequence never less than any recorded before.
   */
  record(client: Bytes, number: number, result: Bytes, sequence: number): void {
    assert(result.length <= limits.resultSizeBytesMax, 'a result is not too long');
    const key = mapKey(client);
    // Before another gives way, which may raise the floor that this request was judged by.
    const newClient = this.#placeOf.has(key) ? undefined : this.#newClient(key);
    const place = this.#placeOf.get(key) ?? this.#vacate();
    this.#touch(place);
    const known = this.#places[place];
    const before: Client = newClient ?? (known as Client);
    let { base } = before;
    const entries = before.entries.slice();
    let at = entries.length;
    while (at > 0 && (entries[at - 1] as Entry).number > number) at -= 1;
    assert(number > base && entries[at - 1]?.number !== number, 'the request is new');
    if (entries.length === clientWindow && at === 0) {
      base = number;
    } else {
      if (entries.length === clientWindow) {
        base = (entries.shift() as Entry).number;
        at -= 1;
      }
      const slot = result.length > resultInlineSizeBytesMax ? freeSlot(entries) : noSlot;
      entries.splice(at, 0, { number, sequence, body: bodyOf(result), slot });
      if (slot !== noSlot) dropOldResults(entries);
    }
    const now: Client = { client: before.client, key, base, entries };
    if (newClient !== undefined) this.#put(place, now);
    else {
      this.#places[place] = now;
      // No sequence recorded before is greater; only a result that went at once does not count.
      if (base !== number) this.#newest[place] = sequence;
    }
    this.#dirty.add(place);
  }

  /** A number that is no smaller than any this client has used, as far as the table knows; 0 for none. */
  largest(client: Bytes): number {
    const place = this.#placeOf.get(mapKey(client));
    const known = place === undefined ? undefined : this.#places[place];
    return known === undefined ? this.#floors.of(client) : largestOf(known);
  }

  /** Clients remembered. */
  get size(): number {
    return this.#places.length;
  }

  /** For a new instance, whose sequence begins at 0: all results stay, as if executed at 0. */
  resetSequences(): void {
    assert(this.#journal === undefined, 'no undo scope is open');
    this.#places.forEach((client, place) => {
      this.#places[place] = {
        ...client,
        entries: client.entries.map((entry) => ({ ...entry, sequence: 0 })),
      };
      this.#dirty.add(place);
    });
    this.#newest.fill(0);
  }

  /** Begins an undo scope. Pages are not written before it has ended. */
  mark(): void {
    assert(this.#journal === undefined, 'undo scopes do not nest');
    this.#journal = new Map();
    this.#floors.mark();
  }

  /** Takes back everything since `mark`. */
  undo(): void {
    const journal = this.#journal;
    assert(journal !== undefined, 'an undo scope is open');
    this.#journal = undefined;
    this.#floors.undo();
    for (const place of journal.keys()) {
      const now = this.#places[place];
      if (now !== undefined) this.#placeOf.delete(now.key);
    }
    // Places taken since the mark are the last ones.
    let gone = 0;
    for (const [place, before] of journal) {
      if (before === undefined) gone += 1;
      else this.#put(place, before);
    }
    this.#places.length -= gone;
    for (const place of journal.keys()) this.#dirty.add(place);
  }

  /** Ends the scope; what was recorded in it stays. */
  keep(): void {
    assert(this.#journal !== undefined, 'an undo scope is open');
    this.#journal = undefined;
    this.#floors.keep();
  }

  /** Brings the pages up to date: before every checkpoint. */
  flush(): void {
    assert(this.#journal === undefined, 'tentative results stay out of the pages');
    for (const place of this.#dirty) this.#flushPlace(place);
    this.#dirty.clear();
    this.#floors.flush();
  }

  #flushPlace(place: number): void {
    const client = this.#places[place];
    this.#store.write(place, client === undefined ? undefined : encodeHead(client));
    const wanted = new Array<Body | undefined>(clientWindow).fill(undefined);
    let any = false;
    for (const { slot, body } of client?.entries ?? []) {
      if (!isInPages(slot)) continue;
      wanted[slot] = body;
      any = true;
    }
    if (!any && !this.#written.has(place)) return;
    const written = this.#slots(place);
    for (let slot = 0; slot < clientWindow; slot++) {
      const body = wanted[slot];
      if (written[slot] === body) continue;
      written[slot] = body;
      this.#writeSlot(place, slot, body);
    }
    if (!any) this.#written.delete(place);
  }

  #writeSlot(place: number, slot: number, body: Body | undefined): void {
    const first = firstPage(place, slot);
    for (let i = 0; i < pagesPerResult; i++) {
      const from = i * pageSizeBytesMax;
      const isThere = body?.bytes !== undefined && from < body.sizeBytes;
      const bytes = isThere ? body.bytes?.subarray(from, from + pageSizeBytesMax) : undefined;
      this.#store.write(first + i, bytes);
    }
  }

  #bytesOf(place: number, { body, slot }: Entry): Bytes {
    if (body.bytes !== undefined) return body.bytes;
    const parts: Bytes[] = [];
    for (let i = 0; i * pageSizeBytesMax < body.sizeBytes; i++) {
      parts.push(this.#store.read(firstPage(place, slot) + i) ?? emptyBytes);
    }
    const bytes = concatBytes(...parts);
    if (bytes.length !== body.sizeBytes) throw new StateDamaged('a stored result is incomplete');
    return bytes;
  }

  #slots(place: number): (Body | undefined)[] {
    let slots = this.#written.get(place);
    if (slots === undefined) {
      slots = new Array<Body | undefined>(clientWindow).fill(undefined);
      this.#written.set(place, slots);
    }
    return slots;
  }

  #newClient(key: string): Client {
    const client = bytesOfMapKey(key);
    return { client, key, base: this.#floors.of(client), entries: [] };
  }

  /** A place for a new client: the next one, or that of the client whose newest result is oldest, the first of them. */
  #vacate(): number {
    if (this.#places.length < replicatedClientsMax) return this.#places.length;
    let oldest = 0;
    for (let place = 1; place < replicatedClientsMax; place++) {
      if ((this.#newest[place] as number) < (this.#newest[oldest] as number)) oldest = place;
    }
    this.#touch(oldest);
    const gone = this.#places[oldest] as Client;
    this.#floors.raise(gone.client, largestOf(gone));
    this.#placeOf.delete(gone.key);
    return oldest;
  }

  #touch(place: number): void {
    if (this.#journal?.has(place) === false) this.#journal.set(place, this.#places[place]);
  }

  #put(place: number, client: Client): void {
    this.#places[place] = client;
    this.#placeOf.set(client.key, place);
    let newest = 0;
    for (const { sequence } of client.entries) newest = Math.max(newest, sequence);
    this.#newest[place] = newest;
  }
}

function isAbove(number: number, floor: number): Found {
  if (number <= floor) return isTooOld;
  return number <= floor + stepAbove(floor) ? isNew : isTooFar;
}

/** Above this no number may lie far above another, so that the last ones cannot be used up: a member can always recover. */
const reservedFrom = 2 ** 53 - 2 ** 40;

function stepAbove(largest: number): number {
  return largest < reservedFrom ? numberStepMax : 2 * clientWindow;
}

function largestOf({ base, entries }: Client): number {
  return Math.max(base, entries.at(-1)?.number ?? 0);
}

function firstPage(place: number, slot: number): number {
  return replicatedClientsMax + (place * clientWindow + slot) * pagesPerResult;
}

function isInPages(slot: number): boolean {
  return slot !== noSlot && slot !== lostSlot;
}

/**
 * Bounds what one client's large results take. The one executed first goes first; its number stays, so that neither it
 * is executed again nor a lower one, not executed yet, is refused.
 */
function dropOldResults(entries: Entry[]): void {
  let sizeBytes = 0;
  for (const { slot, body } of entries) if (isInPages(slot)) sizeBytes += body.sizeBytes;
  while (sizeBytes > limits.clientResultsSizeBytesMax) {
    let oldest = -1;
    entries.forEach(({ slot, sequence }, i) => {
      if (!isInPages(slot)) return;
      if (oldest < 0 || sequence < (entries[oldest] as Entry).sequence) oldest = i;
    });
    const gone = entries[oldest] as Entry;
    sizeBytes -= gone.body.sizeBytes;
    entries[oldest] = { ...gone, body: { sizeBytes: 0, bytes: emptyBytes }, slot: lostSlot };
  }
}

/** The smallest slot that no entry uses. There is one: entries are fewer than slots here. */
function freeSlot(entries: readonly Entry[]): number {
  let used = 0;
  for (const { slot } of entries) if (isInPages(slot)) used |= 1 << slot;
  let slot = 0;
  while ((used & (1 << slot)) !== 0) slot += 1;
  return slot;
}

/** A result that is a small part of a larger buffer is copied, so that it does not keep the rest in memory. */
function bodyOf(result: Bytes): Body {
  const isPart = result.buffer.byteLength > 2 * result.length + 64;
  return { sizeBytes: result.length, bytes: isPart ? result.slice() : result };
}
