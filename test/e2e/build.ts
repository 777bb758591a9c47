// Builds the package from the current source before any test runs, into a place of its own, so that tests never see an
// older build. Afterwards no process that they started is left.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder, pidsFile, projectFolder } from './places.ts';

export function setup(): void {
  mkdirSync(buildFolder, { recursive: true });
  rmSync(pidsFile, { force: true });
  rmSync(join(buildFolder, 'dist'), { recursive: true, force: true });
  const compiler = join(projectFolder, 'node_modules', 'typescript', 'bin', 'tsc');
  const places = ['--outDir', join(buildFolder, 'dist'), '--incremental', 'false'];
  execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', ...places], {
    cwd: projectFolder,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  copyFileSync(join(projectFolder, 'package.json'), join(buildFolder, 'package.json'));
}

/** Ends what a test file that was itself killed has left behind. */
export function teardown(): void {
  if (!existsSync(pidsFile)) return;
  for (const line of readFileSync(pidsFile, 'utf8').split('\n')) {
    const pid = Number(line);
    if (line === '' || !isOurs(pid)) continue;
    process.kill(pid, 'SIGKILL');
  }
}

/** The system may have given the number to somebody else by now. */
function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(buildFolder);
  } catch {
    return false;
  }
}
