// Pieces of a state that a transfer lacks, whom they are awaited from, and what is taken for them.

import { type Bytes, concatBytes, equalBytes } from '../base/bytes.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { Region } from './contract.ts';
import { nodeDigest, pageDigest, stateRoot } from './page-tree.ts';
import { stateLevel } from './transfer-answer.ts';

/** A node or page of the target whose digest is known. */
export interface Place {
  readonly region: Region;
  readonly level: number;
  readonly index: number;
  readonly digest: Bytes;
  /** Share of the whole that lies below. */
  readonly share: number;
}

/** One that is not here. */
export interface Item extends Place {
  /** When it was asked for first. */
  firstAskedMs: number | undefined;
  /** Sources that it is awaited from; while there are none it waits to be asked for. */
  readonly holders: number[];
  isHere: boolean;
}

export interface Inquiry {
  readonly source: number;
  readonly region: Region;
  readonly level: number;
  readonly items: ReadonlyMap<number, Item>;
  readonly askedMs: number;
  readonly deadlineMs: number;
  /** Nothing rests on it any more; but an answer is taken. */
  isLate: boolean;
}

export function itemOf(place: Place): Item {
  return { ...place, firstAskedMs: undefined, holders: [], isHere: false };
}

export function placeKey({ region, level, index }: Place): string {
  return `${region}/${level}/${index}`;
}

/** Whether contents have the digest that the node above states. */
export function fits({ region, level, index, digest }: Place, bytes: Bytes): boolean {
  if (level === 0) return equalBytes(pageDigest(region, index, bytes), digest);
  if (level === stateLevel) {
    if (bytes.length !== 2 * hashSizeBytes) return false;
    const [service, clients] = [bytes.subarray(0, hashSizeBytes), bytes.subarray(hashSizeBytes)];
    return equalBytes(stateRoot(service, clients), digest);
  }
  if (bytes.length !== limits.pageTreeFanOut * hashSizeBytes) return false;
  return equalBytes(nodeDigest(region, level, index, bytes), digest);
}

/** The contents of an answer: pages, or the digests of nodes' children. */
export function contentsOf({
  level,
  nodes,
  pages,
}: ReplicationMessageValue<'statePart'>): { index: number; bytes: Bytes | undefined }[] {
  if (level === 0) return pages.map(({ index, bytes }) => ({ index, bytes: bytes[0] }));
  return nodes.map(({ index, children }) => ({ index, bytes: concatBytes(...children) }));
}

/**
 * What others were asked for first this long ago and a source was not, of one inquiry: of those that the fewest were asked for,
 * the oldest.
 * @returns no items when there are none yet; then, when there will be.
 */
export function overdueFor(
  source: number,
  inquiries: readonly Inquiry[],
  nowMs: number,
  impatienceMs: number,
): { items: readonly Item[]; nextMs: number } {
  let best: readonly Item[] = [];
  let nextMs = Number.POSITIVE_INFINITY;
  for (const inquiry of inquiries) {
    if (inquiry.isLate) continue;
    const overdue: Item[] = [];
    for (const item of inquiry.items.values()) {
      if (item.isHere || item.holders.includes(source)) continue;
      const atMs = (item.firstAskedMs ?? nowMs) + impatienceMs;
      if (atMs <= nowMs) overdue.push(item);
      else nextMs = Math.min(nextMs, atMs);
    }
    if (overdue.length > 0 && (best.length === 0 || holdersOf(overdue) < holdersOf(best))) {
      best = overdue;
    }
  }
  return { items: best, nextMs };
}

function holdersOf(items: readonly Item[]): number {
  return items[0]?.holders.length ?? 0;
}
