import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../base/errors.ts';
import { Configuration } from '../configuration/configuration.ts';
import { ed25519 } from '../crypto/signature.ts';
import { readServerAdmission, readServerRequest } from './admission.ts';
import { Authority, authorityPaths } from './authority.ts';
import { newSeed, readKeyFile } from './key-files.ts';
import { loadServerFile } from './server-file.ts';
import { acceptServerAdmission, initServer, serverPaths } from './server-setup.ts';
import { trustOf } from './system-info.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-authority-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const at = (...parts: string[]): string => join(folder, ...parts);

async function refusal(work: Promise<unknown>): Promise<HoldfastError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof HoldfastError)) expect.fail(`no refusal but ${String(outcome)}`);
  return outcome;
}

const server = (n: number, port = 7100 + n) =>
  initServer({
    folder: at(`s${n}`),
    name: `s${n}`,
    host: '127.0.0.1',
    port,
    adminPort: 7200 + n,
  });

const create = (faults = 1) => Authority.create({ folder: at('authority'), name: 'home', faults });

async function admitted(servers: number): Promise<Authority> {
  const authority = await create();
  for (let n = 1; n <= servers; n++) {
    const { request } = await server(n);
    await authority.admit(await readServerRequest(request));
  }
  return authority;
}

describe('the way of a system from nothing to its first configuration', () => {
  it('ends with a configuration that every server accepts', async () => {
    const authority = await admitted(4);
    const genesis = await authority.genesis();
    expect(genesis.admissions.map(({ name }) => name)).toEqual(['s1', 's2', 's3', 's4']);
    for (const { name, file } of genesis.admissions) {
      await acceptServerAdmission(at(name), file);
      const loaded = await loadServerFile(at(name, 'server.toml'), { env: {} });
      expect(loaded.name).toBe(name);
      const { record } = loaded.configuration;
      expect(Configuration.accept(record, trustOf(loaded.system))).toBeInstanceOf(Configuration);
      expect(loaded.configuration.members).toHaveLength(4);
      const { publicKey } = ed25519.signer(loaded.identitySeed);
      expect(loaded.configuration.members.some((m) => m.port === loaded.listen.port)).toBe(true);
      expect(loaded.certificate.statement.publicKey).toEqual(publicKey);
    }
  });

  it('keeps secrets from other users', async () => {
    await admitted(1);
    expect((await stat(authorityPaths(at('authority')).key)).mode & 0o777).toBe(0o600);
    expect((await stat(at('authority'))).mode & 0o777).toBe(0o700);
    expect((await stat(serverPaths(at('s1'), 's1').key)).mode & 0o777).toBe(0o600);
  });

  it('gives each server of one request values its own id', async () => {
    const authority = await admitted(4);
    const salts = (await authority.servers()).map(({ certificate }) =>
      Buffer.from(certificate.statement.salt).toString('hex'),
    );
    expect(new Set(salts).size).toBe(4);
  });

  it('is the same authority after opening it again', async () => {
    const authority = await admitted(4);
    await authority.genesis();
    const again = await Authority.open(at('authority'));
    expect(again.system).toEqual(authority.system);
    expect((await again.servers()).map(({ name }) => name)).toEqual(['s1', 's2', 's3', 's4']);
    expect((await again.configuration())?.faults).toBe(1);
  });
});

describe('the authority refuses', () => {
  it('a second system in one folder', async () => {
    await create();
    expect((await refusal(create())).message).toContain('holds an authority already');
  });

  it('a key that was admitted before', async () => {
    const authority = await admitted(1);
    const request = await readServerRequest(at('s1', 's1.request'));
    const error = await refusal(authority.admit({ ...request, name: 'other', port: 9000 }));
    expect(error.message).toBe('this server has been admitted already, as s1');
  });

  it('a name that is taken', async () => {
    const authority = await admitted(1);
    const { publicKey } = ed25519.signer(newSeed());
    const error = await refusal(
      authority.admit({ name: 's1', publicKey, host: '127.0.0.1', port: 9000 }),
    );
    expect(error.message).toBe('a server named s1 has been admitted already');
  });

  it('two servers with one address, also in other letters', async () => {
    const authority = await create();
    const request = (name: string, host: string) => ({
      name,
      publicKey: ed25519.signer(newSeed()).publicKey,
      host,
      port: 7101,
    });
    await authority.admit(request('a', 'Storage.Example'));
    const error = await refusal(authority.admit(request('b', 'storage.example')));
    expect(error.message).toContain('server a has the address Storage.Example:7101 already');
  });

  it('a configuration with too few servers', async () => {
    const authority = await admitted(3);
    const error = await refusal(authority.genesis());
    expect(error.message).toBe('3 servers admitted, but tolerating 1 fault takes at least 4');
    expect(error.cure).toContain('Admit 1 more');
  });

  it('a second configuration, and servers after the first', async () => {
    const authority = await admitted(4);
    await authority.genesis();
    expect((await refusal(authority.genesis())).message).toContain('has been signed already');
    const { request } = await server(5);
    const error = await refusal(authority.admit(await readServerRequest(request)));
    expect(error.message).toContain('the servers of system home are fixed');
  });

  it('clients before there is a configuration, and a client twice', async () => {
    const authority = await admitted(4);
    const request = { name: 'alice', publicKey: ed25519.signer(newSeed()).publicKey };
    expect((await refusal(authority.admitClient(request, 0))).message).toContain(
      'has no configuration yet',
    );
    await authority.genesis();
    const admission = await authority.admitClient(request, 5);
    expect(admission.servers).toHaveLength(4);
    expect(admission.certificate.statement.quotaBytes).toBe(5);
    expect(trustOf(authority.system).client(admission.certificate, 0)).toBe(true);
    expect((await refusal(authority.admitClient(request, 0))).message).toContain(
      'already, as alice',
    );
    const sameName = { name: 'alice', publicKey: ed25519.signer(newSeed()).publicKey };
    expect((await refusal(authority.admitClient(sameName, 0))).message).toContain('named alice');
  });

  it('a key file that others can read', async () => {
    await create();
    const { key } = authorityPaths(at('authority'));
    await chmod(key, 0o644);
    const error = await refusal(Authority.open(at('authority')));
    expect(error.message).toContain('mode 644');
    expect(error.cure).toBe(`Run: chmod 600 ${key}`);
  });

  it('a key of another authority', async () => {
    await create();
    const other = await Authority.create({ folder: at('other'), name: 'home', faults: 1 });
    await rm(authorityPaths(at('authority')).key);
    await writeFile(
      authorityPaths(at('authority')).key,
      await readFile(authorityPaths(other.folder).key),
      { mode: 0o600 },
    );
    const error = await refusal(Authority.open(at('authority')));
    expect(error.message).toContain('do not belong together');
  });
});

describe('genesis', () => {
  it('writes a lost admission file again, the same as before', async () => {
    const authority = await admitted(4);
    const { admissions, configuration } = await authority.genesis();
    const lost = admissions[1]?.file ?? '';
    const before = await readFile(lost, 'utf8');
    await rm(lost);
    const again = await authority.genesis();
    expect(again.admissions.map(({ name }) => name)).toEqual(['s2']);
    expect(again.configuration.record).toEqual(configuration.record);
    expect(await readFile(lost, 'utf8')).toBe(before);
  });
});

describe('a server refuses', () => {
  it("another server's admission", async () => {
    const authority = await admitted(4);
    const { admissions } = await authority.genesis();
    const error = await refusal(acceptServerAdmission(at('s1'), admissions[1]?.file ?? ''));
    expect(error.message).toContain('admits another server');
  });

  it('an admission twice', async () => {
    const authority = await admitted(4);
    const { admissions } = await authority.genesis();
    await acceptServerAdmission(at('s1'), admissions[0]?.file ?? '');
    const error = await refusal(acceptServerAdmission(at('s1'), admissions[0]?.file ?? ''));
    expect(error.message).toContain('already');
    expect(error.cure).toContain('holdfast server --config');
  });

  it('an admission under a false authority', async () => {
    const authority = await admitted(4);
    const { admissions } = await authority.genesis();
    const file = admissions[0]?.file ?? '';
    const text = await readFile(file, 'utf8');
    const key = Buffer.from(ed25519.signer(newSeed()).publicKey).toString('hex');
    await writeFile(file, text.replace(/authority_key = ".*"/, `authority_key = "${key}"`));
    const seed = await readKeyFile(at('s1', 'identity.key'), 'server');
    const error = await refusal(readServerAdmission(file, ed25519.signer(seed).publicKey));
    expect(error.message).toContain("does not carry the authority's signature");
  });

  it('a request where an admission is asked for', async () => {
    await admitted(1);
    const error = await refusal(acceptServerAdmission(at('s1'), at('s1', 's1.request')));
    expect(error.message).toContain('is a server request, not a server admission');
  });

  it('files of other sorts where a request is asked for', async () => {
    await server(1);
    const cases = [
      ['client.toml', '[identity]\nkey = "x"\n', 'is a client file, not a server request'],
      ['other.toml', 'a = 1\n', 'other.toml is not a server request'],
    ] as const;
    for (const [name, text, message] of cases) {
      await writeFile(at(name), text);
      const error = await refusal(readServerRequest(at(name)));
      expect([error.code, error.message]).toEqual([
        'bad-configuration',
        expect.stringContaining(message),
      ]);
    }
    const settings = await refusal(readServerRequest(at('s1', 'server.toml')));
    expect(settings.message).toContain('is a server settings file, not a server request');
    const missing = await refusal(readServerRequest(at('none')));
    expect([missing.code, missing.message]).toEqual([
      'usage',
      expect.stringContaining('no such file'),
    ]);
  });

  it('one port for two purposes', async () => {
    const setup = { folder: at('s9'), name: 's9', host: 'h', port: 7101, adminPort: 7101 };
    const error = await refusal(initServer(setup));
    expect([error.code, error.message]).toEqual([
      'usage',
      'port 7101 is given twice, for storage and for health',
    ]);
    await expect(readdir(at('s9'))).rejects.toThrow();
  });

  it('to start before it is admitted', async () => {
    await server(1);
    const error = await refusal(loadServerFile(at('s1', 'server.toml'), { env: {} }));
    expect(error.message).toBe('server s1 has not been admitted yet');
  });
});
