// Which batches a new view begins with (PBFT with sets P and Q, 4.5 of the journal version). Pure: the primary chooses
// from the VIEW-CHANGEs it holds, everyone else checks the choice against exactly those, not against its own.

import { type Bytes, equalBytes, mapKey } from '../../base/bytes.ts';
import type { NewViewStatement, PlacedDigest, ViewChangeStatement } from '../../wire/pbft.ts';
import { isNull, nullDigest } from './batch.ts';
import type { PbftRules } from './rules.ts';

/** The VIEW-CHANGEs of a set V, indexed. */
export class ViewChangeSet {
  readonly #faults: number;
  readonly #rules: PbftRules;
  readonly #prepared: readonly ReadonlyMap<number, PlacedDigest>[];
  readonly #accepted: readonly ReadonlyMap<string, number>[];
  /** h*: the highest stable checkpoint proved in V. */
  readonly height: number;
  /** N*: the last sequence at which anyone claims to have prepared something. */
  readonly top: number;

  constructor(set: readonly ViewChangeStatement[], faults: number, rules: PbftRules) {
    this.#faults = faults;
    this.#rules = rules;
    this.#prepared = set.map(
      ({ prepared }) => new Map(prepared.map((entry) => [entry.sequence, entry])),
    );
    this.#accepted = set.map(
      ({ accepted }) =>
        new Map(accepted.map(({ sequence, digest, view }) => [keyOf(sequence, digest), view])),
    );
    let height = 0;
    for (const { certificate } of set) height = Math.max(height, certificate.sequence);
    let top = height;
    for (const { prepared } of set) top = Math.max(top, prepared.at(-1)?.sequence ?? 0);
    this.height = height;
    this.top = top;
  }

  /** Claims to have prepared something at a sequence, one of each kind, latest view first. */
  #claims(sequence: number): PlacedDigest[] {
    const claims: PlacedDigest[] = [];
    for (const prepared of this.#prepared) {
      const claim = prepared.get(sequence);
      if (claim === undefined || !this.#rules.isClaim(isNull(claim.digest))) continue;
      if (
        !claims.some((other) => other.view === claim.view && equalBytes(other.digest, claim.digest))
      )
        claims.push(claim);
    }
    return claims.sort((a, b) => b.view - a.view || (mapKey(a.digest) < mapKey(b.digest) ? -1 : 1));
  }

  /** A1: 2f+1 prepared nothing there, or earlier, or the same. A2: f+1 accepted it in that view or later. */
  #isClaimGood(sequence: number, claim: PlacedDigest): boolean {
    let withoutLater = 0;
    for (const prepared of this.#prepared) {
      const other = prepared.get(sequence);
      if (
        other === undefined ||
        other.view < claim.view ||
        (other.view === claim.view && equalBytes(other.digest, claim.digest))
      ) {
        withoutLater += 1;
      }
    }
    if (!this.#rules.hasNoLaterClaim(withoutLater, this.#faults)) return false;
    const key = keyOf(sequence, claim.digest);
    let vouching = 0;
    for (const accepted of this.#accepted) {
      if ((accepted.get(key) ?? -1) >= claim.view) vouching += 1;
    }
    return this.#rules.isVouched(vouching, this.#faults);
  }

  /** B: 2f+1 prepared nothing there. */
  #mayBeNull(sequence: number): boolean {
    let without = 0;
    for (const prepared of this.#prepared) if (!prepared.has(sequence)) without += 1;
    return this.#rules.mayBeNull(without, this.#faults);
  }

  /** Null is a digest like any other, which may also have been prepared; besides it fills what nothing claims. */
  isAllowed(sequence: number, digest: Bytes): boolean {
    if (isNull(digest) && this.#mayBeNull(sequence)) return true;
    return this.#claims(sequence).some(
      (claim) => equalBytes(claim.digest, digest) && this.#isClaimGood(sequence, claim),
    );
  }

  /** A digest that is allowed; undefined while V does not say enough. Clients' batches before null. */
  #choose(sequence: number): Bytes | undefined {
    for (const claim of this.#claims(sequence)) {
      if (this.#isClaimGood(sequence, claim)) return claim.digest;
    }
    return this.#mayBeNull(sequence) ? nullDigest : undefined;
  }

  /** Batches height+1 … top; undefined while V does not say enough for one of them and must grow. */
  choose(): Bytes[] | undefined {
    const batches: Bytes[] = [];
    for (let sequence = this.height + 1; sequence <= this.top; sequence++) {
      const digest = this.#choose(sequence);
      if (digest === undefined) return undefined;
      batches.push(digest);
    }
    return batches;
  }
}

function keyOf(sequence: number, digest: Bytes): string {
  return `${sequence}:${mapKey(digest)}`;
}

/** What is wrong with a NEW-VIEW by itself. */
export function newViewFault(
  { viewChanges }: NewViewStatement,
  n: number,
  faults: number,
  rules: PbftRules,
): string | undefined {
  if (!rules.isViewChangeQuorum(viewChanges.length, faults)) return 'new-view-too-few';
  const isOrdered = viewChanges.every(
    ({ replica }, i) => replica < n && replica > (viewChanges[i - 1]?.replica ?? -1),
  );
  return isOrdered ? undefined : 'new-view-unordered';
}

/**
 * What is wrong with a NEW-VIEW, given exactly the VIEW-CHANGEs that it names, each of which is right. Conditions are
 * checked, the choice is not repeated: where two batches are allowed either is safe.
 */
export function newViewRefutation(
  statement: NewViewStatement,
  set: readonly ViewChangeStatement[],
  faults: number,
  rules: PbftRules,
): string | undefined {
  if (set.some(({ view }) => view !== statement.view)) return 'new-view-wrong-view';
  const known = new ViewChangeSet(set, faults, rules);
  if (statement.height !== known.height) return 'new-view-wrong-height';
  if (statement.batches.length !== known.top - known.height) return 'new-view-wrong-top';
  for (let i = 0; i < statement.batches.length; i++) {
    if (!known.isAllowed(known.height + 1 + i, statement.batches[i] as Bytes)) {
      return 'new-view-not-allowed';
    }
  }
  return undefined;
}
