// What is said of the folder of a member, and what to do about it: one cure each, that fits.

import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import type { StateMachine } from '../../replication/contract.ts';
import { createReplicaFolder, readEnding, recoverReplicaFolder } from './folder.ts';
import { describeGroup, memberKey } from './group.ts';
import { startReplica } from './replica.ts';

const seeds = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const members = seeds.map((seed) => ({
  publicKey: memberKey(seed),
  address: { host: '127.0.0.1', port: 0 },
}));
const pbft = describeGroup('test', members, 1);
const vr = describeGroup('test', members.slice(0, 3), 1);
const service: StateMachine = {
  load() {},
  execute: (operation) => operation,
  query: (operation) => operation,
  isQuery: () => false,
};
const neverRan =
  'If this member has never run in this group, make its folder with `createReplicaFolder`.';
let base = '';
let folder = '';

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'holdfast-folder-'));
  folder = join(base, 'data');
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function refusal(
  work: Promise<unknown>,
): Promise<{ code: string; said: string; cure: string }> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof HoldfastError)) throw new TypeError('not refused', { cause: error });
  return { code: error.code, said: error.message, cure: error.cure ?? '' };
}

describe('no folder is made', () => {
  it.each([pbft, vr])('where that of the member is already', async (group) => {
    await createReplicaFolder(folder, group, 1);
    const { said, cure } = await refusal(createReplicaFolder(folder, group, 1));
    expect(said).toContain('is not empty: ');
    expect(cure).toMatch(
      /^It is the folder of this member already: start the member on it.*delete/,
    );
    expect(cure).not.toContain('recoverReplicaFolder');
    expect(cure).not.toContain('another group');
  });

  it('where another one is, or other things are', async () => {
    await createReplicaFolder(folder, pbft, 1);
    const other = await refusal(createReplicaFolder(folder, pbft, 2));
    expect(other.said).toMatch(/belongs to member [0-9a-f]{64}, not to member/);
    expect(other.cure).toContain('Correct the path');
    const elsewhere = await refusal(createReplicaFolder(folder, vr, 1));
    expect(elsewhere.said).toMatch(/belongs to group [0-9a-f]{64}, not to group/);
    expect(elsewhere.cure).toContain('description of the group');
    const letters = join(base, 'letters');
    mkdirSync(letters);
    writeFileSync(join(letters, 'dear.txt'), '');
    const { said, cure } = await refusal(createReplicaFolder(letters, pbft, 1));
    expect(said).toContain('other things (dear.txt) and no data of a member');
    expect(cure).toContain('Correct the path');
  });

  it('over what is left of a lost one', async () => {
    await createReplicaFolder(folder, pbft, 1);
    renameSync(join(folder, 'FORMAT'), join(base, 'FORMAT'));
    const { cure } = await refusal(createReplicaFolder(folder, pbft, 1));
    expect(cure).toContain('recoverReplicaFolder');
  });

  it('where the system lets none be made, nor for nobody', async () => {
    const file = join(base, 'file');
    writeFileSync(file, '');
    const below = await refusal(createReplicaFolder(join(file, 'below'), pbft, 1));
    expect(below).toMatchObject({ code: 'data-folder', cure: expect.stringContaining('path') });
    expect(below.said).toContain('a part of the path is not a folder');
    const proc = await refusal(createReplicaFolder('/proc/none', pbft, 1));
    expect(proc).toMatchObject({ code: 'data-folder', cure: expect.stringContaining('path') });
    const nobody = await refusal(createReplicaFolder(folder, pbft, 9));
    expect(nobody.said).toBe('there is no member 9');
    expect(nobody.cure).toContain('0 … 3');
  });
});

it('the seed of another member is told of, also while the member runs', async () => {
  await createReplicaFolder(folder, pbft, 1);
  const [first = new Uint8Array(), second = new Uint8Array()] = seeds;
  const options = { group: pbft, engine: { kind: 'pbft' }, service, folder } as const;
  const wrong = () => refusal(startReplica({ ...options, identitySeed: first }));
  const stopped = await wrong();
  expect(stopped.said).toMatch(/belongs to member [0-9a-f]{64}, not to member/);
  expect(stopped.cure).toContain('the seed');
  const replica = await startReplica({ ...options, identitySeed: second });
  try {
    expect(await wrong()).toEqual(stopped);
    const again = await refusal(startReplica({ ...options, identitySeed: second }));
    expect(again.said).toContain(`is in use by process ${process.pid}`);
    expect(again.cure).toContain('it runs already');
    expect(again.cure).not.toContain('of its own');
    await expect(readEnding(folder, pbft, 1)).rejects.toMatchObject({
      code: 'data-folder',
      cure: expect.stringContaining('`ending()`'),
      details: { pid: process.pid },
    });
    expect(await refusal(createReplicaFolder(folder, pbft, 1))).toEqual(again);
  } finally {
    await replica.stop();
  }
});

it('a lost disk of Viewstamped Replication leads to the end and the next group', async () => {
  const start = startReplica({
    group: vr,
    identitySeed: new Uint8Array(32).fill(1),
    engine: { kind: 'vr' },
    service,
    folder,
  });
  const { said, cure } = await refusal(start);
  expect(said).toContain('A member whose disk was wiped must not rejoin silently');
  expect(cure).toMatch(/End the instance.*"The end, and the next group"/);
  const { cure: lostCure } = await refusal(recoverReplicaFolder(folder, vr, 0));
  expect(cure).toBe(`${neverRan} ${lostCure}`);
});

it.each([pbft, vr])('a folder that is not there may never have been made', async (group) => {
  const options = {
    group,
    engine: { kind: group === vr ? 'vr' : 'pbft' },
    service,
    folder,
  } as const;
  const start = () => startReplica({ ...options, identitySeed: new Uint8Array(32).fill(1) });
  for (const make of [() => {}, () => mkdirSync(folder)]) {
    make();
    const { cure } = await refusal(start());
    expect(cure).toMatch(neverRan);
    expect(cure).toContain('If this member ran before');
  }
  rmSync(folder, { recursive: true });
  await createReplicaFolder(folder, group, 0);
  // What is damaged was there.
  for (const lost of ['journal', 'FORMAT']) {
    renameSync(join(folder, lost), join(base, lost));
    expect((await refusal(start())).cure).toMatch(/^If this member ran before/);
  }
});

it('a folder on which the member can start is not given up for a new one', async () => {
  const [, identitySeed = new Uint8Array()] = seeds;
  const run = async (): Promise<void> => {
    const engine = { kind: 'pbft' } as const;
    const replica = await startReplica({ group: pbft, engine, service, folder, identitySeed });
    await replica.stop();
  };
  const refused = async (): Promise<void> => {
    const { code, said, cure } = await refusal(recoverReplicaFolder(folder, pbft, 1));
    expect([code, said]).toEqual([
      'data-folder',
      `the data folder ${folder} is whole: this member has not lost it`,
    ]);
    expect(cure).toMatch(/^Start the member on it.*move it away first/);
    expect(readdirSync(folder).sort()).toEqual(['FORMAT', 'journal', 'table']);
  };
  await createReplicaFolder(folder, pbft, 1);
  await refused();
  await run();
  await refused();
  // Moved away, and thought better of before the member has started on the new one.
  const aside = join(base, 'aside');
  renameSync(folder, aside);
  expect(await recoverReplicaFolder(folder, pbft, 1)).toBeUndefined();
  await refused();
  rmSync(folder, { recursive: true });
  renameSync(aside, folder);
  await run();
  rmSync(join(folder, 'journal'), { recursive: true });
  expect(await recoverReplicaFolder(folder, pbft, 1)).toBe(join(folder, 'damaged-1'));
});

it('an ending is not sought in vain on a lost disk', async () => {
  for (const group of [pbft, vr]) {
    const { code, cure } = await refusal(readEnding(folder, group, 0));
    expect(code).toBe('data-folder');
    expect(cure).toMatch(/^Take the folder of another member/);
  }
});
