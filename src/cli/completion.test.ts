import { spawnSync } from 'node:child_process';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { completionScript } from './completion.ts';

const program = new Command('holdfast').option('--json', 'as JSON');
program.command('put').description("store the user's files").option('-o, --output <f>', 'where to');
program.command('key').description('keys').command('new').description('make one').option('--bits');

/** What bash offers for the words, of which the last is being typed. */
function offered(words: readonly string[]): string[] {
  const quoted = words.map((word) => `'${word}'`).join(' ');
  const script = `${completionScript(program, 'bash')}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const result = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(result.stderr).toBe('');
  return result.stdout.split('\n').filter((line) => line !== '');
}

describe('completion', () => {
  it('offers commands and options at each level', () => {
    expect(offered(['holdfast', ''])).toEqual(['put', 'key']);
    expect(offered(['holdfast', 'p'])).toEqual(['put']);
    expect(offered(['holdfast', '--json', 'key', ''])).toEqual(['new']);
    expect(offered(['holdfast', 'put', '--o'])).toEqual(['--output']);
    expect(offered(['holdfast', 'key', 'new', '-'])).toEqual(['--bits', '--json', '--help']);
    expect(offered(['holdfast', 'put', ''])).toEqual([]);
  });

  it('for fish quotes what it says', () => {
    expect(completionScript(program, 'fish')).toContain("-a put -d 'store the user\\'s files'");
  });
});
