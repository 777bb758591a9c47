// Secret keys as text. The kind is part of the text, so that a key given in another's place is noticed, and so is a
// mistyped one.

import { createHash, randomBytes } from 'node:crypto';
import { type Bytes, fromHex, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { seedSizeBytes } from '../crypto/signature.ts';
import { createFile, requirePrivate } from './files.ts';
import { readTextFile } from './toml.ts';

export type KeyKind = 'authority' | 'server' | 'client' | 'object';

const checksumSizeBytes = 4;

function checksum(kind: KeyKind, seed: Bytes): string {
  const digest = createHash('sha256')
    .update(utf8(`holdfast/key-text/${kind}`))
    .update(seed)
    .digest();
  return toHex(digest.subarray(0, checksumSizeBytes));
}

/** 32 secret bytes from the operating system. */
export function newSeed(): Bytes {
  return new Uint8Array(randomBytes(seedSizeBytes));
}

/** "holdfast-object-key:" and 72 hexadecimal digits: the seed and a checksum. */
export function formatKey(kind: KeyKind, seed: Bytes): string {
  return `holdfast-${kind}-key:${toHex(seed)}${checksum(kind, seed)}`;
}

/** The seed, or what is wrong with the text; the words never repeat the text. */
export function parseKey(kind: KeyKind, text: string): Bytes | { readonly problem: string } {
  const match = /^holdfast-([a-z]+)-key:([0-9a-f]+)$/.exec(text.trim());
  if (match === null) return { problem: `is not a key; it must begin with holdfast-${kind}-key:` };
  if (match[1] !== kind) return { problem: `is a key of kind ${match[1]}, not of kind ${kind}` };
  const bytes = fromHex(match[2] ?? '');
  if (bytes?.length !== seedSizeBytes + checksumSizeBytes) {
    return { problem: 'is a key of the wrong length' };
  }
  const seed = bytes.slice(0, seedSizeBytes);
  if (formatKey(kind, seed) !== text.trim()) return { problem: 'is a mistyped or damaged key' };
  return seed;
}

/** Writes a key file that only its owner reads. @throws HoldfastError `usage` if it exists. */
export async function createKeyFile(path: string, kind: KeyKind, seed: Bytes): Promise<void> {
  const text = `# Secret key of a Holdfast ${kind}. Whoever has it can act as this ${kind}. Never share it.\n`;
  await createFile(path, `${text}${formatKey(kind, seed)}\n`, { isSecret: true });
}

/** @throws HoldfastError `bad-configuration` if it is missing, readable by others, or not a key of this kind. */
export async function readKeyFile(path: string, kind: KeyKind): Promise<Bytes> {
  const text = await readTextFile(path, `Restore the ${kind}'s key file from your backup.`);
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const seed = parseKey(kind, lines.join('\n'));
  if ('problem' in seed) {
    throw new HoldfastError('bad-configuration', `${path} ${seed.problem}`, {
      cure: `Restore the ${kind}'s key file from your backup.`,
      details: { file: path },
    });
  }
  // Only now is it known to hold a secret.
  await requirePrivate(path);
  return seed;
}
