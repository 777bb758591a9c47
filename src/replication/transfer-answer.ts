// What a member gives of a checkpoint that it holds to one that fetches it.

import type { Bytes } from '../base/bytes.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { Region } from './contract.ts';
import { regions, rootLevel } from './page-tree.ts';
import type { PagedState } from './pages.ts';

/** The level above both regions' roots: its one node has the two of them as children. */
export const stateLevel = rootLevel + 1;

/** What one answer may carry, with room to spare for the frame of the message. */
const answerSizeBytesMax = limits.replicationMessageSizeBytesMax - 4096;
const perEntryBytes = 16;

type StatePart = ReplicationMessageValue<'statePart'>;
type FetchState = ReplicationMessageValue<'fetchState'>;

/** Answers `fetchState` from a held checkpoint; as much of it as one message takes. Empty when it is not held. */
export function answerFetch(state: PagedState, fetch: FetchState): StatePart {
  const { instance, sequence, level, indexes } = fetch;
  const part: StatePart = { instance, sequence, region: fetch.region, level, nodes: [], pages: [] };
  const region = regions[fetch.region];
  if (region === undefined) return part;
  let roomBytes = answerSizeBytesMax;
  // Once each: a list that repeats itself would be a small question with a large answer.
  for (const index of new Set(indexes)) {
    const page = level === 0 ? state.page(sequence, region, index) : undefined;
    const children = level === 0 ? undefined : childrenAt(state, sequence, region, level, index);
    if (page === undefined && children === undefined) continue;
    roomBytes -= perEntryBytes + (page?.length ?? 0) + (children?.length ?? 0) * hashSizeBytes;
    if (roomBytes < 0) return part;
    if (page !== undefined) part.pages.push({ index, bytes: [page] });
    if (children !== undefined) part.nodes.push({ index, children: [...children] });
  }
  return part;
}

function childrenAt(
  state: PagedState,
  sequence: number,
  region: Region,
  level: number,
  index: number,
): readonly Bytes[] | undefined {
  if (level === stateLevel) return index === 0 ? state.regionRoots(sequence) : undefined;
  return state.node(sequence, region, level, index);
}
