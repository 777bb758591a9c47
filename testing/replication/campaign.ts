// Runs replicated groups under one seed or many: `npx tsx testing/replication/campaign.ts --seeds 1..100`.

import { createWriteStream } from 'node:fs';
import { parseArgs } from 'node:util';
import { failureExitCodes, worstKind } from '../harness/failure.ts';
import { oneRun, unknownName } from './one-run.ts';
import type { EngineName } from './options.ts';
import { failureText, type RunName, type RunReport } from './report.ts';

const usage = `npx tsx testing/replication/campaign.ts [options]
  --seed N        one run
  --seeds A..B    a campaign; default 1..100
  --engine E      pbft or vr; default: the seed draws it
  --scenario X    a directed scenario instead of what the seed draws
  --mutant M      with a known fault in the code; the run is expected to fail
  --control       the same runs, the mutant's fault mended
  --trace FILE    writes the trace of a single run
  --twice N       makes one run in N twice and compares them; default 50, 0 for none`;
const usageExitCode = 2;
const progressMs = 10_000;
const failuresShownMax = 20;

interface Campaign extends Omit<RunName, 'seed'> {
  readonly firstSeed: number;
  readonly lastSeed: number;
  readonly traceFile: string | undefined;
  readonly twiceOneIn: number;
  readonly isControl: boolean;
}

/** The arguments, or what is wrong with them. */
export function parseCampaign(argv: readonly string[]): Campaign | string {
  try {
    return parsed(argv);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function parsed(argv: readonly string[]): Campaign | string {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seed: text,
      seeds: text,
      engine: text,
      scenario: text,
      mutant: text,
      trace: text,
      twice: text,
      control: { type: 'boolean' },
    },
  });
  const seeds = values.seed ?? values.seeds ?? '1..100';
  const [firstSeed, lastSeed = firstSeed] = seeds.split('..').map(Number);
  if (!isSeed(firstSeed) || !isSeed(lastSeed) || lastSeed < firstSeed) {
    return `not a seed or a range of seeds: ${seeds}`;
  }
  const { engine, scenario, mutant, trace } = values;
  if (engine !== undefined && engine !== 'pbft' && engine !== 'vr') return `no engine: ${engine}`;
  const twiceOneIn = Number(values.twice ?? 50);
  if (!isSeed(twiceOneIn)) return `not a number: ${values.twice}`;
  if (trace !== undefined && firstSeed !== lastSeed) return '--trace needs a single --seed';
  const wrong = unknownName({ scenario, mutant });
  if (wrong !== undefined) return wrong;
  return {
    firstSeed,
    lastSeed,
    engine: engine as EngineName | undefined,
    scenario,
    mutant,
    traceFile: trace,
    twiceOneIn,
    isControl: values.control === true,
  };
}

function isSeed(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

async function campaign(settings: Campaign): Promise<number> {
  const { firstSeed, lastSeed, engine, scenario, mutant, twiceOneIn, traceFile } = settings;
  const file = traceFile === undefined ? undefined : createWriteStream(traceFile);
  const onTraceLine =
    file === undefined ? {} : { onTraceLine: (line: string) => void file.write(`${line}\n`) };
  const reports: RunReport[] = [];
  const startMs = Date.now();
  let shownMs = startMs;
  for (let seed = firstSeed; seed <= lastSeed; seed++) {
    const name = { seed, engine, scenario, mutant };
    const isTwice = twiceOneIn > 0 && seed % twiceOneIn === 0 && file === undefined;
    const report = await oneRun({ name, isTwice, isControl: settings.isControl, ...onTraceLine });
    reports.push(report);
    if (report.failure !== undefined) console.log(`seed ${seed}: ${report.failure.kind}`);
    if (Date.now() - shownMs < progressMs) continue;
    shownMs = Date.now();
    const failed = reports.filter(({ failure }) => failure !== undefined).length;
    console.log(`${reports.length} runs, ${failed} failed`);
  }
  file?.end();
  console.log(summary(reports, Date.now() - startMs));
  const worst = worstKind(reports.flatMap(({ failure }) => failure?.kind ?? []));
  return worst === undefined ? 0 : failureExitCodes[worst];
}

function summary(reports: readonly RunReport[], tookMs: number): string {
  const failed = reports.filter(({ failure }) => failure !== undefined);
  const sum = (of: (report: RunReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  const codes = new Map<string, number>();
  for (const report of reports) {
    for (const code of report.codes.keys()) codes.set(code, (codes.get(code) ?? 0) + 1);
  }
  return [
    ...failed.slice(0, failuresShownMax).map(failureText),
    `${reports.length} runs, ${failed.length} failed; ${((1000 * reports.length) / Math.max(1, tookMs)).toFixed(1)} runs/s`,
    `${sum((one) => one.operations)} operations, ${sum((one) => one.completed)} completed; ${sum((one) => one.events)} events; ${sum((one) => one.checkpoints)} checkpoints; ${sum((one) => one.views)} views; ${sum(lies)} lies`,
    'runs in which a code was counted:',
    ...[...codes]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([code, runs]) => `  ${String(runs).padStart(6)}  ${code}`),
    ...(reports.length === 1 && failed.length === 0
      ? [
          `options: ${reports[0]?.options}`,
          `trace:   ${reports[0]?.traceHash}, ${reports[0]?.events} events`,
        ]
      : []),
  ].join('\n');
}

function lies({ told }: RunReport): number {
  let count = 0;
  for (const times of told.values()) count += times;
  return count;
}

async function main(): Promise<number> {
  const settings = parseCampaign(process.argv.slice(2));
  if (typeof settings !== 'string') return campaign(settings);
  console.error(`${settings}\n${usage}`);
  return usageExitCode;
}

if (process.argv[1]?.endsWith('replication/campaign.ts') === true) process.exitCode = await main();
