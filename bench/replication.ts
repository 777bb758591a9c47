// Replicated state machines on real processes: what an operation costs, and what clients see when a primary dies.

import { setTimeout } from 'node:timers/promises';
import { cpuUs, summary } from './measure.ts';
import { BenchGroup, type GroupOptions } from './replication/group.ts';
import type { LoadAnswer } from './replication/jobs.ts';
import { formatMs, type Report, table } from './report.ts';
import type { Run } from './run.ts';

const viewTimeoutMs = 1000;

interface Case {
  readonly name: string;
  readonly engine: 'pbft' | 'vr';
  readonly isDurable: boolean;
  readonly isTentative?: boolean;
  readonly operationSizeBytes: number;
  readonly resultSizeBytes: number;
}

const cases: readonly Case[] = [
  { name: 'PBFT 0/0', engine: 'pbft', isDurable: true, operationSizeBytes: 0, resultSizeBytes: 0 },
  {
    name: 'PBFT 0/0 in memory',
    engine: 'pbft',
    isDurable: false,
    operationSizeBytes: 0,
    resultSizeBytes: 0,
  },
  {
    name: 'PBFT 0/0 in memory, tentative',
    engine: 'pbft',
    isDurable: false,
    isTentative: true,
    operationSizeBytes: 0,
    resultSizeBytes: 0,
  },
  {
    name: 'PBFT 1 KiB/0',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 1024,
    resultSizeBytes: 0,
  },
  {
    name: 'PBFT 4 KiB/0',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 4096,
    resultSizeBytes: 0,
  },
  {
    name: 'PBFT 0/4 KiB',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 0,
    resultSizeBytes: 4096,
  },
  { name: 'VR 0/0', engine: 'vr', isDurable: true, operationSizeBytes: 0, resultSizeBytes: 0 },
  {
    name: 'VR 0/0 in memory',
    engine: 'vr',
    isDurable: false,
    operationSizeBytes: 0,
    resultSizeBytes: 0,
  },
];

/** Clients, and operations that each has under way. */
const loads = [
  { clients: 1, window: 1 },
  { clients: 32, window: 1 },
  { clients: 100, window: 1 },
  { clients: 100, window: 8 },
] as const;

interface Row {
  readonly name: string;
  readonly clients: number;
  readonly window: number;
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly replicaCpuUs: number;
  /** Above 0: the view changed though nobody failed. */
  readonly view: number;
}

interface Failover {
  readonly engine: string;
  readonly longestGapMs: number;
  readonly view: number;
}

export async function replication(run: Run): Promise<Report> {
  const rows: Row[] = [];
  for (const each of cases) rows.push(...(await measureCase(run, each)));
  const failovers: Failover[] = [];
  for (const engine of ['pbft', 'vr'] as const) failovers.push(await failover(run, engine));
  const words = `${format(rows)}\n\nPrimary killed under load, view timer ${viewTimeoutMs} ms\n\n${table(
    ['engine', 'longest gap ms', 'view after'],
    failovers.map(({ engine, longestGapMs, view }) => [
      engine,
      formatMs(longestGapMs),
      String(view),
    ]),
  )}`;
  return {
    title: 'replicated state machines, f = 1, on real processes',
    values: { rows, failovers, viewTimeoutMs },
    words,
  };
}

function optionsOf(run: Run, each: Omit<Case, 'name' | 'operationSizeBytes'>): GroupOptions {
  return {
    engine: each.engine,
    faults: 1,
    isDurable: each.isDurable,
    resultSizeBytes: each.resultSizeBytes,
    timeoutMs: viewTimeoutMs,
    isTentative: each.isTentative ?? false,
    clients: 100,
    parent: run.parent,
    profileFolder: run.profileFolder,
  };
}

async function measureCase(run: Run, each: Case): Promise<Row[]> {
  run.note(`replication: ${each.name}`);
  const group = await BenchGroup.start(optionsOf(run, each));
  try {
    const { operationSizeBytes } = each;
    const common = { operationSizeBytes, isQuery: false };
    // Until the code is compiled and the connections have grown their windows.
    await group.load({ ...common, clients: 32, window: 1, durationMs: run.isQuick ? 500 : 4000 });
    const rows: Row[] = [];
    for (const load of loads) {
      const beforeUs = cpuUs(group.pids);
      const durationMs = run.isQuick ? 300 : 4000;
      const answer = await group.load({ ...common, ...load, durationMs });
      // What replicas still do for the last operations is done by then.
      await setTimeout(200);
      const usedUs = cpuUs(group.pids) - beforeUs;
      const { view } = await group.status(0);
      rows.push({ ...rowOf(each, load, answer, usedUs), view });
    }
    return rows;
  } finally {
    await group.stop();
  }
}

function rowOf(
  { name }: Case,
  load: (typeof loads)[number],
  { operations, elapsedMs, samplesMs }: LoadAnswer,
  usedUs: number,
): Omit<Row, 'view'> {
  const { median, p99 } = summary(samplesMs);
  return {
    name,
    ...load,
    perSecond: (operations / elapsedMs) * 1000,
    medianMs: median,
    p99Ms: p99,
    replicaCpuUs: usedUs / operations,
  };
}

async function failover(run: Run, engine: 'pbft' | 'vr'): Promise<Failover> {
  run.note(`replication: ${engine}, primary killed under load`);
  const group = await BenchGroup.start(
    optionsOf(run, { engine, isDurable: true, resultSizeBytes: 0 }),
  );
  try {
    const load = { clients: 16, window: 1, operationSizeBytes: 0, isQuery: false };
    await group.load({ ...load, durationMs: 1000 });
    const { primary } = await group.status(0);
    const answered = group.load({ ...load, durationMs: 3000 + 3 * viewTimeoutMs });
    await setTimeout(1500);
    await group.kill(primary);
    const { longestGapMs } = await answered;
    const { view } = await group.status((primary + 1) % group.size);
    return { engine, longestGapMs, view };
  } finally {
    await group.stop();
  }
}

function format(rows: readonly Row[]): string {
  return table(
    ['operation', 'clients', 'each', 'per second', 'median ms', '99 %', 'replicas’ CPU µs', 'view'],
    rows.map((row) => [
      row.name,
      String(row.clients),
      String(row.window),
      row.perSecond.toFixed(0),
      formatMs(row.medianMs),
      formatMs(row.p99Ms),
      row.replicaCpuUs.toFixed(0),
      String(row.view),
    ]),
  );
}
