// Rare states that a campaign must reach, by name. A mark that no run ever hits means that the campaign does not test
// what it claims to.

export const markNames = [
  'request resent',
  'data fetched to count a reply',
  'fetch exhausted',
  'vote replaced by a newer one',
  'read wrote back',
  'reply rejected',
  'reply of a closed conversation ignored',
  'reply of another epoch ignored',
  'reply of a foreign instance ignored',
  'request rejected by a server',
  'damage found',
  'damage repaired',
  'missed items caught up',
  'recovery finished',
  'journal replayed',
  'server stopped by its disk',
  'disk refused at start',
  'old disk came back',
  'client crashed in an operation',
  'write left at fewer than a quorum',
  'counter exhausted',
  'operation timed out',
  'operation refused',
  'absent block read',
  'value above the inline limit',
  'block above the journal limit',
  'blackout',
  'liar spoke',
] as const;

export type MarkName = (typeof markNames)[number];

export class Marks {
  readonly #hits = new Map<MarkName, number>();

  hit(name: MarkName, times = 1): void {
    if (times > 0) this.#hits.set(name, (this.#hits.get(name) ?? 0) + times);
  }

  get hits(): ReadonlyMap<MarkName, number> {
    return this.#hits;
  }
}
