// A small fixed campaign on replicated groups, and what a campaign promises about itself.

import { describe, expect, it } from 'vitest';
import { parseCampaign } from '../../testing/replication/campaign.ts';
import { oneRun } from '../../testing/replication/one-run.ts';
import type { EngineName } from '../../testing/replication/options.ts';
import { failureText, type RunName, rerunCommand } from '../../testing/replication/report.ts';

function drawn(seed: number, engine: EngineName): RunName {
  return { seed, engine, scenario: undefined, mutant: undefined };
}

const seeds = 30;

/** What even a small campaign must meet, or it tests nothing. */
const essentialCodes: Readonly<Record<EngineName, readonly string[]>> = {
  pbft: [
    'view-entered',
    'transfer-done',
    'send-dropped-view',
    'new-view-incomplete',
    'recovery-done',
  ],
  vr: ['vr-view-started', 'vr-checkpoint', 'vr-log-fetched', 'vr-transfer', 'vr-recovery'],
};

describe.each(['pbft', 'vr'] as const)('a campaign on %s', (engine) => {
  it('finds nothing wrong, and meets what is rare', async () => {
    const codes = new Set<string>();
    let completed = 0;
    let withTwins = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const report = await oneRun({ name: drawn(seed, engine) });
      expect(failureText(report)).toBe('');
      completed += report.completed;
      if (report.options.includes('"twins":1')) withTwins += 1;
      for (const code of report.codes.keys()) codes.add(code);
    }
    expect(completed).toBeGreaterThan(1_000);
    expect(withTwins).toBeGreaterThanOrEqual(engine === 'pbft' ? seeds / 6 : 0);
    expect(essentialCodes[engine].filter((code) => !codes.has(code))).toEqual([]);
  });

  it.each([3, 17, 42])('is the same again, seed %d', async (seed) => {
    const report = await oneRun({ name: drawn(seed, engine), isTwice: true });
    expect(report.failure?.kind).not.toBe('unstable');
    const other = await oneRun({ name: drawn(seed + 1, engine) });
    expect(other.traceHash).not.toBe(report.traceHash);
  });
});

describe('writes whose ends nobody knows', () => {
  it('are spread over so many keys that histories can be decided', async () => {
    const name = { seed: 30_416, engine: undefined, scenario: undefined, mutant: undefined };
    const report = await oneRun({ name });
    expect(report.options).toContain('"keys":1,');
    expect(report.operations - report.completed).toBeGreaterThan(100);
    expect(failureText(report)).toBe('');
  });
});

describe('a failure', () => {
  it('says how to have it again', async () => {
    const name = {
      seed: 1,
      engine: undefined,
      scenario: 'forgotten-flush-overloaded',
      mutant: undefined,
    };
    const report = await oneRun({ name });
    const text = failureText(report);
    expect(text).toContain('seed 1: safety');
    expect(text).toContain('--seed 1 --scenario forgotten-flush-overloaded');
    expect(text).toContain('"faults":1');
    expect(text).toContain(report.traceHash);
    expect(rerunCommand({ ...name, scenario: undefined, engine: 'vr', mutant: 'amnesia' })).toBe(
      'npx tsx testing/replication/campaign.ts --seed 1 --engine vr --mutant amnesia',
    );
  });
});

describe('the arguments of a campaign', () => {
  it('name one seed or many', () => {
    expect(parseCampaign(['--seed', '5'])).toMatchObject({ firstSeed: 5, lastSeed: 5 });
    expect(parseCampaign(['--seeds', '5..9', '--engine', 'vr'])).toMatchObject({
      firstSeed: 5,
      lastSeed: 9,
      engine: 'vr',
    });
  });

  it.each([
    ['--seed', 'five'],
    ['--seeds', '9..5'],
    ['--engine', 'paxos'],
    ['--scenario', 'unheard-of'],
    ['--mutant', 'unheard-of'],
    ['--seeds', '1..2', '--trace', 'file'],
    ['--unheard-of', '1'],
  ])('refuse %s %s', (...argv) => {
    expect(typeof parseCampaign(argv)).toBe('string');
  });
});
