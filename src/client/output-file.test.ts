import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bytes, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Content } from './contract.ts';
import { descriptorOf, saveContent } from './output-file.ts';

let folder = '';
let file = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-output-'));
  file = join(folder, 'out');
});
afterEach(() => rm(folder, { recursive: true }));

const content = (bytes: number, chunks: () => AsyncGenerator<Bytes>): Content => ({
  bytes,
  chunks: chunks(),
});

const hello = (): Content =>
  content(11, async function* () {
    yield utf8('hello ');
    yield utf8('world');
  });

const broken = (): Content =>
  content(11, async function* () {
    yield utf8('hello ');
    throw new HoldfastError('unavailable', 'too few servers');
  });

describe('saving content', () => {
  it('makes the file, and nothing else', async () => {
    await saveContent(file, hello());
    expect(await readFile(file, 'utf8')).toBe('hello world');
    expect(await readdir(folder)).toEqual(['out']);
  });

  it('shows the name only when the content is whole', async () => {
    let seen: string[] = [];
    await saveContent(
      file,
      content(2, async function* () {
        yield utf8('a');
        seen = await readdir(folder);
        yield utf8('b');
      }),
    );
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatch(/^\.out\.[0-9a-f]+\.part$/);
  });

  it('leaves nothing behind when the content breaks off, and passes its error on', async () => {
    await expect(saveContent(file, broken())).rejects.toMatchObject({ code: 'unavailable' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves an old file as it was when the content breaks off', async () => {
    await writeFile(file, 'old');
    await expect(saveContent(file, broken())).rejects.toThrow();
    expect(await readFile(file, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['out']);
  });

  it('refuses content that is shorter than it should be', async () => {
    const short = content(12, async function* () {
      yield utf8('hello world');
    });
    await expect(saveContent(file, short)).rejects.toMatchObject({ code: 'verification-failed' });
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves nothing behind when the name cannot be given', async () => {
    const obstructed = content(5, async function* () {
      yield utf8('hello');
      await mkdir(join(file, 'full'), { recursive: true });
    });
    await expect(saveContent(file, obstructed)).rejects.toMatchObject({ code: 'usage' });
    expect(await readdir(folder)).toEqual(['out']);
  });

  it('tells of a folder that is not there or in the way', async () => {
    await expect(saveContent(join(folder, 'none', 'out'), hello())).rejects.toMatchObject({
      code: 'usage',
      message: `cannot write ${join(folder, 'none', 'out')}: there is no folder ${join(folder, 'none')}`,
    });
    await expect(saveContent(folder, hello())).rejects.toMatchObject({
      message: expect.stringContaining('it is a folder'),
    });
  });

  it('keeps the mode of a file that it replaces, and links to it', async () => {
    await writeFile(file, 'old');
    await chmod(file, 0o600);
    await symlink(file, join(folder, 'link'));
    await saveContent(join(folder, 'link'), hello());
    expect(await readFile(file, 'utf8')).toBe('hello world');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await readdir(folder)).sort()).toEqual(['link', 'out']);
  });

  it('writes into a device in its place', async () => {
    await saveContent('/dev/null', hello());
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true);
  });

  it('tells of a full disk', async () => {
    await expect(saveContent('/dev/full', hello())).rejects.toMatchObject({
      code: 'usage',
      message: 'cannot write /dev/full: the disk is full',
    });
  });

  it('writes on where an open descriptor of the process stands, and replaces nothing', async () => {
    const opened = await open(file, 'a');
    await opened.writeFile('before ');
    await symlink(`/dev/fd/${opened.fd}`, join(folder, 'link'));
    for (const path of [`/proc/self/fd/${opened.fd}`, join(folder, 'link')]) {
      await saveContent(path, hello());
    }
    await opened.writeFile(' after');
    await opened.close();
    expect(await readFile(file, 'utf8')).toBe('before hello worldhello world after');
    expect(descriptorOf('/dev/stdout')).toBe(1);
    expect(descriptorOf(`/proc/${process.pid}/fd/1`)).toBe(1);
    expect(descriptorOf('/proc/1/fd/1')).toBeUndefined();
    expect(descriptorOf(file)).toBeUndefined();
  });

  it('removes what a process that was killed long ago left of the same file', async () => {
    const [old, young, other] = ['.out.0123456789ab.part', '.out.ba9876543210.part', '.out.x.part'];
    for (const name of [old, young, other]) await writeFile(join(folder, name), 'half');
    const longAgo = Date.now() / 1000 - 2 * 24 * 60 * 60;
    for (const name of [old, other]) await utimes(join(folder, name), longAgo, longAgo);
    await saveContent(file, hello());
    expect((await readdir(folder)).sort()).toEqual([young, other, 'out'].sort());
  });

  it('leaves nothing behind when the process ends in the middle', async () => {
    const module = JSON.stringify(new URL('./output-file.ts', import.meta.url).href);
    const script = `
      const { saveContent } = await import(${module});
      const chunks = (async function* () { yield new Uint8Array(9); process.exit(3); })();
      await saveContent(${JSON.stringify(file)}, { bytes: 10, chunks });`;
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', script],
      { stdio: 'inherit' },
    );
    expect(await once(child, 'exit')).toEqual([3, null]);
    expect(await readdir(folder)).toEqual([]);
  });
});
