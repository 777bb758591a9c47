// Everything that a replica knows about the batches between its water marks: slots, the sets P and Q of a view change,
// bodies (PBFT, 4.2 and 4.4). P and Q hold claims about views; they outlive the view.

import { type Bytes, compareBytes, equalBytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { Certificate, PlacedDigest } from '../../wire/pbft.ts';
import { type Batch, isNull, nullBatch } from './batch.ts';
import type { PbftRules } from './rules.ts';
import { Slot } from './slot.ts';

interface Body {
  readonly batch: Batch;
  /** The journal's form, kept because every compaction writes it again. */
  readonly record: Bytes;
  /** The highest sequence for which this batch is known. */
  until: number;
}

interface PlacedView {
  readonly digest: Bytes;
  view: number;
}

export class Log {
  readonly window: number;
  readonly #rules: Pick<PbftRules, 'windowTop'>;
  /** Proof of the low water mark. */
  #certificate: Certificate;
  #isShut = false;
  #bound = Number.POSITIVE_INFINITY;
  readonly #slots = new Map<number, Slot>();
  readonly #prepared = new Map<number, PlacedView>();
  readonly #accepted = new Map<number, PlacedView[]>();
  readonly #bodies = new Map<string, Body>();

  constructor(window: number, certificate: Certificate, rules: Pick<PbftRules, 'windowTop'>) {
    this.window = window;
    this.#rules = rules;
    this.#certificate = certificate;
  }

  get certificate(): Certificate {
    return this.#certificate;
  }

  /** h: the newest stable checkpoint. */
  get height(): number {
    return this.#certificate.sequence;
  }

  /** H: the last sequence with which anything is done; lower than the window's end while a recovery bounds it. */
  get top(): number {
    return this.topFrom(this.height);
  }

  /** H, were a checkpoint this high stable. */
  topFrom(height: number): number {
    if (this.#isShut) return height;
    return Math.min(
      this.#rules.windowTop(height, this.window),
      height < this.#bound ? this.#bound : Number.POSITIVE_INFINITY,
    );
  }

  isInWindow(sequence: number): boolean {
    return sequence > this.height && sequence <= this.top;
  }

  /** Nothing is sent or taken at any sequence, until a bound is set. */
  shut(): void {
    this.#isShut = true;
  }

  /** Of a recovery: nothing above is sent or taken until a stable checkpoint is this high. Infinity: no bound. */
  setBound(sequence: number): void {
    this.#isShut = false;
    this.#bound = sequence > this.height ? sequence : Number.POSITIVE_INFINITY;
  }

  /** Forgets entries above, which a correct member cannot have. */
  dropAbove(bound: number): void {
    for (const table of [this.#slots, this.#prepared, this.#accepted]) {
      for (const sequence of table.keys()) if (sequence > bound) table.delete(sequence);
    }
  }

  /** Forgets votes of a member that prove nothing yet. @param member undefined: everyone's but `own`. */
  forgetVotes(member: number | undefined, own: number, n: number): void {
    for (const slot of this.#slots.values()) {
      for (let voter = 0; voter < n; voter++) {
        if (member === undefined ? voter !== own : voter === member) slot.forgetVotes(voter);
      }
    }
  }

  /** The highest sequence at which something is prepared; the low water mark if nothing is. */
  get preparedTop(): number {
    let top = this.height;
    for (const sequence of this.#prepared.keys()) top = Math.max(top, sequence);
    return top;
  }

  slot(sequence: number): Slot | undefined {
    return this.#slots.get(sequence);
  }

  /** The slot, made if need be; undefined outside the window. */
  slotAt(sequence: number): Slot | undefined {
    if (!this.isInWindow(sequence)) return undefined;
    const slot = this.#slots.get(sequence);
    if (slot !== undefined) return slot;
    const made = new Slot(sequence);
    this.#slots.set(sequence, made);
    return made;
  }

  leaveView(): void {
    for (const slot of this.#slots.values()) slot.leaveView();
  }

  /** Enters P. */
  markPrepared(sequence: number, digest: Bytes, view: number): void {
    this.#prepared.set(sequence, { digest, view });
  }

  /** Enters Q: the last view in which the digest was accepted there. */
  markAccepted(sequence: number, digest: Bytes, view: number): void {
    const placed = this.#accepted.get(sequence);
    if (placed === undefined) {
      this.#accepted.set(sequence, [{ digest, view }]);
      return;
    }
    const known = placed.find((entry) => equalBytes(entry.digest, digest));
    if (known !== undefined) {
      known.view = Math.max(known.view, view);
      return;
    }
    placed.push({ digest, view });
    if (placed.length > limits.acceptedDigestsMax) this.#forgetOldest(sequence, placed);
  }

  /** A digest less in Q takes support away, so it costs progress at worst; one that is in P stays. */
  #forgetOldest(sequence: number, placed: PlacedView[]): void {
    const prepared = this.#prepared.get(sequence);
    let oldest = -1;
    for (let i = 0; i < placed.length; i++) {
      const entry = placed[i] as PlacedView;
      if (prepared !== undefined && equalBytes(entry.digest, prepared.digest)) continue;
      if (oldest < 0 || entry.view < (placed[oldest] as PlacedView).view) oldest = i;
    }
    if (oldest >= 0) placed.splice(oldest, 1);
  }

  /** P, ascending. */
  preparedEntries(): PlacedDigest[] {
    return [...this.#prepared]
      .map(([sequence, { digest, view }]) => ({ sequence, digest, view }))
      .sort((a, b) => a.sequence - b.sequence);
  }

  /** Q, ascending by sequence, then digest. */
  acceptedEntries(): PlacedDigest[] {
    return [...this.#accepted]
      .flatMap(([sequence, placed]) =>
        placed.map(({ digest, view }) => ({ sequence, digest, view })),
      )
      .sort((a, b) => a.sequence - b.sequence || compareBytes(a.digest, b.digest));
  }

  /** The digest accepted at a sequence in a view. */
  acceptedIn(sequence: number, view: number): Bytes | undefined {
    return this.#accepted.get(sequence)?.find((entry) => entry.view === view)?.digest;
  }

  keepBody(digest: Bytes, batch: Batch, record: Bytes, sequence: number): void {
    this.#bodies.set(mapKey(digest), { batch, record, until: sequence });
  }

  /** The batch of a digest, remembered as belonging to this sequence too. */
  batchAt(sequence: number, digest: Bytes): Batch | undefined {
    if (isNull(digest)) return nullBatch;
    const body = this.#bodies.get(mapKey(digest));
    if (body === undefined) return undefined;
    body.until = Math.max(body.until, sequence);
    return body.batch;
  }

  batch(digest: Bytes): Batch | undefined {
    return this.#bodies.get(mapKey(digest))?.batch;
  }

  /** The bodies' records, as they were written. */
  *bodyRecords(): Generator<Bytes> {
    for (const { record } of this.#bodies.values()) yield record;
  }

  /** Raises the low water mark and forgets what is not above it. */
  raise(certificate: Certificate): void {
    if (certificate.sequence <= this.height) return;
    this.#certificate = certificate;
    if (certificate.sequence >= this.#bound) this.#bound = Number.POSITIVE_INFINITY;
    for (const table of [this.#slots, this.#prepared, this.#accepted]) {
      for (const sequence of table.keys()) {
        if (sequence <= certificate.sequence) table.delete(sequence);
      }
    }
    for (const [key, { until }] of this.#bodies) {
      if (until <= certificate.sequence) this.#bodies.delete(key);
    }
  }
}
