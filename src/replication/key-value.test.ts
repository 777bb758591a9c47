import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeOperation,
  decodeResult,
  type Entry,
  encodeOperation,
  encodeResult,
  KeyValueStore,
  keySizeBytesMax,
  type Operation,
  type Result,
  valueSizeBytesMax,
} from '../../examples/key-value/index.ts';
import { type Bytes, bytesOfMapKey, emptyBytes, mapKey, toHex, utf8 } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import { PagedState } from './pages.ts';

/** A store and what it should hold. */
class Pair {
  readonly state = new PagedState();
  readonly store = new KeyValueStore();
  model = new Map<string, Bytes>();

  constructor() {
    this.store.load(this.state.region('service'));
  }

  run(operation: Operation): Result | undefined {
    return decodeResult(this.store.execute(encodeOperation(operation)));
  }

  expected(operation: Operation): Result {
    switch (operation.kind) {
      case 'get': {
        const value = this.model.get(mapKey(operation.key));
        return value === undefined ? { kind: 'absent' } : { kind: 'value', value };
      }
      case 'put':
        this.model.set(mapKey(operation.key), operation.value);
        return { kind: 'done' };
      case 'delete':
        this.model.delete(mapKey(operation.key));
        return { kind: 'done' };
      case 'compare-and-set': {
        const current = this.model.get(mapKey(operation.key));
        const { expected } = operation;
        const hex = (bytes: Bytes | undefined): string =>
          bytes === undefined ? '-' : toHex(bytes);
        if (hex(current) !== hex(expected)) return { kind: 'differs', current };
        this.model.set(mapKey(operation.key), operation.value);
        return { kind: 'done' };
      }
      case 'scan':
        return this.#scanned(mapKey(operation.from), operation.limit);
      case 'stop':
        return { kind: 'done' };
    }
  }

  #scanned(from: string, limit: number): Result {
    const keys = [...this.model.keys()].filter((key) => key >= from).sort();
    const entries: Entry[] = [];
    let sizeBytes = 2;
    for (const key of keys) {
      const value = this.model.get(key) as Bytes;
      sizeBytes += 4 + key.length + value.length;
      if (entries.length === limit || sizeBytes > limits.resultSizeBytesMax) break;
      entries.push({ key: bytesOfMapKey(key), value });
    }
    return { kind: 'entries', entries, isComplete: entries.length === keys.length };
  }
}

function plain(result: Result | Operation | undefined): unknown {
  return JSON.parse(
    JSON.stringify(result ?? null, (_, value: unknown) =>
      value instanceof Uint8Array ? toHex(value) : value,
    ),
  );
}

const smallKey = fc.integer({ min: 0, max: 400 }).map((n) => utf8(`key ${n}`));
const key = fc.oneof(
  { weight: 8, arbitrary: smallKey },
  fc.uint8Array({ maxLength: keySizeBytesMax }),
);
const value = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 60 }) },
  fc
    .tuple(fc.integer({ min: 0, max: valueSizeBytesMax }), fc.integer({ min: 0, max: 255 }))
    .map(([length, fill]) => new Uint8Array(length).fill(fill)),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('get' as const), key }) },
  fc.record({
    kind: fc.constant('compare-and-set' as const),
    key,
    expected: fc.option(value, { nil: undefined }),
    value,
  }),
  fc.record({
    kind: fc.constant('scan' as const),
    from: key,
    limit: fc.integer({ min: 1, max: 1000 }),
  }),
);

describe('the key-value store', () => {
  it('does what a map does, also after its cache is dropped', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(operation, fc.boolean()), { maxLength: 150 }), (steps) => {
        const pair = new Pair();
        for (const [step, drops] of steps) {
          if (drops) pair.store.load(pair.state.region('service'));
          expect(plain(pair.run(step))).toEqual(plain(pair.expected(step)));
        }
      }),
      { numRuns: 150 },
    );
  });

  it('does what a map does through thousands of keys that come and go', () => {
    const pair = new Pair();
    const check = (step: Operation): void =>
      expect(plain(pair.run(step))).toEqual(plain(pair.expected(step)));
    const keyOf = (i: number): Bytes => utf8(`k${(i * 7919) % 6007}`);
    for (let i = 0; i < 6007; i++) {
      check({ kind: 'put', key: keyOf(i), value: new Uint8Array((i * 31) % 200).fill(i) });
    }
    check({ kind: 'scan', from: emptyBytes, limit: 1000 });
    for (let i = 0; i < 6007; i += 1) {
      if (i % 5 !== 0) check({ kind: 'delete', key: keyOf(i) });
      if (i % 500 === 0) check({ kind: 'scan', from: keyOf(i), limit: 100 });
    }
    for (let i = 0; i < 6007; i++) check({ kind: 'get', key: keyOf(i) });
    for (let i = 0; i < 6007; i++) check({ kind: 'delete', key: keyOf(i) });
    check({ kind: 'scan', from: emptyBytes, limit: 1 });
    // Everything is free again and is used before new pages are.
    const pages = [...pair.state.all()].length;
    for (let i = 0; i < 3000; i++) pair.run({ kind: 'put', key: keyOf(i), value: emptyBytes });
    expect([...pair.state.all()]).toHaveLength(pages);
  });

  it('has the same pages wherever the same operations run, with or without a cache', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 120 }),
        fc.integer({ min: 1, max: 9 }),
        (steps, every) => {
          const [a, b] = [new Pair(), new Pair()];
          steps.forEach((step, i) => {
            if (i % every === 0) b.store.load(b.state.region('service'));
            a.run(step);
            b.run(step);
          });
          expect(toHex(a.state.rootNow())).toBe(toHex(b.state.rootNow()));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('reads change nothing', () => {
    const pair = new Pair();
    pair.run({ kind: 'put', key: utf8('a'), value: utf8('1') });
    const root = toHex(pair.state.rootNow());
    for (const step of [
      { kind: 'get', key: utf8('a') },
      { kind: 'scan', from: emptyBytes, limit: 3 },
    ] as const) {
      expect(pair.store.isQuery(encodeOperation(step))).toBe(true);
      pair.store.query(encodeOperation(step));
    }
    expect(toHex(pair.state.rootNow())).toBe(root);
    expect(pair.store.isQuery(encodeOperation({ kind: 'delete', key: utf8('a') }))).toBe(false);
  });

  it('has a result for any bytes whatever', () => {
    const pair = new Pair();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const result = decodeResult(pair.store.execute(bytes));
        expect(result).toBeDefined();
        if (decodeOperation(bytes) === undefined) {
          expect(result).toEqual({ kind: 'refused', reason: 'malformed' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('encodings', () => {
  it('are read back, and nothing else is accepted', () => {
    fc.assert(
      fc.property(operation, fc.uint8Array({ minLength: 1, maxLength: 3 }), (step, extra) => {
        const bytes = encodeOperation(step);
        expect(plain(decodeOperation(bytes))).toEqual(plain(step));
        // Bytes that decode are exactly the encoding of what they decode to.
        for (const other of [bytes.subarray(0, -1), new Uint8Array([...bytes, ...extra])]) {
          const decoded = decodeOperation(other);
          if (decoded !== undefined) expect(toHex(encodeOperation(decoded))).toBe(toHex(other));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('hold every result', () => {
    const results: Result[] = [
      { kind: 'done' },
      { kind: 'absent' },
      { kind: 'value', value: utf8('v') },
      { kind: 'differs', current: undefined },
      { kind: 'differs', current: emptyBytes },
      { kind: 'entries', entries: [{ key: utf8('k'), value: emptyBytes }], isComplete: false },
      { kind: 'refused', reason: 'full' },
    ];
    for (const result of results) expect(decodeResult(encodeResult(result))).toEqual(result);
  });
});
