import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { systemEntropy } from './entropy.ts';

const lockName = /^lock-(\d+)-[0-9a-f]+$/;

export interface FolderLock {
  release(): Promise<void>;
}

export function isLockName(name: string): boolean {
  return lockName.test(name);
}

/**
 * Makes this process the only one that works in `folder`.
 *
 * A lock is a Unix socket in the folder on which its holder listens. The kernel stops listening when a process dies,
 * however it dies, so a connection attempt tells for certain whether a holder lives; a number in a file cannot, as
 * numbers of processes are used again and differ between containers. Each process binds a socket of its own name
 * first and looks for others afterwards: of two that start at once, the later one to listen sees the earlier. Both may
 * then give up, but never do both go on. Sockets that nobody listens on are left by the dead and are removed.
 * @param heldCure what to do about another process that holds the folder, as a sentence.
 * @throws HoldfastError 'data-folder' when another process holds the folder (`details.pid`) or the folder cannot hold a lock.
 */
export async function lockFolder(
  folder: string,
  heldCure = 'Stop that process first, or give this one a data folder of its own.',
): Promise<FolderLock> {
  const server = net.createServer((socket) => socket.destroy());
  const name = `lock-${process.pid}-${toHex(systemEntropy.bytes(4))}`;
  const place = openPlace(folder);
  const release = async (): Promise<void> => {
    // Closing removes the socket file, through the place.
    await new Promise((resolve) => server.close(resolve));
    place.close();
  };
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(place.of(name), resolve);
    });
  } catch (error) {
    place.close();
    throw new HoldfastError('data-folder', `cannot lock the data folder ${folder}`, {
      cure: 'Put the data folder on a local file system that this user may write to.',
      cause: error,
    });
  }
  // The lock alone does not keep the process running.
  server.unref();
  for (const other of fs.readdirSync(folder)) {
    const holder = lockName.exec(other);
    if (holder === null || other === name) continue;
    if (await isListening(place.of(other))) {
      await release();
      throw new HoldfastError(
        'data-folder',
        `the data folder ${folder} is in use by process ${holder[1]}`,
        {
          cure: heldCure,
          details: { pid: Number(holder[1]) },
        },
      );
    }
    fs.rmSync(path.join(folder, other), { force: true });
  }
  return { release };
}

/** Only a refusal shows that nobody listens; any other failure leaves it open, and then the holder is taken for alive. */
function isListening(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: socketPath });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}

interface Place {
  of(name: string): string;
  close(): void;
}

/** Paths of sockets end at about 100 bytes; Linux can name a file of an open folder in fewer. */
function openPlace(folder: string): Place {
  if (process.platform !== 'linux') {
    return { of: (name) => path.join(folder, name), close() {} };
  }
  const descriptor = fs.openSync(folder, 'r');
  return {
    of: (name) => `/proc/self/fd/${descriptor}/${name}`,
    close: () => fs.closeSync(descriptor),
  };
}
