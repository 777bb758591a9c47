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
 * The view to go on in: the own one if f others are in it or right before it, otherwise the median of theirs. A correct
 * member that has lost patience alone is one view ahead and has promised to stay out of the view before.
 */
export function recoveredView(
  reported: readonly (Reported | undefined)[],
  index: number,
  faults: number,
): number {
  const own = reported[index]?.view ?? 0;
  const others: number[] = [];
  reported.forEach((each, member) => {
    if (each !== undefined && member !== index) others.push(each.view);
  });
  if (others.filter((view) => view >= own - 1).length >= faults) return own;
  others.sort((a, b) => a - b);
  return others[others.length >>> 1] ?? own;
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
