// The modules under measurement, compiled as users run them: the loader that runs this benchmark would add a call to
// every closure that they make.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { pingRequest } from '../src/dbqs/requests.ts';

const builtFolder = new URL('../dist/', import.meta.url);

/** What starts a server: the command of this package. */
export const commandFile = new URL('cli/main.js', builtFolder);

/** What is wrong with the build, in words; undefined when it is newer than all sources. */
export function buildTrouble(): 'missing' | 'outdated' | undefined {
  const sources = fileURLToPath(new URL('../src', import.meta.url));
  const built = statSync(new URL('.tsbuildinfo', builtFolder), { throwIfNoEntry: false });
  if (built === undefined) return 'missing';
  const changed = readdirSync(sources, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .some((name) => statSync(join(sources, name)).mtimeMs > built.mtimeMs);
  return changed ? 'outdated' : undefined;
}

async function load<Module>(path: string): Promise<Module> {
  return (await import(new URL(path, builtFolder).href)) as Module;
}

export const library = {
  bytes: () => load<typeof import('../src/base/bytes.ts')>('base/bytes.js'),
  connect: () => load<typeof import('../src/client/connect.ts')>('client/connect.js'),
  identity: () => load<typeof import('../src/node/identity.ts')>('node/identity.js'),
  ids: () => load<typeof import('../src/dbqs/ids.ts')>('dbqs/ids.js'),
  phase: () => load<typeof import('../src/quorum/phase.ts')>('quorum/phase.js'),
  arithmetic: () => load<typeof import('../src/quorum/arithmetic.ts')>('quorum/arithmetic.js'),
  replication: () =>
    load<typeof import('../src/server/replication/index.ts')>('server/replication/index.js'),
  requests: () => load<{ readonly pingRequest: typeof pingRequest }>('dbqs/requests.js'),
  table: () => load<typeof import('../src/node/table.ts')>('node/table.js'),
  tls: () => load<typeof import('../src/node/tls.ts')>('node/tls.js'),
};
