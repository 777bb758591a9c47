// One run of the command line: arguments in, exit code out.

import { type Command, CommanderError } from 'commander';
import { exitCodes, HoldfastError } from '../base/errors.ts';
import type { Context } from './context.ts';
import { asHoldfastError, formatFailure } from './failure.ts';
import { colorsFor } from './output.ts';
import { buildProgram } from './program.ts';

function quiet(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => undefined });
  for (const sub of command.commands) quiet(sub);
}

const helpCodes = new Set(['commander.helpDisplayed', 'commander.help', 'commander.version']);

/** A reader that has seen enough, such as `head`, is no failure. */
function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

function failed(context: Context, args: readonly string[], thrown: unknown): number {
  if (thrown instanceof CommanderError && helpCodes.has(thrown.code)) return thrown.exitCode;
  if (isClosedPipe(thrown)) return 0;
  const isInterrupted = context.signal.aborted;
  const error = isInterrupted
    ? new HoldfastError('interrupted', 'interrupted', { cause: thrown })
    : asHoldfastError(thrown);
  // Read from the arguments themselves, as they may be what could not be parsed.
  const style = { json: args.includes('--json'), debug: args.includes('--debug') };
  const colors = colorsFor(context.stderr, context.env);
  context.stderr.write(formatFailure(error, { ...style, colors }));
  return exitCodes[error.code];
}

/** @param args without the interpreter and the script. */
export async function run(
  args: readonly string[],
  context: Context,
  version: string,
): Promise<number> {
  const program = buildProgram(context, version);
  quiet(program);
  program.configureOutput({
    writeOut: (text) => context.stdout.write(text),
    writeErr: (text) => context.stderr.write(text),
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (thrown) {
    return failed(context, args, thrown);
  }
}
