#!/usr/bin/env -S node --initial-old-space-size=128
// The holdfast command.

import { fileURLToPath } from 'node:url';
import { exitCodes, HoldfastError } from '../base/errors.ts';
import { interpreterFlags } from '../server/interpreter-flags.ts';
import { reasonOf } from '../server/local-errors.ts';
import { softwareVersion } from '../server/version.ts';
import type { Context } from './context.ts';
import { failureText, run } from './run.ts';

/** npm passes on an interrupt that the terminal has delivered already: two so close together are one key press. */
const sameKeyPressMs = 300;
const lingerMs = 1000;

/** The longest that stopping in good order may take. */
const stopTimeoutMs = 15_000;

function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  let firstMs = 0;
  const stop = (): void => {
    if (!controller.signal.aborted) {
      firstMs = performance.now();
      controller.abort();
      // Whatever does not end on its own by then hangs.
      setTimeout(() => process.exit(exitCodes.interrupted), stopTimeoutMs).unref();
    } else if (performance.now() - firstMs > sameKeyPressMs) {
      process.exit(exitCodes.interrupted);
    }
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop);
  return controller.signal;
}

/** A reader that has seen enough is no failure; a full disk is. */
function outputFailed(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0);
  const failure = new HoldfastError(
    'usage',
    `cannot write to standard output: ${reasonOf(error)}`,
    { cure: 'Make room there, or write to another file.', cause: error },
  );
  process.stderr.write(failureText(process.argv.slice(2), context, failure));
  process.exit(failure.exitCode);
}

process.stdout.on('error', outputFailed);
// There is nowhere left to say why.
process.stderr.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : exitCodes.internal),
);

const context: Context = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  folder: process.cwd(),
  signal: interruptSignal(),
  connect: async (options) => (await import('../client/connect.ts')).connect(options),
  runServer: async (file, options) =>
    (await import('../server/daemon.ts')).runServer(file, options),
  self: [
    process.execPath,
    ...interpreterFlags,
    ...process.execArgv,
    fileURLToPath(import.meta.url),
  ],
};

process.exitCode = await run(process.argv.slice(2), context, softwareVersion());
// What was interrupted may still hold connections open.
if (process.exitCode === exitCodes.interrupted) process.exit();
// Nobody must wait for a handle that was forgotten: neither who asked the process to end nor who sees it fail.
if (context.signal.aborted || process.exitCode !== 0)
  setTimeout(() => process.exit(), lingerMs).unref();
