// Directed scenarios, each with one fault to a group (odd seeds) and with two (even seeds). Those that use up what a
// group bears must fail when one more server lies.

import { describe, expect, it } from 'vitest';
import { failureText } from '../../testing/harness/failure.ts';
import { oneRun } from '../../testing/harness/one-run.ts';
import { scenarios } from '../../testing/harness/scenarios/scenarios.ts';

const seeds = [1, 2];

describe.each([...scenarios])('scenario %s', (scenario, { tight }) => {
  it.each(seeds)('holds, seed %d', async (seed) => {
    const name = { seed, scenario, mutant: undefined };
    const report = await oneRun({ name, twice: false });
    expect(failureText(name, report)).toBe('');
  });

  it.runIf(tight).each(seeds)('fails with one liar too many, seed %d', async (seed) => {
    const name = { seed, scenario: `${scenario}-overloaded`, mutant: undefined };
    const { failure } = await oneRun({ name, twice: false });
    expect(['safety', 'liveness']).toContain(failure?.kind);
  });
});
