// Counters of single-writer objects in a folder, one small file per object, replaced as a whole and synced.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bytes, toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { CounterStore } from '../dbqs/single-writer.ts';
import { makeFolder } from '../node/folders.ts';
import { replaceFile } from '../server/files.ts';

/** @throws HoldfastError `data-folder` when a counter cannot be read or kept: without it a write might be lost. */
export function counterFolder(folder: string): CounterStore {
  const fileOf = (object: Bytes): string => join(folder, `${toHex(object)}.counter`);
  return {
    async load(object) {
      const file = fileOf(object);
      const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw unusable(file, error);
      });
      if (text === undefined) return undefined;
      const counter = Number(text.trim());
      if (!/^\d+\n?$/.test(text) || !Number.isSafeInteger(counter)) throw unusable(file, undefined);
      return counter;
    },
    async save(object, counter) {
      const file = fileOf(object);
      try {
        makeFolder(folder);
        await replaceFile(file, `${counter}\n`);
      } catch (error) {
        throw unusable(file, error);
      }
    },
  };
}

function unusable(file: string, cause: unknown): HoldfastError {
  return new HoldfastError('data-folder', `cannot use the counter of a single writer in ${file}`, {
    cure: 'Make the folder writable, or delete the file: the next write then asks the servers for the counter.',
    cause,
  });
}
