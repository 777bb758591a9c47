// A node's disk: what is on the medium, how well it works, and one incarnation's hold on it.

import { HoldfastError } from '../../src/base/errors.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Disk, TableEntry } from '../../src/env/disk.ts';
import { type JournalContent, JournalImage, SimulatedJournal } from './journal.ts';
import type { Life } from './life.ts';
import { SimulatedTable, TableImage } from './table.ts';

export interface Latency {
  readonly lowUs: number;
  readonly highUs: number;
}

/** How well a disk works; may be changed at any time. */
export class DiskConditions {
  /** Of a sync or a write. */
  latency: Latency = { lowUs: 50, highUs: 300 };
  /** Now and then one takes so long; in `stallOneIn` of them, 0 for never. */
  stall: Latency = { lowUs: 100_000, highUs: 2_000_000 };
  stallOneIn = 0;
  /** Every sync and write is refused. */
  failing = false;
  /** What journal and table may each take before further syncs and writes are refused. */
  sizeBytesMax = Number.POSITIVE_INFINITY;
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** Back to a disk that works. */
  heal(): void {
    this.failing = false;
    this.sizeBytesMax = Number.POSITIVE_INFINITY;
    this.stallOneIn = 0;
  }

  drawLatencyUs(): number {
    const stalls = this.stallOneIn > 0 && this.#prng.chance(1, this.stallOneIn);
    const { lowUs, highUs } = stalls ? this.stall : this.latency;
    return this.#prng.between(lowUs, highUs);
  }

  /** Whether readers see a write before it is durable: both happen. */
  drawVisible(): boolean {
    return this.#prng.chance(1, 2);
  }

  /** Why a sync or write fails now, if it does. */
  refusal(sizeBytes: number): HoldfastError | undefined {
    if (this.failing) return new HoldfastError('data-folder', 'the disk fails');
    if (sizeBytes > this.sizeBytesMax) return new HoldfastError('data-folder', 'the disk is full');
    return undefined;
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
    this.conditions = new DiskConditions(prng.fork());
  }

  /** What an incarnation works with until it dies. */
  mount(life: Life): SimulatedDisk {
    return {
      journal: new SimulatedJournal(life, this.journal, this.conditions),
      table: new SimulatedTable(life, this.table, this.conditions),
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

  wipe(): void {
    this.restore({ journal: { records: [], trimmed: [], nextPosition: 1 }, table: [] });
  }

  damageJournal(): boolean {
    return this.journal.damage(this.#prng);
  }

  damageTableValue(): boolean {
    return this.table.damage(this.#prng, false);
  }

  damageTableKey(): boolean {
    return this.table.damage(this.#prng, true);
  }
}

export interface SimulatedDisk extends Disk {
  readonly journal: SimulatedJournal;
  readonly table: SimulatedTable;
}
