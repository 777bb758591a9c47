import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { formatAddress } from '../../src/client/content/address.ts';
import { projectFolder } from './places.ts';
import { endAll, runCli } from './processes.ts';
import { shell } from './readme.ts';
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
    const ports = system.servers.map(({ port }) => port).toSorted((a, b) => a - b);
    expect(servers.map(({ host, port }) => `${host}:${port}`)).toEqual(
      ports.map((port) => `127.0.0.1:${port}`),
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
          name: expect.stringMatching(/^[0-9a-f]{8}$/),
          id: publicKey,
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
    for (const command of ['new', 'default']) {
      const changed = await key(command, 'work');
      expect(changed).toMatchObject(done);
      const about = { name: 'work', publicKey, default: command === 'default', file: client };
      expect(answersOf(changed.stdout)).toEqual([about]);
    }
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
