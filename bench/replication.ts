// Replicated state machines on real processes: what an operation costs, and what clients see when a primary dies.

import { setTimeout } from 'node:timers/promises';
import { ed25519 } from '../src/crypto/signature.ts';
import { cpuUs, summary } from './measure.ts';
import { type FaultRow, faults, formatFaults, measureFault } from './replication/faults.ts';
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
  readonly isQuery?: boolean;
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
    name: 'PBFT 0/1 KiB',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 0,
    resultSizeBytes: 1024,
  },
  {
    name: 'PBFT 0/4 KiB',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 0,
    resultSizeBytes: 4096,
  },
  {
    name: 'PBFT read in one round',
    engine: 'pbft',
    isDurable: true,
    operationSizeBytes: 1,
    resultSizeBytes: 0,
    isQuery: true,
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

export async function replication(run: Run): Promise<Report> {
  const signatureCheckUs = measureSignatureCheckUs();
  const rows: Row[] = [];
  for (const each of cases) rows.push(...(await measureCase(run, each)));
  const faultRows: FaultRow[] = [];
  for (const engine of ['pbft', 'vr'] as const) {
    for (const fault of faults.filter(({ engines }) => engines.includes(engine))) {
      faultRows.push(await underFault(run, engine, fault));
    }
  }
  return {
    title: 'replicated state machines, f = 1, on real processes',
    values: { rows, faults: faultRows, viewTimeoutMs, signatureCheckUs },
    words: `One check of a signature takes ${signatureCheckUs.toFixed(0)} µs in this run; PBFT makes four for an operation alone.

${format(rows)}

Under load by 16 clients, view timer ${viewTimeoutMs} ms

${formatFaults(faultRows)}`,
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
    const { operationSizeBytes, isQuery = false } = each;
    const common = { operationSizeBytes, isQuery };
    // Until the code is compiled, as it is in a replica that has run for a minute, and the connections have grown their
    // windows: after 4 s one operation alone takes a third more processor time than after 15.
    await group.load({ ...common, clients: 32, window: 1, durationMs: run.isQuick ? 500 : 15_000 });
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

async function underFault(
  run: Run,
  engine: 'pbft' | 'vr',
  fault: (typeof faults)[number],
): Promise<FaultRow> {
  run.note(`replication: ${engine}, ${fault.name}`);
  const group = await BenchGroup.start(
    optionsOf(run, { engine, isDurable: true, resultSizeBytes: 0 }),
  );
  try {
    return await measureFault(group, engine, fault, run.isQuick ? 3000 : 8000);
  } finally {
    await group.stop();
  }
}

/** The least of several rounds: what it takes when nothing else runs. */
function measureSignatureCheckUs(): number {
  const signer = ed25519.signer(new Uint8Array(32).fill(1));
  const message = new Uint8Array(100);
  const signature = signer.sign(message);
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round++) {
    const startMs = performance.now();
    for (let i = 0; i < 100; i++) ed25519.verify(signer.publicKey, message, signature);
    least = Math.min(least, (performance.now() - startMs) * 10);
  }
  return least;
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
