// What a command may touch of its surroundings. Tests give their own.

import type { Readable, Writable } from 'node:stream';
import type { ConnectOptions } from '../client/connect.ts';
import type { Client } from '../client/contract.ts';
import type { RunServer } from '../server/process.ts';

export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

export interface Context {
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The current folder. */
  readonly folder: string;
  /** Aborted by the first interrupt. */
  readonly signal: AbortSignal;
  readonly connect: (options: ConnectOptions) => Promise<Client>;
  readonly runServer: RunServer;
  /** What starts this program again, for child processes: the interpreter and its arguments. */
  readonly self: readonly [string, ...string[]];
}

/** Options that every command takes. */
export interface GlobalOptions {
  readonly client?: string;
  readonly timeout: string;
  readonly json: boolean;
  readonly debug: boolean;
  readonly quiet: boolean;
}
