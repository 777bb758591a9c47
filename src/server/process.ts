// One server as an operating system process: from its file to its end by a signal.

import { HoldfastError } from '../base/errors.ts';
import type { Log } from '../env/log.ts';
import { createLog } from '../node/log.ts';
import { loadServerFile, type Overrides, type ServerFile } from './server-file.ts';
import { failureReport, type SupervisorChannel } from './supervision.ts';

export interface RunningServer {
  readonly address: string;
  readonly adminAddress: string;
  /** Resolves with the error when the server cannot go on. */
  readonly failed: Promise<HoldfastError>;
  stop(): Promise<void>;
}

export type RunServer = (
  file: ServerFile,
  options: { readonly recover: boolean; readonly log: Log },
) => Promise<RunningServer>;

export interface ServerProcessOptions {
  readonly runServer: RunServer;
  readonly file: string;
  readonly overrides: Overrides;
  /** The data was lost: fetch all from the other servers before answering. */
  readonly recover: boolean;
  /** Who started and watches this process, if anyone does. */
  readonly supervisor: SupervisorChannel | undefined;
  /** Aborted when the process is to stop. */
  readonly signal: AbortSignal;
  readonly onReady: (server: { name: string; address: string; adminAddress: string }) => void;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Runs a server until it is told to stop or fails. @throws HoldfastError, which the supervisor, if any, is told too. */
export async function runServerProcess(options: ServerProcessOptions): Promise<void> {
  try {
    await run(options);
  } catch (error) {
    if (error instanceof HoldfastError) await options.supervisor?.report(failureReport(error));
    throw error;
  } finally {
    options.supervisor?.leave();
  }
}

async function run(options: ServerProcessOptions): Promise<void> {
  const { supervisor } = options;
  // It ends with its supervisor, however that ended: nobody would stop it later.
  const reasons = [aborted(options.signal), ...(supervisor === undefined ? [] : [supervisor.gone])];
  const stop = Promise.race(reasons);
  const file = await loadServerFile(options.file, options.overrides);
  const log = createLog({ level: file.logLevel, fields: { server: file.name } });
  const server = await options.runServer(file, { recover: options.recover, log });
  const { address, adminAddress } = server;
  await supervisor?.report({ kind: 'ready', address, adminAddress });
  options.onReady({ name: file.name, address, adminAddress });
  const failure = await Promise.race([server.failed, stop]);
  await server.stop();
  if (failure !== undefined) throw failure;
}
