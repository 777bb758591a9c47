// A disk for the tests of this folder: flushes and writes end when the test says so, and a crash keeps what it must and
// as much of the rest as the test draws.

import { type Bytes, bytesOfMapKey, mapKey } from '../base/bytes.ts';
import type { Prng } from '../base/prng.ts';
import type { Change, Disk, JournalRecord, Position, Range, TableEntry } from '../env/disk.ts';

interface Pending {
  readonly run: () => void;
  readonly reject: (error: Error) => void;
}

export class TestDisk implements Disk {
  #records: JournalRecord[] = [];
  #trimmed: JournalRecord[] = [];
  #next: Position = 1;
  #durable: Position = 0;
  #table = new Map<string, Bytes>();
  #flushes: Pending[] = [];
  #writes: Pending[] = [];
  /** True: flushes and writes end by themselves. */
  isQuick = true;
  /** Flushes begun. */
  flushCount = 0;

  readonly journal = {
    recover: (): readonly JournalRecord[] => [...this.#records],
    append: (bytes: Bytes): Position => {
      this.#records.push({ position: this.#next, bytes: bytes.slice() });
      this.#next += 1;
      return this.#next - 1;
    },
    sync: (): Promise<void> => {
      this.flushCount += 1;
      const upTo = this.#next - 1;
      return this.#later(this.#flushes, () => {
        this.#durable = Math.max(this.#durable, upTo);
      });
    },
    trim: (upTo: Position): void => {
      this.#trimmed.push(...this.#records.filter(({ position }) => position <= upTo));
      this.#records = this.#records.filter(({ position }) => position > upTo);
    },
    sizeBytes: (): number => 0,
    close: async (): Promise<void> => {},
  };

  readonly table = {
    get: (key: Bytes): Bytes | undefined => this.#table.get(mapKey(key)),
    range: ({ from, to, limit }: Range): TableEntry[] =>
      [...this.#table]
        .filter(([key]) => key >= mapKey(from) && key < mapKey(to))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([key, value]) => ({ key: bytesOfMapKey(key), value })),
    write: (changes: readonly Change[]): Promise<void> =>
      this.#later(this.#writes, () => {
        for (const { key, value } of changes) {
          if (value === undefined) this.#table.delete(mapKey(key));
          else this.#table.set(mapKey(key), value.slice());
        }
      }),
    sizeBytes: (): number => 0,
    close: async (): Promise<void> => {},
  };

  freeBytes(): number {
    return 2 ** 40;
  }

  get recordCount(): number {
    return this.#records.length;
  }

  get entryCount(): number {
    return this.#table.size;
  }

  #later(pending: Pending[], action: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        action();
        resolve();
      };
      if (this.isQuick) run();
      else pending.push({ run, reject });
    });
  }

  /** Ends the oldest flush. @returns whether one was running. */
  flush(): boolean {
    const pending = this.#flushes.shift();
    pending?.run();
    return pending !== undefined;
  }

  /** Ends the oldest write to the table. */
  write(): boolean {
    const pending = this.#writes.shift();
    pending?.run();
    return pending !== undefined;
  }

  /** The running flush fails. */
  fail(error: Error): void {
    this.#flushes.shift()?.reject(error);
  }

  /** The power fails: some of what was not durable is lost, and some of what was trimmed comes back. */
  crash(prng: Prng): TestDisk {
    const after = new TestDisk();
    const unsynced = this.#records.filter(({ position }) => position > this.#durable);
    const kept = unsynced.slice(0, prng.below(unsynced.length + 1));
    const back = this.#trimmed.slice(prng.below(this.#trimmed.length + 1));
    after.#records = [
      ...back,
      ...this.#records.filter(({ position }) => position <= this.#durable),
      ...kept,
    ];
    after.#next = (after.#records.at(-1)?.position ?? 0) + 1;
    after.#durable = after.#next - 1;
    for (let count = prng.below(this.#writes.length + 1); count > 0; count--) this.write();
    after.#table = new Map(this.#table);
    return after;
  }

  /** An older copy of the journal is put back: the newest records are gone. */
  rollJournalBack(records: number): void {
    this.#records = this.#records.slice(0, -records);
  }

  loseJournal(): void {
    this.#records = [];
  }

  loseTable(): void {
    this.#table.clear();
  }

  /** What the table holds, by the key as text. Changes to it are changes of the disk. */
  get entries(): Map<string, Bytes> {
    return this.#table;
  }

  /** Changes one byte of every value of so many bytes or fewer. */
  damageSmallValues(sizeBytesMax: number): void {
    for (const [key, value] of this.#table) {
      if (value.length > sizeBytesMax) continue;
      this.#table.set(
        key,
        value.map((byte, i) => (i === value.length - 1 ? byte ^ 1 : byte)),
      );
    }
  }
}
