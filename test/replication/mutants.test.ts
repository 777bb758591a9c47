// Known-broken variants of the replication engines: runs under simulation must find each within the seeds stated.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mutants } from '../../testing/replication/mutants/mutants.ts';
import { oneRun } from '../../testing/replication/one-run.ts';
import { failureText } from '../../testing/replication/report.ts';

/** Each is caught within so many seeds, from 1 on: by few where a scenario shows it, by more in drawn runs. */
const seedsOf: Readonly<Record<string, number>> = {
  'prepared-by-too-few': 40,
  'lost-disk-votes': 10,
  'committed-by-too-few': 12,
  'one-claim-believed': 20,
  'stable-by-too-few': 20,
  'old-places-free': 2,
  'accepted-replaced': 2,
  'claims-not-vouched': 20,
  'older-claim-wins': 2,
  'null-never-claimed': 2,
  'window-not-enforced': 2,
  'clock-never-restarted': 2,
  'null-too-soon': 2,
  'view-change-quorum-short': 2,
  'leaves-alone': 10,
  'second-new-view': 2,
  'primary-without-memory': 60,
  'new-view-not-noted': 60,
  'reads-ahead-ignored': 2,
  'vr-committed-by-too-few': 40,
  'vr-gaps-acknowledged': 2,
  'vr-dead-entries-kept': 60,
  'vr-views-from-too-few': 40,
  'vr-log-dropped-for-transfer': 2,
  'vr-hears-while-recovering': 60,
  'vr-lease-too-long': 2,
  'vr-lease-by-any-clock': 2,
  'vr-promise-by-any-clock': 2,
  'vr-promise-not-kept': 2,
  'vr-promise-forgotten': 4,
  'vr-reads-behind-clients': 2,
  'vr-longest-log-wins': 2,
  'vr-log-replaced-again': 2,
  'vr-restarts-as-normal': 2,
  'vr-state-believed-of-older-log': 4,
  'vr-bystander-believed': 2,
  'vr-left-view-resumed': 10,
  'vr-recovery-skipped': 2,
  'vr-promised-view-forgotten': 2,
  'sent-before-durable': 40,
  'vr-sent-before-durable': 40,
  'journal-unsynced': 40,
  'vr-journal-unsynced': 40,
  amnesia: 40,
  'vr-amnesia': 40,
  'followers-renumbered': 2,
  'vr-followers-renumbered': 2,
  'genesis-ignored': 20,
  'vr-genesis-ignored': 20,
  'table-not-in-checkpoint': 40,
  'vr-table-not-in-checkpoint': 40,
  'pages-believed': 2,
  'vr-pages-believed': 2,
  'numbers-used-again': 10,
  'vr-numbers-used-again': 10,
  'first-reply-believed': 10,
  'replies-from-most': 2,
  'prepare-is-commit': 20,
  'numbers-in-order': 20,
  'vr-numbers-in-order': 20,
  'end-in-table': 8,
  'vr-end-in-table': 8,
  'first-answer-believed': 10,
  'tentative-not-undone': 2,
  'requests-not-verified': 20,
  'view-changes-not-verified': 20,
  'checkpoints-not-verified': 20,
  'vr-speculation-believed': 40,
};

it('states for each variant how many seeds find it', () => {
  expect(Object.keys(seedsOf).sort()).toEqual([...mutants.keys()].sort());
});

describe('docs/SIMULATOR.md', () => {
  const text = readFileSync(new URL('../../docs/SIMULATOR.md', import.meta.url), 'utf8');
  // Those of storage have a table of their own, and some of them the same names.
  const lines = text.slice(text.indexOf('### Scenarios and known-broken variants')).split('\n');
  const header = lines.indexOf('| mutant | what is broken | shown by | seeds |');
  const rows = lines.slice(header + 2, lines.indexOf('', header));

  it('has one row for each variant, and no other', () => {
    const names = rows.map((row) => row.split('`')[1]);
    expect(names.sort()).toEqual([...mutants.keys()].sort());
  });

  it.each([...mutants])('states how the variant %s is caught', (name, { what, scenario }) => {
    const row = rows.find((line) => line.startsWith(`| \`${name}\` |`));
    const shownBy =
      scenario === undefined ? expect.stringMatching(/^drawn runs/) : `\`${scenario}\``;
    const cells = row?.split('|').map((cell) => cell.trim());
    expect(cells?.slice(2, 5)).toEqual([what, shownBy, `${seedsOf[name]}`]);
  });
});

it.each([...mutants].map(([name, { what }]) => ({ name, what, seeds: seedsOf[name] ?? 0 })))(
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
