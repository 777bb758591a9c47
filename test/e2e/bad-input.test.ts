// Whatever is wrong on the user's side: the message names it, says what to do, and the exit code is the documented one.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { formatAddress } from '../../src/client/content/address.ts';
import { expectFailure, type Failure } from './failing.ts';
import { program } from './places.ts';
import { endAll, Process, runCli } from './processes.ts';
import { System, temporaryFolder } from './system.ts';

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
      ['empty', () => ''],
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
        code: 'bad-configuration',
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
    await listing(file, {
      code: 'bad-configuration',
      names: [system.at(0).endpoint, 'wrong key', 'another system'],
    });
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
    const missing = join(folder, 'missing');
    for (const [output, reason] of [
      [join(locked, 'copy'), 'permission denied'],
      [join(missing, 'copy'), `mkdir -p ${missing}`],
      [locked, 'it is a folder'],
    ] as const) {
      await expectFailure(
        (flags) => system.cli(['get', address, '-o', output, ...flags], { under }),
        { code: 'usage', names: [`cannot write ${output}`, reason] },
      );
    }
    expect(await readdir(locked)).toEqual([]);
    expect(await readdir(folder)).toEqual(['locked']);
  });

  test('the file that standard output goes to is written on, under any name', async () => {
    const small = await system.cli(['put', '-'], { input: 'content' });
    const file = join(await temporaryFolder(), 'out');
    await writeFile(file, 'before ');
    for (const name of ['/dev/stdout', '/proc/self/fd/1', '-']) {
      const { code, stderr } = await runShell(
        `get ${small.stdout.trim()} -o ${name} >> '${file}'; echo ' after' >> '${file}'`,
      );
      expect([code, stderr]).toEqual([0, '']);
    }
    const { code } = await runShell(`get ${small.stdout.trim()} -o /dev/fd/7 7>> '${file}'`);
    expect(code).toBe(0);
    expect(await readFile(file, 'utf8')).toBe(`before ${'content after\n'.repeat(3)}content`);
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
