// Systems made by hand and by `dev`, as README.md shows them.

import { existsSync } from 'node:fs';
import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { pidsFile, projectFolder } from './places.ts';
import { freePortBase } from './ports.ts';
import { endAll, type Process, runCli, startProgram } from './processes.ts';
import { replaceOnce, shell, shellBlock } from './readme.ts';
import { temporaryFolder } from './system.ts';
import { until } from './until.ts';

afterAll(endAll);

/** What a command printed with --json: one object per line. */
const answersOf = (stdout: string): unknown[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));

const done = { code: 0, signal: null, stderr: '' };
const publicKey = expect.stringMatching(/^[0-9a-f]{64}$/);

describe('a system set up by hand', () => {
  test('as README.md shows it', async () => {
    const folder = await temporaryFolder();
    const base = await freePortBase([[1, 14]]);
    const block = await shellBlock('authority init');
    const query = 'npx holdfast --client alice.toml status';
    const script = [
      ['--port 730$i', `--port $((${base} + i))`],
      ['--admin-port 740$i', `--admin-port $((${base} + 10 + i))`],
      [query, ''],
    ].reduce((text, [from = '', to = '']) => replaceOnce(text, from, to), block);
    const set = await shell(
      `set -e\ntrap 'kill $(jobs -p); wait' EXIT\n${script}\njobs -p >> '${pidsFile}'\nwait`,
      folder,
    );
    onTestFinished(async () => {
      set.kill('SIGTERM');
      await set.endedWithin(20_000);
    });
    // Many programs one after the other, on a machine that may be busy.
    const timeoutMs = 120_000;
    for (const i of [1, 2, 3, 4]) {
      const serves = async (): Promise<boolean> =>
        set.result !== undefined || (await fetch(`http://127.0.0.1:${base + 10 + i}/readyz`)).ok;
      await until(`server ${i} serves`, serves, timeoutMs);
    }
    expect(set.result, set.stderr).toBeUndefined();
    await until('the client file', () => existsSync(join(folder, 'alice.toml')), timeoutMs);
    const status = await shell(`${query} --json`, folder);
    expect(await status.endedWithin(40_000), status.stderr).toMatchObject({ code: 0 });
    expect(answersOf(`${status.stdout}`)).toMatchObject([{ faults: 1, moreFailures: 1 }]);
  });

  test('answers as JSON at every step', async () => {
    const folder = await temporaryFolder();
    const run = async (...args: string[]): Promise<unknown[]> => {
      const result = await runCli([...args, '--json'], { cwd: folder });
      expect(result, result.stderr).toMatchObject(done);
      return answersOf(result.stdout);
    };
    const inFolder = (...path: string[]): string => join(folder, ...path);
    expect(await run('authority', 'init', '--name', 'home', '--faults', '1')).toEqual([
      { system: publicKey, name: 'home', faults: 1, folder: inFolder('authority') },
    ]);
    const names = ['s1', 's2', 's3', 's4'];
    const hosted = names.map((name, at) => ({ name, host: '10.0.0.1', port: 7001 + at }));
    for (const { name, host, port } of hosted) {
      const flags = ['--dir', name, '--name', name, '--host', host, '--port', `${port}`];
      expect(await run('server', 'init', ...flags)).toEqual([
        { name, folder: inFolder(name), request: inFolder(name, `${name}.request`) },
      ]);
    }
    const requests = names.map((name) => `${name}/${name}.request`);
    expect(await run('authority', 'admit', ...requests)).toEqual(
      hosted.map((server) => ({ ...server, id: publicKey, key: publicKey })),
    );
    const admissions = names.map((name) => ({
      name,
      file: inFolder('authority', 'admissions', `${name}.admission`),
    }));
    expect(await run('authority', 'genesis')).toEqual([{ servers: 4, faults: 1, admissions }]);
    for (const { name, file } of admissions) {
      expect(await run('server', 'accept', '--dir', name, file)).toEqual([
        { name, system: publicKey, settings: inFolder(name, 'server.toml') },
      ]);
    }
    expect(await run('client', 'init', '--name', 'bob', '-o', 'bob.toml')).toEqual([
      { file: inFolder('bob.toml'), request: inFolder('bob.request') },
    ]);
    expect(await run('authority', 'client', 'bob.request', '-o', 'bob.admission')).toEqual([
      { name: 'bob', file: inFolder('bob.admission') },
    ]);
    expect(await run('client', 'accept', 'bob.admission', '--client', 'bob.toml')).toEqual([
      { file: inFolder('bob.toml'), system: publicKey },
    ]);
    // What is printed next is what works, as it stands.
    const told = await runCli(['client', 'init', '--name', 'erin', '-o', 'erin.toml'], {
      cwd: folder,
    });
    const next = [...told.stderr.matchAll(/: +holdfast (.*)$/gm)].map(([, args = '']) =>
      args.split(' '),
    );
    expect(next).toHaveLength(2);
    for (const args of next) await run(...args);
    expect(await run('authority', 'list')).toEqual([
      {
        system: publicKey,
        name: 'home',
        faults: 1,
        configured: true,
        servers: hosted.map((server) => ({ ...server, id: publicKey, key: publicKey })),
        clients: ['bob', 'erin'].map((name) => ({ name, quotaBytes: 0, key: publicKey })),
      },
    ]);
  });
});

describe('dev', () => {
  const isGone = (pid: number): boolean => !existsSync(`/proc/${pid}`);

  async function childrenOf({ pid }: Process): Promise<number[]> {
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return text.trim().split(' ').map(Number);
  }

  /** Starts it and waits for its word that it is ready. */
  async function startDev(folder: string, args: readonly string[]): Promise<Process> {
    const dev = startProgram(['dev', ...args], { cwd: folder });
    onTestFinished(async () => {
      // Its servers end with it, however it ends.
      dev.kill('SIGTERM');
      await dev.endedWithin(20_000);
    });
    const isReady = (): boolean =>
      dev.result !== undefined || /"ready":true.*\n|Ctrl-C/.test(`${dev.stdout}`);
    await until('the system is ready', isReady, 60_000);
    expect(dev.result, dev.stderr).toBeUndefined();
    return dev;
  }

  /** Ends it as Ctrl-C does, with all its servers. */
  async function interrupt(dev: Process): Promise<void> {
    const children = await childrenOf(dev);
    expect(children.length).toBeGreaterThanOrEqual(4);
    dev.kill('SIGINT');
    expect(await dev.endedWithin(20_000)).toEqual({ code: 0, signal: null });
    expect(children.filter((pid) => !isGone(pid))).toEqual([]);
  }

  test('runs a system as README.md shows it, ends it, and finds its data again', async () => {
    const folder = await temporaryFolder();
    await copyFile(join(projectFolder, 'README.md'), join(folder, 'README.md'));
    const base = await freePortBase([
      [0, 4],
      [100, 4],
    ]);
    const first = await startDev(folder, ['--port', `${base}`]);
    expect(`${first.stdout}`).toContain(
      'Holdfast is ready: 4 servers, of which any 1 may fail or lie.',
    );
    const block = replaceOnce(await shellBlock('get ADDRESS'), 'ADDRESS', '"$address"');
    const [put = '', ...others] = block.split('\n');
    const typed = await shell(`set -e\naddress=$(${put}\n)\n${others.join('\n')}`, folder);
    expect(await typed.endedWithin(60_000), typed.stderr).toMatchObject({ code: 0 });
    expect(`${typed.stdout}`).toMatch(/^hfo1\S+\nhello\n/);
    expect(await readFile(join(folder, 'copy.md'))).toEqual(
      await readFile(join(folder, 'README.md')),
    );
    await interrupt(first);
    expect(first.stderr).toContain('Stopped.');

    const second = await startDev(folder, ['--json']);
    const [ready] = answersOf(`${second.stdout}`);
    expect(ready).toMatchObject({
      ready: true,
      folder: join(folder, '.holdfast'),
      client: join(folder, '.holdfast', 'client.toml'),
      faults: 1,
    });
    const read = await runCli(['read', 'greeting'], { cwd: folder });
    expect(read).toMatchObject({ ...done, stdout: 'hello\n' });
    await interrupt(second);
  });

  test('takes more servers than the faults need, and removes a temporary system', async () => {
    const folder = await temporaryFolder();
    const base = await freePortBase([
      [0, 6],
      [100, 6],
    ]);
    const size = ['--servers', '6', '--faults', '1', '--port', `${base}`];
    const dev = await startDev(folder, ['--temporary', '--json', ...size]);
    const place = z
      .object({ folder: z.string(), client: z.string(), servers: z.array(z.unknown()).length(6) })
      .parse(answersOf(`${dev.stdout}`)[0]);
    expect(existsSync(place.folder)).toBe(true);
    const status = await runCli(['status', '--json', '--client', place.client]);
    expect(status).toMatchObject(done);
    expect(answersOf(status.stdout)).toMatchObject([
      { faults: 1, moreFailures: 1, servers: Array(6).fill({ state: 'serving' }) },
    ]);
    await interrupt(dev);
    expect(existsSync(place.folder)).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });
});
