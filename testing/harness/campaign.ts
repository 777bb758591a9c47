// `npm run simulate`: reruns one seed, or many seeds in several processes, and says what came of it.

import { fork } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type CampaignArguments, parseCampaign, usage } from './arguments.ts';
import { failureExitCodes, failureText, type RunName, worstKind } from './failure.ts';
import { oneRun, unknownName } from './one-run.ts';
import type { RunReport } from './run-report.ts';
import { Summary } from './summary.ts';

const usageExitCode = 2;
const workerFlag = 'worker-of-a-campaign';
const progressMs = 5_000;

/** What a worker is told to do, and what it answers. */
interface Task {
  readonly name: RunName;
  readonly twice: boolean;
}
interface Done {
  readonly name: RunName;
  readonly report: Omit<RunReport, 'marks'> & { readonly marks: [string, number][] };
}

function nameOf({ scenario, mutant }: CampaignArguments, seed: number): RunName {
  return { seed, scenario, mutant };
}

async function single(settings: CampaignArguments): Promise<number> {
  const name = nameOf(settings, settings.firstSeed);
  const file = settings.traceFile === undefined ? undefined : createWriteStream(settings.traceFile);
  const onTraceLine =
    file === undefined ? {} : { onTraceLine: (line: string) => file.write(`${line}\n`) };
  const report = await oneRun({ name, twice: settings.twiceOneIn === 1, ...onTraceLine });
  file?.end();
  const { failure, traceHash, events, operations, completed } = report;
  if (failure !== undefined) {
    console.log(failureText(name, report));
    return failureExitCodes[failure.kind];
  }
  console.log(`seed ${name.seed}: passed; ${operations} operations, ${completed} completed`);
  console.log(`  options: ${report.options}`);
  console.log(`  trace:   ${traceHash}, ${events} events`);
  return 0;
}

async function many(settings: CampaignArguments): Promise<number> {
  const summary = new Summary();
  const startMs = Date.now();
  let nextSeed = settings.firstSeed;
  const progress = setInterval(() => {
    const perSecond = ((1000 * summary.runs) / (Date.now() - startMs)).toFixed(1);
    console.log(
      `${summary.runs} runs, ${perSecond}/s, ${summary.operations} operations, ${summary.failures.length} failed, ${summary.marksHit} marks hit`,
    );
  }, progressMs);
  const nextTask = (): Task | undefined => {
    if (nextSeed > settings.lastSeed) return undefined;
    const seed = nextSeed++;
    const { twiceOneIn } = settings;
    return { name: nameOf(settings, seed), twice: twiceOneIn > 0 && seed % twiceOneIn === 0 };
  };
  const onDone = ({ name, report }: Done): void => {
    const marks = new Map(report.marks) as RunReport['marks'];
    summary.add(name, { ...report, marks });
    if (report.failure !== undefined) console.log(`seed ${name.seed}: ${report.failure.kind}`);
  };
  await Promise.all(Array.from({ length: settings.jobs }, () => worker(nextTask, onDone)));
  clearInterval(progress);
  console.log(summary.text(Date.now() - startMs));
  const worst = worstKind(summary.failureKinds);
  return worst === undefined ? 0 : failureExitCodes[worst];
}

/** Drives one process until no task is left. One that dies is a crash of the run that it was given. */
function worker(nextTask: () => Task | undefined, onDone: (done: Done) => void): Promise<void> {
  return new Promise((resolve) => {
    const child = fork(fileURLToPath(import.meta.url), [workerFlag]);
    let current: Task | undefined;
    const next = (): void => {
      current = nextTask();
      if (current === undefined) child.disconnect();
      else child.send(current);
    };
    child.on('message', (done: Done) => {
      onDone(done);
      next();
    });
    child.on('exit', (code) => {
      if (current === undefined) return resolve();
      onDone(died(current.name, `the process ended with code ${code}`));
      resolve(worker(nextTask, onDone));
    });
    next();
  });
}

function died(name: RunName, message: string): Done {
  const failure = { kind: 'crash', message } as const;
  const nothing = { operations: 0, completed: 0, events: 0, virtualMs: 0, traceHash: '' };
  return { name, report: { seed: name.seed, options: '{}', failure, marks: [], ...nothing } };
}

function work(): void {
  process.on('message', async ({ name, twice }: Task) => {
    const report = await oneRun({ name, twice });
    const done: Done = { name, report: { ...report, marks: [...report.marks] } };
    process.send?.(done);
  });
}

async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const settings = parseCampaign(process.argv.slice(2));
  const wrong = typeof settings === 'string' ? settings : unknownName(nameOf(settings, 0));
  if (typeof settings === 'string' || wrong !== undefined) {
    console.error(`${wrong}\n${usage}`);
    return usageExitCode;
  }
  return settings.firstSeed === settings.lastSeed ? single(settings) : many(settings);
}

if (process.argv[2] === workerFlag) work();
else process.exitCode = await main();
