// Durable memory for an only writer's counters, on a simulated client machine.

import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { CounterStore } from '../../src/dbqs/single-writer.ts';
import type { Env } from '../../src/env/env.ts';

export class CounterDisk {
  readonly #saved = new Map<string, number>();
  readonly #first = new Map<string, number>();
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  set(object: Bytes, counter: number): void {
    const key = toHex(object);
    this.#saved.set(key, counter);
    if (!this.#first.has(key)) this.#first.set(key, counter);
  }

  /** Back to the first counter that was ever saved for each object. */
  rewind(): void {
    for (const [key, counter] of this.#first) this.#saved.set(key, counter);
  }

  /** One incarnation's hold on it: what is not saved when it dies is lost. */
  mount(env: Env): CounterStore {
    const wait = (): Promise<void> =>
      new Promise((resolve) => {
        env.timers.after(this.#prng.between(0, 5), resolve);
      });
    return {
      load: async (object) => {
        await wait();
        return this.#saved.get(toHex(object));
      },
      save: async (object, counter) => {
        await wait();
        this.set(object, counter);
      },
    };
  }
}
