// What a writer reads from: bytes in pieces of any size, cut again into blocks of one size.

import type { Bytes } from '../../base/bytes.ts';
import { emptyBytes } from '../../base/bytes.ts';
import { requirePiece } from '../arguments.ts';
import type { Scope } from './scope.ts';

/** A source of bytes that is left as soon as its scope fails, even while it has an answer outstanding. */
export class Source {
  readonly #iterator: AsyncIterator<Bytes>;
  readonly #scope: Scope;
  #state: 'open' | 'asked' | 'ended' = 'open';

  constructor(source: Bytes | AsyncIterable<Bytes>, scope: Scope) {
    const pieces = source instanceof Uint8Array ? once(source) : source;
    this.#iterator = pieces[Symbol.asyncIterator]();
    this.#scope = scope;
  }

  /** The next piece; undefined at the end. Rejects with the source's own error, and with the scope's. */
  async next(): Promise<Bytes | undefined> {
    this.#scope.throwIfFailed();
    this.#state = 'asked';
    const result = await this.#scope.until(this.#ask());
    if (result.done === true) return undefined;
    return requirePiece(result.value);
  }

  async #ask(): Promise<IteratorResult<unknown>> {
    try {
      const result = await this.#iterator.next();
      this.#state = result.done === true ? 'ended' : 'open';
      return result;
    } catch (error) {
      this.#state = 'ended';
      throw error;
    }
  }

  /**
   * Tells a source that has not ended that no more is wanted, and waits until it has let go of what it holds; but not
   * for one that still owes an answer, since that may never come. Never rejects.
   */
  async close(): Promise<void> {
    if (this.#state === 'ended') return;
    const closed = this.#return();
    if (this.#state === 'open') await closed;
  }

  async #return(): Promise<void> {
    try {
      await this.#iterator.return?.();
    } catch {
      // The failure that led here is the one to report.
    }
  }
}

async function* once(bytes: Bytes): AsyncGenerator<Bytes, void, undefined> {
  yield bytes;
}

/** Most content is small: the buffer for a block starts at this size and grows once. */
const firstCapacityBytes = 64 * 1024;

/** Cuts pieces into blocks. Every block is a copy of its own: a source may use its buffers again. */
export class Chunker {
  readonly #sizeBytes: number;
  #buffer: Uint8Array = emptyBytes;
  #filled = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  /** The blocks that `piece` completes, cut one at a time as they are asked for. */
  *push(piece: Bytes): Generator<Bytes, void, undefined> {
    for (let offset = 0; offset < piece.length; ) {
      const taken = Math.min(this.#sizeBytes - this.#filled, piece.length - offset);
      this.#reserve(this.#filled + taken);
      this.#buffer.set(piece.subarray(offset, offset + taken), this.#filled);
      this.#filled += taken;
      offset += taken;
      if (this.#filled === this.#sizeBytes) yield this.rest();
    }
  }

  /** What has been collected since the last full block. */
  rest(): Bytes {
    const block = this.#buffer.subarray(0, this.#filled);
    this.#buffer = emptyBytes;
    this.#filled = 0;
    return block;
  }

  #reserve(neededBytes: number): void {
    if (neededBytes <= this.#buffer.length) return;
    const capacity = neededBytes <= firstCapacityBytes ? firstCapacityBytes : this.#sizeBytes;
    const grown = new Uint8Array(Math.min(capacity, this.#sizeBytes));
    grown.set(this.#buffer.subarray(0, this.#filled));
    this.#buffer = grown;
  }
}
