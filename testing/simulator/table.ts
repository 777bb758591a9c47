// A table with two states: what code reads and what has reached the medium. Writes become durable in order; a crash
// keeps a drawn number of the oldest pending writes, each whole, and undoes the others.

import { type Bytes, equalBytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Change, Range, Table, TableEntry } from '../../src/env/disk.ts';
import { DiskError } from '../../src/node/disk-error.ts';
import type { DiskConditions } from './disk.ts';
import { flipBits } from './faults.ts';
import type { Life } from './life.ts';

const entryOverheadBytes = 32;

/** Strings of one character a byte compare like the bytes. */
function textKey(key: Bytes): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
}

/** A sorted map; the order of its keys is made when a range is asked for. */
class SortedEntries {
  readonly entries = new Map<string, TableEntry>();
  sizeBytes = 0;
  #sorted: string[] | undefined;

  put(key: string, entry: TableEntry | undefined): TableEntry | undefined {
    const old = this.entries.get(key);
    if (old !== undefined) this.sizeBytes -= sizeOf(old);
    if (entry === undefined) this.entries.delete(key);
    else {
      this.entries.set(key, entry);
      this.sizeBytes += sizeOf(entry);
    }
    if ((old === undefined) !== (entry === undefined)) this.#reorder(key, entry !== undefined);
    return old;
  }

  keys(): readonly string[] {
    this.#sorted ??= [...this.entries.keys()].sort(byBytes);
    return this.#sorted;
  }

  /** Index of the first key that is `key` or more. */
  lowerBound(key: string): number {
    const sorted = this.keys();
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #reorder(key: string, added: boolean): void {
    if (this.#sorted === undefined) return;
    const place = this.lowerBound(key);
    const sorted = this.#sorted;
    if (added) sorted.splice(place, 0, key);
    else sorted.splice(place, 1);
  }
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sizeOf(entry: TableEntry): number {
  return entry.key.length + entry.value.length + entryOverheadBytes;
}

/** A write that is not durable yet. */
export interface PendingWrite {
  readonly changes: readonly (readonly [string, TableEntry | undefined])[];
  /** What it replaced; undefined while readers do not see it. */
  undo: (readonly [string, TableEntry | undefined])[] | undefined;
}

/** What is on the medium. Outlives the incarnations of its node. */
export class TableImage {
  #entries = new SortedEntries();
  #pending: PendingWrite[] = [];

  get sizeBytes(): number {
    return this.#entries.sizeBytes;
  }

  get length(): number {
    return this.#entries.entries.size;
  }

  get(key: Bytes): Bytes | undefined {
    return this.#entries.entries.get(textKey(key))?.value;
  }

  range(range: Range): TableEntry[] {
    const keys = this.#entries.keys();
    const to = textKey(range.to);
    const found: TableEntry[] = [];
    let place = this.#entries.lowerBound(textKey(range.from));
    while (found.length < range.limit) {
      const key = keys[place++];
      if (key === undefined || key >= to) break;
      found.push(this.#entries.entries.get(key) as TableEntry);
    }
    return found;
  }

  /** Takes a write in; `atOnce` if readers are to see it before it is durable. */
  begin(changes: readonly Change[], atOnce: boolean): PendingWrite {
    const write: PendingWrite = {
      changes: changes.map(({ key, value }) => [
        textKey(key),
        value === undefined
          ? undefined
          : { key: new Uint8Array(key), value: new Uint8Array(value) },
      ]),
      undo: undefined,
    };
    // Writes take effect in order: behind an unseen one this one waits too.
    if (atOnce && this.#pending.every((earlier) => earlier.undo !== undefined)) this.#apply(write);
    this.#pending.push(write);
    return write;
  }

  /** The oldest pending write is durable. */
  finish(): void {
    const write = this.#pending.shift();
    if (write !== undefined && write.undo === undefined) this.#apply(write);
  }

  /** The power fails: the oldest of the pending writes, as many as drawn, reached the medium. */
  crash(prng: Prng): void {
    const pending = this.#pending;
    this.#pending = [];
    const kept = prng.below(pending.length + 1);
    for (const write of pending.slice(kept).reverse()) this.#rollBack(write);
    for (const write of pending.slice(0, kept)) if (write.undo === undefined) this.#apply(write);
  }

  /** The durable entries. */
  content(): readonly TableEntry[] {
    const durable = new Map(this.#entries.entries);
    for (const write of [...this.#pending].reverse()) {
      for (const [key, old] of [...(write.undo ?? [])].reverse()) {
        if (old === undefined) durable.delete(key);
        else durable.set(key, old);
      }
    }
    return [...durable.values()];
  }

  restore(content: readonly TableEntry[]): void {
    this.#pending = [];
    this.#entries = new SortedEntries();
    for (const entry of content) this.#entries.put(textKey(entry.key), entry);
  }

  /** Changes what is on the medium; undefined takes the entry away. */
  alter(key: Bytes, value: Bytes | undefined): void {
    this.#entries.put(textKey(key), value === undefined ? undefined : { key, value });
  }

  /** Flips bits in the value or, if `inKey`, in the key of one entry. False if there is none. */
  damage(prng: Prng, inKey: boolean): boolean {
    const key = prng.pick(this.#entries.keys());
    const entry = key === undefined ? undefined : this.#entries.entries.get(key);
    if (key === undefined || entry === undefined) return false;
    if (!inKey) {
      this.#entries.put(key, { key: entry.key, value: flipBits(entry.value, 3, prng) });
      return true;
    }
    this.#entries.put(key, undefined);
    const moved = { key: flipBits(entry.key, 1, prng), value: entry.value };
    this.#entries.put(textKey(moved.key), moved);
    return !equalBytes(moved.key, entry.key);
  }

  #apply(write: PendingWrite): void {
    write.undo = write.changes.map(([key, entry]) => [key, this.#entries.put(key, entry)]);
  }

  #rollBack(write: PendingWrite): void {
    for (const [key, old] of [...(write.undo ?? [])].reverse()) this.#entries.put(key, old);
  }
}

/** One incarnation's hold on the table. */
export class SimulatedTable implements Table {
  readonly #life: Life;
  readonly #image: TableImage;
  readonly #conditions: DiskConditions;
  #lastDoneUs = 0;
  #lastWrite: Promise<unknown> = Promise.resolve();
  #closed: DiskError | undefined;

  constructor(life: Life, image: TableImage, conditions: DiskConditions) {
    this.#life = life;
    this.#image = image;
    this.#conditions = conditions;
  }

  get(key: Bytes): Bytes | undefined {
    return this.#life.alive ? this.#image.get(key) : undefined;
  }

  range(range: Range): TableEntry[] {
    return this.#life.alive ? this.#image.range(range) : [];
  }

  write(changes: readonly Change[]): Promise<void> {
    const done = new Promise<void>((resolve, reject) => {
      if (!this.#life.alive) return;
      const failure = this.#closed ?? this.#conditions.refusal();
      if (failure === undefined) this.#image.begin(changes, this.#conditions.drawVisible());
      const { simulation } = this.#life;
      const doneUs = simulation.nowUs + this.#conditions.drawLatencyUs('table');
      this.#lastDoneUs = Math.max(this.#lastDoneUs, doneUs);
      this.#life.after(this.#lastDoneUs - simulation.nowUs, 'write', () => {
        if (failure !== undefined) return reject(failure);
        this.#image.finish();
        resolve();
      });
    });
    this.#lastWrite = done.catch(() => {});
    return done;
  }

  sizeBytes(): number {
    return this.#image.sizeBytes;
  }

  async close(): Promise<void> {
    this.#closed ??= new DiskError('closed', 'the table is closed');
    await this.#lastWrite;
  }
}
