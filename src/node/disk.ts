import fs from 'node:fs';
import path from 'node:path';
import type { Clock } from '../env/clock.ts';
import type { Disk } from '../env/disk.ts';
import type { Entropy } from '../env/entropy.ts';
import type { DataFolder } from './data-folder.ts';
import { openJournal } from './journal.ts';
import type { JournalDamage } from './journal-segments.ts';
import { openTable } from './table.ts';
import { type TableDamage, tableDamage, tableFileName } from './table-format.ts';

export interface DiskDamage {
  readonly file: string;
  readonly reason: JournalDamage['reason'] | TableDamage;
}

export type DiskOpening =
  | { readonly kind: 'open'; readonly disk: Disk }
  | { readonly kind: 'damaged'; readonly damage: DiskDamage };

export interface DiskOptions {
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Size of the journal's files; 16 MiB unless given. */
  readonly segmentSizeBytes?: number;
}

/** How old the answer of `freeBytes` may be. */
const freeBytesAgeMsMax = 1_000;

/**
 * Opens what a data folder holds. Damage is a result, not an exception: the server may not go on with
 * such a disk, but can recover what it held from the others.
 * @throws DiskError when files cannot be read or written.
 */
export function openDisk(
  { journalFolder, tableFolder }: Pick<DataFolder, 'journalFolder' | 'tableFolder'>,
  { clock, ...journalOptions }: DiskOptions,
): DiskOpening {
  const reason = tableDamage(tableFolder);
  if (reason !== undefined) {
    return { kind: 'damaged', damage: { file: path.join(tableFolder, tableFileName), reason } };
  }
  const opening = openJournal({ folder: journalFolder, ...journalOptions });
  if (opening.kind === 'damaged') return opening;
  const table = openTable({ folder: tableFolder, isChecked: true });
  const freeBytes = freeBytesOf(tableFolder, clock);
  return { kind: 'open', disk: { journal: opening.journal, table, freeBytes } };
}

function freeBytesOf(folder: string, clock: Clock): () => number {
  let known = 0;
  let atMs = Number.NEGATIVE_INFINITY;
  return () => {
    if (clock.nowMs() - atMs < freeBytesAgeMsMax) return known;
    atMs = clock.nowMs();
    try {
      const { bavail, bsize } = fs.statfsSync(folder);
      known = bavail * bsize;
    } catch {
      // A disk that cannot even tell its size takes nothing more.
      known = 0;
    }
    return known;
  };
}
