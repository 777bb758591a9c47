import fs from 'node:fs';
import { assert } from '../base/assert.ts';
import { type Bytes, emptyBytes } from '../base/bytes.ts';
import type { Journal, JournalRecord, Position } from '../env/disk.ts';
import type { Entropy } from '../env/entropy.ts';
import { limits } from '../wire/limits.ts';
import { DiskError, diskErrorOf } from './disk-error.ts';
import {
  decodeSegmentHeader,
  encodeRecord,
  readSegment,
  recordHeaderSizeBytes,
  segmentHeaderSizeBytes,
} from './journal-format.ts';
import {
  type ActiveSegment,
  beginSegment,
  type CheckedSegments,
  checkSegments,
  defaultSegmentSizeBytes,
  type JournalDamage,
  type JournalFiles,
  type Segment,
  type SegmentFolder,
  SpareFile,
  sealSegment,
  segmentNumbers,
} from './journal-segments.ts';
import { closeStaging, openStaging, SegmentWriter, type Staging } from './segment-writer.ts';

export interface JournalOptions {
  readonly folder: string;
  readonly entropy: Entropy;
  /** Size at which the next file is begun; 16 MiB unless given. */
  readonly segmentSizeBytes?: number;
  readonly files?: JournalFiles;
  /** Whether to write around the page cache where the file system lets us; it does unless given. */
  readonly mayBeDirect?: boolean;
}

export type JournalOpening =
  | { readonly kind: 'open'; readonly journal: Journal }
  | { readonly kind: 'damaged'; readonly damage: JournalDamage };

interface PendingRecord {
  readonly position: Position;
  readonly bytes: Bytes;
}

interface Waiter {
  readonly upTo: Position;
  readonly resolve: () => void;
  readonly reject: (error: DiskError) => void;
}

/**
 * Syncs run in the event loop while they take less than this, in the thread pool above. Measured on a virtual disk,
 * 200 bytes appended and synced: 0.09 ms in the loop, 0.17 ms through the pool; and with 1, 8 and 64 writers at 40 µs
 * of work each the loop finished 46 %, 14 % and 7 % more: handing over costs more than the wait. A slow disk, though,
 * must not stop the loop, so what recent syncs took decides.
 */
const inlineSyncMsMax = 1;

/** Makes an empty journal in `folder`, which exists and holds none. @throws DiskError */
export function createJournal(options: JournalOptions): void {
  const where = segmentFolder(options);
  try {
    assert(segmentNumbers(where).length === 0, 'a journal is created once');
    beginSegment(where, 1, 1);
  } catch (error) {
    throw diskErrorOf(`creating a journal in ${where.folder}`, error);
  }
}

/**
 * Opens the journal in `folder` after checking every record. A torn end, records that were never promised, is cut off;
 * damage among promised records is reported and nothing is changed. Damage to the very last records cannot be told
 * from a torn end unless the journal was closed after them.
 * @throws DiskError when files cannot be read or written.
 */
export function openJournal(options: JournalOptions): JournalOpening {
  const where = segmentFolder(options);
  try {
    const checked = checkSegments(where);
    if ('reason' in checked) return { kind: 'damaged', damage: checked };
    return { kind: 'open', journal: new FileJournal(where, checked, options.mayBeDirect ?? true) };
  } catch (error) {
    throw diskErrorOf(`opening the journal in ${where.folder}`, error);
  }
}

function segmentFolder({
  folder,
  entropy,
  segmentSizeBytes,
  files,
}: JournalOptions): SegmentFolder {
  return {
    folder,
    entropy,
    segmentSizeBytes: segmentSizeBytes ?? defaultSegmentSizeBytes,
    files: files ?? fs,
  };
}

class FileJournal implements Journal {
  readonly #where: SegmentFolder;
  readonly #files: JournalFiles;
  readonly #spare: SpareFile;
  /** Segments from before this opening; read by `recover`. */
  readonly #recovered: readonly Segment[];
  /** Retained segments that are full, oldest first. */
  #full: readonly Segment[];
  #active: ActiveSegment;
  #staging: Staging;
  #writer: SegmentWriter;
  /** Records appended but not yet written. */
  #pending: PendingRecord[] = [];
  #lastAppended: Position;
  #lastDurable: Position;
  #waiters: Waiter[] = [];
  #flushScheduled = false;
  #syncing = false;
  #recentSyncMs = 0;
  /** Sizes of the records behind `#trimmed`, from index `#sizesFrom`. */
  #sizesBytes: number[];
  #sizesFrom = 0;
  #trimmed: Position;
  #sizeBytes: number;
  #failure: DiskError | undefined;
  #mayRecover = true;

  constructor(
    where: SegmentFolder,
    { segments, last, sizesBytes }: CheckedSegments,
    mayBeDirect: boolean,
  ) {
    this.#where = where;
    this.#files = where.files;
    this.#lastAppended = last.lastPosition;
    this.#lastDurable = last.lastPosition;
    this.#sizesBytes = sizesBytes;
    this.#sizeBytes = sizesBytes.reduce((sum, size) => sum + size, 0);
    this.#trimmed = last.lastPosition - sizesBytes.length;
    sealSegment(where, last);
    this.#active = beginSegment(where, last.number + 1, last.lastPosition + 1);
    this.#staging = openStaging(mayBeDirect);
    this.#writer = this.#openWriter();
    this.#full = segments.filter((segment) => segment.lastPosition >= segment.firstPosition);
    for (const empty of segments) if (!this.#full.includes(empty)) this.#files.rmSync(empty.file);
    this.#recovered = this.#full;
    this.#spare = new SpareFile(where);
  }

  *recover(): Iterable<JournalRecord> {
    assert(this.#mayRecover, 'a journal is recovered once, before the first append');
    this.#mayRecover = false;
    for (const { file, lastPosition } of this.#recovered) {
      const contents = this.#files.readFileSync(file);
      const header = decodeSegmentHeader(contents);
      const records = header === undefined ? [] : readSegment(contents, header).records;
      if (records.at(-1)?.position !== lastPosition) {
        throw new DiskError('disk-failed', `${file} reads differently than a moment ago`);
      }
      for (const { position, bytes } of records) yield { position, bytes: new Uint8Array(bytes) };
    }
  }

  append(bytes: Bytes): Position {
    if (this.#failure !== undefined) throw this.#failure;
    assert(
      bytes.length <= limits.journalRecordSizeBytesMax,
      'a journal record is within its bound',
    );
    this.#mayRecover = false;
    this.#lastAppended++;
    this.#pending.push({ position: this.#lastAppended, bytes });
    const sizeBytes = recordHeaderSizeBytes + bytes.length;
    this.#sizesBytes.push(sizeBytes);
    this.#sizeBytes += sizeBytes;
    return this.#lastAppended;
  }

  sync(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const upTo = this.#lastAppended;
    if (upTo <= this.#lastDurable) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ upTo, resolve, reject });
      this.#scheduleFlush();
    });
  }

  trim(upTo: Position): void {
    assert(upTo <= this.#lastAppended, 'only what was appended is trimmed');
    while (this.#trimmed < upTo) {
      this.#sizeBytes -= this.#sizesBytes[this.#sizesFrom] ?? 0;
      this.#sizesFrom++;
      this.#trimmed++;
    }
    if (this.#sizesFrom > 10_000 && 2 * this.#sizesFrom > this.#sizesBytes.length) {
      this.#sizesBytes = this.#sizesBytes.slice(this.#sizesFrom);
      this.#sizesFrom = 0;
    }
    // Oldest first, so that a crash in between leaves no gap.
    while (this.#full[0] !== undefined && this.#full[0].lastPosition <= upTo) {
      // What cannot be removed now only takes space; the next trim tries again.
      if (!this.#spare.recycle(this.#full[0])) return;
      this.#full = this.#full.slice(1);
    }
  }

  sizeBytes(): number {
    return this.#sizeBytes;
  }

  async close(): Promise<void> {
    if (this.#failure?.fault === 'closed') return;
    try {
      await this.sync();
      this.#writeMark();
    } finally {
      this.#fail(new DiskError('closed', 'the journal is closed'));
      this.#spare.close();
      this.#files.closeSync(this.#writer.descriptor);
      closeStaging(this.#staging);
    }
  }

  /** After a mark, damage to the last records is not taken for a torn end. */
  #writeMark(): void {
    try {
      this.#stage(0, emptyBytes);
      this.#writer.writeSync();
    } catch (error) {
      throw diskErrorOf(`closing ${this.#active.file}`, error);
    }
  }

  /** At the end of the turn, so that all that one turn brought shares a sync. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#syncing) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#failure !== undefined || this.#syncing) return;
    try {
      this.#stagePending();
      if (this.#recentSyncMs > inlineSyncMsMax) {
        this.#syncInPool();
        return;
      }
      const startMs = performance.now();
      this.#writer.writeSync();
      this.#synced(this.#active.lastPosition, performance.now() - startMs);
    } catch (error) {
      this.#fail(diskErrorOf('writing the journal', error));
    }
  }

  #syncInPool(): void {
    this.#syncing = true;
    const upTo = this.#active.lastPosition;
    const startMs = performance.now();
    this.#writer.write((error) => {
      this.#syncing = false;
      if (error === null) this.#synced(upTo, performance.now() - startMs);
      else this.#fail(diskErrorOf('writing the journal', error));
      if (this.#waiters.length > 0) this.#scheduleFlush();
    });
  }

  #synced(upTo: Position, tookMs: number): void {
    this.#recentSyncMs += (tookMs - this.#recentSyncMs) / 8;
    this.#lastDurable = upTo;
    const done = this.#waiters.filter((waiter) => waiter.upTo <= upTo);
    this.#waiters = this.#waiters.filter((waiter) => waiter.upTo > upTo);
    for (const waiter of done) waiter.resolve();
  }

  /** Everything but what the last write takes is on disk afterwards: a full segment, what exceeds the memory. */
  #stagePending(): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const { position, bytes } of pending) {
      const sizeBytes = recordHeaderSizeBytes + bytes.length;
      const end = this.#active.end + sizeBytes;
      const isFirst = this.#active.end === segmentHeaderSizeBytes;
      if (end > this.#where.segmentSizeBytes && !isFirst) this.#beginSegment();
      if (sizeBytes > this.#writer.roomSizeBytes) this.#writer.writeSync();
      this.#stage(position, bytes);
      this.#active.lastPosition = position;
      this.#active.end += sizeBytes;
    }
    if (this.#active.end > this.#where.segmentSizeBytes / 2) this.#spare.prepare();
  }

  #stage(position: Position, bytes: Bytes): void {
    const { marker } = this.#active;
    const durable = this.#lastDurable;
    this.#writer.stage(recordHeaderSizeBytes + bytes.length, (target, offset) =>
      encodeRecord(target, offset, { marker, position, durable, bytes }),
    );
  }

  #beginSegment(): void {
    const full = this.#active;
    this.#writer.writeSync();
    this.#lastDurable = full.lastPosition;
    this.#active = beginSegment(this.#where, full.number + 1, full.lastPosition + 1, this.#spare);
    this.#full = [...this.#full, full];
    this.#files.closeSync(this.#writer.descriptor);
    this.#writer = this.#openWriter();
  }

  #openWriter(): SegmentWriter {
    const { file, header } = this.#active;
    const open = () => SegmentWriter.open(this.#files, file, header, this.#staging);
    const writer = open();
    if (writer !== undefined) return writer;
    closeStaging(this.#staging);
    this.#staging = openStaging(false);
    const plain = open();
    assert(plain !== undefined, 'only direct writes are refused');
    return plain;
  }

  /** A failed sync may have dropped what it was to write, so nothing more is taken until the journal is opened anew. */
  #fail(error: DiskError): void {
    this.#failure = error;
    this.#pending = [];
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }
}
