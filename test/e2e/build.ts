// Builds the package from the current source before any test runs, into a folder of this run's own, so that tests never
// see an older build. Afterwards neither it nor any process that they started is left.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const projectFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export function setup(project: TestProject): () => void {
  // Inside the project, so that the built files find its packages.
  const caches = join(projectFolder, 'node_modules', '.cache');
  mkdirSync(caches, { recursive: true });
  const folder = mkdtempSync(join(caches, 'holdfast-e2e-'));
  // Some tests run the program as another user.
  chmodSync(folder, 0o755);
  const compiler = join(projectFolder, 'node_modules', 'typescript', 'bin', 'tsc');
  const places = ['--outDir', join(folder, 'dist'), '--incremental', 'false'];
  try {
    execFileSync(process.execPath, [compiler, '-p', 'tsconfig.build.json', ...places], {
      cwd: projectFolder,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  copyFileSync(join(projectFolder, 'package.json'), join(folder, 'package.json'));
  project.provide('buildFolder', folder);
  return () => {
    endProcesses(folder);
    rmSync(folder, { recursive: true, force: true });
  };
}

/** Ends what a test file that was itself killed has left behind. */
function endProcesses(folder: string): void {
  const pidsFile = join(folder, 'pids');
  if (!existsSync(pidsFile)) return;
  for (const line of readFileSync(pidsFile, 'utf8').split('\n')) {
    const pid = Number(line);
    if (line !== '' && isOurs(pid, folder)) process.kill(pid, 'SIGKILL');
  }
}

/** The system may have given the number to somebody else by now. */
function isOurs(pid: number, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder);
  } catch {
    return false;
  }
}
