// Large content: one file put and got.

import { randomBytes } from 'node:crypto';
import type { Client } from '../../src/client/contract.ts';
import type { AnswerOf, JobOf } from '../jobs.ts';

const pieceSizeBytes = 1024 * 1024;

/** Pieces that differ from one another and between seeds, so that none is stored already. */
function* pieces(sizeBytes: number, seed: number): Generator<Uint8Array> {
  const base = randomBytes(pieceSizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += pieceSizeBytes) {
    base.writeDoubleLE(seed, 0);
    base.writeDoubleLE(offset, 8);
    yield base.subarray(0, Math.min(pieceSizeBytes, sizeBytes - offset));
  }
}

async function* asynchronous<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

export async function putContent(client: Client, job: JobOf<'put'>): Promise<AnswerOf<'put'>> {
  const startMs = performance.now();
  const { address } = await client.put(asynchronous(pieces(job.sizeBytes, job.seed)));
  return { address, elapsedMs: performance.now() - startMs };
}

export async function getContent(client: Client, job: JobOf<'get'>): Promise<AnswerOf<'get'>> {
  const startMs = performance.now();
  const content = await client.get(job.address);
  let bytes = 0;
  for await (const chunk of content.chunks) bytes += chunk.length;
  return { bytes, elapsedMs: performance.now() - startMs };
}
