// A node's disk: what is on the medium, how well it works, and one incarnation's hold on it.

import type { Prng } from '../../src/base/prng.ts';
import type { Disk, TableEntry } from '../../src/env/disk.ts';
import { DiskError } from '../../src/node/disk-error.ts';
import type { JournalDamage } from '../../src/node/journal-segments.ts';
import { type JournalContent, JournalImage, SimulatedJournal } from './journal.ts';
import type { Life } from './life.ts';
import { SimulatedTable, TableImage } from './table.ts';

export interface Latency {
  readonly lowUs: number;
  readonly highUs: number;
}

export type DiskHalf = 'journal' | 'table';

/** One half of a disk that is behind the other: one in so many of its syncs or writes takes so much longer. */
export interface DiskLag {
  readonly half: DiskHalf;
  readonly delay: Latency;
  readonly oneIn: number;
}

const capacityBytes = 2 ** 40;

/** How well a disk works; may be changed at any time. */
export class DiskConditions {
  /** Of a sync or a write. */
  latency: Latency = { lowUs: 50, highUs: 300 };
  /** Now and then one takes so long; in `stallOneIn` of them, 0 for never. */
  stall: Latency = { lowUs: 100_000, highUs: 2_000_000 };
  stallOneIn = 0;
  /** What is saved before the other half has what was written before it. */
  lag: DiskLag | undefined;
  /** Every sync and write is refused. */
  failing = false;
  /** What journal and table may take together before further syncs and writes are refused. */
  sizeBytesMax = capacityBytes;
  readonly #prng: Prng;
  readonly #usedBytes: () => number;

  constructor(prng: Prng, usedBytes: () => number) {
    this.#prng = prng;
    this.#usedBytes = usedBytes;
  }

  /** Back to a disk that works. */
  heal(): void {
    this.failing = false;
    this.sizeBytesMax = capacityBytes;
    this.stallOneIn = 0;
    this.lag = undefined;
  }

  drawLatencyUs(half: DiskHalf): number {
    const stalls = this.stallOneIn > 0 && this.#prng.chance(1, this.stallOneIn);
    const { lowUs, highUs } = stalls ? this.stall : this.latency;
    return this.#prng.between(lowUs, highUs) + this.#drawLagUs(half);
  }

  #drawLagUs(half: DiskHalf): number {
    if (this.lag?.half !== half || !this.#prng.chance(1, this.lag.oneIn)) return 0;
    return this.#prng.between(this.lag.delay.lowUs, this.lag.delay.highUs);
  }

  /** Whether readers see a write before it is durable: both happen. */
  drawVisible(): boolean {
    return this.#prng.chance(1, 2);
  }

  /** Why a sync or write fails now, if it does. */
  refusal(): DiskError | undefined {
    if (this.failing) return new DiskError('disk-failed', 'the disk fails');
    if (this.freeBytes() === 0) return new DiskError('disk-full', 'the disk is full');
    return undefined;
  }

  freeBytes(): number {
    return Math.max(0, this.sizeBytesMax - this.#usedBytes());
  }
}

/** A copy of what is durable on a disk. */
export interface DiskSnapshot {
  readonly journal: JournalContent;
  readonly table: readonly TableEntry[];
}

/** The medium. Change its content by hand only while its node is down. */
export class DiskImage {
  readonly conditions: DiskConditions;
  readonly journal = new JournalImage();
  readonly table = new TableImage();
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
    this.conditions = new DiskConditions(
      prng.fork(),
      () => this.journal.sizeBytes + this.table.sizeBytes,
    );
  }

  /** What an incarnation works with until it dies. */
  mount(life: Life): SimulatedDisk {
    return {
      journalDamage: this.journal.damage(),
      journal: new SimulatedJournal(life, this.journal, this.conditions),
      table: new SimulatedTable(life, this.table, this.conditions),
      freeBytes: () => this.conditions.freeBytes(),
    };
  }

  /** Loses what was not durable, or a part of it. */
  crash(): void {
    this.journal.crash(this.#prng);
    this.table.crash(this.#prng);
  }

  snapshot(): DiskSnapshot {
    return { journal: this.journal.content(), table: this.table.content() };
  }

  /** An old copy of the disk comes back in its place. */
  restore(snapshot: DiskSnapshot): void {
    this.journal.restore(snapshot.journal);
    this.table.restore(snapshot.table);
  }

  /** Everything is gone, the journal itself included: `journalDamage` says so until `create`. */
  wipe(): void {
    this.journal.remove();
    this.table.restore([]);
  }

  /** An empty disk for a node that is made anew; a new image is one already. */
  create(): void {
    this.journal.create();
    this.table.restore([]);
  }

  /** Makes a durable journal record unreadable. False if there is none. */
  damageJournal(): boolean {
    return this.journal.spoil(this.#prng);
  }

  /** Flips bits in a value. Nothing but the value itself can show it. False if the table is empty. */
  damageTableValue(): boolean {
    return this.table.damage(this.#prng, false);
  }

  /** Flips a bit in a key, so that its value stands under another one. False if the table is empty. */
  damageTableKey(): boolean {
    return this.table.damage(this.#prng, true);
  }
}

export interface SimulatedDisk extends Disk {
  /** Found when the disk was mounted: its journal throws then, as none would be had from a real one. */
  readonly journalDamage: JournalDamage | undefined;
  readonly journal: SimulatedJournal;
  readonly table: SimulatedTable;
}
