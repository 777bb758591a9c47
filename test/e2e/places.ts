// Where these tests find the program, and where they note what they have started.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const projectFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Inside the project, so that the built files find its packages. */
export const buildFolder = join(projectFolder, 'node_modules', '.cache', 'holdfast-e2e');

export const dist = (path: string): string => join(buildFolder, 'dist', path);

export const program = dist('cli/main.js');

/** One process id a line. */
export const pidsFile = join(buildFolder, 'pids');
