// Whatever is wrong on the user's side: the message names it, says what to do, and the exit code is the documented one.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { formatAddress } from '../../src/client/content/address.ts';
import { expectFailure, expectTold, type Failure } from './failing.ts';
import { program } from './places.ts';
import { freePortBase, freePorts } from './ports.ts';
import { endAll, Process, runCli, startProgram } from './processes.ts';
import { type Server, System, temporaryFolder } from './system.ts';
import { until } from './until.ts';

/** Runs all the time. */
let system: System;
/** Another system, whose servers are only started to refuse. */
let other: System;

beforeAll(async () => {
  [system, other] = await Promise.all([System.make(), System.make()]);
  await system.start();
});

afterAll(async () => {
  await Promise.all([system.end(), other.end()]);
  await endAll();
});

const failing = (args: readonly string[], failure: Failure, cwd?: string): Promise<void> =>
  expectFailure((flags) => system.cli([...args, ...flags], cwd ? { cwd } : {}), failure);

describe('what is asked for', () => {
  /** A file for what is never there. */
  const into = ['-o', 'never'];

  afterEach(() => expect(existsSync(join(system.folder, 'never'))).toBe(false));

  test('an address of nothing', async () => {
    const unknown = formatAddress('content', randomBytes(32));
    await failing(['get', unknown, ...into], { code: 'not-found', names: [unknown] });
    await failing(['verify', unknown], { code: 'not-found', names: [unknown] });
    const object = formatAddress('object', randomBytes(32));
    await failing(['read', object, ...into], { code: 'not-found', names: [object] });
  });

  test('an address with a typing error', async () => {
    const address = formatAddress('content', randomBytes(32));
    const last = address.endsWith('a') ? 'b' : 'a';
    for (const typo of [`${address.slice(0, -1)}${last}`, address.slice(0, -3)]) {
      await failing(['get', typo, ...into], { code: 'usage', names: [typo] });
    }
  });

  test('an address of the other kind', async () => {
    const content = formatAddress('content', randomBytes(32));
    const object = formatAddress('object', randomBytes(32));
    await failing(['get', object, ...into], { code: 'usage', names: [object, 'holdfast read'] });
    await failing(['read', content, ...into], { code: 'usage', names: [content, 'holdfast get'] });
  });

  test('a name that was never written', async () => {
    await failing(['read', 'no such name', ...into], {
      code: 'not-found',
      names: ['"no such name"'],
    });
    await failing(['verify', 'no such name'], { code: 'not-found', names: ['"no such name"'] });
  });

  test('an object whose key is not held', async () => {
    await failing(['read', 'x', '--key', 'theirs', ...into], {
      code: 'usage',
      names: ['theirs', 'personal'],
    });
    const address = formatAddress('object', randomBytes(32));
    await expectFailure(
      (flags) => system.cli(['write', address, '-', ...flags], { input: 'mine now' }),
      { code: 'usage', names: [address, 'key'] },
    );
  });

  test('a command line that is wrong', async () => {
    await failing(['pt', 'x'], { code: 'usage', names: ["'pt'", 'put'] });
    await failing(['status', '--timeout', '30'], {
      code: 'usage',
      names: ['--timeout', '"30"', '30s'],
    });
    await failing(['get', 'x', '--ouput', 'y'], { code: 'usage', names: ['--ouput'] });
    await failing(['put', '-', '-'], { code: 'usage', names: ['standard input'] });
  });

  test('files that cannot be read, before any is stored', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'a'), 'a');
    await failing(['put', 'a', 'nowhere'], { code: 'usage', names: ['nowhere'] }, folder);
    await failing(['put', 'a', '.'], { code: 'usage', names: ['cannot read .'] }, folder);
    const both = await system.cli(['put', 'a', 'nowhere'], { cwd: folder });
    expect(both.stdout).toBe('');
  });
});

describe('client files', () => {
  const listing = (file: string, failure: Failure): Promise<void> =>
    expectFailure((flags) => runCli(['status', '--client', file, ...flags]), failure);

  /** A client file changed in this way. */
  async function changed(change: (text: string) => string, mode = 0o600): Promise<string> {
    const file = join(await temporaryFolder(), 'client.toml');
    const text = await readFile(system.clientFile, 'utf8');
    const bad = change(text);
    expect(bad).not.toBe(mode === 0o600 ? text : '');
    await writeFile(file, bad, { mode });
    await chmod(file, mode);
    return file;
  }

  test('missing', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'nowhere.toml');
    await listing(file, { code: 'bad-configuration', names: [file, 'holdfast client init'] });
    await expectFailure((flags) => runCli(['status', ...flags], { cwd: folder }), {
      code: 'bad-configuration',
      names: [join(folder, '.holdfast/client.toml'), 'HOLDFAST_CLIENT', 'holdfast dev', '--client'],
    });
  });

  test('cut off', async () => {
    const cuts: [name: string, change: (text: string) => string][] = [
      ['identity', () => ''],
      ['line', (text) => text.slice(0, text.indexOf('holdfast-client-key:') + 40)],
      ['keys', (text) => text.slice(0, text.indexOf('[[keys]]'))],
      ['line', (text) => text.slice(0, text.indexOf('holdfast-object-key:') + 60)],
    ];
    const secret = /holdfast-client-key:([0-9a-f]{12})/.exec(
      await readFile(system.clientFile, 'utf8'),
    )?.[1];
    expect(secret).toBeDefined();
    for (const [name, change] of cuts) {
      const file = await changed(change);
      await listing(file, { code: 'bad-configuration', names: [file, name], secret });
    }
  });

  test('with an unknown key, a wrong type, a damaged secret', async () => {
    const cases: [names: string[], change: (text: string) => string][] = [
      [['"adress"'], (text) => `adress = "x"\n${text}`],
      [['"hots"', 'in servers[1]', '"host"'], (text) => text.replace(/^host = /m, 'hots = ')],
      [['servers[1].port', '"x"', 'port = '], (text) => text.replace(/^port = \d+/m, 'port = "x"')],
      [['identity.key'], (text) => text.replace(/(client-key:.)./, '$1x')],
    ];
    for (const [names, change] of cases) {
      const file = await changed(change);
      await listing(file, { code: 'bad-configuration', names: [file, ...names] });
    }
  });

  test('readable by others', async () => {
    const file = await changed((text) => text, 0o644);
    await listing(file, { code: 'bad-configuration', names: [file, 'mode 644', 'chmod 600'] });
  });

  const serversOf = (text: string): string =>
    /\[\[servers\]\][\s\S]*?(?=\[\[keys\]\])/.exec(text)?.[0] ?? '';
  const certificateOf = (text: string): string => /^certificate = .*$/m.exec(text)?.[0] ?? '';

  test('with the certificate of another system', async () => {
    const theirs = await readFile(other.clientFile, 'utf8');
    const file = await changed((text) => text.replace(certificateOf(text), certificateOf(theirs)));
    await listing(file, { code: 'bad-configuration', names: [file, 'authority'] });
  });

  test('of another system, with the addresses of this one', async () => {
    const theirs = await readFile(other.clientFile, 'utf8');
    const file = await changed((text) => theirs.replace(serversOf(theirs), serversOf(text)));
    await expectFailure(
      (flags) => runCli(['status', '--timeout', '3s', '--client', file, ...flags]),
      {
        code: 'unavailable',
        names: [system.at(0).endpoint, 'another system', 'client file'],
      },
    );
  });

  test('whose servers have other keys', async () => {
    const theirs = await readFile(other.clientFile, 'utf8');
    const ports = system.servers.map(({ port }) => port);
    let at = 0;
    const file = await changed(() =>
      theirs.replace(/^port = \d+/gm, () => `port = ${ports[at++]}`),
    );
    await listing(file, { code: 'unavailable', names: [system.at(0).endpoint, 'key'] });
  });
});

describe('where the output goes', () => {
  let address: string;

  beforeAll(async () => {
    const put = await system.cli(['put', '-'], { input: randomBytes(1024 * 1024) });
    address = put.stdout.trim();
  });

  const isRoot = process.getuid?.() === 0;
  /** Root writes everywhere, unless this is taken from it. */
  const under = isRoot ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'] : [];

  test('a folder that is not writable, missing, or in the place of the file', async () => {
    const folder = await temporaryFolder();
    const locked = join(folder, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o500);
    for (const output of [join(locked, 'copy'), join(folder, 'missing', 'copy'), locked]) {
      await expectFailure(
        (flags) => system.cli(['get', address, '-o', output, ...flags], { under }),
        { code: 'usage', names: [`cannot write ${output}`] },
      );
    }
    expect(await readdir(locked)).toEqual([]);
    expect(await readdir(folder)).toEqual(['locked']);
  });

  test('a device that is full', async () => {
    await failing(['get', address, '-o', '/dev/full'], {
      code: 'usage',
      names: ['cannot write /dev/full', 'full'],
    });
    const { code, stderr } = await runShell(`get ${address} > /dev/full`);
    expect(stderr).toMatch(/^holdfast: .*full.*\n {2}→ .+\n$/);
    expect(code).toBe(2);
  });

  test('a disk that is full', async (context) => {
    const folder = await temporaryFolder();
    const mount = new Process(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', folder], {});
    if ((await mount.ended).code !== 0) context.skip(`cannot mount a small disk: ${mount.stderr}`);
    onTestFinished(async () => {
      await new Process(['umount', folder], {}).ended;
    });
    await writeFile(join(folder, 'old'), 'as it was');
    for (const name of ['new', 'old']) {
      const output = join(folder, name);
      await expectFailure((flags) => system.cli(['get', address, '-o', output, ...flags]), {
        code: 'usage',
        names: [`cannot write ${output}`, 'full'],
      });
    }
    expect(await readdir(folder)).toEqual(['old']);
    expect(await readFile(join(folder, 'old'), 'utf8')).toBe('as it was');
  });

  test('a reader that has seen enough is no failure', async () => {
    const { code, stdout, stderr } = await runShell(
      `get ${address} | head -c 1 | wc -c; exit "\${PIPESTATUS[0]}"`,
    );
    expect(stdout.trim()).toBe('1');
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });

  async function runShell(command: string) {
    const script = `"${process.execPath}" "${program}" --client "${system.clientFile}" ${command}`;
    const started = new Process(['bash', '-c', script], {});
    started.give(undefined);
    const { code } = await started.endedWithin(30_000);
    return { code, stdout: `${started.stdout}`, stderr: started.stderr };
  }
});

describe('servers', () => {
  const refusing = (server: Server, failure: Failure, flags: readonly string[] = []) =>
    expectFailure((more) => server.startRefused({ flags: [...flags, ...more] }), failure, {
      together: false,
    });

  test("another server's data folder", async () => {
    const theirs = other.at(1).data;
    await refusing(other.at(0), { code: 'data-folder', names: [theirs, 'belongs to server'] }, [
      '--data',
      theirs,
    ]);
    const foreign = system.at(0).data;
    await refusing(other.at(0), { code: 'data-folder', names: [foreign] }, ['--data', foreign]);
  });

  test('a data folder that is wiped', async () => {
    const [empty, missing] = [join(other.folder, 'empty'), join(other.folder, 'missing')];
    await mkdir(empty);
    for (const data of [empty, missing]) {
      await refusing(other.at(0), { code: 'data-folder', names: [data, '--recover'] }, [
        '--data',
        data,
      ]);
    }
    expect(await readdir(empty)).toEqual([]);
  });

  test('a data folder of a newer version, of which nothing is touched', async () => {
    const { data } = other.at(2);
    const file = join(data, 'FORMAT');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"version": 1', '"version": 2'));
    const before = (await readdir(data)).toSorted();
    const failure: Failure = { code: 'data-folder', names: [data, 'format 2', 'newer'] };
    await refusing(other.at(2), failure);
    await refusing(other.at(2), failure, ['--recover']);
    expect((await readdir(data)).toSorted()).toEqual(before);
    await writeFile(file, text);
  });

  test('a data folder that is in use', async () => {
    const running = system.at(0);
    const [port, adminPort] = await freePorts(2);
    const flags = ['--listen-port', `${port}`, '--admin-port', `${adminPort}`];
    await expectFailure(
      (more) => runCli(['server', '--config', running.settings, ...flags, ...more]),
      { code: 'data-folder', names: [running.data, `process ${running.process.pid}`] },
    );
    expect(await running.page('/readyz')).toBeDefined();
  });

  test('ports that are taken', async () => {
    const { port, adminPort } = system.at(0);
    const server = other.at(0);
    for (const [flag, taken] of [
      ['--listen-port', port],
      ['--admin-port', adminPort],
    ] as const) {
      await refusing(server, { code: 'port-in-use', names: [`127.0.0.1:${taken}`] }, [
        flag,
        `${taken}`,
      ]);
    }
  });

  test('settings that are wrong', async () => {
    const { settings } = other.at(3);
    const text = await readFile(settings, 'utf8');
    const config = join(other.at(3).folder, 'changed.toml');
    const cases: [names: string[], content: string][] = [
      [[config, '"adress"'], `adress = "x"\n${text}`],
      [[config, 'listen.port', '"x"'], text.replace(/^port = \d+/m, 'port = "x"')],
      [[config, 'line'], text.slice(0, text.indexOf('[listen]') + 5)],
    ];
    for (const [names, content] of cases) {
      await writeFile(config, content);
      await expectFailure((flags) => runCli(['server', '--config', config, ...flags]), {
        code: 'bad-configuration',
        names,
      });
    }
    await expectFailure(
      (flags) =>
        runCli(['server', '--config', settings, ...flags], { env: { HOLDFAST_LISTEN_PORT: '0x' } }),
      { code: 'bad-configuration', names: ['HOLDFAST_LISTEN_PORT', '"0x"'] },
    );
    const nowhere = join(other.folder, 'nowhere.toml');
    await expectFailure((flags) => runCli(['server', '--config', nowhere, ...flags]), {
      code: 'bad-configuration',
      names: [nowhere],
    });
  });

  test('a key that others can read, and none', async () => {
    const server = other.at(3);
    const key = join(server.folder, 'identity.key');
    await chmod(key, 0o640);
    await refusing(server, { code: 'bad-configuration', names: [key, 'mode 640', 'chmod 600'] });
    await chmod(key, 0o600);
    const copy = join(server.folder, 'copy.key');
    await refusing(server, { code: 'bad-configuration', names: [copy] }, ['--identity-key', copy]);
    await copyFile(join(other.at(2).folder, 'identity.key'), copy);
    await chmod(copy, 0o600);
    await refusing(server, { code: 'bad-configuration', names: ['admission.toml'] }, [
      '--identity-key',
      copy,
    ]);
  });

  test('no admission yet', async () => {
    const folder = join(await temporaryFolder(), 's9');
    const made = await runCli([
      'server',
      'init',
      '--dir',
      folder,
      '--host',
      '::1',
      '--port',
      '7009',
    ]);
    expect(made.code).toBe(0);
    const settings = join(folder, 'server.toml');
    await expectFailure((flags) => runCli(['server', '--config', settings, ...flags]), {
      code: 'bad-configuration',
      names: ['holdfast server accept'],
    });
  });
});

describe('dev', () => {
  test('ports that are taken, after which the folder is as good as new', async () => {
    const folder = await temporaryFolder();
    const taken = system.at(1).port;
    await expectFailure(
      (flags) => runCli(['dev', '--port', `${taken}`, ...flags], { cwd: folder }),
      { code: 'port-in-use', names: [`port ${taken}`, '--port'] },
      { together: false },
    );
    await expectFailure(
      (flags) =>
        runCli(['dev', '--port', `${system.at(2).adminPort - 100}`, ...flags], { cwd: folder }),
      { code: 'port-in-use', names: [`port ${system.at(2).adminPort}`, '--port'] },
      { together: false },
    );
    expect(await readdir(join(folder, '.holdfast'))).toEqual([]);
  });

  test('sizes that cannot be', async () => {
    const folder = await temporaryFolder();
    const cases: [args: string[], names: string[]][] = [
      [
        ['--servers', '3'],
        ['4', '3'],
      ],
      [
        ['--servers', '6', '--faults', '2'],
        ['--servers 7', '--faults 1'],
      ],
      [
        ['--servers', 'four'],
        ['--servers', '"four"'],
      ],
      [
        ['--temporary', '--dir', 'x'],
        ['--temporary', '--dir'],
      ],
    ];
    for (const [args, names] of cases) {
      await expectFailure(
        (flags) => runCli(['dev', ...args, ...flags], { cwd: folder }),
        { code: 'usage', names },
        { together: false },
      );
    }
  });

  test('a second one in the same folder, and one with other sizes', async () => {
    const folder = await temporaryFolder();
    const base = await freePortBase([
      [0, 4],
      [100, 4],
    ]);
    const dev = startProgram(['dev', '--port', `${base}`], { cwd: folder });
    onTestFinished(async () => {
      dev.kill('SIGTERM');
      await dev.endedWithin(20_000);
    });
    await until(
      'the system is ready',
      () => dev.result !== undefined || `${dev.stdout}`.includes('Ctrl-C'),
    );
    const run = (args: string[]) => (flags: readonly string[]) =>
      runCli(['dev', ...args, ...flags], { cwd: folder });
    const home = join(folder, '.holdfast');
    await expectFailure(run([]), { code: 'data-folder', names: [home, '--dir'] });
    expect(dev.result).toBeUndefined();
    dev.kill('SIGINT');
    await dev.endedWithin(20_000);
    await expectFailure(
      run(['--servers', '7']),
      { code: 'usage', names: [home, '--servers 4', '--dir'] },
      { together: false },
    );
  });
});

describe('servers that do not answer', () => {
  const timeoutMs = 3_000;
  /** For starting a process on a busy machine. */
  const graceMs = 10_000;
  const stored = randomBytes(100_000);
  let address: string;

  beforeAll(async () => {
    const put = await system.cli(['put', '-'], { input: stored });
    address = put.stdout.trim();
    const written = await system.cli(['write', 'kept', '-'], { input: 'kept' });
    expect([put.code, written.code]).toEqual([0, 0]);
  });

  afterEach(async () => {
    for (const server of system.servers) server.resume();
    await Promise.all(system.servers.map((server) => server.serving()));
  });

  const input = randomBytes(50_000);

  test('as many as are tolerated: everything works', async () => {
    await system.at(3).pause();
    const put = await system.cli(['put', '-'], { input });
    expect(put).toMatchObject({ code: 0, stderr: '' });
    expect((await system.cli(['get', put.stdout.trim()])).bytes.equals(input)).toBe(true);
    expect((await system.cli(['get', address])).bytes.equals(stored)).toBe(true);
    const written = await system.cli(['write', 'new', '-'], { input: 'new' });
    expect(written).toMatchObject({ code: 0, stderr: '' });
    for (const [name, value] of [
      ['new', 'new'],
      ['kept', 'kept'],
    ] as const) {
      const read = await system.cli(['read', name]);
      expect(read).toMatchObject({ code: 0, stderr: '', stdout: value });
    }
    expect((await system.status()).moreFailures).toBe(0);
  });

  async function expectUnavailable(
    commands: readonly (readonly string[])[],
    silent: readonly Server[],
  ): Promise<void> {
    const names = silent.map(({ endpoint }) => endpoint);
    await Promise.all(
      commands.map(async (args) => {
        const result = await system.cli([...args, '--timeout', '3s'], { input });
        await expectTold(result, { code: 'unavailable', names });
        expect(result.tookMs).toBeGreaterThan(timeoutMs);
        expect(result.tookMs).toBeLessThan(timeoutMs + graceMs);
      }),
    );
  }

  test('one more: commands end in time and name the silent', async () => {
    const silent = [system.at(0), system.at(2)];
    await Promise.all(silent.map((server) => server.pause()));
    await expectUnavailable(
      [
        ['put', '-'],
        ['write', 'new', '-'],
        ['read', 'kept'],
      ],
      silent,
    );
    // Content proves itself, so that any server that has it is enough.
    const got = await system.cli(['get', address, '--timeout', '3s']);
    expect(got.code).toBe(0);
    expect(got.bytes.equals(stored)).toBe(true);
    const status = await system.cli(['status']);
    await expectTold(status, { code: 'unavailable', names: ['out of reach'] });
    for (const { port } of silent) expect(status.stdout).toContain(`127.0.0.1:${port}`);
  });

  test('all of them: nothing is found, and nothing hangs', async () => {
    await Promise.all(system.servers.map((server) => server.pause()));
    await expectUnavailable([['get', address]], system.servers);
  });
});
