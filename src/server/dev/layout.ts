// The folder of a development system: authority, servers and one client, made in one go at the first start.
//
//   dev.toml               what was made; written last, so that its absence tells of an interrupted first start
//   authority/             the authority, with its key: this system is for one machine and one user
//   servers/NAME/          one folder per server: settings, key, data, log
//   client.toml            a client of the system

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { z } from 'zod';
import { HoldfastError } from '../../base/errors.ts';
import { isLockName } from '../../node/folder-lock.ts';
import { readServerRequest } from '../admission.ts';
import { Authority } from '../authority.ts';
import { createFile, makePrivateFolder, namesIn } from '../files.ts';
import { acceptServerAdmission, initServer } from '../server-setup.ts';
import { nameField, portField } from '../system-info.ts';
import { checkAgainst, field, parseToml, readTextFile } from '../toml.ts';
import { devHost, type ServerPorts } from './ports.ts';

export interface DevServer extends ServerPorts {
  readonly name: string;
  /** Its server.toml. */
  readonly settings: string;
  readonly log: string;
}

export interface DevSystem {
  readonly folder: string;
  readonly faults: number;
  readonly servers: readonly DevServer[];
  readonly clientFile: string;
}

export const devPaths = (folder: string) => ({
  marker: join(folder, 'dev.toml'),
  authority: join(folder, 'authority'),
  server: (name: string) => join(folder, 'servers', name),
  client: join(folder, 'client.toml'),
});

const markerSchema = z.strictObject({
  format: field(z.literal(1), {
    expects: '1, the only format known to this version',
    example: '1',
  }),
  faults: field(z.int().min(1), { expects: 'a number of faults', example: '1' }),
  servers: z
    .array(
      z.strictObject({ name: nameField('s1'), port: portField(7101), admin_port: portField(7201) }),
    )
    .min(4),
});

type Marker = z.input<typeof markerSchema>;

function systemOf(folder: string, marker: Marker): DevSystem {
  const paths = devPaths(folder);
  const servers = marker.servers.map(({ name, port, admin_port: adminPort }) => ({
    name,
    port,
    adminPort,
    settings: join(paths.server(name), 'server.toml'),
    log: join(paths.server(name), 'server.log'),
  }));
  return { folder, faults: marker.faults, servers, clientFile: paths.client };
}

/**
 * The system in the folder, or undefined if there is none yet.
 * @throws HoldfastError `data-folder` for a folder that holds half a system or something else.
 */
export async function findDevSystem(folder: string): Promise<DevSystem | undefined> {
  const paths = devPaths(folder);
  const names = (await namesIn(folder)) ?? [];
  if (names.includes('dev.toml')) {
    const text = await readTextFile(paths.marker, 'Make it readable.');
    return systemOf(
      folder,
      checkAgainst(markerSchema, parseToml(text, paths.marker), { file: paths.marker }),
    );
  }
  const others = names.filter((name) => !isLockName(name));
  if (others.length === 0) return undefined;
  const isHalfMade = others.includes('authority');
  throw new HoldfastError(
    'data-folder',
    isHalfMade
      ? `the first start in ${folder} was interrupted before its system was complete; nothing has been stored in it`
      : `${folder} holds other things (${others.slice(0, 3).join(', ')}) and no development system`,
    {
      cure: isHalfMade
        ? `Remove it and start again: rm -r ${folder}`
        : 'Name another folder: --dir DIR.',
      details: { folder },
    },
  );
}

export interface NewDevSystem {
  readonly folder: string;
  readonly faults: number;
  readonly ports: readonly ServerPorts[];
  /** Makes the client file; the client's side of the house knows how. */
  readonly makeClient: (authority: Authority, file: string) => Promise<void>;
}

/** Makes a whole system. */
export async function createDevSystem(wanted: NewDevSystem): Promise<DevSystem> {
  const { folder, faults, ports } = wanted;
  const paths = devPaths(folder);
  const authority = await Authority.create({ folder: paths.authority, name: 'dev', faults });
  const named = ports.map((at, index) => ({ name: `s${index + 1}`, ...at }));
  for (const { name, port, adminPort } of named) {
    const server = { folder: paths.server(name), name, host: devHost, port, adminPort };
    const { request } = await initServer(server);
    await authority.admit(await readServerRequest(request));
  }
  const { admissions } = await authority.genesis();
  for (const { name, file } of admissions) await acceptServerAdmission(paths.server(name), file);
  await wanted.makeClient(authority, paths.client);
  const marker: Marker = {
    format: 1,
    faults,
    servers: named.map(({ name, port, adminPort }) => ({ name, port, admin_port: adminPort })),
  };
  await createFile(paths.marker, `${stringify(marker)}\n`);
  return systemOf(folder, marker);
}

/**
 * The folder, private to its owner. A client file in it holds secrets.
 * @returns whether it was made now.
 * @throws HoldfastError `usage` if something else stands there.
 */
export async function makeDevFolder(folder: string): Promise<boolean> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() === true) return false;
  if (found !== undefined) {
    throw new HoldfastError('usage', `${folder} is a file, not a folder`, {
      cure: 'Name another folder: --dir DIR.',
      details: { folder },
    });
  }
  await makePrivateFolder(folder);
  return true;
}
