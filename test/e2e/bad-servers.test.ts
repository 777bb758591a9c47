// Servers and development systems that are started wrongly: they refuse, and say what is wrong.

import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure, type Failure } from './failing.ts';
import { freePortBase, freePorts } from './ports.ts';
import { endAll, runCli, startProgram } from './processes.ts';
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

describe('a system that is down', () => {
  test('is told soon, but after what is wrong with the command itself', async () => {
    const run = (args: readonly string[]) => (flags: readonly string[]) =>
      runCli([...args, ...flags, '--client', other.clientFile]);
    await expectFailure(run(['get', 'xyz', '-o', 'never']), { code: 'usage', names: ['xyz'] });
    const names = [...other.servers.map(({ endpoint }) => endpoint), 'refused', 'holdfast dev'];
    await expectFailure(run(['status']), { code: 'unavailable', names });
    const { stderr } = await run(['read', 'x'])([]);
    const took = /within (\d+(\.\d)?) s/.exec(stderr)?.[1];
    expect(Number(took)).toBeGreaterThan(0.5);
    expect(Number(took)).toBeLessThan(10);
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
    expect(await readdir(folder)).toEqual([]);
  });

  test('sizes that cannot be', async () => {
    const folder = await temporaryFolder();
    const cases: [args: string[], names: string[]][] = [
      [
        ['--port', '70000'],
        ['"70000"', '--port 7101'],
      ],
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
