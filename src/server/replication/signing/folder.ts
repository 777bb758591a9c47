// The folder of a signing module: the key, and how often the member has changed its keys. Whoever reads it is the member for
// good; an older copy would sign anew what was signed before, so that other members take nothing of it.
//
//   key       secret: the seed, the instance, and the version of this format
//   counter   the number of the last change of keys

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type Bytes, fromHex, toHex } from '../../../base/bytes.ts';
import { HoldfastError } from '../../../base/errors.ts';
import { ed25519 } from '../../../crypto/signature.ts';
import { lockFolder } from '../../../node/folder-lock.ts';
import {
  createFile,
  fileExists,
  makePrivateFolder,
  namesIn,
  replaceFile,
  requirePrivate,
} from '../../files.ts';
import { reasonOf, systemCode } from '../../local-errors.ts';
import { checkFolder, checkGroup, checkGroupSize, checkSeed } from '../arguments.ts';
import type { PlacedGroup } from '../group.ts';

const keySchema = z.strictObject({
  format: z.literal('holdfast-signing'),
  version: z.literal(1),
  instance: z.string().regex(/^[0-9a-f]{64}$/),
  seed: z.string().regex(/^[0-9a-f]{64}$/),
});

const folderCure = 'Name the folder of the signing module.';

const keyPath = (folder: string): string => join(folder, 'key');
const counterPath = (folder: string): string => join(folder, 'counter');

/**
 * Makes the folder of a member's signing module, once. From then on nothing else needs the member's seed.
 * @throws HoldfastError `bad-configuration` unless the seed is a member's of a PBFT group; `usage` where there is one already or none can be made.
 */
export async function createSigningFolder(
  folder: string,
  group: PlacedGroup,
  identitySeed: Bytes,
): Promise<void> {
  checkGroup(group);
  checkGroupSize(group, 'pbft');
  checkSeed('identitySeed', identitySeed);
  checkFolder(folder, folderCure);
  const own = toHex(ed25519.signer(identitySeed).publicKey);
  if (!group.members.some((key) => toHex(key) === own)) {
    throw new HoldfastError('bad-configuration', 'this key is no member of the group', {
      cure: 'Make the folder with the seed of one of the members.',
    });
  }
  await makePrivateFolder(folder);
  if (await fileExists(keyPath(folder))) {
    throw new HoldfastError('usage', `${folder} is the folder of a signing module already`, {
      cure: 'Start the module on it, or name another folder.',
    });
  }
  const names = ((await namesIn(folder)) ?? []).filter((name) => name !== 'counter');
  if (names.length > 0) {
    throw new HoldfastError(
      'usage',
      `${folder} holds other things: ${names.slice(0, 5).join(', ')}`,
      {
        cure: 'Name a folder of its own for each module.',
      },
    );
  }
  // The key comes last: where it is, the counter is too.
  if (!(await fileExists(counterPath(folder)))) {
    await replaceFile(counterPath(folder), '0\n', { isSecret: true });
  }
  const key = {
    format: 'holdfast-signing',
    version: 1,
    instance: toHex(group.instance),
    seed: toHex(identitySeed),
  };
  await createFile(keyPath(folder), `${JSON.stringify(key, undefined, 2)}\n`, { isSecret: true });
}

export interface SigningFolder {
  readonly seed: Bytes;
  readonly instance: Bytes;
  readonly counter: number;
  keepCounter(counter: number): Promise<void>;
  release(): Promise<void>;
}

/** @throws HoldfastError `data-folder` when it is missing, damaged or in use; `bad-configuration` when others may read the key. */
export async function openSigningFolder(folder: string): Promise<SigningFolder> {
  checkFolder(folder, folderCure);
  const text = await read(keyPath(folder));
  await requirePrivate(keyPath(folder));
  const { mode } = await stat(folder);
  if ((mode & 0o022) !== 0) {
    throw new HoldfastError('bad-configuration', `other users may write to ${folder}`, {
      cure: `Run: chmod 700 ${folder}`,
    });
  }
  const lock = await lockFolder(
    folder,
    'A module signs once: stop that process, or let it be the one.',
  );
  try {
    const { seed, instance } = keyOf(folder, text);
    return {
      seed,
      instance,
      counter: counterOf(folder, await read(counterPath(folder))),
      keepCounter: (counter) =>
        replaceFile(counterPath(folder), `${counter}\n`, { isSecret: true }),
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const isGone = systemCode(cause) === 'ENOENT';
    throw new HoldfastError('data-folder', `cannot read ${path}: ${reasonOf(cause)}`, {
      cure: isGone
        ? `Correct the path, or, if there never was one, make the folder with createSigningFolder. ${lostCure}`
        : 'See that this user may read it: it is the module that should have it, and nobody else.',
      cause,
    });
  }
}

const lostCure =
  'A member whose module has lost its folder can be started with its seed, if that was kept; without it it needs a new identity, in the next group.';

function damaged(path: string): HoldfastError {
  return new HoldfastError('data-folder', `${path} is damaged`, { cure: lostCure });
}

function keyOf(folder: string, text: string): { seed: Bytes; instance: Bytes } {
  const parsed = keySchema.safeParse(parse(text));
  const seed = fromHex(parsed.data?.seed ?? '');
  const instance = fromHex(parsed.data?.instance ?? '');
  if (!parsed.success || seed === undefined || instance === undefined) {
    throw damaged(keyPath(folder));
  }
  return { seed, instance };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function counterOf(folder: string, text: string): number {
  const counter = Number(text.trim());
  if (!/^\d{1,15}\n$/.test(text) || !Number.isSafeInteger(counter)) {
    throw damaged(counterPath(folder));
  }
  return counter;
}
