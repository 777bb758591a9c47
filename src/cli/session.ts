// From the options of a command to a connected client, and back to nothing left open.

import { parseDurationMs } from '../base/duration.ts';
import { HoldfastError } from '../base/errors.ts';
import { timeoutMsMax } from '../client/arguments.ts';
import {
  type ClientFile,
  findClientFile,
  loadClientFile,
  readClientSettings,
} from '../client/client-file.ts';
import type { ConnectOptions } from '../client/connect.ts';
import type { Client } from '../client/contract.ts';
import { keyNamed } from '../client/keys.ts';
import type { Context, GlobalOptions } from './context.ts';
import { Printer } from './output.ts';

export interface Session {
  readonly client: Client;
  readonly printer: Printer;
  /** For every operation: the user's interrupt. */
  readonly signal: AbortSignal;
}

/** @throws HoldfastError `usage`. */
export function durationOption(flag: string, text: string): number {
  const value = parseDurationMs(text);
  if (value !== undefined && value > 0 && value <= timeoutMsMax) return value;
  const problem =
    value === undefined
      ? `must be a duration, not "${text}"`
      : `must be more than 0 and at most 24d, not "${text}"`;
  throw new HoldfastError('usage', `${flag} ${problem}`, {
    cure: `Write it with a unit, for example: ${flag} 30s`,
  });
}

/** The client file that the options and the surroundings lead to. */
export async function clientFileOf(context: Context, options: GlobalOptions): Promise<string> {
  const { env, folder } = context;
  const found = await findClientFile({ given: options.client, env, folder });
  new Printer(context, options).debug(`client file ${found.file}, ${found.because}`);
  return found.file;
}

async function withKey(file: ClientFile, name: string | undefined): Promise<ClientFile> {
  if (name === undefined) return file;
  return { ...file, objectKey: keyNamed(await readClientSettings(file.path), name) };
}

/** How long an operation may take to clean up after an interrupt. */
const interruptGraceMs = 2000;

/** Rejects some time after the interrupt, for work that does not end by itself then. */
function interruption(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const give = (): void => {
      const error = new HoldfastError('interrupted', 'interrupted');
      setTimeout(() => reject(error), interruptGraceMs).unref();
    };
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
}

/** Connects, does the work, and closes whatever happens. */
export async function withClient(
  context: Context,
  options: GlobalOptions & { readonly key?: string },
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const timeoutMs = durationOption('--timeout', options.timeout);
  const file = await loadClientFile(await clientFileOf(context, options));
  const chosen = await withKey(file, options.key);
  await Promise.race([
    connected(context, options, { client: chosen, timeoutMs }, work),
    interruption(context.signal),
  ]);
}

async function connected(
  context: Context,
  options: GlobalOptions,
  connection: ConnectOptions,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const client = await context.connect(connection);
  try {
    await work({ client, printer: new Printer(context, options), signal: context.signal });
  } finally {
    await client.close();
  }
}
