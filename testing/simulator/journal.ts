// A journal with two states: what has been appended and what has been synced. A crash loses records that were not
// synced, except for a drawn run of the oldest of them; the record on which the power failed is detected and dropped.

import type { Bytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Journal, JournalRecord, Position } from '../../src/env/disk.ts';
import type { DiskConditions } from './disk.ts';
import { flipBits } from './faults.ts';
import type { Life } from './life.ts';

/** Trimmed records that a crash may bring back, since a journal forgets whole segments at a time. */
const trimmedKept = 32;
const recordOverheadBytes = 16;

interface StoredRecord extends JournalRecord {
  /** Its check sum no longer fits. */
  readonly damaged: boolean;
}

export interface JournalContent {
  readonly records: readonly StoredRecord[];
  readonly trimmed: readonly StoredRecord[];
  readonly nextPosition: Position;
}

/** What is on the medium. Outlives the incarnations of its node. */
export class JournalImage {
  #records: StoredRecord[] = [];
  #trimmed: StoredRecord[] = [];
  #nextPosition: Position = 1;
  #syncedUpTo: Position = 0;
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get lastPosition(): Position {
    return this.#nextPosition - 1;
  }

  /** Records in it, synced or not. */
  get length(): number {
    return this.#records.length;
  }

  append(bytes: Bytes): Position {
    const position = this.#nextPosition++;
    this.#records.push({ position, bytes: new Uint8Array(bytes), damaged: false });
    this.#sizeBytes += bytes.length + recordOverheadBytes;
    return position;
  }

  synced(upTo: Position): void {
    this.#syncedUpTo = Math.max(this.#syncedUpTo, upTo);
  }

  trim(upTo: Position): void {
    let count = 0;
    while (count < this.#records.length && (this.#records[count]?.position ?? 0) <= upTo) count++;
    if (count === 0) return;
    const forgotten = this.#records.splice(0, count);
    for (const { bytes } of forgotten) this.#sizeBytes -= bytes.length + recordOverheadBytes;
    this.#trimmed = [...this.#trimmed, ...forgotten].slice(-trimmedKept);
  }

  /** The power fails: a run of the unsynced records, in order, may have reached the medium. */
  crash(prng: Prng): void {
    const synced = this.#records.filter((record) => record.position <= this.#syncedUpTo);
    const unsynced = this.#records.slice(synced.length);
    const kept = unsynced.slice(0, prng.below(unsynced.length + 1));
    const back = this.#trimmed.slice(this.#trimmed.length - prng.below(this.#trimmed.length + 1));
    this.#records = [...back, ...synced, ...kept];
    this.#trimmed = [];
    this.#syncedUpTo = Math.max(this.#syncedUpTo, this.#records.at(-1)?.position ?? 0);
    // Nobody remembers the positions of lost records.
    this.#nextPosition = this.#syncedUpTo + 1;
    this.#recount();
  }

  content(): JournalContent {
    const records = this.#records.filter((record) => record.position <= this.#syncedUpTo);
    return { records, trimmed: [...this.#trimmed], nextPosition: this.#syncedUpTo + 1 };
  }

  restore(content: JournalContent): void {
    this.#records = [...content.records];
    this.#trimmed = [...content.trimmed];
    this.#nextPosition = content.nextPosition;
    this.#syncedUpTo = content.nextPosition - 1;
    this.#recount();
  }

  /** Flips bits in one stored record, so that recovery finds it damaged. False if there is none. */
  damage(prng: Prng): boolean {
    if (this.#records.length === 0) return false;
    const index = prng.below(this.#records.length);
    const record = this.#records[index];
    if (record === undefined) return false;
    this.#records[index] = { ...record, bytes: flipBits(record.bytes, 3, prng), damaged: true };
    return true;
  }

  /** What a new incarnation finds: everything before the first damaged record. Cuts the rest off. */
  recover(): { readonly records: readonly JournalRecord[]; readonly damaged: boolean } {
    const first = this.#records.findIndex((record) => record.damaged);
    if (first >= 0) this.#records.splice(first);
    this.#recount();
    return { records: [...this.#records], damaged: first >= 0 };
  }

  #recount(): void {
    this.#sizeBytes = 0;
    for (const { bytes } of this.#records) this.#sizeBytes += bytes.length + recordOverheadBytes;
  }
}

interface Flush {
  readonly upTo: Position;
  readonly waiting: { resolve: () => void; reject: (error: Error) => void }[];
}

/** One incarnation's hold on the journal. */
export class SimulatedJournal implements Journal {
  /** True after `recover` found records that a crash alone does not explain. */
  damaged = false;
  readonly #life: Life;
  readonly #image: JournalImage;
  readonly #conditions: DiskConditions;
  #running: Flush | undefined;
  #next: Flush | undefined;
  #failure: Error | undefined;

  constructor(life: Life, image: JournalImage, conditions: DiskConditions) {
    this.#life = life;
    this.#image = image;
    this.#conditions = conditions;
  }

  recover(): Iterable<JournalRecord> {
    if (!this.#life.alive) return [];
    const { records, damaged } = this.#image.recover();
    this.damaged = damaged;
    return records;
  }

  append(bytes: Bytes): Position {
    if (!this.#life.alive) return this.#image.lastPosition;
    return this.#image.append(bytes);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.#life.alive) return;
      const upTo = this.#image.lastPosition;
      // A flush under way may have begun before the newest record was there.
      this.#next = { upTo, waiting: [...(this.#next?.waiting ?? []), { resolve, reject }] };
      if (this.#running === undefined) this.#begin();
    });
  }

  trim(upTo: Position): void {
    if (this.#life.alive) this.#image.trim(upTo);
  }

  sizeBytes(): number {
    return this.#image.sizeBytes;
  }

  async close(): Promise<void> {
    await this.sync();
  }

  #begin(): void {
    const flush = this.#next;
    if (flush === undefined) return;
    this.#next = undefined;
    this.#running = flush;
    this.#life.after(this.#conditions.drawLatencyUs(), 'sync', () => this.#end(flush));
  }

  #end(flush: Flush): void {
    this.#running = undefined;
    // After one failure nobody knows what is on the medium, so the journal stays failed.
    this.#failure ??= this.#conditions.refusal(this.#image.sizeBytes);
    const failure = this.#failure;
    if (failure === undefined) this.#image.synced(flush.upTo);
    for (const { resolve, reject } of flush.waiting) {
      if (failure === undefined) resolve();
      else reject(failure);
    }
    this.#begin();
  }
}
