// How many operations a second, and what each costs in processor time, as clients and what they have under way grow.

import { setTimeout } from 'node:timers/promises';
import type { ClientProcess } from './clients.ts';
import { cpuUs, summary } from './measure.ts';
import { formatMs, type Report, table } from './report.ts';
import type { Run } from './run.ts';

const sizeBytes = 1024;
const objects = 2000;
/** What servers still do for the last operations is done by then. */
const settleMs = 150;

const mixes = [
  { name: 'read', readShare: 1 },
  { name: 'write', readShare: 0 },
  { name: '90 % read', readShare: 0.9 },
] as const;

interface Cell {
  readonly processes: number;
  readonly concurrency: number;
  readonly mix: (typeof mixes)[number];
  readonly perSecond: number[];
  readonly cpuUs: number[];
  readonly samplesMs: number[];
}

export async function throughput({ isQuick, withSystem, note }: Run): Promise<Report> {
  const cells: Cell[] = [];
  for (const processes of [1, 2]) {
    for (const concurrency of [1, 8, 64]) {
      for (const mix of mixes)
        cells.push({ processes, concurrency, mix, perSecond: [], cpuUs: [], samplesMs: [] });
    }
  }
  const rounds = isQuick ? 1 : 5;
  const durationMs = isQuick ? 300 : 1500;
  await withSystem(async ({ serverPids, clients }) => {
    await clients(2, async (all) => {
      note(`throughput: storing ${objects} objects`);
      await all[0].do({ kind: 'fill', objects, sizeBytes });
      await measureCell(all, serverPids, { ...(cells[0] as Cell), perSecond: [] }, 1000);
      for (let round = 1; round <= rounds; round++) {
        note(`throughput: round ${round} of ${rounds}`);
        for (const cell of cells) await measureCell(all, serverPids, cell, durationMs);
      }
    });
  });
  const rows = cells.map(rowOf);
  return { title: '1 KiB objects, as many operations as fit', values: rows, words: format(rows) };
}

async function measureCell(
  all: readonly ClientProcess[],
  serverPids: readonly number[],
  cell: Cell,
  durationMs: number,
): Promise<void> {
  const { concurrency, mix, processes } = cell;
  const clients = all.slice(0, processes);
  const pids = [...serverPids, ...all.map(({ pid }) => pid)];
  const beforeUs = cpuUs(pids);
  const { readShare } = mix;
  const job = { kind: 'load', objects, sizeBytes, readShare, concurrency, durationMs } as const;
  const answers = await Promise.all(clients.map((client) => client.do(job)));
  await setTimeout(settleMs);
  const usedUs = cpuUs(pids) - beforeUs;
  const operations = answers.reduce((sum, answer) => sum + answer.operations, 0);
  const elapsedMs = Math.max(...answers.map((answer) => answer.elapsedMs));
  cell.perSecond.push((operations / elapsedMs) * 1000);
  cell.cpuUs.push(usedUs / operations);
  for (const { samplesMs } of answers) cell.samplesMs.push(...samplesMs);
}

interface Row {
  readonly clientProcesses: number;
  readonly concurrency: number;
  readonly operation: string;
  readonly perSecond: number;
  readonly perSecondMin: number;
  readonly perSecondMax: number;
  readonly cpuUs: number;
  readonly medianMs: number;
  readonly p99Ms: number;
}

function rowOf(cell: Cell): Row {
  const took = summary(cell.samplesMs);
  return {
    clientProcesses: cell.processes,
    concurrency: cell.concurrency,
    operation: cell.mix.name,
    perSecond: summary(cell.perSecond).median,
    perSecondMin: Math.min(...cell.perSecond),
    perSecondMax: Math.max(...cell.perSecond),
    cpuUs: summary(cell.cpuUs).median,
    medianMs: took.median,
    p99Ms: took.p99,
  };
}

function format(rows: readonly Row[]): string {
  return table(
    ['clients', 'each', 'operation', 'per second', 'least … most', 'CPU µs', 'median ms', '99 %'],
    rows.map((row) => [
      String(row.clientProcesses),
      String(row.concurrency),
      row.operation,
      row.perSecond.toFixed(0),
      `${row.perSecondMin.toFixed(0)} … ${row.perSecondMax.toFixed(0)}`,
      row.cpuUs.toFixed(0),
      formatMs(row.medianMs),
      formatMs(row.p99Ms),
    ]),
  );
}
