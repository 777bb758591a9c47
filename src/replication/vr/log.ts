// The retained part of the log: consecutive entries in memory, each with the bytes it travels and is stored as.

import { assert } from '../../base/assert.ts';
import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { decodeAs } from '../../wire/registry.ts';
import { VrEntry } from '../../wire/vr.ts';

export interface LogEntry {
  readonly entry: VrEntry;
  readonly bytes: Bytes;
}

export function encodeEntry(entry: VrEntry): LogEntry {
  return { entry, bytes: VrEntry.serialize(entry) };
}

/** Undefined when the bytes are not exactly an entry. */
export function decodeEntry(bytes: Bytes): LogEntry | undefined {
  const entry = decodeAs(VrEntry, bytes);
  return entry === undefined ? undefined : { entry, bytes };
}

export class VrLog {
  #first = 1;
  #entries: LogEntry[] = [];
  #sizeBytes = 0;

  /** Number of the first retained entry, or of the next one when none is. */
  get first(): number {
    return this.#first;
  }

  /** Number of the last entry; `first - 1` when none is retained. */
  get last(): number {
    return this.#first + this.#entries.length - 1;
  }

  at(sequence: number): LogEntry {
    const entry = this.#entries[sequence - this.#first];
    assert(entry !== undefined, 'the entry is retained');
    return entry;
  }

  /** Of all retained entries. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  append(entry: LogEntry): void {
    this.#entries.push(entry);
    this.#sizeBytes += entry.bytes.length;
  }

  /** What the first retained entry follows, from somewhere else. */
  prepend(entries: readonly LogEntry[]): void {
    assert(entries.length < this.#first, 'the log begins with entry 1');
    this.#first -= entries.length;
    this.#entries = [...entries, ...this.#entries];
    for (const { bytes } of entries) this.#sizeBytes += bytes.length;
  }

  /** Cuts off everything above `sequence`. */
  cutAbove(sequence: number): void {
    assert(sequence >= this.#first - 1, 'the log is never cut below what it retains');
    this.#uncount(this.#entries.splice(sequence - this.#first + 1));
  }

  /** Forgets everything up to `sequence`; if the log ends before that it goes on behind it. */
  dropTo(sequence: number): void {
    if (sequence < this.#first) return;
    this.#uncount(this.#entries.splice(0, sequence - this.#first + 1));
    this.#first = sequence + 1;
  }

  /** How far the log must be forgotten to have at most so many bytes; nothing above `sequence` is. */
  excessOver(sizeBytesMax: number, sequence: number): number {
    let sizeBytes = this.#sizeBytes;
    let end = this.#first - 1;
    while (sizeBytes > sizeBytesMax && end < Math.min(sequence, this.last)) {
      end += 1;
      sizeBytes -= this.at(end).bytes.length;
    }
    return end;
  }

  #uncount(entries: readonly LogEntry[]): void {
    for (const { bytes } of entries) this.#sizeBytes -= bytes.length;
  }

  /** Starts empty behind `sequence`. */
  reset(sequence: number): void {
    this.#first = sequence + 1;
    this.#entries = [];
    this.#sizeBytes = 0;
  }

  /** Bytes of the entries from `first` on, as many as fit into one message. */
  bytesFrom(first: number): Bytes[] {
    const part: Bytes[] = [];
    let size = 0;
    for (let i = first - this.#first; i < this.#entries.length; i++) {
      const { bytes } = this.#entries[i] as LogEntry;
      size += bytes.length + 4;
      if (part.length > 0 && size > limits.vrEntriesSizeBytesMax) break;
      if (part.length === limits.vrEntriesPerMessageMax) break;
      part.push(bytes);
    }
    return part;
  }
}
