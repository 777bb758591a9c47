// Words of the command line that name no command. The parser itself takes some of them for a request for help, or for
// an argument too many.

import type { Command, Option } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { closest } from '../server/suggest.ts';

const helpName = 'help';
const helpFlags = new Set(['-h', '--help']);

/** The option that a word gives, if it is one of these commands'. */
function optionOf(word: string, levels: readonly Command[]): Option | undefined {
  const [flag] = word.split('=', 1);
  return levels
    .flatMap((level) => level.options)
    .find(({ long, short }) => flag === long || flag === short);
}

/** @throws HoldfastError `usage` for the first word in the place of a command that is none. */
export function requireKnownCommand(program: Command, args: readonly string[]): void {
  const levels = [program];
  let command = program;
  for (let at = 0; at < args.length && command.commands.length > 0; at++) {
    const word = args[at] ?? '';
    if (word === '--') return;
    if (word.startsWith('-')) {
      const option = optionOf(word, levels);
      // The parser says what is wrong with options; it is unknown then what the next word is.
      if (option === undefined && !helpFlags.has(word)) return;
      const takesValue = option?.required === true || option?.optional === true;
      if (takesValue && !word.includes('=')) at += 1;
      continue;
    }
    if (word === helpName) continue;
    const next = command.commands.find((sub) => sub.name() === word);
    if (next === undefined) throw unknownCommand(command, levels, word);
    levels.push(next);
    command = next;
  }
}

function unknownCommand(command: Command, levels: readonly Command[], word: string): HoldfastError {
  const guess = closest(
    word,
    command.commands.map((sub) => sub.name()),
  );
  const suggestion = guess === undefined ? '' : `. Did you mean ${guess}?`;
  const path = levels.map((level) => level.name()).join(' ');
  return new HoldfastError('usage', `unknown command '${word}'${suggestion}`, {
    cure: `See "${path} --help".`,
  });
}
