import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { defaultPbftParameters } from '../../replication/pbft/parameters.ts';
import { defaultVrParameters } from '../../replication/vr/parameters.ts';
import { replicationMessageNames } from '../../wire/replication-registry.ts';

const textOf = (name: string): string =>
  readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');

it.each([
  ['PBFT', defaultPbftParameters],
  ['Viewstamped Replication', defaultVrParameters],
])('docs/REPLICATION.md has every parameter of %s', (engine, parameters) => {
  const [, table = ''] = textOf('REPLICATION.md').split(`| ${engine} | default`);
  const [rows = ''] = table.split('\n\n');
  const missing = Object.keys(parameters).filter((name) => !rows.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

it('the glossary has every message', () => {
  const glossary = textOf('GLOSSARY.md');
  const missing = replicationMessageNames.filter((name) => !glossary.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});
