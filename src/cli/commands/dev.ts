// dev: a whole system on this machine, for as long as the command runs.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { HoldfastError } from '../../base/errors.ts';
import { issueClient } from '../../client/issue.ts';
import { faultsMax } from '../../server/authority.ts';
import { type OpenedDevSystem, openDevSystem, superviseDevSystem } from '../../server/dev/dev.ts';
import type { DevSystem } from '../../server/dev/layout.ts';
import {
  devServersMax,
  devServersMin,
  firstPortDefault,
  firstPortMax,
} from '../../server/dev/ports.ts';
import type { Death, SupervisorEvent } from '../../server/dev/supervisor.ts';
import { formatEndpoint } from '../../server/system-info.ts';
import type { Context, GlobalOptions } from '../context.ts';
import { Printer } from '../output.ts';
import { wholeNumber } from './authority.ts';

export interface DevOptions extends GlobalOptions {
  readonly servers?: string;
  readonly faults?: string;
  readonly dir: string;
  readonly isDirGiven: boolean;
  readonly port?: string;
  readonly temporary: boolean;
}

/** The least is also a good example, unless another is given. */
function numberOption(
  flag: string,
  text: string | undefined,
  least: number,
  most: number,
  example = least,
): number | undefined {
  return text === undefined ? undefined : wholeNumber(flag, text, least, most, example);
}

/** Words for one death of a server process. */
export function formatDeath(death: Death): string {
  const { name, how, error, lastLines, logFile, restartInMs } = death;
  const lines = [`Server ${name} ended (${how}).`];
  if (error !== undefined) {
    lines.push(`  ${error.message}`);
    if (error.cure !== undefined) lines.push(`  → ${error.cure}`);
  } else {
    lines.push(...lastLines.map((line) => `  | ${line}`));
  }
  lines.push(
    restartInMs === undefined
      ? `  It is not started again before that is cured. Its log: ${logFile}`
      : `  Starting it again in ${restartInMs / 1000} s. Its log: ${logFile}`,
  );
  return lines.join('\n');
}

/** How a user starts this program, as far as can be told from how it was started. */
export function commandPrefix(self: readonly string[], folder: string): string {
  const script = self.at(-1) ?? '';
  const name = basename(script);
  return name === 'main.js' || name === 'main.ts' ? `node ${relative(folder, script)}` : 'holdfast';
}

function welcome(
  system: DevSystem,
  ids: ReadonlyMap<string, string>,
  isNew: boolean,
  prefix: string,
  clientFlag: string,
): string {
  const { servers, faults, folder } = system;
  const command = `${prefix}${clientFlag}`;
  return [
    `Holdfast is ready: ${servers.length} servers, of which any ${faults} may fail or lie.`,
    '',
    ...servers.map(
      ({ name, port, adminPort }) =>
        `  ${name}  ${ids.get(name) ?? '–       '}  storage ${formatEndpoint('127.0.0.1', port)}  health http://127.0.0.1:${adminPort}/readyz`,
    ),
    '',
    `Data, logs and the client file are in ${folder}${isNew ? ' (made now)' : ''}.`,
    '',
    'Try in another terminal:',
    `  echo hello | ${command} write greeting -`,
    `  ${command} read greeting`,
    `  ${command} put README.md`,
    `  ${command} status`,
    '',
    'Ctrl-C stops the system; what was stored stays.',
  ].join('\n');
}

/** What has become of the servers so far. */
class Progress {
  /** Short ids by name. */
  readonly ready = new Map<string, string>();
  readonly deaths: Death[] = [];
  isStarted = false;
  readonly #printer: Printer;

  constructor(printer: Printer) {
    this.#printer = printer;
  }

  readonly onEvent = (event: SupervisorEvent): void => {
    if (event.kind === 'died') {
      this.ready.delete(event.death.name);
      this.deaths.push(event.death);
      this.#printer.note(formatDeath(event.death));
      return;
    }
    this.ready.set(event.name, event.id);
    if (!this.isStarted) return;
    this.#printer.note(
      event.isRecovering
        ? `Server ${event.name} is up again and recovering; it serves when it has its data.`
        : `Server ${event.name} is ready again.`,
    );
  };
}

/** @throws HoldfastError if fewer servers run than the system needs to answer. */
function requireEnough(system: DevSystem, { ready, deaths }: Progress): void {
  const { servers, faults } = system;
  if (ready.size >= servers.length - faults) return;
  const [first] = deaths;
  const reason = first?.error?.message ?? first?.lastLines.at(-1) ?? first?.how;
  throw new HoldfastError(
    first?.error?.code ?? 'unavailable',
    `only ${ready.size} of ${servers.length} servers started; ${first?.name} failed: ${reason}`,
    { cure: first?.error?.cure ?? `Read its log: ${first?.logFile}` },
  );
}

/** Resolves at the interrupt, and keeps the process alive until then even if all servers have been given up. */
function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolveEnd) => {
    const alive = setInterval(() => undefined, 60_000);
    const end = (): void => {
      clearInterval(alive);
      resolveEnd();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

async function runSystem(
  context: Context,
  options: DevOptions,
  printer: Printer,
  { system, isNew }: OpenedDevSystem,
): Promise<void> {
  const progress = new Progress(printer);
  const { self, env, signal } = context;
  const supervisor = await superviseDevSystem({ system, self, env, onEvent: progress.onEvent });
  try {
    printer.note(`Starting ${system.servers.length} servers …`);
    const end = interrupted(signal);
    await Promise.race([supervisor.start(), end]);
    progress.isStarted = true;
    if (!signal.aborted) {
      requireEnough(system, progress);
      const isFound = !options.isDirGiven && !options.temporary;
      const clientFlag = isFound ? '' : ` --client ${system.clientFile}`;
      const { servers, faults, clientFile: client, folder } = system;
      printer.answer(
        {
          ready: true,
          folder,
          client,
          faults,
          servers: servers.map((server) => ({ ...server, id: progress.ready.get(server.name) })),
        },
        welcome(system, progress.ready, isNew, commandPrefix(self, context.folder), clientFlag),
      );
    }
    await end;
    printer.note('\nStopping …');
  } finally {
    await supervisor.stop();
  }
  printer.note('Stopped.');
}

async function runIn(context: Context, options: DevOptions, folder: string): Promise<void> {
  const opened = await openDevSystem({
    folder,
    servers: numberOption('--servers', options.servers, devServersMin, devServersMax),
    faults: numberOption('--faults', options.faults, 1, faultsMax),
    firstPort: numberOption('--port', options.port, 1, firstPortMax, firstPortDefault),
    makeClient: (authority, file) => issueClient(authority, { name: 'dev', quotaBytes: 0, file }),
  });
  try {
    await runSystem(context, options, new Printer(context, options), opened);
  } finally {
    await opened.lock.release();
  }
}

export async function dev(context: Context, options: DevOptions): Promise<void> {
  if (!options.temporary)
    return await runIn(context, options, resolve(context.folder, options.dir));
  if (options.isDirGiven) {
    throw new HoldfastError('usage', '--temporary and --dir exclude each other', {
      cure: 'Leave one of them out.',
    });
  }
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  try {
    await runIn(context, options, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
