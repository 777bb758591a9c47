// What README.md and other documents tell people to type, run as it stands.

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { program, projectFolder } from './places.ts';
import { Process } from './processes.ts';
import { NeverHappened } from './until.ts';

/** The one shell block of a document that has this text in it. */
export async function shellBlock(text: string, document = 'README.md'): Promise<string> {
  const words = await readFile(join(projectFolder, document), 'utf8');
  const blocks = [...words.matchAll(/```sh\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  const found = blocks.filter((block) => block.includes(text));
  const [block] = found;
  if (block === undefined || found.length > 1) {
    throw new NeverHappened(`${document} has one shell block with "${text}"`);
  }
  return block;
}

/** Replaces what occurs exactly once; a document that says it otherwise is noticed. */
export function replaceOnce(text: string, from: string, to: string): string {
  const parts = text.split(from);
  if (parts.length !== 2) throw new NeverHappened(`"${from}" is once in: ${text}`);
  return parts.join(to);
}

/** A shell in which `npx holdfast` is the program that is tested, and `npx tsx` that of the folder. */
export async function shell(script: string, folder: string): Promise<Process> {
  const bin = join(folder, 'bin');
  const npx = join(bin, 'npx');
  await mkdir(bin, { recursive: true });
  await writeFile(
    npx,
    [
      '#!/bin/sh',
      'case "$1" in',
      `  holdfast) shift; exec "${process.execPath}" "${program}" "$@" ;;`,
      `  tsx) shift; exec "${process.execPath}" --import tsx "$@" ;;`,
      'esac',
      'exit 127\n',
    ].join('\n'),
  );
  await chmod(npx, 0o755);
  const started = new Process(['bash', '-c', script], {
    cwd: folder,
    env: { PATH: `${bin}:${process.env.PATH ?? ''}` },
  });
  started.give(undefined);
  return started;
}
