// A whole system on one machine: found or made, started, watched and stopped.

import { rename, rmdir, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { HoldfastError } from '../../base/errors.ts';
import { type FolderLock, lockFolder } from '../../node/folder-lock.ts';
import { portTaken } from '../../node/listen.ts';
import { limits } from '../../wire/limits.ts';
import { count } from '../authority.ts';
import { serverSettings } from '../server-settings.ts';
import {
  createDevSystem,
  type DevServer,
  type DevSystem,
  findDevSystem,
  makeDevFolder,
  type NewDevSystem,
} from './layout.ts';
import {
  choosePorts,
  devHost,
  devServersMax,
  devServersMin,
  firstPortMax,
  firstTaken,
  type IsFree,
  isPortFree,
  type ServerPorts,
} from './ports.ts';
import {
  type ChildSpec,
  Supervisor,
  type SupervisorEvent,
  supervisorDefaults,
} from './supervisor.ts';

export interface DevWish {
  readonly folder: string;
  /** What the user asked for; undefined is as it is, or the default for a new system. */
  readonly servers: number | undefined;
  readonly faults: number | undefined;
  readonly firstPort: number | undefined;
  readonly makeClient: NewDevSystem['makeClient'];
  readonly isFree?: IsFree;
}

const serversDefault = devServersMin;
/** Servers whose supervisor was killed end by themselves, but not at once. */
const portTries = 15;
const portRetryMs = 200;
const logSizeBytesMax = 10 * 1024 * 1024;

function usage(message: string, cure: string): HoldfastError {
  return new HoldfastError('usage', message, { cure });
}

/** How many servers and faults a new system gets. @throws HoldfastError `usage`. */
export function sizeOf(wish: Pick<DevWish, 'servers' | 'faults'>): {
  servers: number;
  faults: number;
} {
  const servers =
    wish.servers ?? (wish.faults === undefined ? serversDefault : 3 * wish.faults + 1);
  const faults = wish.faults ?? Math.min(limits.faultsMax, Math.floor((servers - 1) / 3));
  if (servers < serversDefault || servers > devServersMax) {
    throw usage(
      `a system has from ${serversDefault} to ${devServersMax} servers here, not ${servers}`,
      `Tolerating f faults takes 3f+1 servers: --servers ${serversDefault} for one.`,
    );
  }
  if (faults < 1 || faults > limits.faultsMax || servers < 3 * faults + 1) {
    const most = Math.min(limits.faultsMax, Math.floor((servers - 1) / 3));
    throw usage(
      `${servers} servers cannot tolerate ${count(faults, 'fault')}; the most is ${most}`,
      `Use at least --servers ${3 * faults + 1}, or --faults ${most}.`,
    );
  }
  return { servers, faults };
}

async function create(wish: DevWish): Promise<DevSystem> {
  const { servers, faults } = sizeOf(wish);
  if (wish.firstPort !== undefined && wish.firstPort > firstPortMax) {
    throw usage(`--port can be at most ${firstPortMax}`, 'For example: --port 7101');
  }
  const ports = await choosePorts(servers, wish.firstPort, wish.isFree);
  return createDevSystem({ folder: wish.folder, faults, ports, makeClient: wish.makeClient });
}

/** What is fixed when a system is made cannot be asked for differently later. */
function requireSame(system: DevSystem, wish: DevWish): void {
  const differences = [
    ['--servers', wish.servers, system.servers.length],
    ['--faults', wish.faults, system.faults],
    ['--port', wish.firstPort, system.servers[0]?.port],
  ] as const;
  for (const [flag, asked, fixed] of differences) {
    if (asked === undefined || asked === fixed) continue;
    throw usage(
      `the system in ${system.folder} was made with ${flag} ${fixed}, which its certificates fix`,
      `Leave ${flag} out, or make another system: --dir DIR ${flag} ${asked}`,
    );
  }
}

async function firstTakenAfterWaiting(
  ports: ServerPorts,
  isFree: IsFree,
): Promise<number | undefined> {
  for (let tries = 0; tries < portTries; tries++) {
    if ((await firstTaken([ports], isFree)) === undefined) return undefined;
    await setTimeout(portRetryMs);
  }
  return await firstTaken([ports], isFree);
}

async function requireFree(system: DevSystem, isFree: IsFree): Promise<void> {
  for (const server of system.servers) {
    const port = await firstTakenAfterWaiting(server, isFree);
    if (port === undefined) continue;
    throw new HoldfastError(
      'port-in-use',
      `${portTaken(devHost, port)}; server ${server.name} needs it`,
      {
        cure: `Stop that program, which "ss -ltnp sport = :${port}" names, and start again. Or make a second system with other ports: --dir DIR --port BASE.`,
        details: { port, server: server.name },
      },
    );
  }
}

export interface OpenedDevSystem {
  readonly system: DevSystem;
  readonly isNew: boolean;
  readonly lock: FolderLock;
}

async function lockDevFolder(folder: string): Promise<FolderLock> {
  try {
    return await lockFolder(folder);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.cause !== undefined) throw error;
    throw new HoldfastError('data-folder', `another "holdfast dev" runs in ${folder}`, {
      cure: 'Use that one, or stop it first. For a second system name another folder: --dir DIR.',
      details: { folder },
      cause: error,
    });
  }
}

/**
 * Finds the system in a folder or makes it, with the folder locked and the ports free.
 * @throws HoldfastError `data-folder`, `port-in-use`, `usage`.
 */
export async function openDevSystem(wish: DevWish): Promise<OpenedDevSystem> {
  const { folder } = wish;
  const isMade = await makeDevFolder(folder);
  const lock = await lockDevFolder(folder);
  try {
    const found = await findDevSystem(folder);
    if (found !== undefined) {
      requireSame(found, wish);
      await requireFree(found, wish.isFree ?? isPortFree);
    }
    return { system: found ?? (await create(wish)), isNew: found === undefined, lock };
  } catch (error) {
    await lock.release();
    // What was made for nothing is taken away; a folder that holds something stays.
    if (isMade) await rmdir(folder).catch(() => undefined);
    throw error;
  }
}

/** Settings that a variable must not give to all servers alike. */
const ownSettings = /^(name|identity_key|admission|data|listen\.|admin\.)/;

function childEnvironment(env: ChildSpec['env']): ChildSpec['env'] {
  const taken = serverSettings.filter(({ key }) => ownSettings.test(key));
  const names = new Set(taken.map(({ variable }) => variable));
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.has(name)));
}

async function keepLogSmall({ log }: DevServer): Promise<void> {
  const found = await stat(log).catch(() => undefined);
  if (found !== undefined && found.size > logSizeBytesMax) await rename(log, `${log}.old`);
}

export interface DevRun {
  readonly system: DevSystem;
  /** What starts this program: the interpreter and its arguments. */
  readonly self: readonly [string, ...string[]];
  readonly env: ChildSpec['env'];
  readonly onEvent: (event: SupervisorEvent) => void;
}

/** The servers of a system as processes, not yet started. */
export async function superviseDevSystem(run: DevRun): Promise<Supervisor> {
  const { system, self, onEvent } = run;
  await Promise.all(system.servers.map(keepLogSmall));
  const env = childEnvironment(run.env);
  const children = system.servers.map(
    ({ name, settings, log }): ChildSpec => ({
      name,
      command: [...self, 'server', '--config', settings],
      env,
      logFile: log,
    }),
  );
  return new Supervisor({ children, onEvent, ...supervisorDefaults });
}
