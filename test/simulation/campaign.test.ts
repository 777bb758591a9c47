// A small fixed campaign, and what a campaign promises about itself.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lieNames } from '../../testing/byzantine/lies.ts';
import { mutants } from '../../testing/byzantine/mutants/mutants.ts';
import { parseCampaign } from '../../testing/harness/arguments.ts';
import {
  failureExitCodes,
  failureText,
  rerunCommand,
  worstKind,
} from '../../testing/harness/failure.ts';
import type { MarkName } from '../../testing/harness/marks.ts';
import { oneRun } from '../../testing/harness/one-run.ts';
import { scenarios } from '../../testing/harness/scenarios/scenarios.ts';
import { Summary } from '../../testing/harness/summary.ts';

const drawn = (seed: number) => ({ seed, scenario: undefined, mutant: undefined });

/** What even a small campaign must meet, or it tests nothing. */
const essentialMarks: readonly MarkName[] = [
  'request resent',
  'data fetched to count a reply',
  'fetch exhausted',
  'read wrote back',
  'reply rejected',
  'damage repaired',
  'missed items caught up',
  'recovery finished',
  'journal replayed',
  'blackout',
  'write left at fewer than a quorum',
  'liar spoke',
];

describe('a campaign', () => {
  it('finds nothing wrong, and meets what is rare', async () => {
    const summary = new Summary();
    const met = new Set<MarkName>();
    for (let seed = 1; seed <= 80; seed++) {
      const report = await oneRun({ name: drawn(seed), twice: false });
      summary.add(drawn(seed), report);
      for (const mark of report.marks.keys()) met.add(mark);
      expect(failureText(drawn(seed), report)).toBe('');
    }
    expect(summary.completed).toBeGreaterThan(2_000);
    expect(essentialMarks.filter((mark) => !met.has(mark))).toEqual([]);
  });

  it.each([3, 17, 42, 1_000_003])('is the same again, seed %d', async (seed) => {
    const report = await oneRun({ name: drawn(seed), twice: true });
    expect(report.failure?.kind).not.toBe('unstable');
    const other = await oneRun({ name: drawn(seed + 1), twice: false });
    expect(other.traceHash).not.toBe(report.traceHash);
  });

  it('says how to run a failure again', async () => {
    const name = { seed: 1, scenario: 'denial-overloaded', mutant: undefined };
    const report = await oneRun({ name, twice: false });
    const text = failureText(name, report);
    expect(text).toContain('seed 1: safety');
    expect(text).toContain('npm run simulate -- --seed 1 --scenario denial-overloaded');
    expect(text).toContain('"faults":1');
    expect(text).toContain(report.traceHash);
    expect(rerunCommand({ seed: 7, scenario: undefined, mutant: 'nonce-unchecked' })).toBe(
      'npm run simulate -- --seed 7 --mutant nonce-unchecked',
    );
  });

  it('exits with the code of the worst failure', () => {
    expect(new Set(Object.values(failureExitCodes)).size).toBe(
      Object.keys(failureExitCodes).length,
    );
    expect(worstKind(['liveness', 'crash'])).toBe('crash');
    expect(worstKind(['liveness', 'safety', 'crash'])).toBe('safety');
    expect(worstKind([])).toBeUndefined();
  });
});

describe('its arguments', () => {
  it('name one seed or many', () => {
    expect(parseCampaign(['--seed', '5'])).toMatchObject({ firstSeed: 5, lastSeed: 5, jobs: 1 });
    expect(parseCampaign(['--seeds', '5..9', '--jobs', '2'])).toMatchObject({
      firstSeed: 5,
      lastSeed: 9,
      jobs: 2,
    });
  });

  it.each([
    ['--seed', 'five'],
    ['--seeds', '9..5'],
    ['--jobs', '0'],
    ['--seeds', '1..2', '--trace', 'file'],
    ['--unheard-of', '1'],
  ])('refuse %s %s', (...argv) => {
    expect(typeof parseCampaign(argv)).toBe('string');
  });
});

describe('docs/SIMULATOR.md', () => {
  const text = readFileSync(new URL('../../docs/SIMULATOR.md', import.meta.url), 'utf8');

  it.each([...scenarios.keys()])('names the scenario %s', (name) => {
    expect(text).toContain(`| \`${name}\` |`);
  });

  it.each([...mutants])('states how the mutant %s is caught', (name, { scenario, seeds }) => {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${name}\` |`));
    expect(row).toContain(
      `| ${scenario === undefined ? 'drawn runs' : `\`${scenario}\``} | ${seeds} |`,
    );
  });

  it.each(lieNames)('names the lie %s', (name) => {
    expect(text).toContain(`\`${name}\``);
  });
});
