// Writing files so that a crash leaves the old or the new one, never half of one; and secrets so that nobody else
// reads them.

import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { type FileHandle, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { makeFolder } from '../node/folders.ts';
import { reasonOf, systemCode } from './local-errors.ts';

const privateFileMode = 0o600;
const publicFileMode = 0o644;

export interface FileOptions {
  /** Readable by the owner only. */
  readonly isSecret?: boolean;
}

const modeOf = (options: FileOptions): number =>
  options.isSecret === true ? privateFileMode : publicFileMode;

/** A name beside `path`, for the time until its content is whole. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.part`);
}

/** Whether `name`, in the folder of `path`, is one that `temporaryName` gives for it. */
export function isTemporaryName(name: string, path: string): boolean {
  const start = `.${basename(path)}.`;
  return name.startsWith(start) && /^[0-9a-f]{12}\.part$/.test(name.slice(start.length));
}

/** Makes entries of a folder durable. File systems that cannot flush a folder need no flush. */
export async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle | undefined;
  try {
    folder = await open(path, constants.O_RDONLY);
    await folder.sync();
  } catch (error) {
    if (!['EINVAL', 'EISDIR', 'EPERM', 'EACCES'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await folder?.close();
  }
}

async function writeNew(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}

/** The error to show when `path` could not be written. A folder that is missing above it is named. */
export function writeError(path: string, error: unknown, cure: string): HoldfastError {
  const folder = dirname(path);
  const isMissing = systemCode(error) === 'ENOENT' && !existsSync(folder);
  const reason = isMissing ? `there is no folder ${folder}` : reasonOf(error);
  return new HoldfastError('usage', `cannot write ${path}: ${reason}`, {
    cure: isMissing ? `Make the folder first: mkdir -p ${folder}` : cure,
    details: { file: path },
    cause: error,
  });
}

function cannotWrite(path: string, error: unknown): HoldfastError {
  return writeError(path, error, 'Make room or permit writing there, or name another place.');
}

/** @throws HoldfastError `usage` when the file exists or cannot be written. */
export async function createFile(
  path: string,
  text: string,
  options: FileOptions = {},
): Promise<void> {
  try {
    await writeNew(path, text, modeOf(options));
    await syncFolder(dirname(path));
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw cannotWrite(path, error);
    throw new HoldfastError('usage', `${path} exists already and is not overwritten`, {
      cure: 'Name another place, or move the old file away first.',
      details: { file: path },
    });
  }
}

/** Replaces the file in one step. @throws HoldfastError `usage` when it cannot be written; the old one is then as it was. */
export async function replaceFile(
  path: string,
  text: string,
  options: FileOptions = {},
): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await writeNew(temporary, text, modeOf(options));
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw cannotWrite(path, error);
  }
}

/** Makes a folder, with its parents, that only its owner may enter. One that exists is left as it is. */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    makeFolder(path);
  } catch (error) {
    throw new HoldfastError('usage', `cannot make the folder ${path}: ${reasonOf(error)}`, {
      cure: 'Name another folder.',
      details: { file: path },
      cause: error,
    });
  }
}

/** Names in a folder, or undefined when there is no such folder. */
export async function namesIn(path: string): Promise<string[] | undefined> {
  try {
    return await readdir(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new HoldfastError('usage', `cannot read the folder ${path}: ${reasonOf(error)}`, {
      cure: 'Name another folder with --dir.',
      details: { file: path },
      cause: error,
    });
  }
}

export async function fileExists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** Refuses a secret that others on this machine can read. @throws HoldfastError `bad-configuration`. */
export async function requirePrivate(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || (found.mode & 0o077) === 0) return;
  const mode = (found.mode & 0o777).toString(8).padStart(3, '0');
  throw new HoldfastError(
    'bad-configuration',
    `${path} holds a secret but other users of this machine may read or change it (mode ${mode})`,
    { cure: `Run: chmod 600 ${path}`, details: { file: path, mode } },
  );
}
