// Whether correct replicas agree: one history, in which nothing is executed twice, and one state at every batch and
// checkpoint. Fed with what each of them executed for good; the first contradiction is kept.

import type { Execution, Place } from './recording-service.ts';

interface Settled {
  readonly chain: string;
  readonly tag: string;
  readonly replica: string;
}

interface Said<T> {
  readonly value: T;
  readonly replica: string;
}

export class Agreement {
  readonly #history = new Map<number, Settled>();
  readonly #ordinals = new Map<string, number>();
  readonly #batches = new Map<number, Said<Place>>();
  readonly #roots = new Map<number, Said<string>>();
  /** Of the instance that this one goes on from. */
  readonly #past: Agreement | undefined;
  #violation: string | undefined;

  constructor(past?: Agreement) {
    this.#past = past;
  }

  get violation(): string | undefined {
    return this.#violation;
  }

  /** Operations executed by at least one correct replica. */
  get executed(): number {
    return this.#history.size;
  }

  get checkpoints(): number {
    return this.#roots.size;
  }

  /** Whether some correct replica has vouched for a checkpoint there. */
  hasRoot(sequence: number): boolean {
    return this.#roots.has(sequence);
  }

  hasExecuted(tag: string): boolean {
    return this.ordinalOf(tag) !== undefined;
  }

  /** Which one of all operations it is, by its tag. */
  ordinalOf(tag: string): number | undefined {
    return this.#ordinals.get(tag) ?? this.#past?.ordinalOf(tag);
  }

  /** A replica executed an operation for good. */
  onSettled(replica: string, { ordinal, chain, tag, isSane }: Execution): void {
    if (!isSane) this.#report(`${replica} executed operation ${ordinal} with senseless input`);
    const known = this.#history.get(ordinal);
    if (known === undefined) this.#history.set(ordinal, { chain, tag, replica });
    else if (known.chain !== chain) {
      this.#report(
        `${known.replica} and ${replica} differ at operation ${ordinal}: ${known.tag} and ${tag}`,
      );
    }
    const before = this.ordinalOf(tag);
    if (before === undefined) this.#ordinals.set(tag, ordinal);
    else if (before !== ordinal) {
      this.#report(`operation ${tag} executed twice at ${replica}: as ${before} and as ${ordinal}`);
    }
  }

  /** A replica stands right behind a batch. */
  onBatch(replica: string, sequence: number, place: Place): void {
    const known = this.#batches.get(sequence);
    if (known === undefined) this.#batches.set(sequence, { value: place, replica });
    else if (known.value.chain !== place.chain) {
      this.#report(
        `${known.replica} and ${replica} differ behind batch ${sequence}: after ${known.value.ordinal} and ${place.ordinal} operations`,
      );
    }
  }

  /** A replica vouched for the root of a checkpoint. */
  onRoot(replica: string, sequence: number, root: string): void {
    const known = this.#roots.get(sequence);
    if (known === undefined) this.#roots.set(sequence, { value: root, replica });
    else if (known.value !== root) {
      this.#report(
        `${known.replica} and ${replica} have different roots at checkpoint ${sequence}`,
      );
    }
  }

  #report(what: string): void {
    this.#violation ??= what;
  }
}
