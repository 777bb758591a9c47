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
  readonly #loading = new Map<string, Promise<void>>();
  readonly #runs = new Map<string, Run>();

  constructor(store: CounterStore) {
    this.#store = store;
  }

  /** A counter that was never used before; undefined when the last one is not known and must be read from a quorum. */
  async next(object: Bytes): Promise<number | undefined> {
    const key = toHex(object);
    await this.#loaded(key, object);
    const run = this.#runs.get(key);
    if (run === undefined) return undefined;
    const counter = run.next;
    run.next += 1;
    if (counter > run.reserved) this.#reserve(run, object, counter + runLength - 1);
    await run.saving;
    return counter;
  }

  /**
   * Notes a counter that a quorum gave, before it is used. Several first writes may be under way at once and come here in
   * any order: none of them takes back what another has learnt.
   */
  async learn(object: Bytes, counter: number): Promise<void> {
    const key = toHex(object);
    await this.#loaded(key, object);
    let run = this.#runs.get(key);
    if (run === undefined) {
      run = { next: 0, reserved: 0, saving: Promise.resolve() };
      this.#runs.set(key, run);
    }
    run.next = Math.max(run.next, counter + 1);
    if (counter > run.reserved) this.#reserve(run, object, counter);
    await run.saving;
  }

  #reserve(run: Run, object: Bytes, bound: number): void {
    run.reserved = bound;
    run.saving = run.saving.then(() => this.#store.save(object, bound));
  }

  #loaded(key: string, object: Bytes): Promise<void> {
    let loading = this.#loading.get(key);
    if (loading === undefined) {
      loading = this.#load(key, object);
      this.#loading.set(key, loading);
    }
    return loading;
  }

  async #load(key: string, object: Bytes): Promise<void> {
    const saved = await this.#store.load(object);
    if (saved === undefined) return;
    this.#runs.set(key, { next: saved + 1, reserved: saved, saving: Promise.resolve() });
  }
}
