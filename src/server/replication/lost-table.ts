// A table that cannot be opened any more, over a journal that can. The journal has all that the member has promised, and
// the table only its state, which the others have too: an empty one takes its place.

import fs from 'node:fs';
import path from 'node:path';
import type { DataFolder } from '../../node/data-folder.ts';
import { openTable } from '../../node/table.ts';
import { markTable } from '../../replication/replica-disk.ts';
import type { PlacedGroup } from './group.ts';

const damagedName = /^damaged-(\d+)$/;

/**
 * Puts the table into a subfolder `damaged-<n>` and an empty one in its place. A crash midway leaves a folder without a
 * table, for which this is done again. @returns the subfolder.
 */
export async function renewTable(
  { tableFolder }: Pick<DataFolder, 'tableFolder'>,
  group: PlacedGroup,
  index: number,
): Promise<string> {
  const folder = path.dirname(tableFolder);
  // Without a dot: the library would take that for a file.
  const made = `${tableFolder}-new`;
  fs.rmSync(made, { recursive: true, force: true });
  fs.mkdirSync(made, { mode: 0o700 });
  const table = openTable({ folder: made, create: true });
  await markTable(table, group, index);
  await table.close();
  const numbers = fs.readdirSync(folder).map((name) => Number(damagedName.exec(name)?.[1] ?? 0));
  const aside = path.join(folder, `damaged-${Math.max(0, ...numbers) + 1}`);
  fs.mkdirSync(aside, { mode: 0o700 });
  if (fs.existsSync(tableFolder)) {
    fs.renameSync(tableFolder, path.join(aside, path.basename(tableFolder)));
  }
  fs.renameSync(made, tableFolder);
  for (const each of [aside, folder]) syncFolder(each);
  return aside;
}

function syncFolder(folder: string): void {
  const descriptor = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
