import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Disk } from '../../src/env/disk.ts';
import { systemClock } from '../../src/node/clock.ts';
import { openDisk } from '../../src/node/disk.ts';
import { systemEntropy } from '../../src/node/entropy.ts';
import { createJournal } from '../../src/node/journal.ts';
import { openTable } from '../../src/node/table.ts';
import { type DiskHarness, diskCompliance } from './disk.ts';

// A crash is played by going on with a copy of the files as they are at that moment. That loses what the program still
// holds in memory, not what the operating system holds: for that, the power would have to be cut.
async function realDisk(): Promise<DiskHarness> {
  const root = await mkdtemp(path.join(tmpdir(), 'holdfast-disk-'));
  let generation = 0;
  const folder = (): string => path.join(root, `${generation}`);
  const abandoned: Disk[] = [];
  let current: Disk | undefined;
  const parts = () => ({
    journalFolder: path.join(folder(), 'journal'),
    tableFolder: path.join(folder(), 'table'),
  });
  // Small files, so that some tests begin new ones.
  const options = { clock: systemClock, entropy: systemEntropy, segmentSizeBytes: 4096 };

  const { journalFolder, tableFolder } = parts();
  await mkdir(journalFolder, { recursive: true });
  await mkdir(tableFolder);
  createJournal({ ...options, folder: journalFolder });
  await openTable({ folder: tableFolder, create: true }).close();

  return {
    async open() {
      const opening = openDisk(parts(), options);
      if (opening.kind === 'damaged') throw new TypeError(JSON.stringify(opening.damage));
      current = opening.disk;
      return opening.disk;
    },
    async crash() {
      const from = folder();
      generation++;
      cpSync(from, folder(), { recursive: true });
      if (current !== undefined) abandoned.push(current);
    },
    async dispose() {
      const disks = current === undefined ? abandoned : [...abandoned, current];
      for (const { journal, table } of disks) {
        await journal.close();
        await table.close();
      }
      await rm(root, { recursive: true });
    },
  };
}

diskCompliance('files and LMDB', realDisk);
