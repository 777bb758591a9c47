import { describe, expect, it } from 'vitest';
import { type Bytes, toHex } from '../../base/bytes.ts';
import { Prng } from '../../base/prng.ts';
import type { PlacedDigest, ViewChangeStatement } from '../../wire/pbft.ts';
import { nullDigest } from './batch.ts';
import { newViewFault, newViewRefutation, ViewChangeSet } from './decision.ts';
import { pbftRules } from './rules.ts';

const [d1, d2] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
const digests = [d1, d2, nullDigest];
const view = 5;

function viewChange(
  replica: number,
  prepared: readonly PlacedDigest[] = [],
  accepted: readonly PlacedDigest[] = [],
  height = 0,
): ViewChangeStatement {
  const certificate = { sequence: height, root: new Uint8Array(32), isFinal: 0, signatures: [] };
  return {
    replica,
    view,
    forgotten: 0,
    certificate,
    prepared: [...prepared],
    accepted: [...accepted],
  };
}

function at(sequence: number, digest: Bytes, inView: number): PlacedDigest {
  return { sequence, digest, view: inView };
}

/** The conditions as the paper prints them, for one sequence. */
function naivelyAllowed(
  set: readonly ViewChangeStatement[],
  sequence: number,
  digest: Bytes,
  faults: number,
): boolean {
  const same = (a: Bytes, b: Bytes): boolean => toHex(a) === toHex(b);
  const p = (m: ViewChangeStatement) => m.prepared.find((entry) => entry.sequence === sequence);
  for (const m of set) {
    const claim = p(m);
    if (claim === undefined || !same(claim.digest, digest)) continue;
    const a1 = set.filter((other) => {
      const its = p(other);
      return (
        its === undefined ||
        its.view < claim.view ||
        (its.view === claim.view && same(its.digest, digest))
      );
    });
    const a2 = set.filter((other) =>
      other.accepted.some(
        (entry) =>
          entry.sequence === sequence && same(entry.digest, digest) && entry.view >= claim.view,
      ),
    );
    if (a1.length >= 2 * faults + 1 && a2.length >= faults + 1) return true;
  }
  return same(digest, nullDigest) && set.filter((m) => p(m) === undefined).length >= 2 * faults + 1;
}

/** All that one member can say about one sequence, with two digests and null in two views. */
function allClaims(replica: number): ViewChangeStatement[] {
  const claims: ViewChangeStatement[] = [];
  const preparations = [
    undefined,
    ...digests.flatMap((digest) => [0, 1].map((inView) => at(1, digest, inView))),
  ];
  const acceptances = [[], [at(1, d1, 0)], [at(1, d1, 1)], [at(1, d2, 1)], [at(1, nullDigest, 1)]];
  for (const prepared of preparations) {
    for (const accepted of acceptances) {
      claims.push(viewChange(replica, prepared === undefined ? [] : [prepared], accepted));
    }
  }
  return claims;
}

describe('the choice of batches for a new view', () => {
  it('allows what the printed conditions allow, for all claims of three members', () => {
    const [first, second, third] = [0, 1, 2].map(allClaims);
    let allowed = 0;
    for (const a of first ?? []) {
      for (const b of second ?? []) {
        for (const c of third ?? []) {
          const set = new ViewChangeSet([a, b, c], 1, pbftRules);
          for (const digest of digests) {
            const expected = naivelyAllowed([a, b, c], 1, digest, 1);
            if (set.isAllowed(1, digest) !== expected) {
              expect({ a, b, c, digest }).toBe(expected);
            }
            if (expected) allowed += 1;
          }
        }
      }
    }
    expect(allowed).toBeGreaterThan(1000);
  });

  it('chooses what it allows, and nothing only when nothing is allowed', () => {
    const prng = new Prng(1);
    let blocked = 0;
    for (let run = 0; run < 3000; run++) {
      const faults = 1 + prng.below(2);
      const count = 2 * faults + 1 + prng.below(faults + 1);
      const set = Array.from({ length: count }, (_, replica) => randomStatement(prng, replica));
      const known = new ViewChangeSet(set, faults, pbftRules);
      const chosen = known.choose();
      const sequences = Array.from(
        { length: known.top - known.height },
        (_, i) => known.height + 1 + i,
      );
      const isPossible = sequences.every((sequence) =>
        digests.some((digest) => naivelyAllowed(set, sequence, digest, faults)),
      );
      expect(chosen !== undefined).toBe(isPossible);
      if (chosen === undefined) blocked += 1;
      else {
        const statement = {
          view,
          viewChanges: [],
          height: known.height,
          batches: chosen,
        };
        expect(newViewRefutation(statement, set, faults, pbftRules)).toBeUndefined();
      }
    }
    expect(blocked).toBeGreaterThan(100);
    expect(blocked).toBeLessThan(2900);
  });

  it('keeps what is prepared at f+1 correct members, whatever one liar claims', () => {
    const truth = at(1, d1, 2);
    const lie = viewChange(3, [at(1, d2, 4)], [at(1, d2, 4)]);
    const set = new ViewChangeSet(
      [viewChange(0, [truth], [truth]), viewChange(1, [truth], [truth]), viewChange(2), lie],
      1,
      pbftRules,
    );
    expect(set.choose()).toEqual([d1]);
    expect(set.isAllowed(1, d2)).toBe(false);
    expect(set.isAllowed(1, nullDigest)).toBe(false);
  });

  it('waits for more when a liar among the first 2f+1 blocks, and goes on with them', () => {
    const truth = at(1, d1, 2);
    const lie = viewChange(3, [at(1, d2, 4)]);
    const first = [viewChange(0, [truth], [truth]), viewChange(1, [], [truth]), lie];
    expect(new ViewChangeSet(first, 1, pbftRules).choose()).toBeUndefined();
    const all = [...first, viewChange(2)];
    expect(new ViewChangeSet(all, 1, pbftRules).choose()).toEqual([d1]);
  });

  it('takes null for a batch like any other once it was prepared', () => {
    const truth = at(1, nullDigest, 3);
    const set = new ViewChangeSet(
      [viewChange(0, [truth], [truth]), viewChange(1, [truth], [truth]), viewChange(2)],
      1,
      pbftRules,
    );
    expect(set.choose()).toEqual([nullDigest]);
  });

  it('fills gaps with null and starts above the highest stable checkpoint', () => {
    const truth = at(12, d1, 2);
    const set = new ViewChangeSet(
      [
        viewChange(0, [truth], [truth], 10),
        viewChange(1, [truth], [truth], 10),
        viewChange(2, [at(3, d2, 1)], [at(3, d2, 1)], 0),
      ],
      1,
      pbftRules,
    );
    expect(set.height).toBe(10);
    expect(set.choose()).toEqual([nullDigest, d1]);
  });

  it('is refuted by a wrong height, top, view or batch', () => {
    const truth = at(1, d1, 2);
    const set = [viewChange(0, [truth], [truth]), viewChange(1, [truth], [truth]), viewChange(2)];
    const good = { view, viewChanges: [], height: 0, batches: [d1] };
    const refute = (change: object) => newViewRefutation({ ...good, ...change }, set, 1, pbftRules);
    expect(refute({})).toBeUndefined();
    expect(refute({ view: 6 })).toBe('new-view-wrong-view');
    expect(refute({ height: 1 })).toBe('new-view-wrong-height');
    expect(refute({ batches: [] })).toBe('new-view-wrong-top');
    expect(refute({ batches: [d1, nullDigest] })).toBe('new-view-wrong-top');
    expect(refute({ batches: [d2] })).toBe('new-view-not-allowed');
    expect(refute({ batches: [nullDigest] })).toBe('new-view-not-allowed');
  });

  it('names 2f+1 members or more, each once and in order', () => {
    const fault = (...replicas: number[]) =>
      newViewFault(
        {
          view,
          height: 0,
          batches: [],
          viewChanges: replicas.map((replica) => ({ replica, digest: d1 })),
        },
        4,
        1,
        pbftRules,
      );
    expect(fault(0, 1, 2)).toBeUndefined();
    expect(fault(0, 1, 2, 3)).toBeUndefined();
    expect(fault(0, 1)).toBe('new-view-too-few');
    expect(fault(0, 1, 1)).toBe('new-view-unordered');
    expect(fault(1, 0, 2)).toBe('new-view-unordered');
    expect(fault(0, 1, 4)).toBe('new-view-unordered');
  });
});

function randomStatement(prng: Prng, replica: number): ViewChangeStatement {
  const height = prng.below(3);
  const prepared: PlacedDigest[] = [];
  const accepted: PlacedDigest[] = [];
  for (let sequence = height + 1; sequence <= height + 3; sequence++) {
    if (prng.below(2) === 0) {
      prepared.push(at(sequence, digests[prng.below(3)] as Bytes, prng.below(3)));
    }
    for (const digest of digests) {
      if (prng.below(2) === 0) accepted.push(at(sequence, digest, prng.below(3)));
    }
  }
  return viewChange(replica, prepared, accepted, height);
}
