// How long one operation takes for one client of a quiet system, against the rounds and the sync that it cannot do
// without.

import { type Series, type SeriesName, seriesNames } from './jobs.ts';
import { type Summary, summary } from './measure.ts';
import { formatMs, formatSpread, type Report, table } from './report.ts';
import type { Run } from './run.ts';

const sizeBytes = 1024;

const words: Readonly<Record<SeriesName, string>> = {
  round: 'empty quorum round',
  read: 'read',
  readAgain: 'read, header known',
  twoRoundsSync: 'two rounds + sync',
  write: 'write',
  roundSync: 'round + sync',
  writeAgain: 'write, header known',
  writeAlone: 'write, only writer',
};

const referenceOf: Readonly<Partial<Record<SeriesName, SeriesName>>> = {
  read: 'round',
  readAgain: 'round',
  write: 'twoRoundsSync',
  writeAgain: 'twoRoundsSync',
  writeAlone: 'roundSync',
};

export async function latency({ isQuick, withSystem, note }: Run): Promise<Report> {
  const series = await withSystem(async ({ folder, serverPids, clients }) => {
    const objects = isQuick ? 200 : 2000;
    return await clients(1, async ([client]) => {
      note(`latency: storing ${objects} objects`);
      await client.do({ kind: 'fill', objects, sizeBytes });
      // Compiled code and caches as in a system that has been in use.
      await client.do({
        kind: 'load',
        objects,
        sizeBytes,
        readShare: 0.5,
        concurrency: 8,
        durationMs: isQuick ? 300 : 6000,
      });
      note('latency: taking turns');
      return await client.do({
        kind: 'latency',
        objects,
        sizeBytes,
        cycles: isQuick ? 3 : 20,
        runLength: isQuick ? 20 : 50,
        pauseMs: 150,
        pids: [...serverPids, client.pid],
        folder,
      });
    });
  });
  const rows = seriesNames.map((name) => rowOf(name, series));
  return { title: '1 KiB, one client, one operation at a time', values: rows, words: format(rows) };
}

interface Row extends Summary {
  readonly operation: string;
  /** Median over the median of what it is compared with. */
  readonly ratio: number | undefined;
  readonly cpuUs: number;
}

function rowOf(name: SeriesName, series: Readonly<Record<SeriesName, Series>>): Row {
  const own = summary(series[name].samplesMs);
  const reference = referenceOf[name];
  const ratio =
    reference === undefined ? undefined : own.median / summary(series[reference].samplesMs).median;
  return { operation: words[name], ...own, ratio, cpuUs: series[name].cpuUs };
}

function format(rows: readonly Row[]): string {
  return table(
    ['operation', 'median ms', '10 … 90 %', '99 %', 'ratio', 'CPU µs', 'samples'],
    rows.map((row) => [
      row.operation,
      formatMs(row.median),
      formatSpread(row),
      formatMs(row.p99),
      row.ratio?.toFixed(2) ?? '',
      row.cpuUs.toFixed(0),
      String(row.count),
    ]),
  );
}
