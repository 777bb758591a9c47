// Counters of an object's only writer (paper section 4.1: it skips the read phase). A counter must be durable as used
// before anything is sent with it, or a restart could use it twice; so they are reserved in runs, and after a restart
// the writer goes on above the last reservation.

import { type Bytes, toHex } from '../base/bytes.ts';

/** Durable memory of one number per object. */
export interface CounterStore {
  /** undefined when nothing was ever saved for the object. */
  load(object: Bytes): Promise<number | undefined>;
  /** Resolves when the number is durable. */
  save(object: Bytes, counter: number): Promise<void>;
}

const runLength = 1000;

interface Run {
  next: number;
  reserved: number;
  /** Reservations follow one another. */
  saving: Promise<void>;
}

export class SingleWriterCounters {
  readonly #store: CounterStore;
  readonly #runs = new Map<string, Promise<Run | undefined>>();

  constructor(store: CounterStore) {
    this.#store = store;
  }

  /** A counter that was never used before; undefined when the last one is not known and must be read from a quorum. */
  async next(object: Bytes): Promise<number | undefined> {
    const key = toHex(object);
    let loading = this.#runs.get(key);
    if (loading === undefined) {
      loading = this.#load(object);
      this.#runs.set(key, loading);
    }
    const run = await loading;
    if (run === undefined) return undefined;
    const counter = run.next;
    run.next += 1;
    if (counter > run.reserved) {
      run.reserved = counter + runLength - 1;
      const bound = run.reserved;
      run.saving = run.saving.then(() => this.#store.save(object, bound));
    }
    await run.saving;
    return counter;
  }

  /** Notes the counter of a write that learnt it from a quorum. */
  async learn(object: Bytes, counter: number): Promise<void> {
    await this.#store.save(object, counter);
    const run = { next: counter + 1, reserved: counter, saving: Promise.resolve() };
    this.#runs.set(toHex(object), Promise.resolve(run));
  }

  async #load(object: Bytes): Promise<Run | undefined> {
    const saved = await this.#store.load(object);
    return saved === undefined
      ? undefined
      : { next: saved + 1, reserved: saved, saving: Promise.resolve() };
  }
}
