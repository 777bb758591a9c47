// The package as others get it: its tarball, in a strict TypeScript project of their own, with the examples copied there.

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { dist, pidsFile, projectFolder } from './places.ts';
import { freePortBase } from './ports.ts';
import { endAll, Process } from './processes.ts';
import { replaceOnce, shell, shellBlock } from './readme.ts';

afterAll(endAll);

const run = promisify(execFile);

const packageSchema = z.object({
  files: z.array(z.string()),
  dependencies: z.record(z.string(), z.string()),
});

/** What `tsc --init` gives, and what examples need that import each other as files. */
const compilerOptions = {
  module: 'nodenext',
  target: 'es2023',
  types: ['node'],
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  strict: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  allowImportingTsExtensions: true,
  noEmit: true,
};

/** Packs what was built for this run, and gives the tarball. */
async function pack(folder: string): Promise<string> {
  const staged = join(folder, 'staged');
  await mkdir(staged);
  const manifest = packageSchema.parse(
    JSON.parse(await readFile(join(projectFolder, 'package.json'), 'utf8')),
  );
  const copied = manifest.files.filter((path) => path !== 'dist' && !path.startsWith('!'));
  for (const path of ['package.json', ...copied]) {
    await cp(join(projectFolder, path), join(staged, path), { recursive: true });
  }
  await cp(dist(''), join(staged, 'dist'), { recursive: true });
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: staged });
  return join(staged, stdout.trim());
}

/** A project with the tarball and what it depends on, and nothing else of ours. */
async function install(tarball: string, folder: string): Promise<void> {
  const installed = join(folder, 'node_modules', 'holdfast');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', installed, '--strip-components', '1']);
  const { dependencies } = packageSchema.parse(
    JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')),
  );
  for (const name of [...Object.keys(dependencies), 'typescript', 'tsx', '@types/node']) {
    const place = join(folder, 'node_modules', name);
    await mkdir(dirname(place), { recursive: true });
    await symlink(join(projectFolder, 'node_modules', name), place);
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  await writeFile(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, include: ['examples'] }),
  );
  await cp(join(installed, 'examples'), join(folder, 'examples'), { recursive: true });
}

/** Somebody's project with the package. */
let user: string;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-package-'));
  user = join(folder, 'user');
  await install(await pack(folder), user);
  return () => rm(folder, { recursive: true, force: true });
});

test('its examples compile and run in a project of one’s own', async () => {
  const compiler = join(user, 'node_modules', 'typescript', 'bin', 'tsc');
  const compiled = new Process([process.execPath, compiler, '-p', user], { cwd: user });
  expect(await compiled.endedWithin(120_000), `${compiled.stdout}`).toMatchObject({ code: 0 });

  const base = await freePortBase([[0, 4]]);
  const small = join('examples', 'replicated.ts');
  const text = await readFile(join(projectFolder, small), 'utf8');
  await writeFile(join(user, small), replaceOnce(text, '7601', `${base}`));
  const counted = await shell('npx tsx examples/replicated.ts', user);
  expect(await counted.endedWithin(60_000), counted.stderr).toMatchObject({ code: 0 });
  expect(`${counted.stdout}`).toMatch(/\?apples: 2\n.*stops\.\napples: 3\n/);
});

test('its key-value store does what the document says', async () => {
  const base = await freePortBase([[0, 4]]);
  await rm(join(user, 'key-value'), { recursive: true, force: true });
  const begin = await shellBlock('key-value/run.ts create', 'docs/REPLICATION.md');
  const goOn = await shellBlock('key-value/run.ts end', 'docs/REPLICATION.md');
  const typed = replaceOnce(begin, 'run.ts create', `run.ts create --port ${base}`);
  const tooLong =
    'npx tsx examples/key-value/run.ts put apples "$(printf %9000s)" || echo "refused with $?"';
  const note = `jobs -p >> '${pidsFile}'`;
  const store = await shell(
    ["set -e\ntrap 'kill $(jobs -p); wait' EXIT", typed, note, tooLong, goOn, note].join('\n'),
    user,
  );
  onTestFinished(() => store.kill('SIGTERM'));
  expect(await store.endedWithin(180_000), store.stderr).toMatchObject({ code: 0 });
  const said = `${store.stdout}`;
  expect(said).toContain('4 members are in');
  expect(said).toMatch(/^Member 0: normal$/m);
  expect(said).toContain('{"kind":"value","value":"3"}');
  expect(said).toContain('{"kind":"differs","current":"4"}\nnot set: it is 4 now\n');
  expect(said).toContain('"malformed"}\nrefused with 1\n');
  expect(store.stderr).toContain('a value 8192');
  expect(said).toMatch(/4 members have stopped\.\nGroup 1 begins[\s\S]*"value":"4"}\n/);
});

test('its key-value store says what is wrong, and what to do', async () => {
  const store = async (...words: string[]): Promise<{ code: unknown; said: string }> => {
    const command = ['--import', 'tsx', join('examples', 'key-value', 'run.ts'), '--folder', 'kv'];
    const one = new Process([process.execPath, ...command, ...words], { cwd: user });
    const { code } = await one.endedWithin(60_000);
    return { code, said: one.stderr };
  };
  await rm(join(user, 'kv'), { recursive: true, force: true });
  const member = join(user, 'kv', 'member-2');
  const data = join(member, 'data-0');
  for (const port of ['abc', '0', '65533']) {
    const { code, said } = await store('create', '--port', port);
    expect([code, said]).toEqual([2, expect.stringMatching(/^--port is the first of 4 ports/)]);
  }
  expect(await store('create', '--engine', 'vr')).toEqual({ code: 0, said: '' });
  const early = await store('next');
  expect(early.said).toMatch(/^No member in kv has seen the end of group 0\.\n.*\n.*run join/);
  const twice = await store('join', '2');
  expect([twice.code, twice.said]).toEqual([1, expect.stringContaining('Start it: replica 2')]);
  await rename(data, `${data}.lost`);
  const lost = await store('replica', '2');
  expect([lost.code, lost.said]).toEqual([8, expect.stringContaining('in group 0: join 2. If it')]);
  const recovered = await store('recover', '2');
  expect(recovered.said).toMatch(/no recovery.*run end, stop the others/);
  expect(await store('join', '2')).toEqual({ code: 0, said: '' });
  await rename(join(data, 'journal'), join(member, 'journal'));
  const damaged = await store('replica', '2');
  expect(damaged.said).toContain('run end, stop the others');
  expect(damaged.said).not.toContain('join');
  const groupFile = join(user, 'kv', 'group.json');
  const text = await readFile(groupFile, 'utf8');
  await rm(groupFile);
  expect((await store('replica', '1')).said).toMatch(/no kv\/group\.json\. All machines.*copy it/);
  expect((await store('create')).said).toContain('with members and their secret keys');
  const { members } = z.object({ members: z.array(z.looseObject({})) }).parse(JSON.parse(text));
  for (const [changed, words] of [
    [[], 'is damaged: vr has 3 members'],
    [members.map((each) => ({ ...each, port: 99_999 })), 'damaged: port of member 0 is none'],
    [members.map((each) => ({ ...each, port: 7_501 })), 'group.json describes no group'],
    [[...members].reverse(), 'right group.json from another machine'],
  ] as const) {
    await writeFile(groupFile, JSON.stringify({ ...JSON.parse(text), members: changed }));
    expect((await store('replica', '0')).said).toContain(words);
  }
  await writeFile(groupFile, text);
  await rename(join(user, 'kv', 'member-1'), join(user, 'kv', 'elsewhere'));
  expect((await store('replica', '1')).said).toContain('(Members in kv: 0, 2.)');
});
