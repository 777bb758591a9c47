// Stores bytes of any length as a tree of blocks while they come in. In memory are the blocks in flight, at most one
// unfinished node per level and the ids of a bounded number of blocks that finished before an earlier one did.

import { isCounter } from '../../base/brand.ts';
import type { Bytes } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { limits } from '../../wire/limits.ts';
import {
  encodeInlineRoot,
  encodeNode,
  encodeTreeRoot,
  standardShape,
  type TreeShape,
} from './node.ts';
import { Bell, Scope } from './scope.ts';
import { Chunker, Source } from './source.ts';
import type { BlockStore } from './store.ts';

export interface WriteContentOptions {
  readonly signal: AbortSignal;
  /** Called as bytes are stored. An error it throws ends the writing. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number | undefined) => void) | undefined;
  /** Blocks in flight at a time, at least 1. Default: `limits.transferBlocksInFlight`. */
  readonly concurrency?: number;
  readonly shape?: TreeShape;
}

export interface WrittenContent {
  /** Id of the root block. */
  readonly id: Bytes;
  /** Length of the content. */
  readonly bytes: number;
}

/**
 * Stores a content; the same bytes give the same id however they are cut. The source is read no faster than blocks are
 * stored. On the first failure everything under way is cancelled and the source is closed.
 * @throws HoldfastError as `BlockStore.put`, with the place in the content; `usage` for a source that gives other than
 * bytes; as the signal says when it aborts. An error of the source itself comes through as it is.
 */
export async function writeContent(
  source: Bytes | AsyncIterable<Bytes>,
  store: BlockStore,
  options: WriteContentOptions,
): Promise<WrittenContent> {
  const shape = options.shape ?? standardShape;
  const scope = new Scope(options.signal);
  const pieces = new Source(source, scope);
  const tree = new TreeWriter(store, scope, shape, {
    concurrency: Math.max(1, options.concurrency ?? limits.transferBlocksInFlight),
    onProgress: options.onProgress,
    totalBytes: source instanceof Uint8Array ? source.length : undefined,
  });
  try {
    const chunker = new Chunker(shape.chunkSizeBytes);
    for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) {
      for (const block of chunker.push(piece)) await tree.add(block);
    }
    return await tree.finish(chunker.rest());
  } catch (error) {
    scope.fail(error);
    await pieces.close();
    throw error;
  } finally {
    scope.close();
  }
}

interface TreeWriterOptions {
  readonly concurrency: number;
  readonly onProgress: WriteContentOptions['onProgress'];
  readonly totalBytes: number | undefined;
}

/** A block that has been handed to the store. Data is of level 0, nodes of data are of level 1 and so on. */
interface Upload {
  readonly level: number;
  /** Known once the block is stored. */
  id: Bytes | undefined;
}

/** Uploads whose id may be known while an earlier one is not: for so long a slow block holds up no other. */
const uploadsAheadMax = 1024;

class TreeWriter {
  readonly #store: BlockStore;
  readonly #scope: Scope;
  readonly #shape: TreeShape;
  readonly #options: TreeWriterOptions;
  /** In the order in which their ids go into the nodes. */
  readonly #uploads: Upload[] = [];
  readonly #stored = new Bell();
  /** The children of each level's unfinished node. */
  readonly #levels: Bytes[][] = [];
  #inFlight = 0;
  #length = 0;
  #doneBytes = 0;

  constructor(store: BlockStore, scope: Scope, shape: TreeShape, options: TreeWriterOptions) {
    this.#store = store;
    this.#scope = scope;
    this.#shape = shape;
    this.#options = options;
  }

  /** Takes the next data block as soon as there is room for it. */
  async add(block: Bytes): Promise<void> {
    while (this.#isBusy()) await this.#stored.wait(this.#scope);
    this.#scope.throwIfFailed();
    const offset = this.#length;
    this.#length += block.length;
    if (!isCounter(this.#length))
      throw new HoldfastError('over-limit', 'the content is longer than any content may be');
    this.#start(0, block, offset);
  }

  /** @param rest the bytes after the last full block. */
  async finish(rest: Bytes): Promise<WrittenContent> {
    const length = this.#length + rest.length;
    if (length <= this.#shape.inlineSizeBytesMax) {
      const id = await this.#putRoot(encodeInlineRoot(rest, this.#shape));
      this.#progress(length);
      return { id, bytes: length };
    }
    if (rest.length > 0) await this.add(rest);
    await this.#drain();
    for (let level = 0; level < this.#levels.length - 1; level++) {
      this.#startNode(level);
      await this.#drain();
    }
    const root = encodeTreeRoot(length, this.#levels.at(-1) ?? [], this.#shape);
    return { id: await this.#putRoot(root), bytes: length };
  }

  #isBusy(): boolean {
    this.#collect();
    return this.#inFlight >= this.#options.concurrency || this.#uploads.length >= uploadsAheadMax;
  }

  async #drain(): Promise<void> {
    for (;;) {
      this.#collect();
      this.#scope.throwIfFailed();
      if (this.#uploads.length === 0) return;
      await this.#stored.wait(this.#scope);
    }
  }

  /**
   * Puts ids into their nodes, in order. Each may complete a node below it, which becomes one more upload: hence only
   * while there is room for one.
   */
  #collect(): void {
    while (this.#inFlight < this.#options.concurrency) {
      const upload = this.#uploads[0];
      if (upload?.id === undefined) return;
      this.#uploads.shift();
      this.#append(upload.level, upload.id);
    }
  }

  #append(level: number, id: Bytes): void {
    // A full node is stored when it is followed by another child, not before: if none follows, it may be the root.
    if (this.#levels[level]?.length === this.#shape.fanOut) this.#startNode(level);
    const children = this.#levels[level] ?? [];
    children.push(id);
    this.#levels[level] = children;
  }

  #startNode(level: number): void {
    const children = this.#levels[level] ?? [];
    this.#levels[level] = [];
    this.#start(level + 1, encodeNode(children), this.#length);
  }

  #start(level: number, data: Bytes, offset: number): void {
    const upload: Upload = { level, id: undefined };
    this.#uploads.push(upload);
    this.#inFlight += 1;
    void this.#put(upload, data, offset);
  }

  /** Never rejects: a failure ends the scope. */
  async #put(upload: Upload, data: Bytes, offset: number): Promise<void> {
    try {
      const id = await this.#store.put(data, this.#scope.signal);
      this.#scope.throwIfFailed();
      upload.id = id;
      this.#inFlight -= 1;
      if (upload.level === 0) this.#progress(data.length);
      this.#stored.ring();
    } catch (error) {
      this.#scope.fail(error instanceof HoldfastError ? atOffset(error, offset) : error);
    }
  }

  #putRoot(root: Bytes): Promise<Bytes> {
    this.#scope.throwIfFailed();
    return this.#scope.until(this.#store.put(root, this.#scope.signal));
  }

  #progress(storedBytes: number): void {
    this.#doneBytes += storedBytes;
    this.#options.onProgress?.(this.#doneBytes, this.#options.totalBytes);
  }
}

function atOffset(error: HoldfastError, offset: number): HoldfastError {
  return new HoldfastError(
    error.code,
    `cannot store the content at byte ${offset}: ${error.message}`,
    {
      ...(error.cure === undefined ? {} : { cure: error.cure }),
      details: { ...error.details, offset },
      cause: error,
    },
  );
}
