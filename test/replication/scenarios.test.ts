// Directed scenarios for replicated groups, each with one fault borne (odd seeds) and with two (even seeds). Those that
// use up what a group bears must fail with one more.

import { describe, expect, it } from 'vitest';
import { oneRun } from '../../testing/replication/one-run.ts';
import { failureText, type RunName } from '../../testing/replication/report.ts';
import { scenarios } from '../../testing/replication/scenarios/scenarios.ts';

const seeds = [1, 2];

/** With one fault more it is not enough that these stand still: what was done must be seen to be undone. */
const contradicting: ReadonlySet<string> = new Set(['forgotten-flush']);

function nameOf(seed: number, scenario: string): RunName {
  return { seed, engine: undefined, scenario, mutant: undefined };
}

describe.each([...scenarios].map(([name, scenario]) => ({ name, ...scenario })))(
  '$what ($name)',
  ({ name, isTight }) => {
    it.each(seeds)('is borne, seed %d', async (seed) => {
      const report = await oneRun({ name: nameOf(seed, name) });
      expect(failureText(report)).toBe('');
    });

    it.runIf(isTight).each(seeds)('is not borne with one fault more, seed %d', async (seed) => {
      const report = await oneRun({ name: nameOf(seed, `${name}-overloaded`) });
      const kinds = contradicting.has(name) ? ['safety'] : ['safety', 'liveness'];
      expect(kinds).toContain(report.failure?.kind);
    });
  },
);
