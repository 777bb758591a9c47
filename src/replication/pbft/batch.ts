// Batches of requests and the digests that name them.

import { type Bytes, concatBytes, emptyBytes, equalBytes } from '../../base/bytes.ts';
import { taggedHash } from '../../crypto/hash.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';

export interface Batch {
  readonly requests: readonly SignedRequest[];
  /** Of the requests, in the same order. */
  readonly digests: readonly Bytes[];
  /** The primary's non-deterministic input. */
  readonly agreed: Bytes;
}

/**
 * Over digests and input as separate, length-prefixed parts: run together, one digest would name two batches. Neither
 * view nor sequence is in it, so that a batch proposed again in a later view keeps its name.
 */
export function batchDigest(digests: readonly Bytes[], agreed: Bytes): Bytes {
  return taggedHash('pbft-batch', concatBytes(...digests), agreed);
}

/** The batch that fills a gap after a view change: it goes through all phases and does nothing. */
export const nullDigest: Bytes = taggedHash('pbft-null');
export const nullBatch: Batch = { requests: [], digests: [], agreed: emptyBytes };

export function isNull(digest: Bytes): boolean {
  return equalBytes(digest, nullDigest);
}

/** Whether the batch is of these; the proofs are not part of what its digest names. Hashes nothing. */
export function isOf(batch: Batch, requests: readonly SignedRequest[], agreed: Bytes): boolean {
  if (batch.requests.length !== requests.length || !equalBytes(batch.agreed, agreed)) return false;
  return requests.every(({ request }, i) =>
    isSameRequest((batch.requests[i] as SignedRequest).request, request),
  );
}

function isSameRequest(a: OrderedRequest, b: OrderedRequest): boolean {
  return (
    a.number === b.number &&
    a.kind === b.kind &&
    equalBytes(a.client, b.client) &&
    equalBytes(a.operation, b.operation)
  );
}

/** Fixed parts, proof and offsets of one request in a batch. */
const overheadSizeBytes = 160;

/** What a request takes in a batch. */
export function requestSizeBytes({ request, proof }: SignedRequest): number {
  return overheadSizeBytes + 32 * proof.path.length + request.operation.length;
}

export function batchSizeBytes(requests: readonly SignedRequest[]): number {
  let sizeBytes = 0;
  for (const request of requests) sizeBytes += requestSizeBytes(request);
  return sizeBytes;
}
