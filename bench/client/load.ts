// Operations on small objects, as many as fit.

import type { Client } from '../../src/client/contract.ts';
import type { AnswerOf, JobOf } from '../jobs.ts';

export function nameOf(index: number): string {
  return `bench/${index}`;
}

export function bytesFor(sizeBytes: number): Uint8Array {
  return new Uint8Array(sizeBytes).fill(7);
}

export async function readWhole(client: Client, name: string): Promise<void> {
  const { chunks } = await client.read(name);
  for await (const _ of chunks);
}

const fillConcurrency = 16;

export async function fillObjects(client: Client, job: JobOf<'fill'>): Promise<void> {
  const value = bytesFor(job.sizeBytes);
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < job.objects) await client.write(nameOf(next++), value);
  };
  await Promise.all(Array.from({ length: fillConcurrency }, writer));
}

export async function runLoad(client: Client, job: JobOf<'load'>): Promise<AnswerOf<'load'>> {
  const { objects, readShare, concurrency, durationMs } = job;
  const value = bytesFor(job.sizeBytes);
  const samplesMs: number[] = [];
  const startMs = performance.now();
  const worker = async (): Promise<void> => {
    while (performance.now() - startMs < durationMs) {
      const name = nameOf(Math.floor(Math.random() * objects));
      const beforeMs = performance.now();
      if (Math.random() < readShare) await readWhole(client, name);
      else await client.write(name, value);
      samplesMs.push(performance.now() - beforeMs);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { operations: samplesMs.length, elapsedMs: performance.now() - startMs, samplesMs };
}
