// One operation at a time. Operations and what they are compared with take turns in short runs, so that whatever else
// the machine does meets them alike.

import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Client } from '../../src/client/contract.ts';
import type { StorageClient } from '../../src/dbqs/client.ts';
import { type AnswerOf, type JobOf, type Series, type SeriesName, seriesNames } from '../jobs.ts';
import { library } from '../library.ts';
import { cpuUs } from '../measure.ts';
import { bytesFor, nameOf, readWhole } from './load.ts';

/** What a write of 1 KiB adds to a journal. */
const recordSizeBytes = 1300;
const warmUpCycles = 3;

type Operations = Readonly<Record<SeriesName, (turn: number) => Promise<unknown>>>;

/** An empty quorum round: the same group, the same quorum, the same channels. */
async function emptyRound(storage: StorageClient): Promise<() => Promise<unknown>> {
  const { runPhase } = await library.phase();
  const { pingRequest } = await library.requests();
  const { thresholds } = await library.arithmetic();
  const { exchange, configuration } = storage;
  const { signal } = new AbortController();
  return () => {
    const { members, faults } = configuration.groupOf(configuration.system);
    const group = {
      members,
      thresholds: thresholds('dissemination', members.length, faults),
      epoch: configuration.epoch,
    };
    return runPhase(exchange, group, pingRequest(), undefined, signal);
  };
}

export async function measureLatency(
  { client, storage }: { readonly client: Client; readonly storage: StorageClient },
  job: JobOf<'latency'>,
): Promise<AnswerOf<'latency'>> {
  const round = await emptyRound(storage);
  const value = bytesFor(job.sizeBytes);
  const record = new Uint8Array(recordSizeBytes);
  const file = openSync(join(job.folder, 'appended'), 'a');
  const sync = (): void => {
    writeSync(file, record);
    fdatasyncSync(file);
  };
  // Never the same object twice in a row of operations, nor one that another kind has just used: what the client
  // remembers of headers that it has verified is of no help.
  const readName = (turn: number): string => nameOf(turn % job.objects);
  const writeName = (turn: number): string => nameOf((turn + job.objects / 2) % job.objects);
  const operations: Operations = {
    round,
    read: (turn) => readWhole(client, readName(turn)),
    readAgain: () => readWhole(client, 'bench/again'),
    async twoRoundsSync() {
      await round();
      await round();
      sync();
    },
    write: (turn) => client.write(writeName(turn), value),
    writeAgain: () => client.write('bench/rewritten', value),
    async roundSync() {
      await round();
      sync();
    },
    writeAlone: () => client.write('bench/alone', value, { singleWriter: true }),
  };
  await client.write('bench/again', value);
  try {
    await measured(operations, { ...job, cycles: warmUpCycles });
    return await measured(operations, job);
  } finally {
    closeSync(file);
  }
}

async function measured(
  operations: Operations,
  { cycles, runLength, pauseMs, pids }: JobOf<'latency'>,
): Promise<Record<SeriesName, Series>> {
  const samplesMs = new Map<SeriesName, number[]>(seriesNames.map((name) => [name, []]));
  const usedUs = new Map<SeriesName, number>();
  for (let cycle = 0; cycle < cycles; cycle++) {
    for (const name of seriesNames) {
      const beforeUs = cpuUs(pids);
      for (let i = 0; i < runLength; i++) {
        const startMs = performance.now();
        await operations[name](cycle * runLength + i);
        samplesMs.get(name)?.push(performance.now() - startMs);
      }
      // What servers do after their answer belongs to it: the table follows the journal.
      await setTimeout(pauseMs);
      usedUs.set(name, (usedUs.get(name) ?? 0) + cpuUs(pids) - beforeUs);
    }
  }
  const series = (name: SeriesName): Series => {
    const samples = samplesMs.get(name) ?? [];
    return { samplesMs: samples, cpuUs: (usedUs.get(name) ?? 0) / samples.length };
  };
  return {
    round: series('round'),
    read: series('read'),
    readAgain: series('readAgain'),
    twoRoundsSync: series('twoRoundsSync'),
    write: series('write'),
    writeAgain: series('writeAgain'),
    roundSync: series('roundSync'),
    writeAlone: series('writeAlone'),
  };
}
