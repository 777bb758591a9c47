// A journal with two states: what has been appended and what has been synced. A crash loses records that were not
// synced, except for a drawn run of the oldest of them; the record on which the power failed is detected and dropped.

import { assert } from '../../src/base/assert.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Journal, JournalRecord, Position } from '../../src/env/disk.ts';
import { DiskError } from '../../src/node/disk-error.ts';
import type { JournalDamage } from '../../src/node/journal-segments.ts';
import { limits } from '../../src/wire/limits.ts';
import type { DiskConditions } from './disk.ts';
import type { Life } from './life.ts';

/** Trimmed records that a crash may bring back, since a journal forgets whole segments at a time. */
const trimmedKept = 32;
const recordOverheadBytes = 16;

interface StoredRecord extends JournalRecord {
  /** Its check sum no longer fits. */
  readonly unreadable: boolean;
}

export interface JournalContent {
  readonly records: readonly StoredRecord[];
  readonly trimmed: readonly StoredRecord[];
  readonly nextPosition: Position;
}

const emptyContent: JournalContent = { records: [], trimmed: [], nextPosition: 1 };
const journalFile = 'journal';

/** What is on the medium. Outlives the incarnations of its node. */
export class JournalImage {
  #records: StoredRecord[] = [];
  #trimmed: StoredRecord[] = [];
  #nextPosition: Position = 1;
  #syncedUpTo: Position = 0;
  #sizeBytes = 0;
  #missing = false;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get syncedUpTo(): Position {
    return this.#syncedUpTo;
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
    this.#records.push({ position, bytes: new Uint8Array(bytes), unreadable: false });
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
    this.#missing = false;
    this.#records = [...content.records];
    this.#trimmed = [...content.trimmed];
    this.#nextPosition = content.nextPosition;
    this.#syncedUpTo = content.nextPosition - 1;
    this.#recount();
  }

  /** Makes one durable record unreadable. False if there is none. */
  spoil(prng: Prng): boolean {
    const durable = this.#records.filter((record) => record.position <= this.#syncedUpTo);
    const index = prng.below(Math.max(1, durable.length));
    const record = durable[index];
    if (record === undefined) return false;
    this.#records[index] = { ...record, unreadable: true };
    return true;
  }

  /** Loses even that there was a journal. */
  remove(): void {
    this.restore(emptyContent);
    this.#missing = true;
  }

  /** Makes an empty journal anew. */
  create(): void {
    this.restore(emptyContent);
  }

  /** What an opening journal finds wrong, as the real one says it; a torn end is nothing wrong. */
  damage(): JournalDamage | undefined {
    if (this.#missing) return { file: journalFile, lastGood: 0, reason: 'no-segments' };
    const first = this.#records.find((record) => record.unreadable);
    if (first === undefined) return undefined;
    return { file: journalFile, lastGood: first.position - 1, reason: 'unreadable-record' };
  }

  records(): JournalRecord[] {
    return this.#records.map(({ position, bytes }) => ({ position, bytes: new Uint8Array(bytes) }));
  }

  #recount(): void {
    this.#sizeBytes = 0;
    for (const { bytes } of this.#records) this.#sizeBytes += bytes.length + recordOverheadBytes;
  }
}

interface Flush {
  readonly upTo: Position;
  readonly waiting: { resolve: () => void; reject: (error: DiskError) => void }[];
}

/** One incarnation's hold on the journal; strict about its use where the real one is. */
export class SimulatedJournal implements Journal {
  readonly #life: Life;
  readonly #image: JournalImage;
  readonly #conditions: DiskConditions;
  #running: Flush | undefined;
  #next: Flush | undefined;
  #failure: DiskError | undefined;
  #mayRecover = true;

  /** Takes as durable what it finds. */
  constructor(life: Life, image: JournalImage, conditions: DiskConditions) {
    this.#life = life;
    this.#image = image;
    this.#conditions = conditions;
    const damage = image.damage();
    if (damage !== undefined) {
      this.#failure = new DiskError('disk-failed', `the journal is damaged: ${damage.reason}`);
    }
  }

  /** @throws DiskError if the journal is damaged. */
  recover(): Iterable<JournalRecord> {
    if (!this.#life.alive) return [];
    if (this.#failure !== undefined) throw this.#failure;
    assert(this.#mayRecover, 'a journal is recovered once, before the first append');
    this.#mayRecover = false;
    return this.#image.records();
  }

  /** @throws DiskError after a failure, and once closed. */
  append(bytes: Bytes): Position {
    if (!this.#life.alive) return this.#image.lastPosition;
    if (this.#failure !== undefined) throw this.#failure;
    assert(
      bytes.length <= limits.journalRecordSizeBytesMax,
      'a journal record is within its bound',
    );
    this.#mayRecover = false;
    return this.#image.append(bytes);
  }

  sync(): Promise<void> {
    if (this.#life.alive && this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      if (!this.#life.alive) return;
      const upTo = this.#image.lastPosition;
      if (upTo <= this.#image.syncedUpTo) return resolve();
      // A flush under way may have begun before the newest record was there.
      this.#next = { upTo, waiting: [...(this.#next?.waiting ?? []), { resolve, reject }] };
      if (this.#running === undefined) this.#begin();
    });
  }

  trim(upTo: Position): void {
    if (!this.#life.alive) return;
    assert(upTo <= this.#image.lastPosition, 'only what was appended is trimmed');
    this.#image.trim(upTo);
  }

  sizeBytes(): number {
    return this.#image.sizeBytes;
  }

  async close(): Promise<void> {
    if (this.#failure?.fault === 'closed') return;
    await this.sync();
    this.#failure = new DiskError('closed', 'the journal is closed');
  }

  #begin(): void {
    const flush = this.#next;
    if (flush === undefined) return;
    this.#next = undefined;
    this.#running = flush;
    this.#life.after(this.#conditions.drawLatencyUs('journal'), 'sync', () => this.#end(flush));
  }

  #end(flush: Flush): void {
    this.#running = undefined;
    // After one failure nobody knows what is on the medium, so the journal stays failed.
    this.#failure ??= this.#conditions.refusal();
    const failure = this.#failure;
    if (failure === undefined) this.#image.synced(flush.upTo);
    for (const { resolve, reject } of flush.waiting) {
      if (failure === undefined) resolve();
      else reject(failure);
    }
    this.#begin();
  }
}
