// Saving what was fetched so that the name appears only with the whole content behind it.

import fs, { readlinkSync, unlinkSync } from 'node:fs';
import { chmod, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Bytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { isTemporaryName, syncFolder, temporaryName, writeError } from '../server/files.ts';
import { systemCode } from '../server/local-errors.ts';
import type { Content } from './contract.ts';

function cannotWrite(path: string, error: unknown): HoldfastError {
  return writeError(
    path,
    error,
    'Make room or permit writing there, or name another file with -o.',
  );
}

/** Runs a step of our own on the file system; errors of the content itself pass by outside. */
async function step<Result>(path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

async function writeAll(
  write: (chunk: Bytes) => Promise<void>,
  path: string,
  content: Content,
): Promise<void> {
  let written = 0;
  for await (const chunk of content.chunks) {
    await step(path, () => write(chunk));
    written += chunk.length;
  }
  if (written === content.bytes) return;
  throw new HoldfastError(
    'verification-failed',
    `${written} bytes arrived of content that has ${content.bytes}`,
    { cure: 'Try again.', details: { file: path } },
  );
}

const linksMax = 16;

/**
 * The open descriptor of this process that a path stands for, such as 1 for /dev/stdout. Whatever file is behind it
 * belongs to whoever opened it: it is written on, not replaced.
 */
export function descriptorOf(path: string): number | undefined {
  let at = resolve(path);
  for (let links = 0; links < linksMax; links++) {
    const standard = ['/dev/stdin', '/dev/stdout', '/dev/stderr'].indexOf(at);
    if (standard >= 0) return standard;
    const match = /^\/(?:dev\/fd|proc\/(self|\d+)\/fd)\/(\d{1,6})$/.exec(at);
    const isOwn = match !== null && [undefined, 'self', String(process.pid)].includes(match[1]);
    if (isOwn) return Number(match[2]);
    try {
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      return undefined;
    }
  }
  return undefined;
}

const writeAsync = promisify(fs.write);
/** Another process may have set a descriptor that is shared with it to refuse instead of making wait. */
const refusedPauseMs = 5;

async function writeToDescriptor(fd: number, chunk: Bytes): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    try {
      at += (await writeAsync(fd, chunk, at)).bytesWritten;
    } catch (error) {
      if (systemCode(error) !== 'EAGAIN') throw error;
      await setTimeout(refusedPauseMs);
    }
  }
}

/** Devices and pipes take the bytes as they come; there is no name to appear late. */
async function streamTo(path: string, content: Content): Promise<void> {
  const file = await step(path, () => open(path, 'w'));
  try {
    await writeAll((chunk) => file.writeFile(chunk), path, content);
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
    await writeAll((chunk) => file.writeFile(chunk), path, content);
    await step(path, () => file.sync());
  } finally {
    await file.close();
  }
}

const leftoverAgeMsMin = 24 * 60 * 60 * 1000;

/** What processes that were killed left of earlier attempts at this file. Best effort: they are only in the way. */
async function removeLeftovers(target: string): Promise<void> {
  const folder = dirname(target);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((one) => isTemporaryName(one, target))) {
    const file = join(folder, name);
    const found = await stat(file).catch(() => undefined);
    // A younger one may belong to a process that still writes.
    if (found === undefined || Date.now() - found.mtimeMs < leftoverAgeMsMin) continue;
    await unlink(file).catch(() => undefined);
  }
}

/**
 * Writes the content under a temporary name beside `path`, makes it durable and renames it. Whatever goes wrong, an
 * error of the content's own included, the temporary file is removed and `path` is as it was.
 * @throws HoldfastError `usage` when the file cannot be written.
 */
export async function saveContent(path: string, content: Content): Promise<void> {
  const descriptor = descriptorOf(path);
  if (descriptor !== undefined) {
    return await writeAll((chunk) => writeToDescriptor(descriptor, chunk), path, content);
  }
  const target = await realpath(path).catch(() => resolve(path));
  const old = await stat(target).catch(() => undefined);
  if (old?.isDirectory() === true) throw cannotWrite(path, 'it is a folder');
  if (old !== undefined && !old.isFile()) return await streamTo(path, content);
  await removeLeftovers(target);
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
