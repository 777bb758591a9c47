// What people get wrong: each mistake ends with its exit code, names what is wrong and a cure, and shows no stack.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server as TcpServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { formatAddress } from '../../src/client/content/address.ts';
import { freePortBase } from './ports.ts';
import { type CliResult, endAll, runCli, startProgram } from './processes.ts';
import { System, temporaryFolder } from './system.ts';
import { until } from './until.ts';

let system: System;
let address: string;

beforeAll(async () => {
  system = await System.make();
  await system.start();
  const client = await system.connect();
  ({ address } = await client.put(Buffer.alloc(3_000_000, 'content')));
  await client.write('name', Buffer.from('value'));
});

afterAll(async () => {
  await system.end();
  await endAll();
});

const exit = {
  usage: 2,
  'not-found': 3,
  unavailable: 4,
  'bad-configuration': 7,
  'data-folder': 8,
  'port-in-use': 9,
} as const;

/** The command failed as documented and said these things. */
function expectFailure(ran: CliResult, kind: keyof typeof exit, ...says: readonly string[]): void {
  const { stderr } = ran;
  expect(ran.code, stderr).toBe(exit[kind]);
  expect(stderr).toMatch(/^holdfast: /m);
  expect(stderr, 'a cure').toMatch(/^ {2}→ \S/m);
  expect(stderr, 'no stack').not.toMatch(/^\s+at .*:\d+:\d+/m);
  for (const text of says) expect(stderr).toContain(text);
}

/** A copy of the client file, changed. */
function clientFile(folder: string, change: (text: string) => string): string {
  const file = join(folder, 'client.toml');
  writeFileSync(file, change(readFileSync(system.clientFile, 'utf8')), { mode: 0o600 });
  return file;
}

describe('names and addresses', () => {
  test('an address under which nothing is stored', async () => {
    const unknown = formatAddress('content', createHash('sha256').update('nothing').digest());
    expectFailure(await system.cli(['get', unknown]), 'not-found', unknown);
  });

  test('a name that was never written', async () => {
    expectFailure(await system.cli(['read', 'nobody']), 'not-found', 'nobody', 'never written');
    expectFailure(await system.cli(['verify', 'nobody']), 'not-found', 'nobody');
  });

  test('a mistyped address, also cut short, is told from an unknown one', async () => {
    const at = 20;
    const typed = address[at] === 'b' ? 'c' : 'b';
    const typo = address.slice(0, at) + typed + address.slice(at + 1);
    for (const text of [typo, address.slice(0, -3)]) {
      expectFailure(await system.cli(['get', text]), 'usage', text, 'typing error');
      expectFailure(await system.cli(['read', text]), 'usage', text, 'typing error');
    }
  });

  test('an address of the other kind', async () => {
    const object = (await system.cli(['write', 'other', '-'], { input: 'x' })).stdout.trim();
    expectFailure(await system.cli(['get', object]), 'usage', 'holdfast read');
    expectFailure(await system.cli(['read', address]), 'usage', 'holdfast get');
    expectFailure(await system.cli(['write', address, '-'], { input: '' }), 'usage', address);
  });

  test('a key that is not there, and text that is no key', async () => {
    const ran = await system.cli(['read', 'name', '--key', 'work']);
    expectFailure(ran, 'usage', 'no key named work', 'personal');
    const garbage = await system.cli(['key', 'import', 'mine'], { input: 'hello' });
    expectFailure(garbage, 'usage', 'holdfast key export');
    const server = readFileSync(join(system.at(0).folder, 'identity.key'), 'utf8');
    const foreign = await system.cli(['key', 'import', 'mine'], { input: server });
    expectFailure(foreign, 'usage');
    expect(foreign.stderr, 'no secret is shown').not.toContain(server.trim().slice(-20));
  });

  test('commands and options that do not exist', async () => {
    expectFailure(await system.cli(['pt', 'x']), 'usage', "'pt'", 'put');
    expectFailure(await system.cli(['get']), 'usage', 'address');
    expectFailure(await system.cli(['status', '--timeout', 'soon']), 'usage', 'soon', '30s');
    expectFailure(await system.cli(['put', 'no-such-file']), 'usage', 'no-such-file');
    expectFailure(await system.cli(['put', system.folder]), 'usage', 'it is a folder');
  });

  test('the stack is shown with --debug, and errors as JSON with --json', async () => {
    const closed = await runCli(['status', '--debug', '--client', '/nonexistent/client.toml']);
    expect(closed.stderr).toMatch(/^\s+at .*:\d+:\d+/m);
    const json = await system.cli(['verify', 'nobody', '--json']);
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: 'not-found' } });
    expect(json.stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe('client files', () => {
  test('none is found', async () => {
    const folder = await temporaryFolder();
    const ran = await runCli(['status'], { cwd: folder });
    expectFailure(ran, 'bad-configuration', join(folder, '.holdfast', 'client.toml'), '--client');
  });

  test('cut short, another file, damaged key', async () => {
    const folder = await temporaryFolder();
    const whole = readFileSync(system.clientFile, 'utf8');
    for (const length of [0, 40, Math.floor(whole.length / 2), whole.length - 30]) {
      const file = clientFile(folder, (text) => text.slice(0, length));
      const ran = await runCli(['status', '--client', file]);
      expectFailure(ran, 'bad-configuration', file);
    }
    const server = clientFile(folder, () => readFileSync(system.at(0).settings, 'utf8'));
    expectFailure(await runCli(['status', '--client', server]), 'bad-configuration', server);
    const damaged = clientFile(folder, (text) =>
      text.replace(/(holdfast-client-key:.{10})./, '$1!'),
    );
    const ran = await runCli(['status', '--client', damaged]);
    expectFailure(ran, 'bad-configuration', damaged, 'identity.key');
    expect(ran.stderr).not.toMatch(/holdfast-client-key:[a-z0-9]{12}/i);
  });

  test('that others may read', async () => {
    const folder = await temporaryFolder();
    const file = clientFile(folder, (text) => text);
    chmodSync(file, 0o644);
    const ran = await runCli(['status', '--client', file]);
    expectFailure(ran, 'bad-configuration', file, 'chmod 600');
  });

  test('of another system at our addresses; keys that are not ours', async () => {
    const other = await System.make();
    onTestFinished(() => other.end());
    const folder = await temporaryFolder();
    // The other system's client, sent to the servers of this one.
    const strayed = clientFile(folder, () => {
      let text = readFileSync(other.clientFile, 'utf8');
      other.servers.forEach(({ port }, at) => {
        text = text.replace(`port = ${port}`, `port = ${system.at(at).port}`);
      });
      return text;
    });
    const ran = await runCli(['status', '--client', strayed, '--timeout', '3s']);
    expectFailure(ran, 'unavailable', system.at(0).endpoint, 'key');
    // Its certificate with another identity's key.
    const mixed = clientFile(folder, (text) => {
      const key = /holdfast-client-key:[^"]+/;
      const foreign = key.exec(readFileSync(other.clientFile, 'utf8'))?.[0] ?? '';
      return text.replace(key, foreign);
    });
    const admitted = await runCli(['status', '--client', mixed]);
    expectFailure(admitted, 'bad-configuration', 'certificate is for another key');
  });

  test('a client of another system that knows our keys is refused', async () => {
    const other = await System.make();
    onTestFinished(() => other.end());
    const folder = await temporaryFolder();
    const servers = /\[\[servers\]\][\s\S]*?(?=\n\[\[keys\]\])/;
    const ours = servers.exec(readFileSync(system.clientFile, 'utf8'))?.[0] ?? '';
    const file = clientFile(folder, () =>
      readFileSync(other.clientFile, 'utf8').replace(servers, ours),
    );
    const ran = await runCli(['read', 'name', '--client', file, '--timeout', '3s']);
    expectFailure(ran, 'unavailable', system.at(0).endpoint);
  });
});

/** A server's folder on its own, to be changed. */
async function serverCopy(): Promise<{ folder: string; settings: string; data: string }> {
  const stopped = await System.make();
  onTestFinished(() => stopped.end());
  const { folder, settings, data } = stopped.at(0);
  return { folder, settings, data };
}

const startServer = (settings: string, ...more: string[]): Promise<CliResult> =>
  runCli(['server', '--config', settings, ...more], { timeoutMs: 20_000 });

describe('server folders', () => {
  test('data of another server, also with --recover: nothing is moved', async () => {
    const stopped = await System.make();
    onTestFinished(() => stopped.end());
    const [one, two] = [stopped.at(0), stopped.at(1)];
    const before = readdirSync(two.data).sort();
    for (const more of [[], ['--recover']]) {
      const ran = await startServer(one.settings, '--data', two.data, ...more);
      expectFailure(ran, 'data-folder', two.data, 'belongs to server');
    }
    expect(readdirSync(two.data).sort()).toEqual(before);
  });

  test('data of a newer version, and of no server at all', async () => {
    const { settings, data } = await serverCopy();
    const format = join(data, 'FORMAT');
    const newer = { ...JSON.parse(readFileSync(format, 'utf8')), version: 99 };
    writeFileSync(format, JSON.stringify(newer));
    for (const more of [[], ['--recover']]) {
      const ran = await startServer(settings, ...more);
      expectFailure(ran, 'data-folder', data, 'format 99', 'newer');
    }
    const folder = await temporaryFolder();
    writeFileSync(join(folder, 'letter.txt'), 'dear');
    const wrong = await startServer(settings, '--data', folder, '--recover');
    expectFailure(wrong, 'data-folder', folder, 'letter.txt');
    expect(readdirSync(folder)).toContain('letter.txt');
  });

  test('a folder in use', async () => {
    const { settings, data } = system.at(0);
    const other = await freePortBase([[0, 2]]);
    const ports = ['--listen-port', `${other}`, '--admin-port', `${other + 1}`];
    expectFailure(await startServer(settings, ...ports), 'data-folder', data, 'process');
  });

  test('a missing, a wrong and an open key file', async () => {
    const { folder, settings } = await serverCopy();
    const key = join(folder, 'identity.key');
    chmodSync(key, 0o644);
    expectFailure(await startServer(settings), 'bad-configuration', key, 'chmod 600');
    chmodSync(key, 0o600);
    const client = /holdfast-client-key:[^"]+/.exec(readFileSync(system.clientFile, 'utf8'))?.[0];
    writeFileSync(key, `${client}\n`);
    expectFailure(await startServer(settings), 'bad-configuration', key);
    cpSync(join(system.at(0).folder, 'identity.key'), key);
    expectFailure(await startServer(settings), 'bad-configuration', 'another key');
    const gone = await startServer(settings, '--identity-key', join(folder, 'gone.key'));
    expectFailure(gone, 'bad-configuration', join(folder, 'gone.key'));
  });

  test('the admission of another server and of another system', async () => {
    const { folder, settings } = await serverCopy();
    const own = join(folder, 'admission.toml');
    const foreign = join(system.at(0).folder, 'admission.toml');
    const ran = await startServer(settings, '--admission', foreign);
    expectFailure(ran, 'bad-configuration', foreign, 'another server');
    // One system's certificate with the other's configuration.
    const field = /^configuration = .*$/m;
    const configuration = field.exec(readFileSync(foreign, 'utf8'))?.[0] ?? '';
    writeFileSync(own, readFileSync(own, 'utf8').replace(field, configuration));
    const mixed = await startServer(settings);
    expectFailure(mixed, 'bad-configuration', own, 'belongs to another system');
  });

  test('settings that cannot be', async () => {
    const { folder, settings } = await serverCopy();
    const text = readFileSync(settings, 'utf8');
    writeFileSync(settings, `${text}\nlisten_port = 1\n`);
    expectFailure(await startServer(settings), 'bad-configuration', settings, 'listen_port');
    writeFileSync(settings, text.replace(/^name = .*$/m, 'name = '));
    expectFailure(await startServer(settings), 'bad-configuration', settings);
    writeFileSync(settings, text);
    const port = await startServer(settings, '--listen-port', '99999');
    expectFailure(port, 'bad-configuration', '--listen-port', '99999');
    const none = await startServer(join(folder, 'none.toml'));
    expectFailure(none, 'bad-configuration', join(folder, 'none.toml'), 'holdfast server init');
  });
});

function listenAt(port: number): Promise<TcpServer> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port }, () => resolve(server));
    onTestFinished(() => {
      server.close();
    });
  });
}

describe('ports', () => {
  test('of a server, taken by another program', async () => {
    const stopped = await System.make();
    onTestFinished(() => stopped.end());
    const server = stopped.at(0);
    await listenAt(server.port);
    expectFailure(await startServer(server.settings), 'port-in-use', `${server.port}`);
    const next = stopped.at(1);
    await listenAt(next.adminPort);
    expectFailure(await startServer(next.settings), 'port-in-use', `${next.adminPort}`);
  });

  test('of a development system: new, and when it is started again', async () => {
    const folder = await temporaryFolder();
    const base = await freePortBase([
      [0, 4],
      [100, 4],
    ]);
    const dev = (...more: string[]) =>
      runCli(['dev', '--dir', join(folder, 'system'), ...more], { cwd: folder });
    const blocker = await listenAt(base + 102);
    expectFailure(await dev('--port', `${base}`), 'port-in-use', `${base + 102}`, '--port');
    blocker.close();

    const first = startProgram(['dev', '--dir', join(folder, 'system'), '--port', `${base}`]);
    await until('the system is ready', () => first.stdout.includes('Holdfast is ready'));
    expectFailure(await dev(), 'data-folder', join(folder, 'system'), 'another "holdfast dev"');
    first.kill('SIGINT');
    await first.endedWithin(15_000);

    await listenAt(base + 1);
    expectFailure(await dev(), 'port-in-use', `${base + 1}`, 's2');
    expectFailure(await dev('--servers', '5'), 'usage', '--servers 4');
    expectFailure(await dev('--temporary'), 'usage', '--temporary and --dir');
  });

  test('a folder with other things in it is no place for a system', async () => {
    const folder = await temporaryFolder();
    writeFileSync(join(folder, 'letter.txt'), 'dear');
    const ran = await runCli(['dev', '--dir', folder]);
    expectFailure(ran, 'data-folder', folder, 'letter.txt');
    const few = await runCli(['dev', '--dir', join(folder, 'new'), '--servers', '3']);
    expectFailure(few, 'usage', '4', 'not 3');
  });
});

/** Root may read and write anything; this user may not. */
const nobody =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];

describe('files that cannot be read or written', () => {
  test('an unreadable client file and an unreadable source', async () => {
    const folder = await temporaryFolder();
    chmodSync(folder, 0o755);
    const file = clientFile(folder, (text) => text);
    chmodSync(file, 0o000);
    const ran = await runCli(['status', '--client', file], { under: nobody });
    expectFailure(ran, 'bad-configuration', file);
    const source = join(folder, 'secret.txt');
    writeFileSync(source, 'secret', { mode: 0o000 });
    const put = await runCli(['put', source], { under: nobody });
    expectFailure(put, 'usage', source);
  });

  test('an output folder that is read-only or missing', async () => {
    const folder = await temporaryFolder();
    const missing = join(folder, 'missing', 'out');
    expectFailure(await system.cli(['get', address, '-o', missing]), 'usage', missing);
    const file = clientFile(folder, (text) => text);
    const closed = join(folder, 'closed');
    mkdirSync(closed, { mode: 0o555 });
    if (nobody.length > 0) execFileSync('chown', ['-R', '65534', folder]);
    const output = join(closed, 'out');
    const args = ['get', address, '-o', output, '--client', file];
    expectFailure(await runCli(args, { under: nobody }), 'usage', output, '-o');
    const onFolder = await system.cli(['get', address, '-o', folder]);
    expectFailure(onFolder, 'usage', folder, 'it is a folder');
  });

  test('an output disk that fills up: nothing is left under any name', async (context) => {
    const folder = await temporaryFolder();
    const small = join(folder, 'small');
    mkdirSync(small);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small], { stdio: 'pipe' });
    } catch (error) {
      context.skip(`this test mounts a file system: ${error}`);
    }
    onTestFinished(() => {
      execFileSync('umount', [small]);
    });
    const output = join(small, 'out');
    expectFailure(
      await system.cli(['get', address, '-o', output]),
      'usage',
      output,
      'the disk is full',
    );
    expect(readdirSync(small)).toEqual([]);
    const device = await system.cli(['get', address, '-o', '/dev/full']);
    expectFailure(device, 'usage', '/dev/full');
  });

  test('a full device as standard output', async () => {
    const ran = await system.cli(['get', address], {
      under: ['sh', '-c', '"$@" > /dev/full', 'sh'],
    });
    expectFailure(ran, 'usage', 'standard output');
  });

  test('a reader that has seen enough is no failure', async () => {
    const pipe = '"$@" | head -c 10; echo " ${PIPESTATUS[0]}"';
    const ran = await system.cli(['get', address], { under: ['bash', '-c', pipe, 'bash'] });
    expect(ran).toMatchObject({ code: 0, stdout: 'contentcon 0\n', stderr: '' });
  });
});
