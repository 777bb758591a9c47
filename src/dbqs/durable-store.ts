// A journal in front of a table. A small commit is durable once the journal holds it; the table follows in the
// background and the journal is trimmed after it. A large commit skips the journal and is durable with the table, which
// would otherwise take every byte twice. Both kinds go to the table in commit order, and the table notes the last
// commit that it contains, so that replaying the journal never puts an older value over a newer one.

import { assert } from '../base/assert.ts';
import type { Bytes } from '../base/bytes.ts';
import { bytesOfMapKey, mapKey, uint64Bytes } from '../base/bytes.ts';
import type { Timer, Timers } from '../env/clock.ts';
import type { Change, Disk, Position, TableEntry } from '../env/disk.ts';
import { decodeCommit, encodeCommit } from './commit-record.ts';
import { metaKey, seal, unseal } from './records.ts';

/** Commits above this size go straight to the table. */
const journaledSizeBytesMax = 64 * 1024;
/**
 * How long journaled commits wait for company before the table takes them. After 500 ms instead of 50 a write of an
 * object takes a tenth less processor time at 400 writes a second, and what the journal holds stays far below its bound.
 */
const flushDelayMs = 500;
/** Journaled bytes at which the table takes them at once. */
const flushSizeBytes = 4 * 1024 * 1024;

const appliedKey = metaKey('applied');

interface Queued {
  readonly sequence: number;
  readonly changes: readonly Change[];
  readonly position: Position | undefined;
  readonly sizeBytes: number;
}

interface Overlaid {
  readonly sequence: number;
  readonly value: Bytes | undefined;
}

export type StoreDamage = 'applied-mark-damaged' | 'journal-record-malformed';

export class DurableStore {
  readonly #disk: Disk;
  readonly #timers: Timers;
  readonly #overlay = new Map<string, Overlaid>();
  #sequence: number;
  #queue: Queued[] = [];
  #queuedSizeBytes = 0;
  #flushing: Promise<void> | undefined;
  #flushTimer: Timer | undefined;
  #failure: Error | undefined;
  #acceptedBytes = 0;
  #undurableBytes = 0;

  private constructor(disk: Disk, timers: Timers, sequence: number) {
    this.#disk = disk;
    this.#timers = timers;
    this.#sequence = sequence;
  }

  /** Brings table and journal together after a start. Gives the kind of damage instead if they cannot be trusted. */
  static async open(disk: Disk, timers: Timers): Promise<DurableStore | StoreDamage> {
    const sealed = disk.table.get(appliedKey);
    const body = sealed === undefined ? uint64Bytes(0) : unseal(appliedKey, sealed);
    if (body === undefined) return 'applied-mark-damaged';
    let applied = Number(new DataView(body.buffer, body.byteOffset).getBigUint64(0));
    let last: Position | undefined;
    const writes: Promise<void>[] = [];
    for (const { position, bytes } of disk.journal.recover()) {
      const commit = decodeCommit(bytes);
      if (commit === undefined) return 'journal-record-malformed';
      last = position;
      if (commit.sequence <= applied) continue;
      applied = commit.sequence;
      writes.push(disk.table.write([...commit.changes, appliedChange(applied)]));
    }
    if (last !== undefined) {
      await Promise.all([...writes, disk.table.write([appliedChange(applied)])]);
      disk.journal.trim(last);
    }
    return new DurableStore(disk, timers, applied);
  }

  /** The newest committed value, durable or not yet. Whoever reveals it waits for the commit that wrote it. */
  get(key: Bytes): Bytes | undefined {
    const overlaid = this.#overlay.get(mapKey(key));
    return overlaid === undefined ? this.#disk.table.get(key) : overlaid.value;
  }

  /** Entries in key order, the newest value of each. Shorter than `limit` only at the end of the range. */
  range(from: Bytes, to: Bytes, limit: number): TableEntry[] {
    const first = mapKey(from);
    const end = mapKey(to);
    const overlaid = [...this.#overlay].filter(([key]) => key >= first && key < end);
    if (overlaid.length === 0) return this.#disk.table.range({ from, to, limit });
    // Deleted keys must not shorten the answer, so as many more are read.
    const entries = this.#disk.table.range({ from, to, limit: limit + overlaid.length });
    const merged = new Map<string, TableEntry>(entries.map((entry) => [mapKey(entry.key), entry]));
    const full = entries.length === limit + overlaid.length;
    const last = entries.at(-1);
    for (const [key, { value }] of overlaid) {
      if (full && last !== undefined && key > mapKey(last.key)) continue;
      if (value === undefined) merged.delete(key);
      else merged.set(key, { key: bytesOfMapKey(key), value });
    }
    return [...merged]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([, entry]) => entry);
  }

  /**
   * Applies all changes as one, visible to `get` at once. Resolves when they are durable. Rejects when the disk fails;
   * the store is then unusable until it is opened again, because nobody knows what reached the disk.
   */
  commit(changes: readonly Change[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    assert(changes.length > 0, 'a commit changes something');
    this.#sequence += 1;
    const sequence = this.#sequence;
    for (const { key, value } of changes) this.#overlay.set(mapKey(key), { sequence, value });
    const sizeBytes = changes.reduce(
      (sum, { key, value }) => sum + key.length + (value?.length ?? 0),
      0,
    );
    this.#acceptedBytes += sizeBytes;
    this.#undurableBytes += sizeBytes;
    const durable =
      sizeBytes <= journaledSizeBytesMax
        ? this.#commitToJournal(sequence, changes, sizeBytes)
        : this.#commitToTable(sequence, changes, sizeBytes);
    return durable.then(
      () => {
        this.#undurableBytes -= sizeBytes;
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Bytes committed since the start, and those of them not durable yet. */
  accepted(): { totalBytes: number; undurableBytes: number } {
    return { totalBytes: this.#acceptedBytes, undurableBytes: this.#undurableBytes };
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Puts everything into the table. */
  async close(): Promise<void> {
    this.#flushTimer?.cancel();
    while (
      this.#failure === undefined &&
      (this.#queue.length > 0 || this.#flushing !== undefined)
    ) {
      await this.#flush();
    }
  }

  /** Appends at once; a journal that has failed before throws there. */
  async #commitToJournal(
    sequence: number,
    changes: readonly Change[],
    sizeBytes: number,
  ): Promise<void> {
    const position = this.#disk.journal.append(encodeCommit({ sequence, changes }));
    this.#enqueue({ sequence, changes, position, sizeBytes });
    if (this.#queuedSizeBytes >= flushSizeBytes) this.#flushSoon();
    else this.#flushLater();
    await this.#disk.journal.sync();
  }

  async #commitToTable(
    sequence: number,
    changes: readonly Change[],
    sizeBytes: number,
  ): Promise<void> {
    this.#enqueue({ sequence, changes, position: undefined, sizeBytes });
    // The write in flight was cut before this commit; the next one takes it.
    if (this.#flushing !== undefined) await this.#flushing;
    await this.#flush();
  }

  #enqueue(queued: Queued): void {
    this.#queue.push(queued);
    this.#queuedSizeBytes += queued.sizeBytes;
  }

  #flushLater(): void {
    this.#flushTimer ??= this.#timers.after(flushDelayMs, () => {
      this.#flushTimer = undefined;
      this.#flushSoon();
    });
  }

  #flushSoon(): void {
    if (this.#flushing === undefined) this.#flush().catch((error: unknown) => this.#note(error));
  }

  /** Writes the queue to the table, or joins the write in flight. */
  #flush(): Promise<void> {
    if (this.#flushing !== undefined) return this.#flushing;
    if (this.#queue.length === 0) return Promise.resolve();
    const batch = this.#queue;
    this.#queue = [];
    this.#queuedSizeBytes = 0;
    this.#flushing = this.#write(batch).finally(() => {
      this.#flushing = undefined;
    });
    return this.#flushing;
  }

  async #write(batch: readonly Queued[]): Promise<void> {
    const last = batch.at(-1) as Queued;
    const newest = new Map<string, Change>();
    for (const { changes } of batch) {
      for (const change of changes) newest.set(mapKey(change.key), change);
    }
    await this.#disk.table.write([...newest.values(), appliedChange(last.sequence)]);
    for (const key of newest.keys()) {
      const overlaid = this.#overlay.get(key);
      if (overlaid !== undefined && overlaid.sequence <= last.sequence) this.#overlay.delete(key);
    }
    const position = batch.reduce<Position | undefined>(
      (found, queued) => queued.position ?? found,
      undefined,
    );
    if (position !== undefined) this.#disk.journal.trim(position);
  }

  #note(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new StoreFailed('the disk failed');
  }

  #fail(error: unknown): never {
    this.#note(error);
    throw error;
  }
}

/** The disk gave an error that was not an error object. */
class StoreFailed extends Error {
  override readonly name = 'StoreFailed';
}

function appliedChange(sequence: number): Change {
  return { key: appliedKey, value: seal(appliedKey, uint64Bytes(sequence)) };
}
