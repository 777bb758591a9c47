// Where the processor time went, from the profiles that the processes left: functions by their own time.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { table } from './report.ts';

const profileSchema = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

const shownMax = 40;

/** Functions of all profiles in `folder/client` and `folder/server`, the dearest first. */
export async function summarizeProfiles(folder: string): Promise<string> {
  const parts: string[] = [];
  for (const role of ['client', 'server']) {
    const names = await readdir(join(folder, role));
    const own = new Map<string, number>();
    for (const name of names) await addProfile(join(folder, role, name), own);
    parts.push(`\n${role}\n\n${format(own)}\n`);
  }
  return parts.join('');
}

/** The waiting is not work. */
const idleNames = new Set(['(idle)', '(program)', '(root)']);

async function addProfile(file: string, own: Map<string, number>): Promise<void> {
  const { nodes, samples, timeDeltas } = profileSchema.parse(
    JSON.parse(await readFile(file, 'utf8')),
  );
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  samples.forEach((id, index) => {
    const name = names.get(id) ?? '';
    if (idleNames.has(name)) return;
    own.set(name, (own.get(name) ?? 0) + (timeDeltas[index] ?? 0));
  });
}

function nameOf(frame: { functionName: string; url: string; lineNumber: number }): string {
  const name = frame.functionName || '(anonymous)';
  if (frame.url === '') return name;
  const file = frame.url.split('/').slice(-2).join('/');
  return `${name} ${file}:${frame.lineNumber + 1}`;
}

function format(own: ReadonlyMap<string, number>): string {
  const total = [...own.values()].reduce((sum, us) => sum + us, 0);
  const dearest = [...own].sort(([, a], [, b]) => b - a).slice(0, shownMax);
  return table(
    ['own time', 'function'],
    dearest.map(([name, us]) => [`${((100 * us) / total).toFixed(1)} %`, name]),
  );
}
