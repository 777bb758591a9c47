import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { formatAddress } from '../../src/client/content/address.ts';
import { pidsFile, projectFolder } from './places.ts';
import { freePortBase } from './ports.ts';
import { endAll, type Process, runCli, startProgram } from './processes.ts';
import { replaceOnce, shell, shellBlock } from './readme.ts';
import { System, temporaryFolder } from './system.ts';
import { until } from './until.ts';

let system: System;

beforeAll(async () => {
  system = await System.make();
  await system.start();
});

afterAll(async () => {
  await system.end();
  await endAll();
});

const kib = 1024;
const mib = 1024 * kib;

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What a command printed with --json: one object per line. */
const answersOf = (stdout: string): unknown[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));

const putAnswers = z.array(
  z.strictObject({ address: z.string(), bytes: z.int(), file: z.string() }),
);

const done = { code: 0, signal: null, stderr: '' };
const objectAddress = expect.stringMatching(/^hfo1[a-z2-7]{58}$/);
const publicKey = expect.stringMatching(/^[0-9a-f]{64}$/);

describe('put and get', () => {
  const sizes = [0, 1, 32 * kib - 1, 32 * kib, 32 * kib + 1, mib - 1, mib, mib + 1, 20 * mib];

  test('several files at once, of every size, come back as they were', async () => {
    const folder = await temporaryFolder();
    const files = sizes.map((size) => join(folder, `${size} bytes`));
    const hashes: string[] = [];
    for (const [at, file] of files.entries()) {
      const bytes = randomBytes(sizes[at] ?? 0);
      hashes.push(hashOf(bytes));
      await writeFile(file, bytes);
    }
    const put = await system.cli(['put', '--json', ...files]);
    expect(put).toMatchObject(done);
    const stored = putAnswers.parse(answersOf(put.stdout));
    expect(stored.map(({ bytes }) => bytes)).toEqual(sizes);
    expect(stored.map(({ file }) => file)).toEqual(files);
    await Promise.all(
      stored.map(async ({ address, bytes }, at) => {
        const output = join(folder, `copy ${at}`);
        const got = await system.cli(['get', '--json', address, '-o', output]);
        expect(got).toMatchObject(done);
        expect(answersOf(got.stdout)).toEqual([{ address, bytes, file: output }]);
        expect(hashOf(await readFile(output))).toBe(hashes[at]);
      }),
    );
  });

  test('several files print one line each, one file only its address', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a'), 'first');
    await writeFile(join(folder, 'b b'), 'second');
    const both = await system.cli(['put', 'a', 'b b'], { cwd: folder });
    const one = await system.cli(['put', 'a'], { cwd: folder });
    expect(one).toMatchObject(done);
    expect(one.stdout).toMatch(/^hfc1[a-z2-7]{58}\n$/);
    expect(both.stdout).toMatch(/^hfc1\S+ {2}a\nhfc1\S+ {2}b b\n$/);
    expect(both.stdout.startsWith(one.stdout.trim())).toBe(true);
  });

  test('standard input goes in and standard output gives it back', async () => {
    const bytes = randomBytes(mib + 17);
    const put = await system.cli(['put', '-'], { input: bytes });
    expect(put).toMatchObject(done);
    const address = put.stdout.trim();
    const bare = await system.cli(['get', address]);
    const named = await system.cli(['get', address, '-o', '-']);
    expect(bare).toMatchObject(done);
    expect(named).toMatchObject(done);
    expect(bare.bytes.equals(bytes)).toBe(true);
    expect(named.bytes.equals(bytes)).toBe(true);
    const empty = await system.cli(['put', '-'], { input: '' });
    const nothing = await system.cli(['get', empty.stdout.trim()]);
    expect(nothing).toMatchObject({ ...done, stdout: '' });
  });

  test('a get that fails leaves no file, and an old one as it was', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'old'), 'as it was');
    const unknown = formatAddress('content', randomBytes(32));
    for (const output of ['new', 'old']) {
      const got = await system.cli(['get', unknown, '-o', output], { cwd: folder });
      expect(got.code).toBe(3);
    }
    expect(await readdir(folder)).toEqual(['old']);
    expect(await readFile(join(folder, 'old'), 'utf8')).toBe('as it was');
  });
});

describe('write and read', () => {
  const names = [
    'config/theme/dark',
    'two words  and more ',
    'Grüße ☂ 日本語',
    '../..',
    '-dash',
    '#?%\n',
  ];

  test('any text names an object', async () => {
    const client = ['--client', system.clientFile];
    await Promise.all(
      names.map(async (name) => {
        const value = `the value of ${name}`;
        // After -- a name may begin with a dash.
        const written = await runCli(['write', ...client, '--', name, '-'], { input: value });
        expect(written).toMatchObject(done);
        const read = await runCli(['read', ...client, '--', name]);
        expect(read).toMatchObject({ ...done, stdout: value });
      }),
    );
  });

  test('anyone in the system can read an object by its address', async () => {
    const written = await system.cli(['write', 'shown', '-'], { input: 'to all' });
    const reader = await system.newClient('reader');
    const read = await runCli(['read', written.stdout.trim(), '--client', reader]);
    expect(read).toMatchObject({ ...done, stdout: 'to all' });
  });

  test('a value of any length replaces the one before', async () => {
    const folder = await temporaryFolder();
    const large = randomBytes(3 * mib + 5);
    await writeFile(join(folder, 'large'), large);
    const values = [Buffer.from('small'), large, Buffer.alloc(0)];
    for (const [at, value] of values.entries()) {
      const from = value === large ? 'large' : '-';
      const written = await system.cli(['write', 'grows', from, '--json'], {
        cwd: folder,
        input: value === large ? '' : value,
      });
      expect(written).toMatchObject(done);
      const about = { address: objectAddress, version: at + 1, bytes: value.length };
      expect(answersOf(written.stdout)).toEqual([{ ...about, name: 'grows', file: from }]);
      const read = await system.cli(['read', 'grows', '--json', '-o', 'value'], { cwd: folder });
      expect(read).toMatchObject(done);
      expect(answersOf(read.stdout)).toEqual([{ ...about, file: 'value' }]);
      expect(hashOf(await readFile(join(folder, 'value')))).toBe(hashOf(value));
    }
  });

  test('several writers of one object, by one exported key, leave one of their values', async () => {
    const exported = await system.cli(['key', 'export', 'personal']);
    expect(exported).toMatchObject(done);
    const others = [await system.newClient('second'), await system.newClient('third')];
    for (const client of others) {
      const imported = await runCli(['key', 'import', 'shared', '--client', client], {
        input: exported.stdout,
      });
      expect(imported).toMatchObject({ code: 0, stdout: '' });
    }
    const writers = [
      { client: system.clientFile, key: 'personal' },
      ...others.map((client) => ({ client, key: 'shared' })),
    ].map(({ client, key }) => ['--client', client, '--key', key]);
    const values = writers.map((_, at) => `value ${at}`);
    const written = await Promise.all(
      writers.map((flags, at) =>
        runCli(['write', 'contested', '-', ...flags], { input: `value ${at}` }),
      ),
    );
    for (const result of written)
      expect(result).toMatchObject({ ...done, stdout: written[0]?.stdout });
    const read = await Promise.all(writers.map((flags) => runCli(['read', 'contested', ...flags])));
    for (const result of read) expect(result).toMatchObject({ ...done, stdout: read[0]?.stdout });
    expect(values).toContain(read[0]?.stdout);
    // The same name under a key of its own is another object.
    const own = await runCli(['read', 'contested', '--client', others[0] ?? '']);
    expect(own.code).toBe(3);
  });
});

describe('what programs read', () => {
  test('status as JSON', async () => {
    const status = await system.cli(['status', '--json']);
    expect(status).toMatchObject(done);
    expect(answersOf(status.stdout)).toEqual([
      {
        system: publicKey,
        epoch: 0,
        faults: 1,
        moreFailures: 1,
        summary: expect.stringMatching(/\b1\b.*\.$/),
        servers: expect.any(Array),
      },
    ]);
    const { servers } = z
      .object({ servers: z.array(z.record(z.string(), z.unknown())) })
      .parse(answersOf(status.stdout)[0]);
    expect(servers.map(({ host, port }) => `${host}:${port}`).toSorted()).toEqual(
      system.servers.map(({ endpoint }) => endpoint).toSorted(),
    );
    const whole = expect.toSatisfy((value: unknown) => Number.isInteger(value));
    for (const server of servers) {
      expect(server).toEqual({
        name: expect.stringMatching(/^[0-9a-f]{8}$/),
        id: publicKey,
        host: '127.0.0.1',
        port: whole,
        state: 'serving',
        epoch: 0,
        roundTripMs: expect.any(Number),
        software: expect.any(String),
        uptimeMs: whole,
        objects: whole,
        blocks: whole,
        storedSizeBytes: whole,
        diskFreeBytes: whole,
        journalSizeBytes: whole,
        damagedFound: 0,
        repaired: whole,
        repairsWaiting: whole,
        lagItems: whole,
        scrubPasses: whole,
      });
    }
  });

  test('verify as JSON, of an object and of content', async () => {
    const written = await system.cli(['write', 'checked', '-', '--json'], { input: 'x' });
    const put = await system.cli(['put', '-', '--json'], { input: randomBytes(100 * kib) });
    const [content] = putAnswers.parse(answersOf(put.stdout));
    expect(written).toMatchObject(done);
    for (const [name, kind] of [
      ['checked', 'object'],
      [content?.address ?? '', 'content'],
    ] as const) {
      // The slowest server may be a moment behind.
      const report = await until('every server holds it', async () => {
        const result = await system.cli(['verify', name, '--json']);
        return result.code === 0 && result.stdout;
      });
      expect(answersOf(report)).toEqual([
        {
          address: kind === 'object' ? objectAddress : content?.address,
          kind,
          intact: true,
          readable: true,
          items: kind === 'object' ? 1 : expect.any(Number),
          servers: expect.any(Array),
        },
      ]);
      const { servers } = z.object({ servers: z.array(z.unknown()) }).parse(answersOf(report)[0]);
      expect(servers).toHaveLength(4);
      for (const server of servers) {
        expect(server).toEqual({
          server: expect.stringMatching(/^[0-9a-f]{8}$/),
          host: '127.0.0.1',
          port: expect.any(Number),
          findings: { holds: expect.any(Number) },
          examples: [],
        });
      }
    }
  });

  test('keys as JSON', async () => {
    const client = await system.newClient('keys');
    const key = (...args: string[]) => runCli(['key', ...args, '--json', '--client', client]);
    expect(await key('new', 'work')).toMatchObject({ code: 0, stderr: '' });
    expect(await key('default', 'work')).toMatchObject({ code: 0, stderr: '' });
    const listed = await key('list');
    expect(listed).toMatchObject(done);
    expect(answersOf(listed.stdout)).toEqual([
      { name: 'personal', publicKey, default: false },
      { name: 'work', publicKey, default: true },
    ]);
    const exported = await key('export', 'work');
    expect(exported).toMatchObject(done);
    expect(answersOf(exported.stdout)).toEqual([
      { name: 'work', key: expect.stringMatching(/^holdfast-object-key:\S+$/) },
    ]);
  });

  test('version and completion', async () => {
    const manifest = JSON.parse(await readFile(join(projectFolder, 'package.json'), 'utf8'));
    const { version } = z.object({ version: z.string() }).parse(manifest);
    const [said, bash] = await Promise.all([runCli(['--version']), runCli(['completion', 'bash'])]);
    expect(said).toMatchObject({ ...done, stdout: `${version}\n` });
    expect(bash).toMatchObject(done);
    const folder = await temporaryFolder();
    const completed = await shell(
      `${bash.stdout}\nCOMP_WORDS=(holdfast ver); COMP_CWORD=1\n$(complete -p holdfast | sed 's/.*-F \\([^ ]*\\).*/\\1/')\necho "\${COMPREPLY[@]}"`,
      folder,
    );
    expect(await completed.endedWithin(10_000)).toMatchObject({ code: 0 });
    expect(`${completed.stdout}`.trim()).toBe('verify');
  });
});

describe('the client file', () => {
  test('is looked for in one order, and --debug says which was used', async () => {
    const folder = await temporaryFolder();
    const place = async (...path: string[]): Promise<string> => {
      const file = join(folder, ...path);
      await mkdir(dirname(file), { recursive: true });
      await copyFile(system.clientFile, file);
      return file;
    };
    const given = await place('given.toml');
    const variable = await place('variable.toml');
    const here = await place('here', '.holdfast', 'client.toml');
    const user = await place('config', 'holdfast', 'client.toml');
    const XDG_CONFIG_HOME = join(folder, 'config');
    const cases = [
      { args: ['--client', given], cwd: 'here', HOLDFAST_CLIENT: variable, file: given },
      { args: [], cwd: 'here', HOLDFAST_CLIENT: variable, file: variable },
      { args: [], cwd: 'here', HOLDFAST_CLIENT: undefined, file: here },
      { args: [], cwd: '.', HOLDFAST_CLIENT: undefined, file: user },
    ];
    const find = async ({ args, cwd, HOLDFAST_CLIENT, file }: (typeof cases)[number]) => {
      const listed = await runCli(['key', 'list', '--debug', ...args], {
        cwd: join(folder, cwd),
        env: { HOLDFAST_CLIENT, XDG_CONFIG_HOME },
      });
      expect(listed.code).toBe(0);
      expect(listed.stderr).toContain(`client file ${file}, `);
      expect(listed.stdout).toContain('personal');
    };
    await Promise.all(cases.map(find));
    const quiet = await runCli(['key', 'list', '--client', given]);
    expect(quiet).toMatchObject(done);
  });
});

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
      hosted.map((server) => ({ ...server, key: publicKey })),
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
    expect(await run('authority', 'list')).toEqual([
      {
        system: publicKey,
        name: 'home',
        faults: 1,
        configured: true,
        servers: hosted.map((server) => ({ ...server, key: publicKey })),
        clients: [{ name: 'bob', quotaBytes: 0, key: publicKey }],
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
