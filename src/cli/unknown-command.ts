// Words of the command line that name no command. The parser itself takes some of them for a request for help, or for
// an argument too many.

import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';
import { closest } from '../server/suggest.ts';

const helpName = 'help';

function takesValue(word: string, levels: readonly Command[]): boolean {
  if (word.includes('=')) return false;
  const option = levels
    .flatMap((level) => level.options)
    .find(({ long, short }) => word === long || word === short);
  return option?.required === true || option?.optional === true;
}

/** @throws HoldfastError `usage` for the first word in the place of a command that is none. */
export function requireKnownCommand(program: Command, args: readonly string[]): void {
  const levels = [program];
  let command = program;
  for (let at = 0; at < args.length && command.commands.length > 0; at++) {
    const word = args[at] ?? '';
    if (word === '--') return;
    if (word.startsWith('-') && word !== '-') {
      if (takesValue(word, levels)) at += 1;
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
