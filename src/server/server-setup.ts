// The folder of one server: its key and settings before it is admitted, its admission after.

import { join, resolve } from 'node:path';
import { stringify } from 'smol-toml';
import { HoldfastError } from '../base/errors.ts';
import { ed25519 } from '../crypto/signature.ts';
import { createDataFolder, type DataFolderOwner, openDataFolder } from '../node/data-folder.ts';
import {
  dataFolderOwner,
  readServerAdmission,
  type ServerAdmission,
  serverRequestText,
} from './admission.ts';
import { createFile, fileExists, makePrivateFolder } from './files.ts';
import { createKeyFile, newSeed, readKeyFile } from './key-files.ts';
import { readServerPaths } from './server-file.ts';
import { readTextFile } from './toml.ts';

export interface ServerSetup {
  readonly folder: string;
  readonly name: string;
  /** Where clients and other servers find it. Fixed once admitted. */
  readonly host: string;
  readonly port: number;
  /** Where it listens; by default as narrow as `host` allows. */
  readonly listenHost?: string;
  readonly adminPort: number;
}

export const serverPaths = (folder: string, name: string) => ({
  settings: join(folder, 'server.toml'),
  key: join(folder, 'identity.key'),
  admission: join(folder, 'admission.toml'),
  data: join(folder, 'data'),
  request: join(folder, `${name}.request`),
});

const loopbackHosts = new Set(['localhost', '127.0.0.1', '::1']);

/** Nothing listens beyond this machine unless the server is to be found from outside. */
export function defaultListenHost(host: string): string {
  if (loopbackHosts.has(host)) return host === '::1' ? '::1' : '127.0.0.1';
  return host.includes(':') ? '::' : '0.0.0.0';
}

function settingsText(setup: ServerSetup): string {
  const listenHost = setup.listenHost ?? defaultListenHost(setup.host);
  return [
    '# Settings of one Holdfast server. Relative paths are relative to this file.',
    '# Each key can also be given as an environment variable (HOLDFAST_LISTEN_PORT) or a flag (--listen-port).',
    stringify({ name: setup.name }),
    '',
    '# Where storage connections are taken. Clients find the server by the address in its certificate.',
    stringify({ listen: { host: listenHost, port: setup.port } }),
    '',
    '# Health and metrics, without authentication: keep it on this machine or behind a firewall.',
    stringify({ admin: { host: '127.0.0.1', port: setup.adminPort } }),
    '',
    '# [log]',
    '# level = "info"',
    '',
    '# [quota]',
    '# client = "10GiB"   # what one client may store here; 0, the default, is no limit',
    '',
    '# [scrub]',
    '# interval = "24h"   # time from one check of everything stored to the next',
    '# rate = "8MiB"      # bytes read per second while checking',
    '',
  ].join('\n');
}

/** Makes a server's folder. @throws HoldfastError `usage` if it holds a server already. */
export async function initServer(setup: ServerSetup): Promise<{ request: string }> {
  const paths = serverPaths(setup.folder, setup.name);
  if (setup.port === setup.adminPort) {
    throw new HoldfastError(
      'usage',
      `port ${setup.port} is given twice, for storage and for health`,
      {
        cure: 'Name another port for health and metrics: --admin-port 7201',
      },
    );
  }
  if ((await fileExists(paths.key)) || (await fileExists(paths.settings))) {
    throw new HoldfastError('usage', `${setup.folder} holds a server already`, {
      cure: 'Name another folder: --dir DIR.',
      details: { folder: setup.folder },
    });
  }
  const seed = newSeed();
  const { publicKey } = ed25519.signer(seed);
  await makePrivateFolder(setup.folder);
  await createKeyFile(paths.key, 'server', seed);
  const { name, host, port } = setup;
  await createFile(paths.request, serverRequestText({ name, publicKey, host, port }));
  await createFile(paths.settings, settingsText(setup));
  return { request: paths.request };
}

/** Makes the data folder, once in a server's life. One that an interrupted earlier run made for this server is kept. */
async function provideDataFolder(folder: string, owner: DataFolderOwner): Promise<void> {
  try {
    await createDataFolder(folder, owner);
  } catch (error) {
    const found = await openDataFolder(folder, owner).catch(() => undefined);
    if (found === undefined) throw error;
    await found.release();
  }
}

/** Verifies an admission, makes the data folder and puts it in its place. @throws HoldfastError `bad-configuration` or `usage`. */
export async function acceptServerAdmission(
  folder: string,
  admissionFile: string,
): Promise<ServerAdmission & { readonly name: string; readonly settings: string }> {
  const settings = join(folder, 'server.toml');
  const places = await readServerPaths(settings);
  const { publicKey } = ed25519.signer(await readKeyFile(places.identityKey, 'server'));
  if (await fileExists(places.admission)) {
    const known = await readServerAdmission(places.admission, publicKey);
    throw new HoldfastError(
      'usage',
      `server ${places.name} has been admitted to system ${known.system.name} already`,
      {
        cure: `Start it: holdfast server --config ${settings}`,
        details: { file: resolve(places.admission) },
      },
    );
  }
  const admission = await readServerAdmission(admissionFile, publicKey, 'usage');
  await provideDataFolder(places.data, dataFolderOwner(admission));
  const text = await readTextFile(admissionFile, 'Give a file that can be read.', 'usage');
  await createFile(places.admission, text);
  return { ...admission, name: places.name, settings };
}
