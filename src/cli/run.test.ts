import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Bytes, concatBytes, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { formatAddress } from '../client/content/address.ts';
import type { Client, SystemStatus, VerifyReport } from '../client/contract.ts';
import { issueClient } from '../client/issue.ts';
import { initClient } from '../client/keys.ts';
import { blockId } from '../dbqs/ids.ts';
import { readServerRequest } from '../server/admission.ts';
import { Authority } from '../server/authority.ts';
import { initServer } from '../server/server-setup.ts';
import type { Context } from './context.ts';
import { run } from './run.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
});
afterEach(() => rm(folder, { recursive: true }));

class Sink extends Writable {
  text = '';
  isTTY = false;
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString('utf8');
    done();
  }
}

async function* only(bytes: Bytes): AsyncGenerator<Bytes> {
  yield bytes;
}

async function collect(source: Bytes | AsyncIterable<Bytes>): Promise<Bytes> {
  if (source instanceof Uint8Array) return source;
  const parts: Bytes[] = [];
  for await (const part of source) parts.push(part);
  return concatBytes(...parts);
}

const status: SystemStatus = {
  system: 'ab',
  epoch: 0,
  faults: 1,
  moreFailures: 1,
  summary: 'All servers are up; the system survives 1 more failure.',
  servers: [
    {
      name: 'aaaa',
      id: 'aa',
      host: '::1',
      port: 1,
      state: 'serving',
      roundTripMs: 1.25,
      objects: 3,
    },
    { name: 'bbbb', id: 'bb', host: 'h', port: 2, state: 'unreachable', reason: 'refused' },
  ],
};

const report: VerifyReport = {
  address: 'hfc1x',
  kind: 'content',
  intact: false,
  readable: true,
  items: 2,
  servers: [
    { name: 'aaaa', id: 'aa', host: 'h', port: 1, findings: { holds: 2 }, examples: [] },
    {
      name: 'bbbb',
      id: 'bb',
      host: 'h',
      port: 2,
      findings: { holds: 1, missing: 1 },
      examples: ['block 7 is missing'],
    },
  ],
};

const addressOf = (text: string): string => formatAddress('content', blockId(utf8(text)));

/** Keeps values in memory. */
class FakeClient implements Client {
  readonly system = 'ab';
  readonly values = new Map<string, Bytes>();
  isClosed = false;

  async put(source: Bytes | AsyncIterable<Bytes>) {
    const bytes = await collect(source);
    const address = formatAddress('content', blockId(bytes));
    this.values.set(address, bytes);
    return { address, bytes: bytes.length };
  }
  async get(address: string) {
    const value = this.values.get(address);
    if (value === undefined) throw new HoldfastError('not-found', `there is no ${address}`);
    return { bytes: value.length, chunks: only(value) };
  }
  async write(name: string, source: Bytes | AsyncIterable<Bytes>) {
    const value = await collect(source);
    this.values.set(name, value);
    return { address: `object-${name}`, version: 3, bytes: value.length };
  }
  async read(name: string) {
    return { ...(await this.get(name)), address: `object-${name}`, version: 3 };
  }
  status = () => Promise.resolve(status);
  verify = () => Promise.resolve(report);
  addressOf = (name: string) => `object-${name}`;
  close() {
    this.isClosed = true;
    return Promise.resolve();
  }
}

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  readonly client: FakeClient;
}

interface Given {
  readonly client?: FakeClient;
  readonly input?: string;
  readonly env?: Record<string, string>;
  readonly connect?: Context['connect'];
  readonly signal?: AbortSignal;
}

async function holdfast(args: readonly string[], given: Given = {}): Promise<Outcome> {
  const client = given.client ?? new FakeClient();
  const stdout = new Sink();
  const stderr = new Sink();
  const context: Context = {
    stdin: Readable.from([Buffer.from(given.input ?? '')]),
    stdout,
    stderr,
    env: { XDG_CONFIG_HOME: join(folder, 'config'), ...given.env },
    folder,
    signal: given.signal ?? new AbortController().signal,
    connect: given.connect ?? (() => Promise.resolve(client)),
    runServer: () => Promise.reject(new HoldfastError('internal', 'no servers here')),
    self: ['holdfast'],
  };
  const code = await run(args, context, '1.2.3');
  return { code, out: stdout.text, err: stderr.text, client };
}

const file = (name: string): string => join(folder, name);

async function withClientFile(): Promise<void> {
  const authority = await Authority.create({ folder: file('authority'), name: 'home', faults: 1 });
  for (let n = 1; n <= 4; n++) {
    const setup = { name: `s${n}`, host: '127.0.0.1', port: 7100 + n, adminPort: 7200 + n };
    const { request } = await initServer({ folder: file(`s${n}`), ...setup });
    await authority.admit(await readServerRequest(request));
  }
  await authority.genesis();
  await issueClient(authority, { name: 'me', quotaBytes: 0, file: file('client.toml') });
}

describe('the command line', () => {
  it('tells its version and its help', async () => {
    expect(await holdfast(['--version'])).toMatchObject({ code: 0, out: '1.2.3\n', err: '' });
    const help = await holdfast(['put', '--help']);
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('--timeout');
  });

  it.each([
    [['pt'], "unknown command 'pt'. Did you mean put?"],
    [['put'], "missing required argument 'file'"],
    [['status', '--frobnicate'], "unknown option '--frobnicate'"],
    [['key', 'mew'], "unknown command 'mew'. Did you mean new?"],
    [['get', 'a', 'b'], 'too many arguments'],
    [
      ['status', '--client', 'none.toml', '--timeout', '30'],
      '--timeout must be a duration, not "30"',
    ],
    [['completion', 'tcsh'], 'there is no completion for the shell "tcsh"'],
    [['help', 'puut'], "unknown command 'puut'. Did you mean put?"],
    [['keys', '--help'], "unknown command 'keys'. Did you mean key?"],
    [['--timeout', '3s', '--client=x', 'pt'], "unknown command 'pt'. Did you mean put?"],
    [['--dir', 'x', 'dev'], "unknown option '--dir'"],
    [['server', '--listen-port', '7', 'inti'], "unknown command 'inti'. Did you mean init?"],
    [['server', 'inti'], "unknown command 'inti'. Did you mean init?"],
    [['status', '--timeout', '0s', '--client', 'none.toml'], '--timeout must be more than 0'],
    [['get', 'xyz'], 'xyz is not an address'],
    [['read', 'hfc1aaaaaaaaaaaaaaaaaaaaaaaa'], 'is not an address'],
    [['write', '', '-'], 'a name has 1 to 1024 characters'],
    [['key', 'import', 'x', 'none', '--client', 'none.toml'], 'none: no such file'],
    [['authority', 'init', '--dir', 'a', '--faults', 'x'], '--faults must be a whole number'],
    [['dev', '--servers', 'x'], '--servers must be a whole number'],
    [['dev', '--temporary', '--dir', 'x'], '--temporary and --dir exclude each other'],
    [['put', '-', '-'], 'standard input can be stored only once'],
    [['put', 'none'], 'cannot read none: no such file'],
    [
      ['authority', 'init', '--faults', '0'],
      '--faults must be a whole number from 1 to 16, not "0"',
    ],
    [['authority', 'client', '-o', 'x'], 'one of a request file and --new NAME is needed'],
  ])('%j is a usage error: %s', async (args, message) => {
    const { code, out, err } = await holdfast(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
    expect(err).toMatch(/^holdfast: .*\n {2}→ .*\n$/);
  });

  it('tells usage errors as JSON too', async () => {
    const { err } = await holdfast(['pt', '--json']);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'usage' } });
  });

  it('answers programs that ask for JSON with JSON alone', async () => {
    expect((await holdfast(['--version', '--json'])).out).toBe('{"version":"1.2.3"}\n');
    for (const args of [['--json'], ['key', '--json']]) {
      const { code, out, err } = await holdfast(args);
      expect([code, out]).toEqual([2, '']);
      expect(JSON.parse(err)).toMatchObject({ error: { code: 'usage' } });
    }
  });

  it('helps with each command that groups others', async () => {
    for (const args of [
      ['help', 'put'],
      ['server', 'help'],
      ['server', 'help', 'init'],
    ]) {
      const { code, out } = await holdfast(args);
      expect([code, out.startsWith('Usage: holdfast')]).toEqual([0, true]);
    }
  });

  it('ends with help and an error when no command is given', async () => {
    const { code, err } = await holdfast([]);
    expect(code).toBe(2);
    expect(err).toContain('Usage: holdfast');
  });

  it('tells where it looked for a client file', async () => {
    const { code, err } = await holdfast(['status']);
    expect(code).toBe(7);
    expect(err).toContain(join(folder, '.holdfast', 'client.toml'));
  });
});

describe('commands on a system', () => {
  beforeEach(withClientFile);
  const env = { HOLDFAST_CLIENT: 'client.toml' };

  it('put prints the address of one file, and nothing else', async () => {
    await writeFile(file('a.txt'), 'a');
    const done = await holdfast(['put', 'a.txt'], { env });
    expect(done).toMatchObject({ code: 0, out: `${addressOf('a')}\n`, err: '' });
    expect(done.client.isClosed).toBe(true);
  });

  it('put prints a line for each of several files, standard input among them', async () => {
    await writeFile(file('a.txt'), 'a');
    const { out } = await holdfast(['put', 'a.txt', '-'], { env, input: 'b' });
    expect(out).toBe(`${addressOf('a')}  a.txt\n${addressOf('b')}  -\n`);
    const json = await holdfast(['put', '--json', 'a.txt', '-'], { env, input: 'b' });
    expect(
      json.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { address: addressOf('a'), bytes: 1, file: 'a.txt' },
      { address: addressOf('b'), bytes: 1, file: '-' },
    ]);
  });

  it('put stores nothing when one of the files is missing', async () => {
    await writeFile(file('a.txt'), 'a');
    const { code, client } = await holdfast(['put', 'a.txt', 'none'], { env });
    expect([code, client.values.size]).toEqual([2, 0]);
  });

  it('put of several files names the one that failed', async () => {
    await writeFile(file('a.txt'), 'a');
    const client = new FakeClient();
    const failing = new HoldfastError('unavailable', 'nobody answers', { cure: 'Wait.' });
    client.put = () => Promise.reject(failing);
    const both = await holdfast(['put', 'a.txt', '-'], { env, client });
    expect(both.err).toBe('holdfast: a.txt was not stored: nobody answers.\n  → Wait.\n');
    const one = await holdfast(['put', 'a.txt'], { env, client });
    expect(one.err).toBe('holdfast: nobody answers.\n  → Wait.\n');
  });

  it('get takes standard output under its other names', async () => {
    const client = new FakeClient();
    const { address } = await client.put(utf8('hello'));
    for (const name of ['/dev/stdout', '/proc/self/fd/1', '-']) {
      expect((await holdfast(['get', address, '-o', name], { env, client })).out).toBe('hello');
      const json = await holdfast(['get', address, '--json', '-o', name], { env, client });
      expect([json.code, json.out]).toEqual([2, '']);
    }
  });

  it('get writes to standard output or to a file', async () => {
    const client = new FakeClient();
    const { address } = await client.put(utf8('hello'));
    expect((await holdfast(['get', address], { env, client })).out).toBe('hello');
    const saved = await holdfast(['get', address, '-o', 'out'], { env, client });
    expect(saved).toMatchObject({ code: 0, out: '', err: '' });
    expect(await readFile(file('out'), 'utf8')).toBe('hello');
    const json = await holdfast(['get', address, '-o', 'out', '--json'], { env, client });
    expect(JSON.parse(json.out)).toEqual({ address, bytes: 5, file: 'out' });
  });

  it('get of something unknown makes no file', async () => {
    const { code, err } = await holdfast(['get', addressOf('x'), '-o', 'out'], { env });
    expect([code, err]).toEqual([3, `holdfast: there is no ${addressOf('x')}.\n`]);
    expect(await readdir(folder)).not.toContain('out');
  });

  it('get does not mix content with JSON', async () => {
    const { code, err } = await holdfast(['get', addressOf('a'), '--json'], { env });
    expect(code).toBe(2);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'usage' } });
  });

  it('write and read name values', async () => {
    const client = new FakeClient();
    const written = await holdfast(['write', 'n', '-'], { env, client, input: 'v' });
    expect(written).toMatchObject({ code: 0, out: 'object-n\n', err: '' });
    expect((await holdfast(['read', 'n'], { env, client })).out).toBe('v');
    const json = await holdfast(['--json', 'read', 'n', '-o', 'out'], { env, client });
    expect(JSON.parse(json.out)).toEqual({
      address: 'object-n',
      bytes: 1,
      version: 3,
      file: 'out',
    });
  });

  it('status begins with what the system survives', async () => {
    const { code, out } = await holdfast(['status'], { env });
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toBe(status.summary);
    expect(out).toMatch(/aaaa +\[::1\]:1 +1\.3ms.* serving\n/);
    expect(out).toMatch(/bbbb +h:2 .*unreachable: refused\n/);
    expect(out).not.toContain('\u001b');
    expect(JSON.parse((await holdfast(['status', '--json'], { env })).out)).toEqual(status);
  });

  it('status fails when data is out of reach, after telling all', async () => {
    const client = new FakeClient();
    client.status = () => Promise.resolve({ ...status, moreFailures: -1 });
    const { code, out } = await holdfast(['status'], { env, client });
    expect(code).toBe(4);
    expect(out).toContain('bbbb');
  });

  it('verify tells what each server has', async () => {
    const { code, out } = await holdfast(['verify', 'hfc1x'], { env });
    expect(code).toBe(5);
    expect(out).toContain('Readable, but not every server holds all of it.');
    expect(out).toMatch(/server +address +held +missing\naaaa +h:1 +2 +0\nbbbb +h:2 +1 +1\n/);
    expect(out).toContain('bbbb: block 7 is missing');
  });

  it.each([
    [{ missing: 1 }, true, /repair what they miss by themselves/, /Start/],
    [{ silent: 1 }, true, /Start h:2 or mend/, /by themselves/],
    [{ silent: 1 }, false, /Start h:2 or mend/, /by themselves/],
    [{ lying: 1 }, true, /Do not trust h:2/, /Start/],
  ])('verify that finds %j says what to do', async (findings, readable, cure, not) => {
    const client = new FakeClient();
    const [first, second] = report.servers;
    const servers = [first, { ...second, findings }] as VerifyReport['servers'];
    client.verify = () => Promise.resolve({ ...report, readable, servers });
    const { code, err } = await holdfast(['verify', 'n'], { env, client });
    expect(code).toBe(readable ? 5 : 4);
    expect(err).toMatch(cure);
    expect(err).not.toMatch(not);
  });

  it('take the key that --key names', async () => {
    await holdfast(['key', 'new', 'work'], { env });
    const names: string[] = [];
    const connect: Context['connect'] = ({ client }) => {
      names.push(typeof client === 'object' ? client.objectKey.name : '');
      return Promise.resolve(new FakeClient());
    };
    await holdfast(['write', 'n', '-', '--key', 'work'], { env, connect });
    await holdfast(['write', 'n', '-'], { env, connect });
    expect(names).toEqual(['work', 'personal']);
    const unknown = await holdfast(['write', 'n', '-', '--key', 'none'], { env, connect });
    expect(unknown.code).toBe(2);
  });

  it('give up soon after an interrupt, also when nothing else ends', async () => {
    const controller = new AbortController();
    const connect = (): Promise<Client> => {
      controller.abort();
      return Promise.reject(new HoldfastError('unavailable', 'whatever'));
    };
    const { code, err } = await holdfast(['status'], { env, connect, signal: controller.signal });
    expect([code, err]).toEqual([130, 'holdfast: interrupted.\n']);
  });

  it('tell with --debug which client file they use', async () => {
    const { err } = await holdfast(['status', '--debug'], { env });
    expect(err).toContain(`client file ${file('client.toml')}, given by HOLDFAST_CLIENT`);
  });

  it('treat an error that nobody foresaw as a bug', async () => {
    const connect = () => Promise.reject(new TypeError('oops'));
    const { code, err } = await holdfast(['status'], { env, connect });
    expect(code).toBe(1);
    expect(err).toContain('oops');
    expect(err).not.toContain('run.test.ts');
  });
});

describe('keys', () => {
  it('tell programs what was changed', async () => {
    await initClient(file('a.toml'), 'a');
    const at = { file: file('a.toml'), publicKey: expect.stringMatching(/^[0-9a-f]{64}$/) };
    const answer = async (...args: string[]): Promise<unknown> =>
      JSON.parse((await holdfast(['key', ...args, '--json', '--client', 'a.toml'])).out);
    expect(await answer('new', 'b')).toEqual({ ...at, name: 'b', default: false });
    expect(await answer('default', 'b')).toEqual({ ...at, name: 'b', default: true });
  });

  it('travel from one client file to another without standing in an argument', async () => {
    await initClient(file('a.toml'), 'a');
    await initClient(file('b.toml'), 'b');
    const exported = await holdfast(['key', 'export', 'personal', '--client', 'a.toml']);
    const imported = await holdfast(['key', 'import', 'theirs', '--client', 'b.toml'], {
      input: exported.out,
    });
    expect(imported.code).toBe(0);
    const list = await holdfast(['key', 'list', '--json', '--client', 'b.toml']);
    expect(
      list.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { name: 'personal', default: true },
      { name: 'theirs', default: false },
    ]);
  });
});

describe('a system made by commands', () => {
  it('goes from nothing to clients and servers that belong together', async () => {
    const quiet = async (...args: string[]): Promise<string> => {
      const { code, out, err } = await holdfast([...args, '--quiet']);
      expect([args, code, err]).toEqual([args, 0, '']);
      return out;
    };
    await quiet('authority', 'init', '--faults', '1', '--name', 'home');
    for (const n of [1, 2, 3, 4]) {
      const where = ['--host', '127.0.0.1', '--port', `710${n}`, '--name', `s${n}`];
      await quiet('server', 'init', '--dir', `s${n}`, ...where);
    }
    await quiet('authority', 'admit', ...[1, 2, 3, 4].map((n) => `s${n}/s${n}.request`));
    await quiet('authority', 'genesis');
    for (const n of [1, 2, 3, 4]) {
      await quiet('server', 'accept', '--dir', `s${n}`, `authority/admissions/s${n}.admission`);
    }
    await quiet('client', 'init', '-o', 'alice.toml', '--name', 'alice');
    await quiet('authority', 'client', 'alice.request', '-o', 'alice.admission');
    await quiet('client', 'accept', 'alice.admission', '--client', 'alice.toml');
    await quiet('authority', 'client', '--new', 'bob', '-o', 'bob.toml');
    const list: unknown = JSON.parse(await quiet('authority', 'list', '--json'));
    expect(list).toMatchObject({
      name: 'home',
      configured: true,
      servers: [{ name: 's1' }, { name: 's2' }, { name: 's3' }, { name: 's4' }],
      clients: [{ name: 'alice' }, { name: 'bob' }],
    });
    for (const client of ['alice.toml', 'bob.toml']) await quiet('status', '--client', client);
    const server = await holdfast(['server', '--config', 's1/server.toml']);
    expect(server.err).toContain('no servers here');
  });
});
