// Completion scripts, made from the command tree itself. They need no running program to complete.

import type { Command } from 'commander';
import { HoldfastError } from '../base/errors.ts';

interface Level {
  /** "", "key", "key new" */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly { readonly flag: string; readonly description: string }[];
}

function flagsOf(command: Command): Level['flags'] {
  return command.options.flatMap(({ long, short, description }) =>
    [long, short].filter((flag) => typeof flag === 'string').map((flag) => ({ flag, description })),
  );
}

function levelsOf(program: Command): Level[] {
  const globals = flagsOf(program);
  const help = { flag: '--help', description: 'help about this command' };
  const visit = (command: Command, path: string): Level[] => {
    const own = command === program ? [] : flagsOf(command);
    return [
      {
        path,
        commands: command.commands.map((sub) => ({
          name: sub.name(),
          description: sub.description(),
        })),
        flags: [...own, ...globals, help],
      },
      ...command.commands.flatMap((sub) => visit(sub, `${path} ${sub.name()}`.trim())),
    ];
  };
  return visit(program, '');
}

/** @throws HoldfastError `usage` for another shell. */
export function completionScript(program: Command, shell: string): string {
  const levels = levelsOf(program);
  if (shell === 'bash') return bash(levels);
  if (shell === 'zsh')
    return `#compdef holdfast\nautoload -U +X bashcompinit && bashcompinit\n${bash(levels)}`;
  if (shell === 'fish') return fish(levels);
  throw new HoldfastError('usage', `there is no completion for the shell "${shell}"`, {
    cure: 'Use bash, zsh or fish.',
  });
}

function bash(levels: readonly Level[]): string {
  const words = levels.map(
    ({ path, commands, flags }) =>
      `    ${JSON.stringify(path)}) commands="${commands.map(({ name }) => name).join(' ')}"; flags="${flags.map(({ flag }) => flag).join(' ')}" ;;`,
  );
  const paths = levels.filter(({ path }) => path !== '').map(({ path }) => JSON.stringify(path));
  return `# Completion of holdfast. Use: source <(holdfast completion bash)
_holdfast() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="" next commands flags i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case "$next" in
    ${paths.join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${words.join('\n')}
  esac
  COMPREPLY=()
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ -n "$commands" ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$word"))
  fi
}
complete -o default -F _holdfast holdfast
`;
}

const fishText = (text: string): string => `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'")}'`;

function fish(levels: readonly Level[]): string {
  const lines = ['# Completion of holdfast. Use: holdfast completion fish | source'];
  for (const { path, commands, flags } of levels) {
    const parts = path.split(' ').filter((part) => part !== '');
    const names = commands.map(({ name }) => name).join(' ');
    const seen = parts.map((part) => `__fish_seen_subcommand_from ${part}`);
    const unseen = names === '' ? [] : [`not __fish_seen_subcommand_from ${names}`];
    const here = [...seen, ...unseen].join('; and ') || 'true';
    for (const { name, description } of commands) {
      lines.push(
        `complete -c holdfast -f -n ${fishText(here)} -a ${name} -d ${fishText(description)}`,
      );
    }
    for (const { flag, description } of flags) {
      const form = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
      lines.push(`complete -c holdfast -n ${fishText(here)} ${form} -d ${fishText(description)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}
