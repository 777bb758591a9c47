// A whole system for the time of a benchmark: real server processes on loopback with their data on a real disk.

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HoldfastError } from '../src/base/errors.ts';
import { issueClient } from '../src/client/issue.ts';
import { openDevSystem, superviseDevSystem } from '../src/server/dev/dev.ts';
import { interpreterFlags } from '../src/server/interpreter-flags.ts';
import { commandFile } from './library.ts';

export interface BenchSystem {
  readonly folder: string;
  readonly clientFile: string;
  readonly serverPids: readonly number[];
  stop(): Promise<void>;
}

export interface SystemOptions {
  /** Where to make the system's folder; the temporary folder unless given. */
  readonly parent: string | undefined;
  readonly keep: boolean;
  /** Where processor profiles go; none are taken without it. */
  readonly profileFolder: string | undefined;
}

const tmpfsMagic = 0x0102_1994;

async function requireDisk(folder: string): Promise<void> {
  if ((await statfs(folder)).type !== tmpfsMagic) return;
  throw new HoldfastError('usage', `${folder} is kept in memory, where a sync costs nothing`, {
    cure: 'Name a folder on a disk: --folder DIR.',
  });
}

/** Interpreter arguments that make a process leave a profile at its end. */
export function profileArguments(folder: string | undefined, role: 'client' | 'server'): string[] {
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(folder, role)}`];
}

function childrenWith(argument: string): number[] {
  const { pid } = process;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  return children
    .map(Number)
    .filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes(argument));
}

/** @throws HoldfastError if a server does not start. */
export async function startSystem(options: SystemOptions): Promise<BenchSystem> {
  const parent = options.parent ?? tmpdir();
  await requireDisk(parent);
  const folder = await mkdtemp(join(parent, 'holdfast-bench-'));
  const remove = async (): Promise<void> => {
    if (!options.keep) await rm(folder, { recursive: true, force: true });
  };
  const { system, lock } = await openDevSystem({
    folder: join(folder, 'system'),
    servers: undefined,
    faults: undefined,
    firstPort: undefined,
    makeClient: (authority, file) => issueClient(authority, { name: 'bench', quotaBytes: 0, file }),
  });
  const deaths: string[] = [];
  const profile = profileArguments(options.profileFolder, 'server');
  const supervisor = await superviseDevSystem({
    system,
    self: [process.execPath, ...interpreterFlags, ...profile, fileURLToPath(commandFile)],
    env: process.env,
    onEvent: (event) => {
      if (event.kind === 'died')
        deaths.push([event.death.name, event.death.how, ...event.death.lastLines].join('\n'));
    },
  });
  const stop = async (): Promise<void> => {
    await supervisor.stop();
    await lock.release();
    await remove();
  };
  await supervisor.start();
  if (deaths.length > 0) {
    await stop();
    throw new HoldfastError('unavailable', `a server did not start: ${deaths[0]}`);
  }
  const { clientFile } = system;
  return { folder, clientFile, serverPids: childrenWith('server.toml'), stop };
}
