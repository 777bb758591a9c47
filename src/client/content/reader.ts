// Reads a content in order. A bounded number of blocks is fetched ahead of the consumer; no more are fetched while the
// consumer is busy, and none once it has stopped.

import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { Content } from '../contract.ts';
import { type Root, standardShape, type TreeShape } from './node.ts';
import { Bell, Scope } from './scope.ts';
import type { BlockStore } from './store.ts';
import { fetchPart, fetchRoot, partsOf } from './walk.ts';

export interface OpenContentOptions {
  /** Ends the opening and all reading of the chunks. */
  readonly signal: AbortSignal;
  /** Called as chunks are handed out. An error it throws ends the reading. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
  readonly shape?: TreeShape;
}

/**
 * Fetches the root, which tells the length; the rest is fetched as the chunks are consumed. Each iteration over the
 * chunks reads anew. Memory is bounded by `limits.transferBlocksInFlight` blocks and one path of nodes.
 * @throws HoldfastError `not-found`, `unavailable`, `verification-failed`, also from the iteration, there with the
 * place in the content; as the signal says when it aborts.
 */
export async function openContent(
  rootId: Bytes,
  store: BlockStore,
  options: OpenContentOptions,
): Promise<Content> {
  const shape = options.shape ?? standardShape;
  const scope = new Scope(options.signal);
  try {
    scope.throwIfFailed();
    const root = await fetchRoot(rootId, store, scope, shape);
    return {
      bytes: root.length,
      chunks: { [Symbol.asyncIterator]: () => new ChunkIterator(root, store, shape, options) },
    };
  } finally {
    scope.close();
  }
}

class ChunkIterator implements AsyncIterator<Bytes, void, undefined> {
  readonly #scope: Scope;
  readonly #chunks: AsyncGenerator<Bytes, void, undefined>;

  constructor(root: Root, store: BlockStore, shape: TreeShape, options: OpenContentOptions) {
    this.#scope = new Scope(options.signal);
    this.#chunks = readChunks(root, store, this.#scope, shape, options.onProgress);
  }

  next(): Promise<IteratorResult<Bytes, void>> {
    return this.#chunks.next();
  }

  /** Ends also a `next` that is still waiting, which a generator alone would wait for. */
  return(): Promise<IteratorResult<Bytes, void>> {
    this.#scope.stop();
    return this.#chunks.return();
  }
}

async function* readChunks(
  root: Root,
  store: BlockStore,
  scope: Scope,
  shape: TreeShape,
  onProgress: OpenContentOptions['onProgress'],
): AsyncGenerator<Bytes, void, undefined> {
  const ahead = new ReadAhead(root, store, scope, shape);
  let doneBytes = 0;
  try {
    for (;;) {
      scope.throwIfFailed();
      const chunk = root.depth > 0 ? await ahead.next() : inlineChunk(root, doneBytes);
      if (chunk === undefined) return;
      doneBytes += chunk.length;
      onProgress?.(doneBytes, root.length);
      yield chunk;
    }
  } finally {
    scope.stop();
  }
}

function inlineChunk(root: Root, doneBytes: number): Bytes | undefined {
  return doneBytes < root.length ? root.inline : undefined;
}

/** The data blocks that are on their way, in order of offset. */
class ReadAhead {
  readonly #store: BlockStore;
  readonly #scope: Scope;
  /** Undefined ends the content; a failure to go on stands after the blocks that came before it. */
  readonly #queue: Promise<Bytes | undefined>[] = [];
  readonly #arrival = new Bell();
  readonly #departure = new Bell();
  readonly #start: () => void;
  #started = false;

  constructor(root: Root, store: BlockStore, scope: Scope, shape: TreeShape) {
    this.#store = store;
    this.#scope = scope;
    this.#start = () => void this.#fill(root, shape);
  }

  /** The next data block; undefined after the last. */
  async next(): Promise<Bytes | undefined> {
    if (!this.#started) {
      this.#started = true;
      this.#start();
    }
    while (this.#queue[0] === undefined) await this.#arrival.wait(this.#scope);
    const chunk = await this.#scope.until(this.#queue[0]);
    this.#queue.shift();
    this.#departure.ring();
    return chunk;
  }

  /** Never rejects: a failure becomes the last entry of the queue. */
  async #fill(root: Root, shape: TreeShape): Promise<void> {
    try {
      for await (const part of partsOf(root, this.#store, this.#scope, shape)) {
        if (part.kind !== 'data') continue;
        while (this.#queue.length >= limits.transferBlocksInFlight)
          await this.#departure.wait(this.#scope);
        this.#push(fetchPart(part, this.#store, this.#scope));
      }
      this.#push(Promise.resolve(undefined));
    } catch (error) {
      this.#push(Promise.reject(error));
    }
  }

  #push(entry: Promise<Bytes | undefined>): void {
    // Whoever takes the entry sees its failure; if nobody does, it is not a fault of the process.
    entry.catch(() => undefined);
    this.#queue.push(entry);
    this.#arrival.ring();
  }
}
