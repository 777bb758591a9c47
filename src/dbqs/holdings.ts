// What one replica holds: records and data in its store, which of them are damaged, and whose they are. It judges and
// prepares changes; who may ask for them is the replica's matter, making them durable the host's.

import { type Bytes, equalBytes, toHex } from '../base/bytes.ts';
import type { Change } from '../env/disk.ts';
import { compareTimestamps } from '../registers/timestamp.ts';
import { limits } from '../wire/limits.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { Accounts } from './accounts.ts';
import type { HeaderVerifier } from './headers.ts';
import { blockId } from './ids.ts';
import { RecentObjects } from './recent-objects.ts';
import {
  dataKey,
  type ItemKind,
  idOfKey,
  type ObjectRecord,
  recordKey,
  recordRange,
  sealBlock,
  sealObject,
  unsealBlock,
  unsealObject,
} from './records.ts';

export interface Item {
  readonly kind: ItemKind;
  readonly id: Bytes;
}

/** What is needed of a store; reads see commits at once. */
export interface ReplicaStore {
  get(key: Bytes): Bytes | undefined;
  range(from: Bytes, to: Bytes, limit: number): { key: Bytes; value: Bytes }[];
}

export type ObjectState = ObjectRecord | 'absent' | 'damaged';

/** Owner of what no client stored here: items fetched from other members. Charged to nobody. */
export const unowned = new Uint8Array(32);

export class Holdings {
  readonly accounts = new Accounts();
  readonly #store: ReplicaStore;
  readonly #verifier: HeaderVerifier;
  readonly #damaged = new Map<string, Item>();
  readonly #recent = new RecentObjects();

  constructor(store: ReplicaStore, verifier: HeaderVerifier) {
    this.#store = store;
    this.#verifier = verifier;
  }

  /** Counts one page of what is stored, at start; gives where to go on. Marks damaged records. */
  countStored(kind: ItemKind, from: Bytes): { next: Bytes | undefined; damaged: Item[] } {
    const { entries, next } = this.#page(kind, from, limits.listEntriesMax);
    const damaged: Item[] = [];
    for (const { key, value } of entries) {
      const id = idOfKey(key);
      const found = this.#unsealed(kind, id, value);
      if (found === undefined) damaged.push(this.markDamaged({ kind, id: Uint8Array.from(id) }));
      else this.accounts.record(kind, found.owner, found.length, 1);
    }
    return { next, damaged };
  }

  /** One page of the ids on record, intact or not, and where to go on; undefined at the end. */
  idsFrom(kind: ItemKind, from: Bytes, count: number): { ids: Bytes[]; next: Bytes | undefined } {
    const { entries, next } = this.#page(kind, from, count);
    return { ids: entries.map(({ key }) => Uint8Array.from(idOfKey(key))), next };
  }

  #page(kind: ItemKind, from: Bytes, count: number) {
    const { from: first, to } = recordRange(kind, from);
    const entries = this.#store.range(first, to, count);
    const last = entries.at(-1);
    const ended = entries.length < count || last === undefined;
    return { entries, next: ended ? undefined : successorOf(idOfKey(last.key)) };
  }

  #unsealed(
    kind: ItemKind,
    id: Bytes,
    sealed: Bytes,
  ): { owner: Bytes; length: number } | undefined {
    if (kind === 'block') return unsealBlock(id, sealed);
    const record = unsealObject(id, sealed);
    return record === undefined ? undefined : { owner: record.owner, length: record.header.length };
  }

  // ---- Looking ----

  isDamaged(item: Item): boolean {
    return this.#damaged.size > 0 && this.#damaged.has(damageKey(item));
  }

  /** What the store holds of an item now; reads and checks all of it, whatever is remembered. */
  inspect({ kind, id }: Item): 'intact' | 'absent' | 'damaged' {
    if (kind === 'block') {
      const data = this.blockData(id);
      return data === 'damaged' || data === 'absent' ? data : 'intact';
    }
    const state = this.#storedState(id);
    if (state === 'absent' || state === 'damaged') return state;
    return this.#storedData(id, state.header) === undefined ? 'damaged' : 'intact';
  }

  /** True if there is a record of the item; its data is not looked at, which is the scrub's work. */
  isRecorded({ kind, id }: Item): boolean {
    return this.#store.get(recordKey(kind, id)) !== undefined;
  }

  /** Bytes that reading an item's data takes; 0 where its record is damaged. */
  storedLength({ kind, id }: Item): number {
    const sealed = this.#store.get(recordKey(kind, id));
    return (sealed === undefined ? undefined : this.#unsealed(kind, id, sealed)?.length) ?? 0;
  }

  /** The header held for an object, if it is intact. */
  headerOf(object: Bytes): ObjectHeader | undefined {
    const state = this.objectState(object);
    return state === 'absent' || state === 'damaged' ? undefined : state.header;
  }

  /** The header on record, even where the data it names is damaged. */
  recordedHeader(object: Bytes): ObjectHeader | undefined {
    const sealed = this.#store.get(recordKey('object', object));
    return sealed === undefined ? undefined : unsealObject(object, sealed)?.header;
  }

  /** Takes a verified version obtained from the other members, unless something as new is here intact. */
  restoreObject(object: Bytes, header: ObjectHeader, data: Bytes): Change[] {
    const item: Item = { kind: 'object', id: object };
    const state = this.objectState(object);
    const intact = this.inspect(item) === 'intact';
    if (
      intact &&
      state !== 'absent' &&
      state !== 'damaged' &&
      compareTimestamps(state.header.version, header.version) >= 0
    ) {
      return [];
    }
    const owner = state === 'absent' || state === 'damaged' ? unowned : state.owner;
    this.#damaged.delete(damageKey(item));
    return this.objectChanges(object, { header, owner }, data, state);
  }

  restoreBlock(block: Bytes, data: Bytes): Change[] {
    if (this.inspect({ kind: 'block', id: block }) === 'intact') return [];
    const sealed = this.#store.get(recordKey('block', block));
    const known = sealed === undefined ? undefined : unsealBlock(block, sealed);
    return this.blockChanges(block, known?.owner ?? unowned, data);
  }

  /** A quorum of the others never had the item: what is left of it here goes. */
  dropDamaged(item: Item): Change[] {
    if (!this.#damaged.delete(damageKey(item))) return [];
    this.#uncount(item);
    this.#recent.forget(item.id);
    return [
      { key: recordKey(item.kind, item.id), value: undefined },
      { key: dataKey(item.kind, item.id), value: undefined },
    ];
  }

  // ---- Judging and changing ----

  objectState(object: Bytes): ObjectState {
    if (this.isDamaged({ kind: 'object', id: object })) return 'damaged';
    const recent = this.#recent.record(object);
    if (recent !== undefined) return recent;
    const state = this.#storedState(object);
    if (state !== 'absent' && state !== 'damaged') this.#recent.keep(object, state, undefined);
    return state;
  }

  #storedState(object: Bytes): ObjectState {
    if (this.isDamaged({ kind: 'object', id: object })) return 'damaged';
    const sealed = this.#store.get(recordKey('object', object));
    if (sealed === undefined) return 'absent';
    return unsealObject(object, sealed) ?? 'damaged';
  }

  /** The data that `header` names; undefined if it is not here intact. */
  objectData(object: Bytes, header: ObjectHeader): Bytes | undefined {
    const recent = this.#recent.data(object, header);
    if (recent !== undefined) return recent;
    const data = this.#storedData(object, header);
    if (data !== undefined) this.#recent.keepData(object, header, data);
    return data;
  }

  #storedData(object: Bytes, header: ObjectHeader): Bytes | undefined {
    const data = this.#store.get(dataKey('object', object));
    return data !== undefined && this.#verifier.matches(header, data) ? data : undefined;
  }

  blockData(block: Bytes): Bytes | 'absent' | 'damaged' {
    if (this.isDamaged({ kind: 'block', id: block })) return 'damaged';
    if (this.#store.get(recordKey('block', block)) === undefined) return 'absent';
    const data = this.#store.get(dataKey('block', block));
    return data !== undefined && equalBytes(blockId(data), block) ? data : 'damaged';
  }

  /** Replaces whatever is recorded of the object, of which the caller has seen the `state`. */
  objectChanges(object: Bytes, record: ObjectRecord, data: Bytes, state: ObjectState): Change[] {
    if (state === 'damaged') this.#uncount({ kind: 'object', id: object });
    else if (state !== 'absent')
      this.accounts.record('object', state.owner, state.header.length, -1);
    this.accounts.record('object', record.owner, data.length, 1);
    this.#recent.keep(object, record, data);
    return [
      { key: recordKey('object', object), value: sealObject(object, record) },
      { key: dataKey('object', object), value: data },
    ];
  }

  /** Replaces whatever is recorded of the block, which mends it if it was damaged. */
  blockChanges(block: Bytes, owner: Bytes, data: Bytes): Change[] {
    const item: Item = { kind: 'block', id: block };
    this.#damaged.delete(damageKey(item));
    this.#uncount(item);
    this.accounts.record('block', owner, data.length, 1);
    return [
      { key: recordKey('block', block), value: sealBlock(block, { length: data.length, owner }) },
      { key: dataKey('block', block), value: data },
    ];
  }

  /** Takes what is stored under an item out of the accounts, before it is replaced. A damaged record was never in. */
  #uncount({ kind, id }: Item): void {
    const sealed = this.#store.get(recordKey(kind, id));
    const found = sealed === undefined ? undefined : this.#unsealed(kind, id, sealed);
    if (found !== undefined) this.accounts.record(kind, found.owner, found.length, -1);
  }

  /** From now on the item is not answered for, until it is mended. */
  markDamaged(item: Item): Item {
    this.#damaged.set(damageKey(item), item);
    return item;
  }
}

function damageKey({ kind, id }: Item): string {
  return `${kind} ${toHex(id)}`;
}

/** The smallest id above `id`; the caller has seen that there is more to come, so the last one does not wrap. */
export function successorOf(id: Bytes): Bytes | undefined {
  const next = Uint8Array.from(id);
  for (let i = next.length - 1; i >= 0; i--) {
    next[i] = ((next[i] as number) + 1) & 0xff;
    if (next[i] !== 0) return next;
  }
  return undefined;
}
