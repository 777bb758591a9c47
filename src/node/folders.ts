import fs from 'node:fs';
import path from 'node:path';

/**
 * Makes a folder and what is missing above it, for this user alone. Node's own recursive way never ends where a folder
 * above exists and yet nothing can be made in it, as under /proc.
 * @throws the system's error.
 */
export function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST' && fs.statSync(folder).isDirectory()) return;
    const parent = path.dirname(folder);
    if (code !== 'ENOENT' || parent === folder || fs.existsSync(parent)) throw error;
    makeFolder(parent);
    makeFolder(folder);
  }
}
