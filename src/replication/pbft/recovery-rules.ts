// The numbers of a recovery, from what members report. Pure.

/** What a member says of itself. */
export interface Reported {
  /** The newest checkpoint that it has taken. */
  readonly checkpoint: number;
  /** The highest sequence at which it has prepared anything. */
  readonly prepared: number;
  readonly view: number;
}

/**
 * c_M: a reported checkpoint such that 2f other members report none above it and f others have prepared up to it.
 * The first makes it at least as high as any checkpoint that is stable, for which f+1 correct members have taken one
 * as high; the second no higher than what some correct member has reached.
 * @param reported by member, the recovering one's own among them. @returns undefined while too little is known.
 */
export function estimateStable(
  reported: readonly (Reported | undefined)[],
  faults: number,
): number | undefined {
  let best: number | undefined;
  reported.forEach((candidate, member) => {
    if (candidate === undefined) return;
    const { checkpoint } = candidate;
    let notAbove = 0;
    let reached = 0;
    reported.forEach((other, at) => {
      if (other === undefined || at === member) return;
      if (other.checkpoint <= checkpoint) notAbove += 1;
      if (other.prepared >= checkpoint) reached += 1;
    });
    if (notAbove < 2 * faults || reached < faults) return;
    if (best === undefined || checkpoint > best) best = checkpoint;
  });
  return best;
}

/**
 * What some correct member had prepared when it said so: a request that was executed here or below is older than that.
 * @param reported by member. @returns 0 while too few have said anything.
 */
export function reachedBefore(reported: readonly (Reported | undefined)[], faults: number): number {
  const all = reported.flatMap((each) => each?.prepared ?? []).sort((a, b) => b - a);
  return all[faults] ?? 0;
}

/** What the others' views say of the one that a recovering member was in. */
export type ViewVerdict =
  | { readonly kind: 'open' }
  | { readonly kind: 'kept' }
  | { readonly kind: 'fallen-back'; readonly view: number };

/**
 * Whether a view can be a correct member's. When such a one went there, f correct others were in it or the one before, and
 * stay there or go further: of 3f others at most 2f can say that they are below, liars included. So only 2f+1 who say it
 * show that the view was made up; then the median of theirs is gone on in. With less a correct member would go back behind
 * its own VIEW-CHANGE because those who know of it have not answered yet.
 * @param own the view at the beginning of the recovery.
 */
export function recoveredView(own: number, others: readonly number[], faults: number): ViewVerdict {
  const below = others.filter((view) => view < own - 1).length;
  if (below > 2 * faults) {
    return { kind: 'fallen-back', view: medianView(others) };
  }
  return { kind: others.length - below >= faults ? 'kept' : 'open' };
}

/** The median of the others' views: some correct member's is as low, and some correct member's as high. */
export function medianView(others: readonly number[]): number {
  const ascending = [...others].sort((a, b) => a - b);
  return ascending[ascending.length >>> 1] ?? 0;
}

/** A stable checkpoint this high rests on nothing that was ordered before the recovery. */
export function recoveryPoint(
  bound: number,
  executedAt: number,
  interval: number,
  window: number,
): number {
  return Math.max(bound, Math.ceil(executedAt / interval) * interval + window);
}
