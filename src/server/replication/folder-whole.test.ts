import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import { createReplicaFolder, recoverReplicaFolder } from './folder.ts';
import { describeGroup, memberKey } from './group.ts';

/** What opening the folder fails with, from so many times on. */
const failing = vi.hoisted(() => ({
  after: Number.POSITIVE_INFINITY,
  error: new Error() as Error,
}));

vi.mock('../../node/data-folder.ts', async (original) => {
  const real = await original<typeof import('../../node/data-folder.ts')>();
  return {
    ...real,
    openDataFolder: (...given: Parameters<typeof real.openDataFolder>) => {
      failing.after -= 1;
      return failing.after < 0 ? Promise.reject(failing.error) : real.openDataFolder(...given);
    },
  };
});

const seeds = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const members = seeds.map((seed) => ({
  publicKey: memberKey(seed),
  address: { host: '127.0.0.1', port: 0 },
}));
const group = describeGroup('test', members, 1);
let base = '';
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
  failing.after = Number.POSITIVE_INFINITY;
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

it.each([
  [
    'a process that has just started on it',
    new HoldfastError('data-folder', 'the data folder is in use by process 7', {
      cure: 'Stop it.',
      details: { pid: 7 },
    }),
  ],
  [
    'want of file descriptors',
    Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' }),
  ],
])('does not give a whole folder up because of %s', async (_, error) => {
  const folder = join(base, 'data');
  await createReplicaFolder(folder, group, 1);
  const before = readdirSync(folder).sort();
  failing.after = 1;
  failing.error = error;
  await recoverReplicaFolder(folder, group, 1).catch(() => undefined);
  expect(readdirSync(folder).sort()).toEqual(before);
});
