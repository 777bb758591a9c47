// What a replica keeps on its disks. The journal holds the engine's records; the table holds the newest checkpoint and
// the mark that this disk was made for this replica. A disk without the mark never becomes a replica by itself: one that
// was wiped has forgotten its promises and must not look like one that never made any.
// Of the journal's records the first byte says the kind; replica-disk-format.ts has the layout of the table.

import { type Bytes, concatBytes, uint64Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import type { Change, Disk, Position, Table, TableEntry } from '../env/disk.ts';
import type {
  CheckpointSave,
  PageChange,
  Region,
  ReplicaGroup,
  Restored,
  SavedCheckpoint,
} from './contract.ts';
import { regions } from './page-tree.ts';
import {
  type CheckpointRecord,
  decodeCheckpoint,
  formatRecord,
  type Keys,
  keysOf,
  lost,
  pageKey,
  placeOf,
  readFormat,
  sealedTwice,
  uint64At,
  unseal,
} from './replica-disk-format.ts';

/** Bytes of pages that one write to the table takes. */
const writeSizeBytesMax = 4 * 1024 * 1024;
const readEntries = 1000;
const recordKinds = {
  record: 0,
  compactedBegin: 1,
  compactedPart: 2,
  compactedEnd: 3,
  head: 4,
  /** As `head`, in the place of a lost disk: the table says so too, but may be lost before the engine has said it. */
  headOfLost: 5,
} as const;
/** Pages that do not fit in memory twice may come one by one. */
type SavedChanges = Omit<CheckpointSave, 'changes'> & { readonly changes: Iterable<PageChange> };

const noBytes = new Uint8Array(0);
const nothingSaved = {
  sequence: 0,
  root: new Uint8Array(hashSizeBytes),
  notes: noBytes,
  pages: [],
};

export interface NewReplica {
  /** The member had another disk, which is lost with all that it promised. */
  readonly isDiskLost?: boolean;
  /** What the instance begins with, if that is not nothing. Without it the member fetches it from the others. */
  readonly pages?: Iterable<PageChange> | undefined;
}

/**
 * Makes an empty disk the disk of member `self`. Done once, when the group is created or the member joins it.
 * @throws HoldfastError when the disk is a replica's of this group already.
 */
export async function createReplica(
  disk: Disk,
  group: ReplicaGroup,
  self: number,
  { isDiskLost = false, pages }: NewReplica = {},
): Promise<void> {
  const keys = keysOf(group.instance);
  if (disk.table.get(keys.format) !== undefined) {
    throw new HoldfastError(
      'data-folder',
      'this data folder holds a replica of the group already',
      {
        cure: 'Start it, or choose another folder.',
      },
    );
  }
  if (pages !== undefined && group.genesis !== undefined) {
    await new ReplicaDisk(disk, keys).inherit(group.genesis, pages);
  }
  // Last: without it this is nobody's disk.
  await disk.table.write([formatRecord(keys, self, isDiskLost ? 'diskLost' : 'created')]);
}

/**
 * Makes an empty table that of member `self`, which has started before: its table is lost, but its journal is whole. What
 * it keeps in the table it then fetches from the others.
 */
export async function markTable(table: Table, group: ReplicaGroup, self: number): Promise<void> {
  await table.write([formatRecord(keysOf(group.instance), self, 'tableLost')]);
}

export class ReplicaDisk {
  readonly #disk: Disk;
  readonly #keys: Keys;
  /** Version of each page in the checkpoint, by place. */
  readonly #versions = new Map<number, number>();
  #version = 0;
  #lastPosition: Position | undefined;
  /** The last record that is known to be durable; 0 for none. */
  #durablePosition: Position = 0;
  /** Records that a compaction made needless: they go when it is durable. */
  #trimUpTo: Position | undefined;
  /** The journal began in the place of a lost one. */
  #isInLostPlace = false;

  constructor(disk: Disk, keys: Keys) {
    this.#disk = disk;
    this.#keys = keys;
  }

  /** Whether the replica has ever run on this disk. @throws HoldfastError when it was not created for this member. */
  static hasStarted(disk: Disk, group: ReplicaGroup, self: number): boolean {
    return readFormat(disk, keysOf(group.instance), self) !== 'created';
  }

  /**
   * @returns the disk and what it holds: undefined on the first start.
   * @throws HoldfastError when the disk was not created for this member, or has lost what it held.
   */
  static async open(
    disk: Disk,
    group: ReplicaGroup,
    self: number,
  ): Promise<{ disk: ReplicaDisk; restored: Restored | undefined }> {
    const keys = keysOf(group.instance);
    const past = readFormat(disk, keys, self);
    const opened = new ReplicaDisk(disk, keys);
    if (past === 'created') {
      for (const { position } of disk.journal.recover()) opened.#lastPosition = position;
      opened.#append(recordKinds.head, group.instance);
      await disk.journal.sync();
      await disk.table.write([formatRecord(keys, self, 'started')]);
      return { disk: opened, restored: await opened.#inherited() };
    }
    let records = opened.#recover();
    if (records === undefined && past === 'diskLost') {
      // The first start, or this disk has lost its journal as well: there is no more to forget.
      opened.#append(recordKinds.headOfLost, group.instance);
      await disk.journal.sync();
      records = [];
    }
    if (records === undefined) throw lost('its journal is gone');
    opened.#durablePosition = opened.#lastPosition ?? 0;
    const found = new Set<string>();
    const checkpoint = await opened.#readCheckpoint(found);
    if (past === 'tableLost') {
      if (checkpoint === undefined) found.add('disk-table-lost');
      else await disk.table.write([formatRecord(keys, self, 'started')]);
    }
    const hasForgotten = past === 'diskLost' || opened.#isInLostPlace;
    return { disk: opened, restored: { checkpoint, records, damage: [...found], hasForgotten } };
  }

  /** Saves what the instance begins with as checkpoint 0. */
  inherit(root: Bytes, changes: Iterable<PageChange>): Promise<void> {
    return this.save({ sequence: 0, root, notes: noBytes, changes, isWhole: true });
  }

  async #inherited(): Promise<Restored | undefined> {
    const found = new Set<string>();
    const checkpoint = await this.#readCheckpoint(found);
    if (checkpoint === undefined) return undefined;
    return { checkpoint, records: [], damage: [...found], isFirstStart: true };
  }

  /** `compact` takes the place of all earlier records; `records` follow. Nothing is durable before `sync`. */
  append(compact: readonly Bytes[] | undefined, records: readonly Bytes[]): void {
    if (compact !== undefined) {
      const before = this.#lastPosition;
      this.#append(recordKinds.compactedBegin, noBytes);
      for (const record of compact) this.#append(recordKinds.compactedPart, record);
      this.#append(recordKinds.compactedEnd, noBytes);
      this.#trimUpTo = before;
    }
    for (const record of records) this.#append(recordKinds.record, record);
  }

  /** Resolves when all that was appended before the call is durable. Rejects if the disk fails. */
  async sync(): Promise<void> {
    const trimUpTo = this.#trimUpTo;
    const last = this.#lastPosition ?? 0;
    await this.#disk.journal.sync();
    this.#durablePosition = Math.max(this.#durablePosition, last);
    if (trimUpTo === undefined) return;
    this.#disk.journal.trim(trimUpTo);
    if (this.#trimUpTo === trimUpTo) this.#trimUpTo = undefined;
  }

  /**
   * Saves a checkpoint; saves run one after the other. A crash midway leaves the one before whole: pages are written
   * beside those that they replace, and the last write names the new checkpoint and takes the replaced ones away.
   */
  async save({ sequence, root, notes, changes, isWhole }: SavedChanges): Promise<void> {
    this.#version += 1;
    const version = this.#version;
    const replaced: Change[] = [];
    const retire = (place: number): void => {
      const old = this.#versions.get(place);
      if (old === undefined) return;
      replaced.push({ key: pageKey(this.#keys, place, old), value: undefined });
      this.#versions.delete(place);
    };
    if (isWhole) for (const place of [...this.#versions.keys()]) retire(place);
    let batch: Change[] = [];
    let sizeBytes = 0;
    for (const change of changes) {
      const place = placeOf(change);
      retire(place);
      if (change.bytes === undefined) continue;
      this.#versions.set(place, version);
      batch.push({ key: pageKey(this.#keys, place, version), value: change.bytes });
      sizeBytes += change.bytes.length;
      if (sizeBytes < writeSizeBytesMax) continue;
      await this.#disk.table.write(batch);
      batch = [];
      sizeBytes = 0;
    }
    const place = uint64Bytes(this.#durablePosition);
    const body = concatBytes(uint64Bytes(version), uint64Bytes(sequence), place, root, notes);
    await this.#disk.table.write([...batch, ...replaced, ...sealedTwice(this.#keys, body)]);
  }

  /**
   * The saved checkpoint as the disk gives it now; none of it if its record is damaged. Its pages are read as they are
   * iterated, once. Nothing may be saved from now until they have been, to the end or until `return`.
   * @param onRead told when they have.
   */
  reload(onRead: () => void): SavedCheckpoint {
    const record = this.#checkpointRecord(new Set());
    const { sequence, root, notes } = record ?? nothingSaved;
    const places = record === undefined ? [] : this.#versions;
    return { sequence, root, notes, pages: this.#read(places[Symbol.iterator](), onRead) };
  }

  #read(
    places: Iterator<readonly [place: number, version: number]>,
    onRead: () => void,
  ): IterableIterator<PageChange> {
    let isOver = false;
    const end = (): IteratorReturnResult<undefined> => {
      if (!isOver) onRead();
      isOver = true;
      return { done: true, value: undefined };
    };
    return {
      [Symbol.iterator]() {
        return this;
      },
      next: () => {
        const place = isOver ? undefined : places.next();
        if (place === undefined || place.done === true) return end();
        const [number, version] = place.value;
        const bytes = this.#disk.table.get(pageKey(this.#keys, number, version));
        const region = regions[Math.floor(number / 2 ** 32)] as Region;
        return { done: false, value: { region, page: number % 2 ** 32, bytes } };
      },
      return: end,
    };
  }

  #append(kind: number, record: Bytes): void {
    const framed = new Uint8Array(1 + record.length);
    framed[0] = kind;
    framed.set(record, 1);
    this.#lastPosition = this.#disk.journal.append(framed);
  }

  /** The engine's records that count; undefined when there is not even the journal's first one. */
  #recover(): Bytes[] | undefined {
    let records: Bytes[] | undefined;
    let parts: Bytes[] = [];
    for (const { position, bytes } of this.#disk.journal.recover()) {
      this.#lastPosition = position;
      const body = bytes.subarray(1);
      // Trimmed records may come back after a crash: what a complete compaction replaced does not count.
      if (bytes[0] === recordKinds.compactedEnd) {
        records = parts;
        parts = [];
      } else if (bytes[0] === recordKinds.compactedBegin) {
        // What is left of one that a crash cut short does not belong to this one.
        parts = [];
      } else if (bytes[0] === recordKinds.compactedPart) {
        parts.push(body);
      } else {
        records ??= [];
        if (bytes[0] === recordKinds.headOfLost) this.#isInLostPlace = true;
        if (bytes[0] === recordKinds.record) records.push(body);
      }
    }
    return records;
  }

  /** The newest record of a checkpoint that is as it was written. @param found gets to know of others. */
  #checkpointRecord(found: Set<string>): CheckpointRecord | undefined {
    let newest: CheckpointRecord | undefined;
    for (const key of this.#keys.checkpoints) {
      const sealed = this.#disk.table.get(key);
      const body = sealed === undefined ? undefined : unseal(key, sealed);
      const record = body === undefined ? undefined : decodeCheckpoint(body);
      if (sealed !== undefined && record === undefined) found.add('disk-checkpoint-damaged');
      if (record !== undefined && record.version > (newest?.version ?? -1)) newest = record;
    }
    return newest;
  }

  async #readCheckpoint(found: Set<string>): Promise<Restored['checkpoint']> {
    const record = this.#checkpointRecord(found);
    if (record === undefined && found.size > 0)
      throw lost('the record of its checkpoint is damaged');
    this.#version = record?.version ?? 0;
    // What was durable when the table was written: an older copy of the journal has forgotten votes.
    if (record !== undefined && this.#durablePosition < record.durablePosition) {
      throw lost('its journal is older than its checkpoint');
    }
    const { pages, needless } = this.#readPages(found);
    // They go before their version is used again.
    if (needless.length > 0) await this.#disk.table.write(needless);
    if (record === undefined) return undefined;
    const { sequence, root, notes, body } = record;
    if (found.has('disk-checkpoint-damaged')) {
      await this.#disk.table.write(sealedTwice(this.#keys, body));
    }
    return { sequence, root, notes, pages };
  }

  /** The pages of the checkpoint, and what is to be deleted: what a save left that a crash cut short, and misfits. */
  #readPages(found: Set<string>): { pages: PageChange[]; needless: Change[] } {
    const pages = new Map<number, PageChange>();
    const needless: Change[] = [];
    for (const entry of this.#pageEntries()) {
      const place = uint64At(entry.key, this.#keys.pages.length);
      const version = uint64At(entry.key, this.#keys.pages.length + 8);
      const region = regions[Math.floor(place / 2 ** 32)];
      const known = this.#versions.get(place);
      if (version > this.#version) {
        needless.push({ key: entry.key, value: undefined });
      } else if (region === undefined) {
        found.add('disk-page-misplaced');
        needless.push({ key: entry.key, value: undefined });
      } else {
        // Versions of one place ascend. A save takes the one before away.
        if (known !== undefined) {
          found.add('disk-page-twice');
          needless.push({ key: pageKey(this.#keys, place, known), value: undefined });
        }
        this.#versions.set(place, version);
        pages.set(place, { region, page: place % 2 ** 32, bytes: entry.value });
      }
    }
    return { pages: [...pages.values()], needless };
  }

  *#pageEntries(): Generator<TableEntry> {
    const { pages, afterPages } = this.#keys;
    const keySizeBytes = pages.length + 16;
    for (let from = pages; ; ) {
      const entries = this.#disk.table.range({ from, to: afterPages, limit: readEntries });
      for (const entry of entries) if (entry.key.length === keySizeBytes) yield entry;
      const last = entries.at(-1);
      if (last === undefined || entries.length < readEntries) return;
      from = concatBytes(last.key, Uint8Array.of(0));
    }
  }
}
