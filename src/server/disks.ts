// A server's disk on a real machine: its data folder with journal and table, and what to do when they are not in order.

import { HoldfastError } from '../base/errors.ts';
import type { Disk } from '../env/disk.ts';
import type { Log } from '../env/log.ts';
import { systemClock } from '../node/clock.ts';
import {
  createDataFolder,
  type DataFolder,
  moveAside,
  openDataFolder,
} from '../node/data-folder.ts';
import { openDisk as openNodeDisk } from '../node/disk.ts';
import { DiskError } from '../node/disk-error.ts';
import { systemEntropy } from '../node/entropy.ts';
import { dataFolderOwner } from './admission.ts';
import type { ServerFile } from './server-file.ts';

export interface OpenDisk {
  readonly disk: Disk;
  close(): Promise<void>;
}

/** @throws HoldfastError `data-folder`, with a cure. */
export async function openDisk(file: ServerFile): Promise<OpenDisk> {
  const folder = await openDataFolder(file.dataFolder, dataFolderOwner(file));
  try {
    return opened(file.dataFolder, folder);
  } catch (error) {
    await folder.release();
    throw asDataFolderError(file.dataFolder, error);
  }
}

/**
 * The disk of a server that has lost its data, or part of it: what can still be opened is kept, anything else is moved
 * aside and an empty folder takes its place. Folders of others, and of newer versions, are left alone.
 */
export async function openDiskToRecover(file: ServerFile, log: Log): Promise<OpenDisk> {
  try {
    return await openDisk(file);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details.lost !== true) throw error;
    const aside = await moveAside(file.dataFolder);
    log.warn('data-folder-replaced', { reason: error.message, aside });
    await createDataFolder(file.dataFolder, dataFolderOwner(file));
    return openDisk(file);
  }
}

/** What the journal or table could not vouch for, as an error for the operator. */
export function damagedError(dataFolder: string, what: string): HoldfastError {
  return new HoldfastError(
    'data-folder',
    `the data folder ${dataFolder} is damaged: ${what}. This server can no longer know all that it has promised`,
    {
      cure: 'Start it once with `holdfast server --config FILE --recover`: it fetches its data from the other servers before it answers anyone.',
      details: { lost: true },
    },
  );
}

function opened(path: string, folder: DataFolder): OpenDisk {
  const opening = openNodeDisk(folder, { clock: systemClock, entropy: systemEntropy });
  if (opening.kind === 'damaged') {
    throw damagedError(path, `${opening.damage.file} (${opening.damage.reason})`);
  }
  const { disk } = opening;
  return {
    disk,
    async close() {
      await disk.journal.close();
      await disk.table.close();
      await folder.release();
    },
  };
}

function asDataFolderError(path: string, error: unknown): unknown {
  if (error instanceof HoldfastError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new HoldfastError('data-folder', `the data folder ${path} cannot be opened: ${message}`, {
    cure: 'If the files are damaged, start the server once with --recover; if the disk is at fault, replace it first.',
    details: { lost: error instanceof DiskError },
    cause: error,
  });
}
