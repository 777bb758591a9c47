// The end of an instance as the disk of a member that is not running tells of it.

import { emptyBytes, equalBytes } from '../../base/bytes.ts';
import { decodeAs } from '../../wire/registry.ts';
import { VrCheckpointNotes } from '../../wire/vr.ts';
import type { EngineEnding, Restored } from '../contract.ts';
import { PagedState } from '../pages.ts';

/** @returns undefined unless the final state was saved there, whole. */
export function savedEnding({ checkpoint }: Restored): EngineEnding | undefined {
  if (checkpoint === undefined) return undefined;
  const notes = decodeAs(VrCheckpointNotes, checkpoint.notes);
  if (notes?.isEnded !== 1 || notes.hasState !== 1) return undefined;
  const { sequence, root, pages } = checkpoint;
  const { state } = PagedState.sift(pages);
  if (!equalBytes(state.rootNow(), root)) return undefined;
  return { sequence, root, proof: emptyBytes, pages: state.frozenPages() };
}
