import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Disorder,
  MemoryBlockStore,
  untilAborted,
} from '../../../testing/blocks/memory-block-store.ts';
import { type Bytes, concatBytes, emptyBytes, toHex, utf8 } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { Prng } from '../../base/prng.ts';
import { blockId } from '../../dbqs/ids.ts';
import { limits } from '../../wire/limits.ts';
import { encodeNode, encodeTreeRoot, type TreeShape } from './node.ts';
import { openContent } from './reader.ts';
import type { BlockStore } from './store.ts';
import { type Part, walkContent } from './walk.ts';
import { writeContent } from './writer.ts';

const small: TreeShape = { chunkSizeBytes: 64, fanOut: 3, inlineSizeBytesMax: 16 };
const { signal } = new AbortController();
const options = { signal, shape: small };

async function stored(
  length: number,
  seed = length,
): Promise<{
  store: MemoryBlockStore;
  id: Bytes;
  content: Bytes;
}> {
  const store = new MemoryBlockStore();
  const content = new Prng(seed).bytes(length);
  const { id } = await writeContent(content, store, options);
  return { store, id, content };
}

interface Outcome {
  readonly bytes: Bytes;
  readonly error: unknown;
}

/** Everything that can be read, and how it ended. */
async function readAll(id: Bytes, store: BlockStore): Promise<Outcome> {
  const chunks: Bytes[] = [];
  try {
    const { chunks: source } = await openContent(id, store, options);
    for await (const chunk of source) chunks.push(chunk);
  } catch (error) {
    return { bytes: concatBytes(...chunks), error };
  }
  return { bytes: concatBytes(...chunks), error: undefined };
}

async function partsOf(id: Bytes, store: BlockStore): Promise<{ parts: Part[]; error: unknown }> {
  const parts: Part[] = [];
  try {
    for await (const part of walkContent(id, store, options)) parts.push(part);
  } catch (error) {
    return { parts, error };
  }
  return { parts, error: undefined };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('reading', () => {
  test.each([0, 1, 16, 17, 63, 64, 65, 191, 192, 193, 576, 577, 1728, 1729, 5185])(
    '%i bytes gives what was written',
    async (length) => {
      const { store, id, content } = await stored(length);
      const opened = await openContent(id, store, options);
      expect(opened.bytes).toBe(length);
      expect(await readAll(id, store)).toEqual({ bytes: content, error: undefined });
    },
  );

  test.each([0, 32768, 32769, 2 ** 20, 2 ** 20 + 1, 3 << 20])(
    '%i bytes of the standard shape',
    async (length) => {
      const store = new MemoryBlockStore();
      const content = new Prng(length).bytes(length);
      const { id } = await writeContent(content, store, { signal });
      const opened = await openContent(id, store, { signal });
      const chunks: Bytes[] = [];
      for await (const chunk of opened.chunks) chunks.push(chunk);
      expect(toHex(blockId(concatBytes(...chunks)))).toBe(toHex(blockId(content)));
    },
  );

  test('gives the bytes in order in whatever order the blocks come, within the window', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(4000), fc.nat(), async (length, seed) => {
        const { store, id, content } = await stored(length, seed);
        const disorder = new Disorder(seed);
        store.before = () => disorder.turn();
        store.inFlightMax = 0;
        expect(await readAll(id, store)).toEqual({ bytes: content, error: undefined });
        // The window and the node that leads to the next blocks.
        expect(store.inFlightMax).toBeLessThanOrEqual(limits.transferBlocksInFlight + 1);
      }),
      { numRuns: 60 },
    );
  });

  test('twice gives the same twice, and progress with it', async () => {
    const { store, id, content } = await stored(500);
    const seen: [number, number][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    const opened = await openContent(id, store, { ...options, onProgress });
    for (let time = 0; time < 2; time++) {
      const chunks: Bytes[] = [];
      for await (const chunk of opened.chunks) chunks.push(chunk);
      expect(concatBytes(...chunks)).toEqual(content);
    }
    const once = [64, 128, 192, 256, 320, 384, 448, 500];
    expect(seen).toEqual([...once, ...once].map((done) => [done, 500]));
  });

  test('fetches no further ahead than the window while the consumer is busy', async () => {
    const { store, id } = await stored(64 * 81);
    store.counts.get = 0;
    const opened = await openContent(id, store, options);
    expect(store.counts.get).toBe(1);
    const chunks = opened.chunks[Symbol.asyncIterator]();
    await settle();
    expect(store.counts.get).toBe(1);
    await chunks.next();
    await settle();
    // The root; one block taken and the window after it; five nodes above these and two on the way to the next.
    expect(store.counts.get).toBe(1 + 1 + limits.transferBlocksInFlight + 5 + 2);
    await chunks.return?.();
  });
});

describe('a reader that stops', () => {
  test('after some chunks fetches no more', async () => {
    const { store, id } = await stored(64 * 81);
    const opened = await openContent(id, store, options);
    for await (const chunk of opened.chunks) {
      expect(chunk).toHaveLength(64);
      break;
    }
    const fetched = store.counts.get;
    await settle();
    expect([store.counts.get, store.inFlight]).toEqual([fetched, 0]);
  });

  test('cancels what is on its way, also while it waits for the next chunk', async () => {
    const { store, id } = await stored(64 * 81);
    const opened = await openContent(id, store, options);
    store.before = (_, __, inner) => untilAborted(inner);
    const chunks = opened.chunks[Symbol.asyncIterator]();
    const waiting = expect(chunks.next()).rejects.toMatchObject({ code: 'interrupted' });
    await settle();
    expect(store.inFlight).toBeGreaterThan(0);
    expect(await chunks.return?.()).toEqual({ done: true, value: undefined });
    await waiting;
    await settle();
    expect(store.inFlight).toBe(0);
    expect(await chunks.next()).toEqual({ done: true, value: undefined });
  });

  test('by its signal gets the reason, before the opening, after it and between chunks', async () => {
    const { store, id } = await stored(640);
    const gone = openContent(id, store, { ...options, signal: AbortSignal.abort() });
    await expect(gone).rejects.toMatchObject({ code: 'interrupted' });
    expect(store.counts.get).toBe(0);
    for (const taken of [0, 1, 5]) {
      const cancel = new AbortController();
      const opened = await openContent(id, store, { ...options, signal: cancel.signal });
      const chunks = opened.chunks[Symbol.asyncIterator]();
      for (let i = 0; i < taken; i++) expect((await chunks.next()).done).toBe(false);
      await settle();
      cancel.abort(new HoldfastError('unavailable', 'Not done within 30 seconds.'));
      await expect(chunks.next()).rejects.toMatchObject({ message: 'Not done within 30 seconds.' });
      expect(await chunks.next()).toEqual({ done: true, value: undefined });
    }
  });

  test('does not depend on a store that takes notice', async () => {
    const cancel = new AbortController();
    const store = new MemoryBlockStore(() => new Promise(() => undefined));
    const opening = openContent(new Uint8Array(32), store, { signal: cancel.signal });
    const failure = expect(opening).rejects.toMatchObject({ code: 'interrupted' });
    await settle();
    cancel.abort();
    await failure;
  });
});

describe('a failure', () => {
  test('of any block comes after all bytes before it and names the place', async () => {
    const { store, id, content } = await stored(1500);
    const { parts } = await partsOf(id, store);
    for (const failing of parts.slice(1)) {
      for (const kind of ['missing', 'changed'] as const) {
        const damaged = new MemoryBlockStore();
        for (const [key, block] of store.blocks) damaged.blocks.set(key, block);
        const key = toHex(failing.id);
        if (kind === 'missing') damaged.blocks.delete(key);
        else damaged.blocks.set(key, utf8('other bytes'));
        const { bytes, error } = await readAll(id, damaged);
        expect(bytes).toEqual(content.subarray(0, failing.offset));
        expect(error).toMatchObject({
          code: kind === 'missing' ? 'not-found' : 'unavailable',
          details: { block: key, offset: failing.offset, lengthBytes: failing.lengthBytes },
          message: expect.stringContaining(`bytes ${failing.offset} to `),
        });
        await settle();
        expect(damaged.inFlight).toBe(0);
      }
    }
  });

  test('of the root is the store’s own', async () => {
    const store = new MemoryBlockStore();
    const opening = openContent(new Uint8Array(32), store, options);
    await expect(opening).rejects.toMatchObject({ code: 'not-found', details: {} });
  });

  test('cancels what is on its way and lets go of the signal', async () => {
    const { store, id } = await stored(640);
    const { signal: own } = new AbortController();
    const opened = await openContent(id, store, { ...options, signal: own });
    const first = store.counts.get + 4;
    store.before = async (_, index, inner) => {
      // The three nodes of the first path are read, then the first block fails and the others hang.
      if (index === first) throw new HoldfastError('unavailable', 'Too few servers answer.');
      if (index > first) await untilAborted(inner);
    };
    const chunks = opened.chunks[Symbol.asyncIterator]();
    let failed = false;
    for (let i = 0; i < 10 && !failed; i++)
      failed = await chunks.next().then(
        () => false,
        () => true,
      );
    expect(failed).toBe(true);
    expect(store.counts.get).toBeGreaterThan(first + 1);
    await settle();
    expect(store.inFlight).toBe(0);
    expect(getEventListeners(own, 'abort')).toEqual([]);
  });

  test('of the progress function ends the reading', async () => {
    const { store, id } = await stored(640);
    const broken = new RangeError('broken');
    const onProgress = (): void => {
      throw broken;
    };
    const opened = await openContent(id, store, { ...options, onProgress });
    await expect(opened.chunks[Symbol.asyncIterator]().next()).rejects.toBe(broken);
    await settle();
    expect(store.inFlight).toBe(0);
  });
});

describe('a tree that nobody would write', () => {
  const block = (length: number, seed = length): Bytes => new Prng(seed).bytes(length);

  test('an address of a data block, of a node and of nothing', async () => {
    const store = new MemoryBlockStore();
    for (const data of [block(64), encodeNode([block(32), block(32)]), emptyBytes]) {
      await expect(openContent(store.plant(data), store, options)).rejects.toMatchObject({
        code: 'verification-failed',
        details: { fault: 'not-a-root' },
        message: 'the address names a block that is not the start of a content',
      });
    }
  });

  test('data blocks that are shorter, longer or empty', async () => {
    const cases: [number[], number][] = [
      [[63, 64], 0],
      [[65, 64], 0],
      [[0, 64], 0],
      [[64, 63], 64],
      [[64, 65], 64],
      [[64, 0], 64],
    ];
    for (const [lengths, offset] of cases) {
      const store = new MemoryBlockStore();
      const children = lengths.map((length) => store.plant(block(length)));
      const id = store.plant(encodeTreeRoot(128, children, small));
      const { bytes, error } = await readAll(id, store);
      expect(bytes).toHaveLength(offset);
      expect(error).toMatchObject({
        code: 'verification-failed',
        details: { fault: 'bad-length', offset, lengthBytes: 64 },
      });
    }
  });

  test('nodes with another number of children than their place has', async () => {
    for (const [first, second] of [
      [2, 1],
      [4, 1],
      [0, 1],
      [3, 0],
      [3, 2],
      [3, 3],
    ] as const) {
      const store = new MemoryBlockStore();
      const data = store.plant(block(64));
      const children = [first, second].map((count) =>
        store.plant(encodeNode(Array.from({ length: count }, () => data))),
      );
      const id = store.plant(encodeTreeRoot(256, children, small));
      const { error } = await readAll(id, store);
      const offset = first === 3 ? 192 : 0;
      expect(error).toMatchObject({
        code: 'verification-failed',
        details: { fault: 'wrong-child-count', offset },
      });
      expect((await partsOf(id, store)).error).toMatchObject({ code: 'verification-failed' });
    }
  });

  test('a root as a child, and data that looks like a node or a root, are what their place says', async () => {
    const store = new MemoryBlockStore();
    const child = store.plant(block(64));
    const node = encodeNode([child, child]);
    const root = encodeTreeRoot(64, [child], small);
    const inside = concatBytes(node, root.subarray(0, 64));
    const { id } = await writeContent(inside, store, options);
    expect(await readAll(id, store)).toEqual({ bytes: inside, error: undefined });
    const outer = store.plant(encodeTreeRoot(256, [store.plant(root), child], small));
    expect((await readAll(outer, store)).error).toMatchObject({ code: 'verification-failed' });
  });

  test('a tree of a few blocks that claims 2^53 bytes costs only what is consumed', async () => {
    const store = new MemoryBlockStore();
    const shape: TreeShape = { chunkSizeBytes: 64, fanOut: 1024, inlineSizeBytesMax: 16 };
    let id = store.plant(block(64));
    for (let height = 1; height < 5; height++)
      id = store.plant(encodeNode(Array.from({ length: 1024 }, () => id)));
    const length = 64 * 1024 ** 4 * 8;
    const root = store.plant(encodeTreeRoot(length, Array(8).fill(id), shape));
    const opened = await openContent(root, store, { signal, shape });
    expect(opened.bytes).toBe(length);
    let count = 0;
    for await (const _ of opened.chunks) if (++count === 3000) break;
    await settle();
    expect(store.counts.get).toBeLessThan(3000 + 20);
  });

  test('any blocks at all end in bytes or in a typed error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1500), fc.nat(), async (length, seed) => {
        const random = new Prng(seed);
        const store = new MemoryBlockStore();
        // An author who builds level by level, but is wrong about one thing in eight.
        const wrong = <T>(right: T, other: T): T => (random.chance(1, 8) ? other : right);
        let level: Bytes[] = [];
        for (let offset = 0; offset < Math.max(length, 17); offset += 64) {
          const size = Math.min(64, Math.max(length, 17) - offset);
          level.push(store.plant(random.bytes(wrong(size, random.below(130)))));
        }
        while (level.length > 3) {
          const above: Bytes[] = [];
          for (let first = 0; first < level.length; first += 3)
            above.push(store.plant(encodeNode(level.slice(first, first + wrong(3, 2)))));
          level = above;
        }
        const id = store.plant(encodeTreeRoot(Math.max(length, 17), level, small));
        const { bytes, error } = await readAll(id, store);
        if (error === undefined) expect(bytes).toHaveLength(Math.max(length, 17));
        else expect(error).toMatchObject({ code: 'verification-failed' });
        expect(store.counts.get).toBeLessThan(60);
      }),
    );
  });
});

describe('walking', () => {
  test('gives every block once, nodes before what they hold, data in order', async () => {
    for (const length of [0, 16, 17, 64, 65, 192, 193, 1729]) {
      const { store, id } = await stored(length);
      const { parts, error } = await partsOf(id, store);
      expect(error).toBeUndefined();
      expect(new Set(parts.map((part) => toHex(part.id)))).toEqual(new Set(store.blocks.keys()));
      expect(parts).toHaveLength(store.blocks.size);
      expect(parts[0]).toEqual({ kind: 'root', id, offset: 0, lengthBytes: 0 });
      const data = parts.filter((part) => part.kind === 'data');
      let offset = 0;
      for (const part of data) {
        expect(part.offset).toBe(offset);
        offset += part.lengthBytes;
      }
      expect(offset).toBe(length <= 16 ? 0 : length);
    }
  });

  test('fetches no data, and gives out a node that is missing before it fails', async () => {
    const { store, id } = await stored(64 * 7);
    store.counts.get = 0;
    const { parts } = await partsOf(id, store);
    expect(store.counts.get).toBe(parts.filter((part) => part.kind !== 'data').length);
    const nodes = parts.filter((part) => part.kind === 'node');
    const missing = nodes[1];
    if (missing === undefined) return expect.unreachable('the tree has several nodes');
    store.blocks.delete(toHex(missing.id));
    const walked = await partsOf(id, store);
    expect(walked.parts.at(-1)).toEqual(missing);
    expect(walked.error).toMatchObject({ code: 'not-found', details: { offset: missing.offset } });
  });

  test('ends by its signal where nothing needs to be fetched', async () => {
    const { store, id } = await stored(64 * 3);
    const cancel = new AbortController();
    const walk = walkContent(id, store, { ...options, signal: cancel.signal });
    for (const kind of ['root', 'data']) expect((await walk.next()).value).toMatchObject({ kind });
    cancel.abort();
    await expect(walk.next()).rejects.toMatchObject({ code: 'interrupted' });
  });

  test('ends by its signal and when its consumer stops', async () => {
    const { store, id } = await stored(64 * 81);
    const cancel = new AbortController();
    const walk = walkContent(id, store, { ...options, signal: cancel.signal });
    await walk.next();
    await walk.next();
    cancel.abort();
    await expect(walk.next()).rejects.toMatchObject({ code: 'interrupted' });
    const during = new AbortController();
    const stuck = walkContent(id, store, { ...options, signal: during.signal });
    await stuck.next();
    await stuck.next();
    store.before = async () => during.abort();
    await expect(stuck.next()).rejects.toMatchObject({
      message: "the transfer was ended by the caller's signal",
    });
    store.before = async () => undefined;
    expect(getEventListeners(during.signal, 'abort')).toEqual([]);
    store.counts.get = 0;
    for await (const part of walkContent(id, store, options)) if (part.kind === 'data') break;
    await settle();
    expect(store.counts.get).toBeLessThan(6);
  });
});
