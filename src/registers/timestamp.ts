// Timestamps of register values, totally ordered: counter, then writer, then the digest of the data. The digest makes
// versions unique even if a writer restarts with the same counter or lies (protocols D.1).

import type { Bytes } from '../base/bytes.ts';
import { compareBytes } from '../base/bytes.ts';

export const writerIdSizeBytes = 20;

export interface Timestamp {
  readonly counter: number;
  /** 20 bytes that no other writer uses. */
  readonly writer: Bytes;
  /** Hash of the data, 32 bytes. */
  readonly digest: Bytes;
}

/** Negative, zero or positive; zero only for the same version. */
export function compareTimestamps(a: Timestamp, b: Timestamp): number {
  if (a.counter !== b.counter) return a.counter - b.counter;
  return compareBytes(a.writer, b.writer) || compareBytes(a.digest, b.digest);
}
