import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Disk } from '../../src/env/disk.ts';
import { systemEntropy } from '../../src/node/entropy.ts';
import { createJournal, openJournal } from '../../src/node/journal.ts';
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
  const journalOptions = () => ({
    folder: path.join(folder(), 'journal'),
    entropy: systemEntropy,
    segmentSizeBytes: 4096,
  });

  await mkdir(path.join(folder(), 'journal'), { recursive: true });
  await mkdir(path.join(folder(), 'table'));
  createJournal(journalOptions());
  await openTable({ folder: path.join(folder(), 'table'), create: true }).close();

  return {
    async open() {
      const opening = openJournal(journalOptions());
      if (opening.kind === 'damaged') throw new TypeError(JSON.stringify(opening.damage));
      const table = openTable({ folder: path.join(folder(), 'table') });
      current = { journal: opening.journal, table };
      return current;
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
