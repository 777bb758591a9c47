import type { Bytes } from '../base/bytes.ts';

/** Place of a record in a journal; increases with every append. */
export type Position = number;

export interface JournalRecord {
  readonly position: Position;
  readonly bytes: Bytes;
}

/**
 * An append-only log for what must be durable before a message leaves. A record that was synced survives a crash;
 * one that was not may be lost, and with it every later one. Damaged records are detected, never returned.
 */
export interface Journal {
  /** What survived, oldest first. Called once, before the first append. */
  recover(): Iterable<JournalRecord>;
  append(bytes: Bytes): Position;
  /** Resolves when every record appended before the call is durable. Concurrent calls share one flush. Rejects if the disk fails. */
  sync(): Promise<void>;
  /** Forgets the records up to and including `upTo`; they need no longer survive. */
  trim(upTo: Position): void;
  /** Bytes that the retained records take. */
  sizeBytes(): number;
  close(): Promise<void>;
}

export type Change =
  | { readonly key: Bytes; readonly value: Bytes }
  | { readonly key: Bytes; readonly value: undefined };

export interface Range {
  /** First key, included. */
  readonly from: Bytes;
  /** Last key, excluded. */
  readonly to: Bytes;
  readonly limit: number;
}

export interface TableEntry {
  readonly key: Bytes;
  readonly value: Bytes;
}

/** An ordered, crash-safe map from keys of at most 256 bytes to values. */
export interface Table {
  get(key: Bytes): Bytes | undefined;
  /** Entries in ascending order of key bytes, read from one moment. */
  range(range: Range): TableEntry[];
  /**
   * Applies all changes as one. Resolves when they are durable; they become visible to `get` somewhere between call and
   * then. Calls take effect, and become durable, in the order they were made. Rejects if the disk fails or is full.
   */
  write(changes: readonly Change[]): Promise<void>;
  /** Bytes that the table takes on disk. */
  sizeBytes(): number;
  close(): Promise<void>;
}

/** The two disks of a server. */
export interface Disk {
  readonly journal: Journal;
  readonly table: Table;
  /** Bytes that may still be written; an estimate that is refreshed now and then. */
  freeBytes(): number;
}
