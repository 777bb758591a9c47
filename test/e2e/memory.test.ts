// Content of any length passes through in bounded memory: neither client nor servers hold it.

import { createHash } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { endAll, type Process, startProgram } from './processes.ts';
import { System } from './system.ts';
import { until } from './until.ts';

afterAll(endAll);

const miB = 1024 * 1024;
const longMiB = 200;
const shortMiB = 5;

/** Bytes that no compression or deduplication makes fewer: every block differs. */
async function* stream(sizeMiB: number): AsyncGenerator<Buffer> {
  const chunk = Buffer.alloc(miB, 'bounded memory');
  for (let at = 0; at < sizeMiB; at++) {
    chunk.writeUInt32LE(at, 0);
    chunk.writeUInt32LE(sizeMiB, 4);
    yield Buffer.from(chunk);
  }
}

async function hashOf(chunks: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

/** Looks at the memory of processes while they run; gives the highest of any. */
function watchMemory(processes: readonly Process[]): () => number {
  let peakBytes = 0;
  const timer = setInterval(() => {
    for (const one of processes) {
      if (one.result === undefined) peakBytes = Math.max(peakBytes, one.ownMemoryBytes());
    }
  }, 20);
  return () => {
    clearInterval(timer);
    return peakBytes;
  };
}

interface Used {
  readonly putBytes: number;
  readonly getBytes: number;
  readonly serverBytes: number;
}

async function putAndGet(system: System, sizeMiB: number): Promise<Used> {
  const serversPeak = watchMemory(system.servers.map(({ process }) => process));
  const put = startProgram(['put', '-', '--client', system.clientFile]);
  const putPeak = watchMemory([put]);
  put.give(stream(sizeMiB));
  const stored = await until(`put of ${sizeMiB} MiB ends`, () => put.result, 240_000);
  expect(stored, put.stderr).toEqual({ code: 0, signal: null });
  const address = `${put.stdout}`.trim();
  const get = startProgram(['get', address, '--client', system.clientFile], { discard: true });
  const getPeak = watchMemory([get]);
  const hash = await hashOf(get.output);
  const fetched = await until(`get of ${sizeMiB} MiB ends`, () => get.result, 240_000);
  expect(fetched, get.stderr).toEqual({ code: 0, signal: null });
  expect(hash).toBe(await hashOf(stream(sizeMiB)));
  return { putBytes: putPeak(), getBytes: getPeak(), serverBytes: serversPeak() };
}

test('200 MiB take hardly more memory than 5 MiB', async () => {
  const system = await System.forTest();
  const short = await putAndGet(system, shortMiB);
  const long = await putAndGet(system, longMiB);
  const words = JSON.stringify({ short, long });
  // Far below the length, with room for what the runtime leaves uncollected.
  expect(long.putBytes - short.putBytes, words).toBeLessThan(100 * miB);
  expect(long.getBytes - short.getBytes, words).toBeLessThan(100 * miB);
  expect(long.serverBytes - short.serverBytes, words).toBeLessThan(150 * miB);
});
