import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { createDataFolder, moveAside, openDataFolder } from './data-folder.ts';

const owner = { serverId: 'server-1', systemId: 'system-1' };
let root: string;
let folder: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-folder-'));
  folder = path.join(root, 'data');
});
afterEach(() => fs.rmSync(root, { recursive: true }));

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(HoldfastError);
  const refusal = error as HoldfastError;
  expect(refusal.code).toBe('data-folder');
  expect(refusal.cure).toBeTruthy();
  return refusal;
}

test('a folder that was created can be opened, again and again', async () => {
  await createDataFolder(folder, owner);
  for (let i = 0; i < 2; i++) {
    const opened = await openDataFolder(folder, owner);
    expect(fs.existsSync(opened.journalFolder)).toBe(true);
    expect(fs.existsSync(opened.tableFolder)).toBe(true);
    await opened.release();
  }
  expect(fs.readdirSync(folder).sort()).toEqual(['FORMAT', 'journal', 'table']);
});

describe('opening refuses, with a cure,', () => {
  test('a missing, an emptied and a half-made folder', async () => {
    expect((await refusal(openDataFolder(folder, owner))).message).toMatch(/does not exist.*wiped/);
    fs.mkdirSync(folder);
    const empty = await refusal(openDataFolder(folder, owner));
    expect(empty.message).toMatch(/is empty.*must not rejoin silently/);
    expect(empty.cure).toContain('holdfast server --config FILE --recover');
    fs.mkdirSync(path.join(folder, 'journal'));
    expect((await refusal(openDataFolder(folder, owner))).message).toMatch(/has no file FORMAT/);
  });

  test('only a folder of its own is said to be lost, so that recovering touches no other', async () => {
    const lost = async (): Promise<unknown> =>
      (await refusal(openDataFolder(folder, owner))).details.lost;
    expect(await lost(), 'missing').toBe(true);
    fs.mkdirSync(path.join(folder, 'journal'), { recursive: true });
    expect(await lost(), 'half-made').toBe(true);
    fs.writeFileSync(path.join(folder, 'letter.txt'), 'dear');
    const wrong = await refusal(openDataFolder(folder, owner));
    expect(wrong.message).toMatch(/holds other things \(letter\.txt\)/);
    expect(wrong.details.lost, 'a wrong path').toBeUndefined();
    fs.rmSync(folder, { recursive: true });
    await createDataFolder(folder, { ...owner, serverId: 'server-2' });
    expect(await lost(), "another server's").toBeUndefined();
  });

  test("another server's and another system's folder", async () => {
    await createDataFolder(folder, owner);
    const server = await refusal(openDataFolder(folder, { ...owner, serverId: 'server-2' }));
    expect(server.message).toMatch(/belongs to server server-1, not to server server-2/);
    const system = await refusal(openDataFolder(folder, { ...owner, systemId: 'system-2' }));
    expect(system.message).toMatch(/belongs to system system-1/);
  });

  test('a newer and a damaged format', async () => {
    await createDataFolder(folder, owner);
    const file = path.join(folder, 'FORMAT');
    fs.writeFileSync(file, JSON.stringify({ format: 'holdfast-data', version: 2, ...owner }));
    expect((await refusal(openDataFolder(folder, owner))).message).toMatch(/has format 2.*up to 1/);
    for (const text of ['', '{', '[]', '{"format":"other"}']) {
      fs.writeFileSync(file, text);
      expect((await refusal(openDataFolder(folder, owner))).message).toMatch(/FORMAT is damaged/);
    }
  });

  test('after each refusal nobody holds the folder', async () => {
    await createDataFolder(folder, owner);
    await refusal(openDataFolder(folder, { ...owner, serverId: 'other' }));
    await (await openDataFolder(folder, owner)).release();
  });
});

test('creating refuses a folder that holds something', async () => {
  fs.mkdirSync(folder);
  fs.writeFileSync(path.join(folder, 'thesis.txt'), 'do not lose');
  expect((await refusal(createDataFolder(folder, owner))).message).toMatch(/not empty: thesis.txt/);
  expect(fs.readdirSync(folder)).toEqual(['thesis.txt']);
});

test('contents moved aside are kept, and the folder can be made anew', async () => {
  await createDataFolder(folder, owner);
  expect(await moveAside(folder)).toBe(path.join(folder, 'damaged-1'));
  expect((await refusal(openDataFolder(folder, owner))).message).toMatch(/is empty/);
  await createDataFolder(folder, owner);
  expect(await moveAside(folder)).toBe(path.join(folder, 'damaged-2'));
  expect(await moveAside(folder)).toBeUndefined();
  for (const name of ['damaged-1', 'damaged-2']) {
    expect(fs.readdirSync(path.join(folder, name)).sort()).toEqual(['FORMAT', 'journal', 'table']);
  }
});

describe('two processes', () => {
  const lockModule = fileURLToPath(new URL('./folder-lock.ts', import.meta.url));

  /** Another process that holds the folder until it is killed. */
  async function holder(): Promise<ChildProcess> {
    const script = `
      import { lockFolder } from ${JSON.stringify(lockModule)};
      await lockFolder(${JSON.stringify(folder)});
      setInterval(() => {}, 1000);
      console.log('held');`;
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await once(child.stdout, 'data');
    return child;
  }

  test('cannot have one folder, and one that is killed leaves it free', async () => {
    await createDataFolder(folder, owner);
    const child = await holder();
    try {
      const refused = await refusal(openDataFolder(folder, owner));
      expect(refused.message).toContain(`in use by process ${child.pid}`);
      await refusal(moveAside(folder));
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(fs.readdirSync(folder).some((name) => name.startsWith('lock-'))).toBe(true);
    await (await openDataFolder(folder, owner)).release();
    expect(fs.readdirSync(folder).some((name) => name.startsWith('lock-'))).toBe(false);
  });

  test('that start at once never both have it', async () => {
    await createDataFolder(folder, owner);
    for (let round = 0; round < 20; round++) {
      const tries = await Promise.allSettled(
        Array.from({ length: 4 }, () => openDataFolder(folder, owner)),
      );
      const held = tries.filter((result) => result.status === 'fulfilled');
      expect(held.length).toBeLessThanOrEqual(1);
      for (const { value } of held) await value.release();
    }
    await (await openDataFolder(folder, owner)).release();
  });

  test('a folder with a very long path can be held too', async () => {
    folder = path.join(root, ...Array.from({ length: 6 }, () => 'x'.repeat(60)));
    await createDataFolder(folder, owner);
    const held = await openDataFolder(folder, owner);
    await refusal(openDataFolder(folder, owner));
    await held.release();
  });
});
