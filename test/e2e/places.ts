// Where these tests find the program, and where they note what they have started.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of this run alone: another one may build at the same time. */
    buildFolder: string;
  }
}

export const projectFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export const dist = (path: string): string => join(inject('buildFolder'), 'dist', path);

export const program = dist('cli/main.js');

export const pidsFile = join(inject('buildFolder'), 'pids');
