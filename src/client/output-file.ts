// Saving what was fetched so that the name appears only with the whole content behind it.

import { unlinkSync } from 'node:fs';
import { chmod, type FileHandle, open, realpath, rename, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { HoldfastError } from '../base/errors.ts';
import { syncFolder, temporaryName } from '../server/files.ts';
import { reasonOf, systemCode } from '../server/local-errors.ts';
import type { Content } from './contract.ts';

function cannotWrite(path: string, error: unknown): HoldfastError {
  return new HoldfastError('usage', `cannot write ${path}: ${reasonOf(error)}`, {
    cure: 'Make room or permit writing there, or name another file with -o.',
    details: { file: path },
    cause: error,
  });
}

/** Runs a step of our own on the file system; errors of the content itself pass by outside. */
async function step<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

async function writeAll(file: FileHandle, path: string, content: Content): Promise<void> {
  let written = 0;
  for await (const chunk of content.chunks) {
    await step(path, () => file.writeFile(chunk));
    written += chunk.length;
  }
  if (written === content.bytes) return;
  throw new HoldfastError(
    'verification-failed',
    `${written} bytes arrived of content that has ${content.bytes}`,
    { cure: 'Try again.', details: { file: path } },
  );
}

/** Devices and pipes take the bytes as they come; there is no name to appear late. */
async function streamTo(path: string, content: Content): Promise<void> {
  const file = await step(path, () => open(path, 'w'));
  try {
    await writeAll(file, path, content);
  } finally {
    await file.close();
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

async function writeTemporary(temporary: string, path: string, content: Content): Promise<void> {
  const file = await step(path, () => open(temporary, 'wx', 0o644));
  try {
    await writeAll(file, path, content);
    await step(path, () => file.sync());
  } finally {
    await file.close();
  }
}

/**
 * Writes the content under a temporary name beside `path`, makes it durable and renames it. Whatever goes wrong, an
 * error of the content's own included, the temporary file is removed and `path` is as it was.
 * @throws HoldfastError `usage` when the file cannot be written.
 */
export async function saveContent(path: string, content: Content): Promise<void> {
  const target = await realpath(path).catch(() => resolve(path));
  const old = await stat(target).catch(() => undefined);
  if (old?.isDirectory() === true) throw cannotWrite(path, 'it is a folder');
  if (old !== undefined && !old.isFile()) return await streamTo(path, content);
  const temporary = temporaryName(target);
  // The process may end by a second interrupt or a crash, when no handler below runs.
  const remove = (): void => removeIfThere(temporary);
  process.once('exit', remove);
  try {
    await writeTemporary(temporary, path, content);
    await step(path, async () => {
      if (old !== undefined) await chmod(temporary, old.mode & 0o777);
      await rename(temporary, target);
      await syncFolder(dirname(target));
    });
  } finally {
    remove();
    process.off('exit', remove);
  }
}
