import fs from 'node:fs';
import path from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { assert } from '../base/assert.ts';
import { type Bytes, compareBytes } from '../base/bytes.ts';
import type { Change, Range, Table, TableEntry } from '../env/disk.ts';
import { DiskError, diskErrorOf } from './disk-error.ts';
import { tableDamage, tableFileName } from './table-format.ts';

export interface TableOptions {
  /** The folder that holds the database. */
  readonly folder: string;
  /** Makes an empty table. Without it a missing one is an error: a lost table must not pass for an empty one. */
  readonly create?: boolean;
  /** The caller has just asked `tableDamage`, which reads every page that leads to an entry. */
  readonly isChecked?: boolean;
}

const lockFileName = 'lock.mdb';
/** Bounds of LMDB: a key's length, none of 0. */
const keySizeBytesMax = 256;
/** Changes that wait share a transaction up to about this size, which bounds its dirty pages. */
const transactionSizeBytesMax = 32 * 1024 * 1024;
/** A disk with less room than this is called full, whatever LMDB said: it reports a short write as EIO. */
const freeSizeBytesMin = 1024 * 1024;

/** Opens the table in `folder`, which exists. @throws DiskError, also when `tableDamage` finds any. */
export function openTable({ folder, create = false, isChecked = false }: TableOptions): Table {
  const damage = isChecked ? undefined : tableDamage(folder);
  if (damage !== undefined && !(create && damage === 'table-missing')) {
    throw new DiskError('disk-failed', `the table in ${folder} cannot be opened: ${damage}`);
  }
  try {
    const database = open<Buffer, Buffer>({
      path: folder,
      keyEncoding: 'binary',
      encoding: 'binary',
      compression: false,
      maxDbs: 1,
      // A commit is to mean durable. Flushing apart from committing saves no time here, and LMDB's own wrapper then
      // never reports a flush that failed.
      overlappingSync: false,
      // We join writes ourselves; the wrapper's way leaves promises behind that nobody can catch when a commit fails.
      eventTurnBatching: false,
    });
    // The library makes its files readable by all; the folder keeps others out, but a copy of it may not.
    for (const name of [tableFileName, lockFileName]) {
      fs.chmodSync(path.join(folder, name), 0o600);
    }
    return new LmdbTable(folder, database);
  } catch (error) {
    throw diskErrorOf(`opening the table in ${folder}`, error);
  }
}

interface QueuedWrite {
  readonly changes: readonly Change[];
  readonly sizeBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: DiskError) => void;
}

class LmdbTable implements Table {
  readonly #folder: string;
  readonly #database: RootDatabase<Buffer, Buffer>;
  #queue: QueuedWrite[] = [];
  #scheduled = false;
  #committing: Promise<void> | undefined;
  #failure: DiskError | undefined;

  constructor(folder: string, database: RootDatabase<Buffer, Buffer>) {
    this.#folder = folder;
    this.#database = database;
  }

  get(key: Bytes): Bytes | undefined {
    this.#checkOpen();
    const value = this.#reading(() => this.#database.get(bufferOf(key)));
    return value === undefined ? undefined : bytesOf(value);
  }

  range({ from, to, limit }: Range): TableEntry[] {
    this.#checkOpen();
    if (limit <= 0 || compareBytes(from, to) >= 0) return [];
    return this.#reading(() => {
      const found = this.#database.getRange({ start: bufferOf(from), end: bufferOf(to), limit });
      return [...found].map(({ key, value }) => ({ key: bytesOf(key), value: bytesOf(value) }));
    });
  }

  write(changes: readonly Change[]): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    let sizeBytes = 0;
    for (const { key, value } of changes) {
      assert(key.length > 0 && key.length <= keySizeBytesMax, 'a key has 1 to 256 bytes');
      sizeBytes += key.length + (value?.length ?? 0);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ changes, sizeBytes, resolve, reject });
      this.#schedule();
    });
  }

  sizeBytes(): number {
    return fs.statSync(path.join(this.#folder, tableFileName)).size;
  }

  async close(): Promise<void> {
    if (this.#failure?.fault === 'closed') return;
    const last = this.write([]);
    // What failed was reported to those who wrote it.
    await last.catch(() => {});
    this.#failure = new DiskError('closed', 'the table is closed');
    await this.#database.close();
  }

  /** One transaction at a time, begun at the end of a turn; what comes meanwhile shares the next. */
  #schedule(): void {
    if (this.#scheduled || this.#committing !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#committing = this.#commit().finally(() => {
        this.#committing = undefined;
        if (this.#queue.length > 0) this.#schedule();
      });
    });
  }

  async #commit(): Promise<void> {
    const group = this.#takeGroup();
    try {
      await this.#database.batch(() => {
        for (const { changes } of group) {
          for (const { key, value } of changes) {
            if (value === undefined) void this.#database.remove(bufferOf(key));
            else void this.#database.put(bufferOf(key), bufferOf(value));
          }
        }
      });
    } catch (error) {
      this.#fail(await this.#diskErrorOf(error), group);
      return;
    }
    for (const { resolve } of group) resolve();
  }

  #takeGroup(): QueuedWrite[] {
    let sizeBytes = 0;
    let count = 0;
    for (const write of this.#queue) {
      if (count > 0 && sizeBytes + write.sizeBytes > transactionSizeBytesMax) break;
      sizeBytes += write.sizeBytes;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Later writes were made believing in earlier ones, so after a failure none is taken until the table is opened anew. */
  #fail(error: DiskError, group: readonly QueuedWrite[]): void {
    this.#failure ??= error;
    const failed = [...group, ...this.#queue.splice(0)];
    for (const { reject } of failed) reject(error);
  }

  async #diskErrorOf(error: unknown): Promise<DiskError> {
    let cause = error;
    if (error instanceof Error && 'commitError' in error) {
      cause = await Promise.resolve(error.commitError).catch((inner: unknown) => inner);
    }
    const action = `writing the table in ${this.#folder}`;
    const { bavail, bsize } = fs.statfsSync(this.#folder);
    if (bavail * bsize < freeSizeBytesMin) {
      return new DiskError('disk-full', `${action}: no space left`, cause);
    }
    return diskErrorOf(action, cause);
  }

  #checkOpen(): void {
    if (this.#failure?.fault === 'closed') throw this.#failure;
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw diskErrorOf(`reading the table in ${this.#folder}`, error);
    }
  }
}

/** Bytes of their own already: the library copies binary values out of its map, which later writes reuse. */
function bytesOf(buffer: Buffer): Bytes {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** A view, not a copy. */
function bufferOf(bytes: Bytes): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
