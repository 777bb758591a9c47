import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Disorder,
  MemoryBlockStore,
  untilAborted,
} from '../../../testing/blocks/memory-block-store.ts';
import { type Bytes, concatBytes, toHex, utf8 } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { Prng } from '../../base/prng.ts';
import { blockId } from '../../dbqs/ids.ts';
import { limits } from '../../wire/limits.ts';
import {
  childSpanBytes,
  depthOf,
  encodeInlineRoot,
  encodeNode,
  encodeTreeRoot,
  standardShape,
  type TreeShape,
} from './node.ts';
import { writeContent } from './writer.ts';

const small: TreeShape = { chunkSizeBytes: 64, fanOut: 3, inlineSizeBytesMax: 16 };
const { signal } = new AbortController();

/** The address by definition: cut from the top down, with the whole content at hand. */
function rootIdOf(content: Bytes, shape: TreeShape): Bytes {
  const childIds = (data: Bytes, height: number): Bytes[] => {
    const spanBytes = childSpanBytes(height, shape);
    const ids: Bytes[] = [];
    for (let offset = 0; offset < data.length; offset += spanBytes) {
      const part = data.subarray(offset, offset + spanBytes);
      ids.push(blockId(height === 1 ? part : encodeNode(childIds(part, height - 1))));
    }
    return ids;
  };
  const depth = depthOf(content.length, shape);
  if (depth === 0) return blockId(encodeInlineRoot(content, shape));
  return blockId(encodeTreeRoot(content.length, childIds(content, depth), shape));
}

/** Cuts `content` at random, with empty pieces among them, and gives every piece in one buffer that is used again. */
async function* pieces(content: Bytes, seed: number, sizeMax: number): AsyncGenerator<Bytes> {
  const random = new Prng(seed);
  const buffer = new Uint8Array(sizeMax);
  for (let offset = 0; offset < content.length; ) {
    const piece = content.subarray(offset, offset + random.below(sizeMax + 1));
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    offset += piece.length;
  }
}

/** Gives the same piece for ever and notes how far it was read and whether it was left. */
class Endless implements AsyncIterable<Bytes> {
  given = 0;
  closed = 0;
  readonly #piece: Bytes;

  constructor(pieceSizeBytes: number) {
    this.#piece = new Uint8Array(pieceSizeBytes);
  }

  [Symbol.asyncIterator](): AsyncIterator<Bytes> {
    return {
      next: async () => {
        this.given += 1;
        return { done: false, value: this.#piece };
      },
      return: async () => {
        this.closed += 1;
        return { done: true, value: undefined };
      },
    };
  }
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return expect.unreachable('it should have failed');
}

/** Lets everything that can go on without outside help do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('the tree', () => {
  const boundaries = [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 191, 192, 193, 575, 576, 577];
  test.each([...boundaries, 1727, 1728, 1729, 5184, 5185])('of %i bytes', async (length) => {
    const content = new Prng(length).bytes(length);
    const store = new MemoryBlockStore();
    const written = await writeContent(content, store, { signal, shape: small });
    expect(written).toEqual({ id: rootIdOf(content, small), bytes: length });
  });

  const standard = [0, 1, 32768 - 1, 32768, 32768 + 1, 2 ** 20 - 1, 2 ** 20, 2 ** 20 + 1, 5 << 20];
  test.each(standard)('of %i bytes in the standard shape', async (length) => {
    const content = new Prng(length).bytes(length);
    const store = new MemoryBlockStore();
    const written = await writeContent(pieces(content, 1, 100_000), store, { signal });
    expect(written).toEqual({ id: rootIdOf(content, standardShape), bytes: length });
    expect(store.blocks.size).toBe(length <= 32768 ? 1 : Math.ceil(length / 2 ** 20) + 1);
    for (const block of store.blocks.values())
      expect(block.length).toBeLessThanOrEqual(limits.blockSizeBytesMax);
  });

  test('is the same however the source is cut and in whatever order blocks finish', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(3000),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 200 }),
        fc.nat(),
        async (length, fanOut, concurrency, sizeMax, seed) => {
          const shape = { ...small, fanOut };
          const content = new Prng(seed).bytes(length);
          const disorder = new Disorder(seed);
          const store = new MemoryBlockStore(() => disorder.turn());
          const source = pieces(content, seed, sizeMax);
          const written = await writeContent(source, store, { signal, shape, concurrency });
          expect(toHex(written.id)).toBe(toHex(rootIdOf(content, shape)));
          expect(store.inFlightMax).toBeLessThanOrEqual(concurrency);
          expect(store.inFlight).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the flow', () => {
  test('a source is read no further than there is room', async () => {
    const source = new Endless(64);
    const cancel = new AbortController();
    const store = new MemoryBlockStore((_, __, inner) => untilAborted(inner));
    const options = { signal: cancel.signal, shape: small, concurrency: 4 };
    const failure = failureOf(writeContent(source, store, options));
    await settle();
    expect(store.inFlight).toBe(4);
    expect(source.given).toBe(5);
    cancel.abort();
    await failure;
  });

  test('one slow block holds up the others only after a bounded number of them', async () => {
    const source = new Endless(64);
    const cancel = new AbortController();
    const store = new MemoryBlockStore(async (_, index, inner) => {
      if (index === 0) await untilAborted(inner);
    });
    const options = { signal: cancel.signal, shape: small, concurrency: 4 };
    const failure = failureOf(writeContent(source, store, options));
    await settle();
    expect(store.counts.put).toBe(1024);
    expect(store.inFlightMax).toBeLessThanOrEqual(4);
    cancel.abort();
    await failure;
  });

  test('progress counts every byte once', async () => {
    for (const length of [0, 10, 64, 1000]) {
      const seen: [number, number | undefined][] = [];
      const options = {
        signal,
        shape: small,
        onProgress: (done: number, total: number | undefined) => void seen.push([done, total]),
      };
      const disorder = new Disorder(length);
      const store = new MemoryBlockStore(() => disorder.turn());
      await writeContent(new Uint8Array(length), store, options);
      expect(seen.at(-1)).toEqual([length, length]);
      expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a - b));
      await writeContent(pieces(new Uint8Array(length), 1, 50), store, options);
      expect(seen.at(-1)).toEqual([length, undefined]);
    }
  });
});

describe('a failure', () => {
  test('of any block ends the write once, cancels the others and closes the source', async () => {
    for (let failing = 0; failing < 20; failing++) {
      const source = new Endless(40);
      const disorder = new Disorder(failing);
      const store = new MemoryBlockStore(async (_, index) => {
        await disorder.turn();
        if (index === failing) throw new HoldfastError('unavailable', 'Too few servers answer.');
      });
      const error = await failureOf(
        writeContent(source, store, { signal, shape: small, concurrency: 3 }),
      );
      expect(error).toMatchObject({ code: 'unavailable', details: { offset: expect.any(Number) } });
      expect(source.closed).toBe(1);
      const puts = store.counts.put;
      await settle();
      expect(store.counts.put).toBe(puts);
      expect(store.inFlight).toBe(0);
    }
  });

  test('of the root, of a node and of an inline root', async () => {
    for (const [length, failing] of [
      [10, 0],
      [64, 1],
      [200, 4],
      [200, 6],
    ] as const) {
      const store = new MemoryBlockStore(async (_, index) => {
        if (index === failing) throw new HoldfastError('unavailable', 'Too few servers answer.');
      });
      const work = writeContent(new Uint8Array(length), store, { signal, shape: small });
      expect(await failureOf(work), `${length}`).toMatchObject({ code: 'unavailable' });
      expect(store.counts.put).toBe(failing + 1);
    }
  });

  test('is told at once although the source owes an answer', async () => {
    let closed = 0;
    let asked = 0;
    const source: AsyncIterable<Bytes> = {
      [Symbol.asyncIterator]: () => ({
        next: () =>
          asked++ === 0
            ? Promise.resolve({ done: false, value: new Uint8Array(64) })
            : new Promise(() => undefined),
        return: () => {
          closed += 1;
          return new Promise(() => undefined);
        },
      }),
    };
    const store = new MemoryBlockStore(async () => {
      await settle();
      throw new HoldfastError('unavailable', 'Too few servers answer.');
    });
    const error = await failureOf(writeContent(source, store, { signal, shape: small }));
    expect(error).toMatchObject({ code: 'unavailable', details: { offset: 0 } });
    expect(asked).toBe(2);
    expect(closed).toBe(1);
  });

  test('of the source comes through as it is and cancels the blocks', async () => {
    const broken = new RangeError('the disk is gone');
    async function* source(): AsyncGenerator<Bytes> {
      yield new Uint8Array(300);
      throw broken;
    }
    const store = new MemoryBlockStore((_, __, inner) => untilAborted(inner));
    expect(await failureOf(writeContent(source(), store, { signal, shape: small }))).toBe(broken);
    await settle();
    expect(store.inFlight).toBe(0);
  });

  test('of a source that fails again when it is closed does not hide the first', async () => {
    const source: AsyncIterable<Bytes> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: new Uint8Array(64) }),
        return: () => Promise.reject(new RangeError('cannot close')),
      }),
    };
    const store = new MemoryBlockStore(async () => {
      throw new HoldfastError('over-limit', 'The quota is used up.', { cure: 'Delete something.' });
    });
    expect(await failureOf(writeContent(source, store, { signal, shape: small }))).toMatchObject({
      code: 'over-limit',
      cure: 'Delete something.',
    });
  });

  test('of a store that throws at once, of a progress function, of a source of text', async () => {
    const broken = new RangeError('broken');
    const throwing = {
      put: (): Promise<Bytes> => {
        throw broken;
      },
      get: (): Promise<Bytes> => Promise.reject(broken),
    };
    const store = new MemoryBlockStore();
    const long = new Uint8Array(300);
    const onProgress = (): void => {
      throw broken;
    };
    async function* text(): AsyncGenerator<Bytes> {
      yield utf8('fine');
      yield JSON.parse('"not bytes"');
    }
    expect(await failureOf(writeContent(long, throwing, { signal, shape: small }))).toBe(broken);
    expect(await failureOf(writeContent(long, store, { signal, shape: small, onProgress }))).toBe(
      broken,
    );
    expect(await failureOf(writeContent(text(), store, { signal }))).toMatchObject({
      code: 'usage',
    });
  });

  test('is the end of progress, also if a block is stored after it', async () => {
    const seen: number[] = [];
    const late: (() => void)[] = [];
    const store = new MemoryBlockStore(async (_, index) => {
      if (index === 1) throw new HoldfastError('unavailable', 'Too few servers answer.');
    });
    const put = async (data: Bytes): Promise<Bytes> => {
      const id = await store.put(data, signal);
      await new Promise<void>((resolve) => late.push(resolve));
      return id;
    };
    const get = store.get.bind(store);
    const onProgress = (done: number): void => void seen.push(done);
    const work = writeContent(
      new Uint8Array(300),
      { put, get },
      { signal, shape: small, onProgress },
    );
    expect(await failureOf(work)).toMatchObject({ code: 'unavailable' });
    expect(late.length).toBeGreaterThan(0);
    for (const finish of late) finish();
    await settle();
    expect(seen).toEqual([]);
  });

  test('leaves a source alone that has ended by itself', async () => {
    for (const end of ['done', 'error'] as const) {
      let closed = 0;
      const source: AsyncIterable<Bytes> = {
        [Symbol.asyncIterator]: () => ({
          next: async () => {
            if (end === 'error') throw new RangeError('the disk is gone');
            return { done: true, value: undefined };
          },
          return: async () => {
            closed += 1;
            return { done: true, value: undefined };
          },
        }),
      };
      const store = new MemoryBlockStore(async () => {
        throw new HoldfastError('unavailable', 'Too few servers answer.');
      });
      await failureOf(writeContent(source, store, { signal, shape: small }));
      expect(closed).toBe(0);
    }
  });
});

describe('cancellation', () => {
  test('before the start touches neither source nor store', async () => {
    const source = new Endless(64);
    const store = new MemoryBlockStore();
    const error = await failureOf(writeContent(source, store, { signal: AbortSignal.abort() }));
    expect(error).toMatchObject({ code: 'interrupted' });
    expect([source.given, source.closed, store.counts.put]).toEqual([0, 1, 0]);
  });

  test('ends the write with the reason of the signal and stops the blocks', async () => {
    const reasons: [unknown, string][] = [
      [undefined, 'interrupted'],
      [new HoldfastError('unavailable', 'Not done within 30 seconds.'), 'unavailable'],
      [new DOMException('late', 'TimeoutError'), 'interrupted'],
    ];
    for (const [reason, code] of reasons) {
      const cancel = new AbortController();
      const source = new Endless(64);
      const store = new MemoryBlockStore((_, __, inner) => untilAborted(inner));
      const work = writeContent(source, store, { signal: cancel.signal, shape: small });
      const failure = failureOf(work);
      await settle();
      cancel.abort(reason);
      expect(await failure).toMatchObject({ code });
      await settle();
      expect([source.closed, store.inFlight]).toEqual([1, 0]);
    }
  });

  test('leaves nothing at the signal when the write is over', async () => {
    const { signal: own } = new AbortController();
    await writeContent(new Uint8Array(300), new MemoryBlockStore(), { signal: own, shape: small });
    const failing = new MemoryBlockStore(async () => {
      throw new HoldfastError('unavailable', 'Too few servers answer.');
    });
    await failureOf(writeContent(new Uint8Array(300), failing, { signal: own, shape: small }));
    expect(getEventListeners(own, 'abort')).toEqual([]);
  });

  test('does not depend on a store that takes notice', async () => {
    const cancel = new AbortController();
    const store = new MemoryBlockStore(() => new Promise(() => undefined));
    const work = writeContent(utf8('hello'), store, { signal: cancel.signal });
    const failure = failureOf(work);
    await settle();
    cancel.abort();
    expect(await failure).toMatchObject({ code: 'interrupted' });
  });
});

test('what has been handed to the store is not changed by the source', async () => {
  const content = new Prng(5).bytes(640);
  const store = new MemoryBlockStore();
  await writeContent(pieces(content, 5, 64), store, { signal, shape: small });
  for (const [id, block] of store.blocks) expect(toHex(blockId(block))).toBe(id);
  expect(concatBytes(...[...store.blocks.values()].filter((b) => b.length === 64)).length).toBe(
    640,
  );
});
