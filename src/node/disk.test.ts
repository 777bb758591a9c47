import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createDataFolder, type DataFolder, openDataFolder } from './data-folder.ts';
import { openDisk } from './disk.ts';
import { systemEntropy } from './entropy.ts';

const owner = { serverId: 's', systemId: 'y' };
let root: string;
let folder: DataFolder;
let nowMs = 0;
const options = { clock: { nowMs: () => nowMs }, entropy: systemEntropy };

beforeEach(async () => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-disk-'));
  await createDataFolder(root, owner);
  folder = await openDataFolder(root, owner);
});
afterEach(async () => {
  await folder.release();
  fs.rmSync(root, { recursive: true });
});

test('opens what a created folder holds', async () => {
  const opening = openDisk(folder, options);
  if (opening.kind !== 'open') throw new TypeError(opening.damage.reason);
  const { journal, table, freeBytes } = opening.disk;
  expect([...journal.recover()]).toEqual([]);
  expect(freeBytes()).toBeGreaterThan(0);
  const known = freeBytes();
  fs.writeFileSync(path.join(root, 'filler'), new Uint8Array(8 * 1024 * 1024));
  expect(freeBytes()).toBe(known);
  await journal.close();
  await table.close();
  fs.rmSync(folder.tableFolder, { recursive: true });
  nowMs += 60_000;
  // A disk that cannot be asked has no room.
  expect(freeBytes()).toBe(0);
});

test('damage to either part is a result with the place and the reason', () => {
  const table = path.join(folder.tableFolder, 'data.mdb');
  const contents = fs.readFileSync(table);
  fs.rmSync(table);
  expect(openDisk(folder, options)).toEqual({
    kind: 'damaged',
    damage: { file: table, reason: 'table-missing' },
  });
  fs.writeFileSync(table, contents);
  for (const name of fs.readdirSync(folder.journalFolder)) {
    fs.truncateSync(path.join(folder.journalFolder, name), 5);
  }
  expect(openDisk(folder, options)).toMatchObject({
    kind: 'damaged',
    damage: { reason: 'bad-header' },
  });
});
