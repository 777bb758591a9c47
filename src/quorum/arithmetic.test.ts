import { describe, expect, it } from 'vitest';
import { groupSizeMin, type QuorumSystem, thresholds } from './arithmetic.ts';

/** All subsets of 0 … n-1 with `size` members, as bit masks. */
function subsets(n: number, size: number): number[] {
  return Array.from({ length: 2 ** n }, (_, mask) => mask).filter((mask) => bits(mask) === size);
}

function bits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest > 0; rest &= rest - 1) count += 1;
  return count;
}

/** Smallest number of members that any two quorums share, by trying all pairs. */
function overlapMin(n: number, quorum: number): number {
  const quorums = subsets(n, quorum);
  let least = n;
  for (const one of quorums)
    for (const other of quorums) least = Math.min(least, bits(one & other));
  return least;
}

const systems: QuorumSystem[] = ['crash', 'dissemination'];

describe('quorum sizes', () => {
  it('are those of the papers for the smallest groups', () => {
    const sizes = [1, 2, 3].map((faults) => [
      thresholds('crash', 2 * faults + 1, faults).quorum,
      thresholds('dissemination', 3 * faults + 1, faults).quorum,
    ]);
    expect(sizes).toEqual([
      [2, 3],
      [3, 5],
      [4, 7],
    ]);
  });

  for (const system of systems) {
    it(`make ${system} quorums meet and answer, and none smaller would, by enumeration`, () => {
      for (const faults of [1, 2]) {
        for (let n = groupSizeMin(system, faults); n <= 8; n++) {
          const { quorum, byzantine } = thresholds(system, n, faults);
          expect(overlapMin(n, quorum)).toBeGreaterThanOrEqual(byzantine + 1);
          expect(overlapMin(n, quorum - 1)).toBeLessThan(byzantine + 1);
          expect(quorum).toBeLessThanOrEqual(n - faults);
        }
      }
    });

    it(`refuse a ${system} group that is too small`, () => {
      for (const faults of [1, 2, 3]) {
        expect(() => thresholds(system, groupSizeMin(system, faults) - 1, faults)).toThrow(
          /needs more/,
        );
      }
    });
  }
});
