// Quorum sizes of the register protocols (framework paper, figure of protocols). One table; the properties that
// make the sizes right are checked by enumeration in the test beside it.

import { assert } from '../base/assert.ts';

export type QuorumSystem = 'crash' | 'dissemination';

export interface Thresholds {
  /** Members of the group. */
  readonly n: number;
  /** Distinct members that must answer. */
  readonly quorum: number;
  /** Members that may lie. */
  readonly byzantine: number;
  /** Equal replies needed before a value is believed; 1 where values verify themselves. */
  readonly vouch: number;
}

interface Row {
  readonly sizeMin: (faults: number) => number;
  readonly byzantine: (faults: number) => number;
}

const table: Readonly<Record<QuorumSystem, Row>> = {
  // Two quorums share a member.
  crash: { sizeMin: (faults) => 2 * faults + 1, byzantine: () => 0 },
  // Two quorums share a correct member; its signed value speaks for itself.
  dissemination: { sizeMin: (faults) => 3 * faults + 1, byzantine: (faults) => faults },
};

/** Smallest group that tolerates `faults`. */
export function groupSizeMin(system: QuorumSystem, faults: number): number {
  return table[system].sizeMin(faults);
}

/** Thresholds of a group of `n` members that tolerates `faults`. */
export function thresholds(system: QuorumSystem, n: number, faults: number): Thresholds {
  assert(
    n >= groupSizeMin(system, faults),
    `${system} needs more than ${n} members for ${faults} faults`,
  );
  const byzantine = table[system].byzantine(faults);
  const quorum = Math.ceil((n + byzantine + 1) / 2);
  assert(2 * quorum - n >= byzantine + 1, 'two quorums share a correct member');
  assert(quorum <= n - faults, 'a quorum answers though the faulty members are silent');
  return { n, quorum, byzantine, vouch: 1 };
}
