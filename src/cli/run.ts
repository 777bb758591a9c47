// One run of the command line: arguments in, exit code out.

import { type Command, CommanderError } from 'commander';
import { exitCodes, HoldfastError } from '../base/errors.ts';
import type { Context } from './context.ts';
import { asHoldfastError, formatFailure } from './failure.ts';
import { colorsFor } from './output.ts';
import { buildProgram } from './program.ts';

/** Errors are thrown and told here; help goes where the context says. */
function direct(command: Command, context: Context): void {
  command.exitOverride().configureOutput({
    outputError: () => undefined,
    writeOut: (text) => context.stdout.write(text),
    writeErr: (text) => context.stderr.write(text),
  });
  for (const sub of command.commands) direct(sub, context);
}

const answeredCodes = new Set(['commander.helpDisplayed', 'commander.version']);
/** A command that only groups others was given alone; its help has been printed. */
const incompleteCode = 'commander.help';

/** A reader that has seen enough, such as `head`, is no failure. */
function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

function failed(context: Context, args: readonly string[], thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    if (answeredCodes.has(thrown.code)) return 0;
    if (thrown.code === incompleteCode) return thrown.exitCode === 0 ? 0 : exitCodes.usage;
  }
  if (isClosedPipe(thrown)) return 0;
  const isInterrupted = context.signal.aborted;
  const error = isInterrupted
    ? new HoldfastError('interrupted', 'interrupted', { cause: thrown })
    : asHoldfastError(thrown);
  context.stderr.write(failureText(args, context, error));
  return exitCodes[error.code];
}

/** What goes to the error stream. Options are read from the arguments themselves, which may be what cannot be parsed. */
export function failureText(
  args: readonly string[],
  context: Context,
  error: HoldfastError,
): string {
  const style = { json: args.includes('--json'), debug: args.includes('--debug') };
  return formatFailure(error, { ...style, colors: colorsFor(context.stderr, context.env) });
}

/** @param args without the interpreter and the script. */
export async function run(
  args: readonly string[],
  context: Context,
  version: string,
): Promise<number> {
  const program = buildProgram(context, version);
  direct(program, context);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (thrown) {
    return failed(context, args, thrown);
  }
}
