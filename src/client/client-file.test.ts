import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { clientAdmissionText, readClientRequest, readServerRequest } from '../server/admission.ts';
import { Authority } from '../server/authority.ts';
import { initServer } from '../server/server-setup.ts';
import { findClientFile, loadClientFile, readClientSettings } from './client-file.ts';
import { issueClient } from './issue.ts';
import {
  acceptClientAdmission,
  addNewKey,
  exportKey,
  importKey,
  initClient,
  listKeys,
  makeDefault,
} from './keys.ts';

let folder = '';
let file = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-client-'));
  file = join(folder, 'client.toml');
});
afterEach(() => rm(folder, { recursive: true }));

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof HoldfastError)) expect.fail(`no refusal but ${String(outcome)}`);
  return outcome;
}

async function newAuthority(name = 'home'): Promise<Authority> {
  const authority = await Authority.create({ folder: join(folder, name), name, faults: 1 });
  for (let n = 1; n <= 4; n++) {
    const { request } = await initServer({
      folder: join(folder, `${name}-s${n}`),
      name: `s${n}`,
      host: '127.0.0.1',
      port: 7100 + n,
      adminPort: 7200 + n,
    });
    await authority.admit(await readServerRequest(request));
  }
  await authority.genesis();
  return authority;
}

const issue = async (): Promise<void> =>
  issueClient(await newAuthority(), { name: 'alice', quotaBytes: 0, file });

describe('a client file', () => {
  it('made by the authority can be used at once, by its owner only', async () => {
    await issue();
    const loaded = await loadClientFile(file);
    expect(loaded.system.name).toBe('home');
    expect(loaded.servers.map(({ port }) => port)).toEqual([7101, 7102, 7103, 7104]);
    expect(loaded.objectKey.name).toBe('personal');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('made by its user is admitted with a request and an admission', async () => {
    const authority = await newAuthority();
    const { request } = await initClient(file, 'alice');
    expect((await refusal(loadClientFile(file))).message).toContain('has not been admitted');
    const admission = await authority.admitClient(await readClientRequest(request), 7);
    const admissionFile = join(folder, 'alice.admission');
    await writeFile(admissionFile, clientAdmissionText(admission));
    const before = await readClientSettings(file);
    await acceptClientAdmission(file, admissionFile);
    const loaded = await loadClientFile(file);
    expect(loaded.identitySeed).toEqual(before.identitySeed);
    expect(loaded.keys).toEqual(before.keys);
    expect(loaded.certificate.statement.quotaBytes).toBe(7);
    const twice = await refusal(acceptClientAdmission(file, admissionFile));
    expect(twice.message).toContain('already');
  });

  it("refuses another client's admission and is then as it was", async () => {
    const authority = await newAuthority();
    await initClient(file, 'alice');
    const { request } = await initClient(join(folder, 'bob.toml'), 'bob');
    const admission = await authority.admitClient(await readClientRequest(request), 0);
    await writeFile(join(folder, 'bob.admission'), clientAdmissionText(admission));
    const before = await readFile(file, 'utf8');
    const error = await refusal(acceptClientAdmission(file, join(folder, 'bob.admission')));
    expect(error.message).toContain('admits another client');
    expect(await readFile(file, 'utf8')).toBe(before);
    // The lock is gone: the next change is not refused.
    await addNewKey(file, 'other');
  });

  it('is not overwritten', async () => {
    await writeFile(file, 'mine');
    const authority = await newAuthority();
    await refusal(issueClient(authority, { name: 'alice', quotaBytes: 0, file }));
    expect(await readFile(file, 'utf8')).toBe('mine');
    // Nor is the name used up.
    await issueClient(authority, { name: 'alice', quotaBytes: 0, file: join(folder, 'b.toml') });
  });

  it('that others can read is refused', async () => {
    await issue();
    await chmod(file, 0o644);
    expect((await refusal(loadClientFile(file))).cure).toBe(`Run: chmod 600 ${file}`);
  });

  it.each([
    ['name = "s1"\n[listen]\nport = 7101\n', 'is a server settings file, not a client file'],
    ['kind = "holdfast-client-request"\nname = "a"\n', 'is a client request, not a client file'],
    ['faults = 1\nsalt = "0"\n', "is a description of an authority's system, not a client file"],
    [`# Secret.\nholdfast-server-key:${'0'.repeat(72)}\n`, "is a server's key file, not a client"],
    ['a = 1\n', 'is not a client file'],
    ['# Notes\n\nNothing in here.\n', 'is not a client file'],
  ])('is told apart from other files, whoever may read those: %j', async (text, message) => {
    await writeFile(file, text, { mode: 0o644 });
    const error = await refusal(loadClientFile(file));
    expect([error.code, error.message]).toEqual([
      'bad-configuration',
      expect.stringContaining(`${file} ${message}`),
    ]);
    expect(error.cure).toContain('holdfast client init');
  });

  it('with the system of another is refused', async () => {
    await issue();
    const text = await readFile(file, 'utf8');
    const other = await newAuthority('other');
    const key = Buffer.from(other.system.authorityKey).toString('hex');
    await writeFile(file, text.replace(/authority_key = ".*"/, `authority_key = "${key}"`));
    const error = await refusal(loadClientFile(file));
    expect(error.message).toContain("does not carry the authority's signature");
  });

  it.each([
    [/^id = .*$/m, 'id = "12"', "system.id must be the system's id in 64 hexadecimal digits"],
    [/^id = .*$/m, '', "system.id is missing; it must be the system's id"],
    [/^name = "home"$/m, 'name = ""', 'system.name must be a name of at most 64'],
    [/^authority_key = .*$/m, 'authority_key = 3', 'system.authority_key must be'],
    [/^key = "holdfast.*$/m, 'key = "x"', 'identity.key must be an undamaged key'],
    [/^certificate = .*$/m, 'certificate = "AAAA"', 'identity.certificate must be the client'],
    [/^certificate = .*$/m, '', 'lacks identity.certificate'],
    [/^port = 7102$/m, 'port = 0', 'servers[2].port must be a port number'],
    [/^host = .*$/m, 'host = "a b"', 'servers[1].host must be a host name'],
    [/^host = .*$/m, 'hots = "a"', 'has an unknown key "hots" in servers[1]'],
    [/^seed = .*$/m, 'seed = "x"', 'keys[1].seed must be an undamaged key'],
    [/^default = true$/m, 'default = 1', 'keys[1].default must be true or false'],
    [/\[\[keys\]\][\s\S]*$/, '', 'keys is missing'],
    [/\[\[servers\]\][\s\S]*(?=\[\[keys)/, '', 'lacks [[servers]]'],
  ])('refuses %s as %j', async (found, put, message) => {
    await issue();
    const text = await readFile(file, 'utf8');
    expect(text).toMatch(found);
    await writeFile(file, text.replace(found, put));
    expect((await refusal(loadClientFile(file))).message).toContain(message);
  });

  it('never shows a secret in what it says', async () => {
    await issue();
    const text = await readFile(file, 'utf8');
    const secret = /holdfast-object-key:([0-9a-f]+)/.exec(text)?.[1] ?? '';
    await writeFile(file, text.replace(secret, `${secret.slice(0, -1)}x`));
    const error = await refusal(loadClientFile(file));
    expect(`${error.message} ${error.cure}`).not.toContain(secret.slice(0, 20));
  });
});

describe('the keys of a client file', () => {
  beforeEach(() => initClient(file, 'alice'));

  it('are made, listed and chosen', async () => {
    await addNewKey(file, 'work');
    expect(
      listKeys(await readClientSettings(file)).map((key) => [key.name, key.isDefault]),
    ).toEqual([
      ['personal', true],
      ['work', false],
    ]);
    await makeDefault(file, 'work');
    expect((await readClientSettings(file)).defaultKey).toBe('work');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('are exported and imported', async () => {
    const text = exportKey(await readClientSettings(file), 'personal');
    const other = join(folder, 'other.toml');
    await initClient(other, 'bob');
    await importKey(other, 'from-alice', `${text}\n`);
    const [, imported] = listKeys(await readClientSettings(other));
    const [own] = listKeys(await readClientSettings(file));
    expect(imported?.publicKey).toBe(own?.publicKey);
    expect((await refusal(importKey(other, 'again', text))).message).toContain(
      'already, as from-alice',
    );
  });

  it('are refused when mistyped, misnamed or taken', async () => {
    const text = exportKey(await readClientSettings(file), 'personal');
    const typo = text.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
    expect((await refusal(importKey(file, 'x', typo))).message).toContain('mistyped');
    expect((await refusal(importKey(file, 'x', 'hello'))).message).toContain('is not a key');
    expect((await refusal(addNewKey(file, 'personal'))).message).toContain('already');
    expect((await refusal(addNewKey(file, 'a/b'))).message).toContain('is not a name');
    const unknown = await refusal(makeDefault(file, 'none'));
    expect(unknown.cure).toBe('Keys in this client file: personal.');
  });

  it('are all kept when two commands add one at the same time', async () => {
    const outcomes = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((name) => addNewKey(file, name)),
    );
    const added = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(added).toBeGreaterThan(0);
    expect(listKeys(await readClientSettings(file))).toHaveLength(1 + added);
  });

  it('are not changed while a lock stands, which is then named', async () => {
    await writeFile(`${file}.lock`, '');
    const error = await refusal(addNewKey(file, 'x'));
    expect(error.cure).toContain(`${file}.lock`);
  });
});

describe('finding the client file', () => {
  const here = (): string => join(folder, '.holdfast', 'client.toml');
  const users = (): string => join(folder, 'config', 'holdfast', 'client.toml');

  async function provide(path: string): Promise<void> {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, '');
  }

  const find = (given?: string, env: Record<string, string> = {}) =>
    findClientFile({ given, env: { XDG_CONFIG_HOME: join(folder, 'config'), ...env }, folder });

  it('goes from the option over the variable and the folder to the user', async () => {
    await provide(here());
    await provide(users());
    const env = { HOLDFAST_CLIENT: 'variable.toml' };
    expect((await find('given.toml', env)).file).toBe(join(folder, 'given.toml'));
    expect((await find(undefined, env)).file).toBe(join(folder, 'variable.toml'));
    expect((await find()).file).toBe(here());
    await rm(here());
    expect((await find()).file).toBe(users());
  });

  it('ignores an empty variable and a relative configuration folder', async () => {
    await provide(join(folder, '.config', 'holdfast', 'client.toml'));
    const env = { HOLDFAST_CLIENT: '', XDG_CONFIG_HOME: 'config', HOME: folder };
    expect((await find(undefined, env)).file).toBe(join(folder, '.config/holdfast/client.toml'));
  });

  it('names every place when there is none, and a cure', async () => {
    const error = await refusal(find());
    expect(error.code).toBe('bad-configuration');
    for (const place of ['--client', 'HOLDFAST_CLIENT', here(), users()]) {
      expect(error.message).toContain(place);
    }
    expect(error.cure).toContain('holdfast dev');
  });
});
