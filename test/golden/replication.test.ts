// The engines send what they sent when someone last read the traces in replication/*.txt and found them right.
// UPDATE_GOLDEN=1 writes them anew, to be read again.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { scenarios } from '../traces/scenarios.ts';

const legend = [
  'time in ms  from → to (lost on the way)  message  fields',
  '',
  'r0 … are members, c0 … clients. Every message takes 1 ms. Executed before: the claim of its first number and the write of',
  '"0" by each client. A write gives what was there before. Heartbeats that say nothing new are left out.',
].join('\n');

it.each(Object.keys(scenarios))('%s', async (name) => {
  const path = new URL(`replication/${name}.txt`, import.meta.url);
  const [title, ...lines] = ((await scenarios[name]?.()) ?? '').split('\n');
  const trace = [title, '', legend, ...lines].join('\n');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, trace);
  expect(trace).toBe(existsSync(path) ? readFileSync(path, 'utf8') : '');
});
