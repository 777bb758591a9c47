// One server as an operating system process: from its file to its end by a signal.

import { HoldfastError } from '../base/errors.ts';
import type { Log } from '../env/log.ts';
import { createLog } from '../node/log.ts';
import { loadServerFile, type Overrides, type ServerFile } from './server-file.ts';
import { failureReport, type SupervisorChannel } from './supervision.ts';
import { certifiedText, formatEndpoint, serverIdText, shortIdLength } from './system-info.ts';

export interface RunningServer {
  readonly address: string;
  readonly adminAddress: string;
  /** False while the data is being fetched from the other servers. */
  readonly isServing: boolean;
  /** Resolves when it answers requests. */
  readonly served: Promise<void>;
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
  readonly onReady: (server: ReadyServer) => void;
  /** The server was not serving when it was ready, and is now. */
  readonly onServing: (server: ReadyServer) => void;
}

export interface ReadyServer {
  readonly name: string;
  /** Short, as in the status. */
  readonly id: string;
  readonly address: string;
  readonly adminAddress: string;
  readonly isServing: boolean;
  /** What may be wrong with how it was started, in a sentence. */
  readonly warning: string | undefined;
}

/** Clients look nowhere else than at the address in the certificate; it may be right if something forwards it. */
function addressWarning(file: ServerFile): string | undefined {
  const { host, port } = file.certificate.statement;
  if (file.listen.port === port) return undefined;
  const certified = formatEndpoint(certifiedText(host), port);
  return `It listens at port ${file.listen.port}, but clients and other servers look for it at ${certified}, which its certificate fixes. That is right only if that port is forwarded here.`;
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
  const { address, adminAddress, isServing } = server;
  const id = serverIdText(file.certificate.statement).slice(0, shortIdLength);
  await supervisor?.report({ kind: 'ready', id, address, adminAddress, isRecovering: !isServing });
  const warning = addressWarning(file);
  if (warning !== undefined) log.warn('listening-elsewhere', { warning });
  const ready = { name: file.name, id, address, adminAddress, isServing, warning };
  options.onReady(ready);
  if (!isServing) void server.served.then(() => options.onServing(ready));
  const failure = await Promise.race([server.failed, stop]);
  await server.stop();
  if (failure !== undefined) throw failure;
}
