// A block store in memory whose answers can be disordered, held back and made to fail.

import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import type { BlockStore } from '../../src/client/content/store.ts';
import { blockId } from '../../src/dbqs/ids.ts';

/** Lets those who wait for their turn go on in random order, one per turn of the event loop. */
export class Disorder {
  readonly #random: Prng;
  readonly #waiting: (() => void)[] = [];

  constructor(seed: number) {
    this.#random = new Prng(seed);
  }

  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      setImmediate(() => {
        const [next] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1);
        next?.();
      });
    });
  }
}

type Operation = 'put' | 'get';

export class MemoryBlockStore implements BlockStore {
  readonly blocks = new Map<string, Bytes>();
  readonly counts: Record<Operation, number> = { put: 0, get: 0 };
  inFlight = 0;
  inFlightMax = 0;
  /** Operations that were told to stop while they waited. */
  aborted = 0;
  /** Runs in each operation before it takes effect: waits, or throws. `index` counts operations of the kind from 0. */
  before: (operation: Operation, index: number, signal: AbortSignal) => Promise<void>;

  constructor(before: MemoryBlockStore['before'] = async () => undefined) {
    this.before = before;
  }

  async put(data: Bytes, signal: AbortSignal): Promise<Bytes> {
    await this.#enter('put', signal);
    const id = blockId(data);
    this.blocks.set(toHex(id), data);
    return id;
  }

  async get(id: Bytes, signal: AbortSignal): Promise<Bytes> {
    await this.#enter('get', signal);
    const data = this.blocks.get(toHex(id));
    if (data === undefined) throw new HoldfastError('not-found', 'No server has the block.');
    // As the real one: what does not hash to the id is as good as no answer.
    if (toHex(blockId(data)) !== toHex(id))
      throw new HoldfastError('unavailable', 'No server gave the right bytes.');
    return data;
  }

  /** Stores a block at once, as an author of hand-made trees does. */
  plant(data: Bytes): Bytes {
    const id = blockId(data);
    this.blocks.set(toHex(id), data);
    return id;
  }

  async #enter(operation: Operation, signal: AbortSignal): Promise<void> {
    const index = this.counts[operation]++;
    this.inFlight += 1;
    this.inFlightMax = Math.max(this.inFlightMax, this.inFlight);
    try {
      await this.before(operation, index, signal);
      if (signal.aborted) {
        this.aborted += 1;
        throw new HoldfastError('interrupted', 'The block operation was cancelled.');
      }
    } finally {
      this.inFlight -= 1;
    }
  }
}

/** Never goes on; rejects when the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new HoldfastError('interrupted', 'The wait was cancelled.'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}
