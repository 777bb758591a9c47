// What every failure has in common: an exit code of docs/ERRORS.md, a message that names the thing, and a cure.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { z } from 'zod';
import type { ErrorCode } from '../../src/base/errors.ts';
import { projectFolder } from './places.ts';
import type { CliResult } from './processes.ts';
import { NeverHappened } from './until.ts';

export interface Failure {
  readonly code: ErrorCode;
  /** All of them stand in the message or the cure. */
  readonly names: readonly string[];
  /** Never shown, not even with --debug. */
  readonly secret?: string | undefined;
}

/** The table of docs/ERRORS.md, which is what programs may rely on. */
async function documentedExitCode(code: ErrorCode): Promise<number> {
  const text = await readFile(join(projectFolder, 'docs', 'ERRORS.md'), 'utf8');
  const row = new RegExp(`^\\| (\\d+) \\| \`${code}\` \\|`, 'm').exec(text);
  if (row === null) throw new NeverHappened(`docs/ERRORS.md lists ${code}`);
  return Number(row[1]);
}

const stackLine = /^\s+at .*\d+:\d+\)?$/m;

/** A server's log shares the error stream: lines of JSON, without an error object. */
const ownLines = (stderr: string): string =>
  stderr
    .split('\n')
    .filter((line) => !line.startsWith('{"level"'))
    .join('\n');

/** Checks what a person sees. */
export async function expectTold(result: CliResult, { code, names }: Failure): Promise<void> {
  const said = ownLines(result.stderr);
  expect(said).toMatch(/^holdfast: .+\n {2}→ .+\n$/);
  expect(said).not.toMatch(stackLine);
  for (const name of names) expect(said).toContain(name);
  expect(result).toMatchObject({ code: await documentedExitCode(code), signal: null });
}

const errorSchema = z.strictObject({
  error: z.strictObject({
    code: z.string(),
    message: z.string(),
    cure: z.string(),
    details: z.record(z.string(), z.unknown()),
    stack: z.string(),
  }),
});

/** Checks what a program sees that asked for --json and --debug. */
export async function expectReported(result: CliResult, { code, names }: Failure): Promise<void> {
  const line = result.stderr.split('\n').find((one) => one.startsWith('{"error"')) ?? '{}';
  const { error } = errorSchema.parse(JSON.parse(line));
  expect(error.code).toBe(code);
  expect(error.stack).toMatch(stackLine);
  for (const name of names) expect(`${error.message} ${error.cure}`).toContain(name);
  expect(result.code).toBe(await documentedExitCode(code));
}

/** Runs it as a person and as a program would, one after the other if it cannot run twice at once. */
export async function expectFailure(
  run: (flags: readonly string[]) => Promise<CliResult>,
  failure: Failure,
  { together = true }: { readonly together?: boolean } = {},
): Promise<void> {
  const plain = run([]);
  if (!together) await plain;
  const [told, reported] = await Promise.all([plain, run(['--json', '--debug'])]);
  await expectTold(told, failure);
  await expectReported(reported, failure);
  if (failure.secret === undefined) return;
  expect(`${told.stderr}${reported.stderr}`).not.toContain(failure.secret);
}
