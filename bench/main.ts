// npm run bench: what the system costs on this machine. docs/PERFORMANCE.md explains and interprets.

import { Command, Option } from 'commander';
import { HoldfastError } from '../src/base/errors.ts';
import { blocks } from './blocks.ts';
import { latency } from './latency.ts';
import { buildTrouble } from './library.ts';
import { machine } from './measure.ts';
import { summarizeProfiles } from './profile.ts';
import { replication } from './replication.ts';
import type { Report } from './report.ts';
import { type Run, runWith } from './run.ts';
import { throughput } from './throughput.ts';

const benchmarks: Readonly<Record<string, (run: Run) => Promise<Report>>> = {
  latency,
  throughput,
  blocks,
  replication,
};

interface Flags {
  readonly quick: boolean;
  readonly json: boolean;
  readonly keep: boolean;
  readonly folder?: string;
  readonly profile?: string;
}

async function bench(names: readonly string[], flags: Flags): Promise<void> {
  const chosen = names.length > 0 ? names : Object.keys(benchmarks);
  const note = (words: string): void => {
    if (!flags.json) process.stderr.write(`${words}\n`);
  };
  const trouble = buildTrouble();
  if (trouble === 'missing')
    throw new HoldfastError('usage', 'there is nothing to measure yet', { cure: 'npm run build' });
  if (trouble === 'outdated') note('Sources have changed since the last `npm run build`.');
  const run = runWith({
    isQuick: flags.quick,
    note,
    parent: flags.folder,
    keep: flags.keep,
    profileFolder: flags.profile,
  });
  for (const name of chosen) {
    const work = benchmarks[name];
    if (work === undefined) {
      const known = Object.keys(benchmarks).join(', ');
      throw new HoldfastError('usage', `there is no benchmark ${name}; there are: ${known}`);
    }
    const report = await work(run);
    const about = machine();
    if (flags.json) {
      const { title, values } = report;
      process.stdout.write(
        `${JSON.stringify({ benchmark: name, title, machine: about, values })}\n`,
      );
    } else {
      const line = Object.entries(about).map(([key, value]) => `${key} ${value}`);
      process.stdout.write(`\n${name}: ${report.title}\n\n${report.words}\n\n${line.join(', ')}\n`);
    }
  }
  if (flags.profile !== undefined) process.stdout.write(await summarizeProfiles(flags.profile));
}

const program = new Command('npm run bench --')
  .description(
    'Measure this build on this machine: real server processes, a real disk, the real client library.',
  )
  .argument('[benchmarks...]', `${Object.keys(benchmarks).join(', ')} (default: all)`)
  .option('--quick', 'a smoke run: seconds instead of minutes, figures worth nothing', false)
  .option('--json', 'one line of JSON for each benchmark', false)
  .option('--folder <dir>', 'on the disk to measure (default: the temporary folder)')
  .option('--keep', "keep the servers' data and logs", false)
  .addOption(new Option('--profile <dir>', 'profile all processes into this folder'))
  .action(bench);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof HoldfastError)) throw error;
  process.stderr.write(
    `${error.message}${error.cure === undefined ? '' : `\n  → ${error.cure}`}\n`,
  );
  process.exitCode = 1;
}
