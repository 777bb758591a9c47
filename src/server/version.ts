// The version of the package that is running.

import { readFileSync } from 'node:fs';

export function softwareVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const named = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return named ? String(parsed.version) : 'unknown';
}
