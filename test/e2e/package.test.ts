// The package as others get it: its tarball, in a strict TypeScript project of their own, with the examples copied there.

import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { dist, pidsFile, projectFolder } from './places.ts';
import { freePortBase } from './ports.ts';
import { endAll, Process } from './processes.ts';
import { replaceOnce, shell, shellBlock } from './readme.ts';
import { temporaryFolder } from './system.ts';

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

test('its examples compile and run in a project of one’s own', async () => {
  const folder = await temporaryFolder();
  const user = join(folder, 'user');
  await install(await pack(folder), user);

  const compiler = join(user, 'node_modules', 'typescript', 'bin', 'tsc');
  const compiled = new Process([process.execPath, compiler, '-p', user], { cwd: user });
  expect(await compiled.endedWithin(120_000), `${compiled.stdout}`).toMatchObject({ code: 0 });

  const base = await freePortBase([
    [0, 4],
    [10, 4],
  ]);
  const small = join(user, 'examples', 'replicated.ts');
  await writeFile(small, replaceOnce(await readFile(small, 'utf8'), '7601', `${base}`));
  const counted = await shell('npx tsx examples/replicated.ts', user);
  expect(await counted.endedWithin(60_000), counted.stderr).toMatchObject({ code: 0 });
  expect(`${counted.stdout}`).toMatch(/\?apples: 2\n.*stops\.\napples: 3\n/);

  const block = await shellBlock('key-value/run.ts create', 'docs/REPLICATION.md');
  const typed = replaceOnce(block, 'run.ts create', `run.ts create --port ${base + 10}`);
  const store = await shell(
    `set -e\ntrap 'kill $(jobs -p); wait' EXIT\n${typed}\njobs -p >> '${pidsFile}'`,
    user,
  );
  onTestFinished(() => store.kill('SIGTERM'));
  expect(await store.endedWithin(120_000), store.stderr).toMatchObject({ code: 0 });
  expect(`${store.stdout}`).toContain('4 members are in');
  expect(`${store.stdout}`).toContain('{"kind":"value","value":"3"}');
  expect(`${store.stdout}`).toContain('{"kind":"differs","current":"4"}');
});
