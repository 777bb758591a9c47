// Known-broken variants of the code: the simulator must find each of them within the seeds that its table states.

import { expect, it } from 'vitest';
import { mutants } from '../../testing/byzantine/mutants/mutants.ts';
import { oneRun } from '../../testing/harness/one-run.ts';

it.each([...mutants])('%s is caught', async (mutant, { seeds }) => {
  for (let seed = 1; seed <= seeds; seed++) {
    const name = { seed, scenario: undefined, mutant };
    const { failure } = await oneRun({ name, twice: false });
    if (failure !== undefined) return;
  }
  expect.fail(`${mutant} was not caught within ${seeds} seeds`);
});
