// One run of the command line: arguments in, exit code out.

import { type Command, CommanderError } from 'commander';
import { exitCodes, HoldfastError } from '../base/errors.ts';
import type { Context } from './context.ts';
import { asHoldfastError, formatFailure } from './failure.ts';
import { colorsFor } from './output.ts';
import { buildProgram } from './program.ts';
import { requireKnownCommand } from './unknown-command.ts';

/** Errors are thrown and told here; help goes where the context says. Programs that asked for JSON get only that. */
function direct(command: Command, context: Context, isJson: boolean): void {
  command.exitOverride().configureOutput({
    outputError: () => undefined,
    writeOut: (text) => context.stdout.write(text),
    writeErr: (text) => {
      if (!isJson) context.stderr.write(text);
    },
  });
  for (const sub of command.commands) direct(sub, context, isJson);
}

const jsonFlag = '--json';

const answeredCodes = new Set(['commander.helpDisplayed', 'commander.version']);
/** A command that only groups others was given alone; its help has been printed. */
const incompleteCode = 'commander.help';

/** A reader that has seen enough, such as `head`, is no failure. */
function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

function noCommand(): HoldfastError {
  return new HoldfastError('usage', 'no command was given', {
    cure: 'See "holdfast --help" for the commands.',
  });
}

/** What was interrupted may leave something to do. */
function interrupted(thrown: unknown): HoldfastError {
  const cure =
    thrown instanceof HoldfastError && thrown.code === 'interrupted' ? thrown.cure : undefined;
  return new HoldfastError('interrupted', 'interrupted', {
    ...(cure === undefined ? {} : { cure }),
    cause: thrown,
  });
}

function failed(context: Context, args: readonly string[], thrown: unknown): number {
  if (thrown instanceof CommanderError) {
    if (answeredCodes.has(thrown.code)) return 0;
    if (thrown.code === incompleteCode) {
      if (thrown.exitCode === 0) return 0;
      if (args.includes(jsonFlag)) context.stderr.write(failureText(args, context, noCommand()));
      return exitCodes.usage;
    }
  }
  if (isClosedPipe(thrown)) return 0;
  const isInterrupted = context.signal.aborted;
  const error = isInterrupted ? interrupted(thrown) : asHoldfastError(thrown);
  context.stderr.write(failureText(args, context, error));
  return exitCodes[error.code];
}

/** What goes to the error stream. Options are read from the arguments themselves, which may be what cannot be parsed. */
export function failureText(
  args: readonly string[],
  context: Context,
  error: HoldfastError,
): string {
  const style = { json: args.includes(jsonFlag), debug: args.includes('--debug') };
  return formatFailure(error, { ...style, colors: colorsFor(context.stderr, context.env) });
}

/** @param args without the interpreter and the script. */
export async function run(
  args: readonly string[],
  context: Context,
  version: string,
): Promise<number> {
  const isJson = args.includes(jsonFlag);
  const told = isJson ? `${JSON.stringify({ version })}` : version;
  const program = buildProgram(context, told);
  direct(program, context, isJson);
  try {
    requireKnownCommand(program, args);
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (thrown) {
    return failed(context, args, thrown);
  }
}
