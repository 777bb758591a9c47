// A data folder belongs to one server of one system and is worked on by one process. FORMAT says whose it is:
//
//   FORMAT      who owns the folder, and the version of its format
//   journal/    see journal-format.ts
//   table/      an LMDB database
//   damaged-1/  what `moveAside` put away
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { HoldfastError } from '../base/errors.ts';
import { systemEntropy } from './entropy.ts';
import { isLockName, lockFolder } from './folder-lock.ts';
import { makeFolder } from './folders.ts';
import { createJournal } from './journal.ts';
import { openTable } from './table.ts';

/** Raised when a folder written by this version could not be read by an earlier one. */
const formatVersion = 1;
const formatName = 'FORMAT';
const ownNames = new Set([formatName, `${formatName}.new`, 'journal', 'table']);
const damagedName = /^damaged-(\d+)$/;

const formatSchema = z.object({
  format: z.literal('holdfast-data'),
  version: z.int().positive(),
  serverId: z.string(),
  systemId: z.string(),
});

/** How messages speak of the owner of a data folder. */
interface OwnerWords {
  readonly owner: string;
  /** What the owner is part of. */
  readonly whole: string;
  /** What to do about a folder that is wiped or damaged, as a sentence. */
  readonly lostCure: string;
  /** The same about one that is empty or not there, which perhaps was never made; `lostCure` unless given. */
  readonly absentCure?: string;
  /** What to do about one that is not this owner's, as a sentence. */
  readonly otherCure: string;
  /** What to do about one that another process works in, as a sentence, where that is no second folder. */
  readonly heldCure?: string;
}

/** Whose a data folder is. */
export interface DataFolderOwner {
  readonly serverId: string;
  readonly systemId: string;
  /** Those of a server of the storage system unless given. */
  readonly words?: OwnerWords;
}

/** A data folder held by this process. */
export interface DataFolder {
  readonly journalFolder: string;
  readonly tableFolder: string;
  /** Lets other processes have the folder; call it when journal and table are closed. */
  release(): Promise<void>;
}

const serverWords: OwnerWords = {
  owner: 'server',
  whole: 'system',
  lostCure:
    'If this server ran before, start it once with `holdfast server --config FILE --recover`, which fetches its data from the other servers; if the folder is elsewhere, correct the path.',
  otherCure: 'Correct the path of the data folder: every server needs one of its own.',
};

/**
 * Makes an empty data folder. Only the explicit creation of a server does this: an empty folder found later is a wiped
 * one.
 * @throws HoldfastError 'data-folder' when the folder already holds something.
 */
export async function createDataFolder(folder: string, owner: DataFolderOwner): Promise<void> {
  makeFolder(folder);
  const lock = await lockFolder(folder);
  try {
    const present = contentsOf(folder);
    if (present.length > 0) {
      const names = present.slice(0, 5).join(', ');
      throw new HoldfastError('data-folder', `the data folder ${folder} is not empty: ${names}`, {
        cure: 'Choose another folder, or remove its contents if they are not needed.',
      });
    }
    const { journalFolder, tableFolder } = partsOf(folder);
    fs.mkdirSync(journalFolder, { mode: 0o700 });
    fs.mkdirSync(tableFolder, { mode: 0o700 });
    createJournal({ folder: journalFolder, entropy: systemEntropy });
    await openTable({ folder: tableFolder, create: true }).close();
    // Last, so that what has it is whole.
    const { serverId, systemId } = owner;
    const format = { format: 'holdfast-data', version: formatVersion, serverId, systemId };
    writeDurably(folder, formatName, `${JSON.stringify(format, undefined, 2)}\n`);
  } finally {
    await lock.release();
  }
}

/**
 * Takes the data folder of a server that ran before.
 * @throws HoldfastError 'data-folder', with a cure, when it is missing, wiped, damaged, another server's, of a newer
 * format, or in use; `details.lost` is true where recovering from the others is the cure.
 */
export async function openDataFolder(
  folder: string,
  expected: DataFolderOwner,
): Promise<DataFolder> {
  if (!fs.existsSync(folder)) throw absent(folder, 'does not exist', expected);
  const lock = await lockFolder(folder, expected.words?.heldCure).catch((error: unknown) => {
    // Its owner runs, perhaps: that it is another one than this says more than that it does.
    throw ownedByOther(folder, expected) ?? error;
  });
  try {
    checkFormat(folder, expected);
    return { ...partsOf(folder), release: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Puts what is in the folder into a subfolder `damaged-<n>`, so that it can be created anew and nothing is destroyed.
 * @returns the subfolder's path, or undefined when there was nothing to move.
 * @throws HoldfastError 'data-folder' when the folder is in use.
 */
export async function moveAside(folder: string): Promise<string | undefined> {
  if (!fs.existsSync(folder)) return undefined;
  const lock = await lockFolder(folder);
  try {
    const present = contentsOf(folder);
    if (present.length === 0) return undefined;
    const numbers = fs.readdirSync(folder).map((name) => Number(damagedName.exec(name)?.[1] ?? 0));
    const target = path.join(folder, `damaged-${Math.max(...numbers) + 1}`);
    fs.mkdirSync(target, { mode: 0o700 });
    // FORMAT first: what is left without it cannot be mistaken for a whole folder.
    const others = present.filter((name) => name !== formatName);
    for (const name of others.length < present.length ? [formatName, ...others] : others) {
      fs.renameSync(path.join(folder, name), path.join(target, name));
    }
    syncPath(folder);
    return target;
  } finally {
    await lock.release();
  }
}

function checkFormat(folder: string, expected: DataFolderOwner): void {
  const present = contentsOf(folder);
  if (present.length === 0) throw absent(folder, 'is empty', expected);
  if (!present.includes(formatName)) {
    const foreign = present.filter((name) => !ownNames.has(name));
    if (foreign.length > 0) throw notOurs(folder, foreign, expected);
    throw wiped(folder, `has no file ${formatName}`, expected);
  }
  const format = readFormat(folder, expected);
  if (format.version > formatVersion) {
    throw new HoldfastError(
      'data-folder',
      `the data folder ${folder} has format ${format.version}; this version of holdfast knows formats up to ${formatVersion}`,
      { cure: 'Run the version of holdfast that wrote it, or a newer one.', details: format },
    );
  }
  const other = otherOwner(folder, format, expected);
  if (other !== undefined) throw other;
}

/** In what it says of its owner, what is not as expected. */
function otherOwner(
  folder: string,
  format: z.infer<typeof formatSchema>,
  expected: DataFolderOwner,
): HoldfastError | undefined {
  const { owner, whole, otherCure } = expected.words ?? serverWords;
  for (const [key, word] of [
    ['systemId', whole],
    ['serverId', owner],
  ] as const) {
    if (format[key] === expected[key]) continue;
    return new HoldfastError(
      'data-folder',
      `the data folder ${folder} belongs to ${word} ${format[key]}, not to ${word} ${expected[key]}`,
      { cure: otherCure, details: format },
    );
  }
  return undefined;
}

/** The same of a folder that another process works in: undefined as well where that cannot be told. */
function ownedByOther(folder: string, expected: DataFolderOwner): HoldfastError | undefined {
  try {
    return otherOwner(folder, readFormat(folder, expected), expected);
  } catch {
    return undefined;
  }
}

function readFormat(folder: string, { words }: DataFolderOwner): z.infer<typeof formatSchema> {
  const file = path.join(folder, formatName);
  try {
    return formatSchema.parse(JSON.parse(fs.readFileSync(file, 'utf8')));
  } catch (error) {
    throw new HoldfastError('data-folder', `the file ${file} is damaged`, {
      cure: (words ?? serverWords).lostCure,
      details: { lost: true },
      cause: error,
    });
  }
}

/** A wrong path: nothing here may be moved or replaced. */
function notOurs(
  folder: string,
  names: readonly string[],
  { words }: DataFolderOwner,
): HoldfastError {
  const { owner, otherCure } = words ?? serverWords;
  const shown = names.slice(0, 5).join(', ');
  return new HoldfastError(
    'data-folder',
    `the folder ${folder} holds other things (${shown}) and no data of a ${owner}`,
    { cure: otherCure },
  );
}

/** Wiped, or never made: nothing here tells which. */
function absent(
  folder: string,
  what: string,
  { words, ...expected }: DataFolderOwner,
): HoldfastError {
  const { absentCure, ...others } = words ?? serverWords;
  const lostCure = absentCure ?? others.lostCure;
  return wiped(folder, what, { ...expected, words: { ...others, lostCure } });
}

/** An owner that forgot what it promised must not answer as if it had promised nothing. */
function wiped(folder: string, what: string, { words }: DataFolderOwner): HoldfastError {
  const { owner, lostCure } = words ?? serverWords;
  return new HoldfastError(
    'data-folder',
    `the data folder ${folder} ${what}. A ${owner} whose disk was wiped must not rejoin silently: it has forgotten its votes`,
    { cure: lostCure, details: { lost: true } },
  );
}

function contentsOf(folder: string): string[] {
  return fs
    .readdirSync(folder)
    .filter((name) => !isLockName(name) && !damagedName.test(name) && name !== 'lost+found');
}

function partsOf(folder: string): { journalFolder: string; tableFolder: string } {
  return { journalFolder: path.join(folder, 'journal'), tableFolder: path.join(folder, 'table') };
}

function writeDurably(folder: string, name: string, text: string): void {
  const file = path.join(folder, name);
  fs.writeFileSync(`${file}.new`, text, { mode: 0o600 });
  syncPath(`${file}.new`);
  fs.renameSync(`${file}.new`, file);
  syncPath(folder);
}

function syncPath(target: string): void {
  const descriptor = fs.openSync(target, 'r');
  try {
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}
