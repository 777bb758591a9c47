import { readFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import picocolors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { exitCodes, HoldfastError } from '../base/errors.ts';
import { asHoldfastError, formatFailure } from './failure.ts';

const plain = { json: false, debug: false, colors: picocolors.createColors(false) };

describe('a failure', () => {
  const error = new HoldfastError('port-in-use', 'port 7101 is taken', {
    cure: 'Choose another.',
    details: { port: 7101 },
    cause: new Error('the cause'),
  });

  it('is told with its cure', () => {
    expect(formatFailure(error, plain)).toBe(
      'holdfast: port 7101 is taken.\n  → Choose another.\n',
    );
  });

  it('is one line of JSON on request', () => {
    const text = formatFailure(error, { ...plain, json: true });
    expect(text.indexOf('\n')).toBe(text.length - 1);
    expect(JSON.parse(text)).toEqual({
      error: {
        code: 'port-in-use',
        message: 'port 7101 is taken',
        cure: 'Choose another.',
        details: { port: 7101 },
      },
    });
  });

  it('shows stacks, its own and its causes’, only with --debug', () => {
    expect(formatFailure(error, plain)).not.toContain('failure.test.ts');
    const text = formatFailure(error, { ...plain, debug: true });
    expect(text).toContain('failure.test.ts');
    expect(text).toContain('caused by: Error: the cause');
  });

  it('that nobody foresaw is a bug to report', () => {
    const unforeseen = asHoldfastError(new TypeError('x is not a function'));
    expect(unforeseen.exitCode).toBe(1);
    expect(unforeseen.message).toContain('x is not a function');
    expect(unforeseen.cure).toContain('--debug and report');
    expect(asHoldfastError('thrown text').message).toContain('thrown text');
  });

  it('to understand the command line keeps the suggestion', () => {
    const given = new CommanderError(1, 'c', "error: unknown command 'pt'\n(Did you mean put?)");
    expect(asHoldfastError(given)).toMatchObject({
      code: 'usage',
      message: "unknown command 'pt'. Did you mean put?",
    });
  });
});

describe('docs/ERRORS.md', () => {
  const text = readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8');

  it('lists every exit code with its name', () => {
    const rows = [...text.matchAll(/^\| (\d+) \| `([a-z-]+)` \|/gm)].map(([, code, name]) => [
      name,
      Number(code),
    ]);
    expect(Object.fromEntries(rows)).toEqual(exitCodes);
  });

  it('explains every exit code', () => {
    const explained = [...text.matchAll(/^### (\d+) `([a-z-]+)`$/gm)].map(([, code, name]) => [
      name,
      Number(code),
    ]);
    expect(Object.fromEntries(explained)).toEqual(exitCodes);
  });
});
