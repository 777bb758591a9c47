// Known-broken variants of the replication engines: runs under simulation must find each within the seeds stated.

import { expect, it } from 'vitest';
import { mutants } from '../../testing/replication/mutants/mutants.ts';
import { oneRun } from '../../testing/replication/one-run.ts';
import { failureText } from '../../testing/replication/report.ts';

it.each([...mutants].map(([name, mutant]) => ({ name, ...mutant })))(
  '$what ($name): caught within $seeds seeds',
  async ({ name, seeds }) => {
    for (let seed = 1; seed <= seeds; seed++) {
      const run = { seed, engine: undefined, scenario: undefined, mutant: name };
      const report = await oneRun({ name: run });
      if (report.failure === undefined) continue;
      const control = await oneRun({ name: run, isControl: true });
      expect(failureText(control), 'without the fault').toBe('');
      return;
    }
    expect.fail(`${name} was not caught within ${seeds} seeds`);
  },
);
