// The command line of `npm run simulate`.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface CampaignArguments {
  readonly firstSeed: number;
  readonly lastSeed: number;
  readonly scenario: string | undefined;
  readonly mutant: string | undefined;
  /** File for the trace of a single run. */
  readonly traceFile: string | undefined;
  readonly jobs: number;
  /** One run in so many is made twice, and must be the same. */
  readonly twiceOneIn: number;
}

export const usage = `npm run simulate -- [options]
  --seed N        one run
  --seeds A..B    a campaign; default 1..100
  --scenario X    a directed scenario instead of what the seed draws
  --mutant M      with a known fault in the code; the run is expected to fail
  --trace FILE    writes the trace of a single run
  --jobs N        processes; default one for each processor
  --twice N       makes one run in N twice and compares them; default 50, 0 for none`;

/** The arguments, or what is wrong with them. */
export function parseCampaign(argv: readonly string[]): CampaignArguments | string {
  try {
    return parsed(argv);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function parsed(argv: readonly string[]): CampaignArguments | string {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string' },
      scenario: { type: 'string' },
      mutant: { type: 'string' },
      trace: { type: 'string' },
      jobs: { type: 'string' },
      twice: { type: 'string' },
    },
  });
  const seeds = values.seed === undefined ? (values.seeds ?? '1..100') : values.seed;
  const [first, last = first] = seeds.split('..').map(Number);
  const jobs = Number(values.jobs ?? availableParallelism());
  const twiceOneIn = Number(values.twice ?? 50);
  if (first === undefined || last === undefined || !isSeed(first) || !isSeed(last) || last < first)
    return `not a seed or a range of seeds: ${seeds}`;
  if (!Number.isSafeInteger(jobs) || jobs < 1) return `not a number of jobs: ${values.jobs}`;
  if (!isSeed(twiceOneIn)) return `not a number: ${values.twice}`;
  if (values.trace !== undefined && first !== last) return '--trace needs a single --seed';
  return {
    firstSeed: first,
    lastSeed: last,
    scenario: values.scenario,
    mutant: values.mutant,
    traceFile: values.trace,
    jobs: Math.min(jobs, last - first + 1),
    twiceOneIn,
  };
}

function isSeed(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
