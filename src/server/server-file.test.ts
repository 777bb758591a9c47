import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { readServerRequest } from './admission.ts';
import { Authority } from './authority.ts';
import { loadServerFile, serverFileSchema } from './server-file.ts';
import { serverSettings } from './server-settings.ts';
import { acceptServerAdmission, defaultListenHost, initServer } from './server-setup.ts';
import { keysOf } from './toml.ts';

let folder = '';
let file = '';
let asMade = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-server-file-'));
  const authority = await Authority.create({ folder: join(folder, 'a'), name: 'home', faults: 1 });
  for (let n = 1; n <= 4; n++) {
    const setup = { name: `s${n}`, host: '127.0.0.1', port: 7100 + n, adminPort: 7200 + n };
    const { request } = await initServer({ folder: join(folder, `s${n}`), ...setup });
    await authority.admit(await readServerRequest(request));
  }
  const { admissions } = await authority.genesis();
  await acceptServerAdmission(join(folder, 's1'), admissions[0]?.file ?? '');
  file = join(folder, 's1', 'server.toml');
  asMade = await readFile(file, 'utf8');
});
beforeEach(() => writeFile(file, asMade));
afterAll(() => rm(folder, { recursive: true }));

const load = (
  flags: Record<string, string> = {},
  env: Record<string, string> = {},
  text: string = asMade,
) => writeFile(file, text).then(() => loadServerFile(file, { env, flags }));

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof HoldfastError)) expect.fail(`no refusal but ${String(outcome)}`);
  return outcome;
}

describe("a server's file", () => {
  it('as init makes it gives everything', async () => {
    expect(await load()).toMatchObject({
      name: 's1',
      listen: { host: '127.0.0.1', port: 7101 },
      admin: { host: '127.0.0.1', port: 7201 },
      dataFolder: join(folder, 's1', 'data'),
      logLevel: 'info',
      clientQuotaBytes: 0,
      scrubIntervalMs: 86_400_000,
      scrubRateBytesPerSecond: 8 * 1024 * 1024,
    });
  });

  it('gives way to variables, and both to flags', async () => {
    const env = { HOLDFAST_LISTEN_PORT: '1111', HOLDFAST_ADMIN_PORT: '2222', HOLDFAST_NAME: '77' };
    const loaded = await load({ 'listen.port': '3333', 'quota.client': '5GiB' }, env);
    expect(loaded.listen).toEqual({ host: '127.0.0.1', port: 3333 });
    expect(loaded.admin.port).toBe(2222);
    expect(loaded.name).toBe('77');
    expect(loaded.clientQuotaBytes).toBe(5 * 2 ** 30);
  });

  it.each([
    ['listen.port', 'x', '--listen-port must be a port number from 1 to 65535, not "x"'],
    ['admin.port', '65536', '--admin-port must be a port number from 1 to 65535, not 65536'],
    ['listen.host', 'a b', '--listen-host must be a host name or an IP address, not "a b"'],
    ['name', '../up', '--name must be a name of at most 64 letters'],
    ['data', '', '--data must be a path, not ""'],
    ['log.level', 'loud', '--log-level must be one of "debug", "info"'],
    ['quota.client', 'lots', '--quota-client must be a size in bytes'],
    ['scrub.interval', '24', '--scrub-interval must be a duration of at least 1s'],
    ['scrub.interval', '1ms', '--scrub-interval must be a duration of at least 1s'],
    ['scrub.rate', '1', '--scrub-rate must be a size in bytes'],
  ])('refuses %s = %j', async (key, value, message) => {
    expect((await refusal(load({ [key]: value }))).message).toContain(message);
  });

  it.each([
    ['colour = "red"\n', 'has an unknown key "colour"'],
    ['[listen]\nprot = 1\n', 'has an unknown key "prot" in listen'],
    ['[listen]\nport = "7101"\n', 'listen.port must be a port number from 1 to 65535, not "7101"'],
    ['[log]\nlevel = 3\n', 'log.level must be one of'],
    ['listen = 3\n', 'listen must be a table, not 3'],
  ])('refuses %j', async (text, message) => {
    const error = await refusal(load({}, {}, `name = "s1"\n${text}`));
    expect(error.message).toContain(message);
  });

  it('refuses to be without a name', async () => {
    expect((await refusal(load({}, {}, ''))).message).toContain('name is missing');
  });

  it('refuses a key that others can read', async () => {
    const key = join(folder, 's1', 'identity.key');
    await chmod(key, 0o640);
    const error = await refusal(load());
    await chmod(key, 0o600);
    expect(error.message).toContain('mode 640');
  });

  it.each([
    [(text: string) => text.replace(/[0-9a-f]{2}\n/, '00\n'), 'is a mistyped or damaged key'],
    [(text: string) => text.replace('-server-', '-client-'), 'is a key of kind client'],
    [() => '', 'is not a key'],
    [(text: string) => text.replace(/[0-9a-f]{8}\n/, '\n'), 'is a key of the wrong length'],
  ])('refuses a damaged key', async (damage, message) => {
    const key = join(folder, 's1', 'identity.key');
    const good = await readFile(key, 'utf8');
    await writeFile(key, damage(good));
    const error = await refusal(load());
    await writeFile(key, good);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain(good.slice(-40, -8));
  });

  it.each([
    ['[identity]\nkey = "x"\n', 'is a client file, not a server settings file'],
    ['kind = "holdfast-server-request"\n', 'is a server request, not a server settings file'],
    ['system = 1\n', 'is not a server settings file'],
  ])('is told apart from other files: %j', async (text, message) => {
    const file = join(folder, 'other.toml');
    await writeFile(file, text);
    const error = await refusal(loadServerFile(file, { env: {} }));
    expect(error.message).toBe(`${file} ${message}`);
    expect(error.cure).toContain('--config FILE');
  });

  it('that is missing is told with what makes one', async () => {
    const error = await refusal(loadServerFile(join(folder, 'none.toml'), { env: {} }));
    expect(error.message).toContain('no such file');
    expect(error.cure).toContain('holdfast server init');
  });
});

describe('the list of settings', () => {
  it('names the keys of the schema, in order', () => {
    expect(serverSettings.map(({ key }) => key)).toEqual(keysOf(serverFileSchema));
  });

  it('gives each its variable and flag', () => {
    expect(serverSettings.find(({ key }) => key === 'identity_key')).toMatchObject({
      variable: 'HOLDFAST_IDENTITY_KEY',
      flag: '--identity-key',
    });
  });
});

describe('where a new server listens', () => {
  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['localhost', '127.0.0.1'],
    ['::1', '::1'],
    ['storage1.example.org', '0.0.0.0'],
    ['2001:db8::1', '::'],
  ])('found at %s: %s', (host, listen) => {
    expect(defaultListenHost(host)).toBe(listen);
  });
});
