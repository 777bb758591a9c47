import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bytes, concatBytes, toHex, utf8 } from '../../base/bytes.ts';
import { blockId } from '../../dbqs/ids.ts';
import {
  childCount,
  decodeNode,
  decodeRoot,
  depthOf,
  encodeInlineRoot,
  encodeNode,
  encodeTreeRoot,
  standardShape,
  type TreeShape,
} from './node.ts';

const kiB = 1024;
const miB = 1024 * kiB;
const small: TreeShape = { chunkSizeBytes: 64, fanOut: 3, inlineSizeBytesMax: 16 };

interface RawRoot {
  readonly mark?: Bytes;
  readonly version?: number;
  readonly depth: number;
  readonly chunkSizeBytes?: number;
  readonly length: bigint;
  readonly children?: number;
  readonly inline?: Bytes;
}

/** The layout written out by hand, so that the format cannot change unnoticed. */
function rawRoot(fields: RawRoot): Bytes {
  const head = new Uint8Array(38);
  const view = new DataView(head.buffer);
  const children = new Uint8Array(32 * (fields.children ?? 0)).fill(7);
  head.set(fields.mark ?? utf8('holdfast content'));
  view.setUint8(16, fields.version ?? 1);
  view.setUint8(17, fields.depth);
  view.setUint32(18, fields.chunkSizeBytes ?? 64, true);
  view.setBigUint64(22, fields.length, true);
  view.setUint32(30, head.length, true);
  view.setUint32(34, head.length + children.length, true);
  return concatBytes(head, children, fields.inline ?? new Uint8Array(0));
}

const childrenOf = (count: number): Bytes[] =>
  Array.from({ length: count }, () => new Uint8Array(32).fill(7));

test('roots are laid out as the format says', () => {
  expect(encodeInlineRoot(utf8('hello'), small)).toEqual(
    rawRoot({ depth: 0, length: 5n, inline: utf8('hello') }),
  );
  expect(encodeTreeRoot(200, childrenOf(2), small)).toEqual(
    rawRoot({ depth: 2, length: 200n, children: 2 }),
  );
  expect(encodeNode(childrenOf(3))).toEqual(new Uint8Array(96).fill(7));
});

test('the standard tree at its boundaries', () => {
  const depths: [number, number][] = [
    [0, 0],
    [32 * kiB, 0],
    [32 * kiB + 1, 1],
    [1024 * miB, 1],
    [1024 * miB + 1, 2],
    [1024 ** 2 * miB, 2],
    [1024 ** 2 * miB + 1, 3],
    [Number.MAX_SAFE_INTEGER, 4],
  ];
  for (const [length, depth] of depths) expect(depthOf(length, standardShape)).toBe(depth);
  expect(childCount(1024 * miB + 1, 2, standardShape)).toBe(2);
  expect(childCount(Number.MAX_SAFE_INTEGER, 4, standardShape)).toBe(8);
  const largest = encodeTreeRoot(1024 * miB, childrenOf(1024), standardShape);
  expect(decodeRoot(largest, standardShape)).toMatchObject({ depth: 1, length: 1024 * miB });
});

test('the root of a given text never changes', () => {
  expect(toHex(blockId(encodeInlineRoot(utf8('hello'), standardShape)))).toMatchInlineSnapshot(
    `"0f3e2cd46a53932301e97e0815aed7f26661c6561f3a4f0f0250c45156441ab4"`,
  );
});

describe('a malformed root is refused', () => {
  const cases: [string, RawRoot, string][] = [
    ['another mark', { mark: utf8('holdfast Content'), depth: 0, length: 0n }, 'not-a-root'],
    ['another version', { version: 2, depth: 0, length: 0n }, 'unknown-version'],
    [
      'another chunk size',
      { chunkSizeBytes: 32, depth: 1, length: 60n, children: 1 },
      'other-shape',
    ],
    ['chunk size 0', { chunkSizeBytes: 0, depth: 1, length: 60n, children: 1 }, 'other-shape'],
    ['a length beyond 2^53', { depth: 4, length: 2n ** 53n, children: 1 }, 'bad-length'],
    ['the largest length', { depth: 255, length: 2n ** 64n - 1n, children: 3 }, 'bad-length'],
    ['a tree for inline content', { depth: 1, length: 16n, children: 1 }, 'wrong-depth'],
    [
      'inline content beyond the bound',
      { depth: 0, length: 17n, inline: new Uint8Array(17) },
      'wrong-depth',
    ],
    ['a tree that is too deep', { depth: 3, length: 200n, children: 1 }, 'wrong-depth'],
    ['a tree that is too flat', { depth: 1, length: 200n, children: 3 }, 'wrong-depth'],
    ['depth 255', { depth: 255, length: 200n, children: 2 }, 'wrong-depth'],
    ['less inline than the length', { depth: 0, length: 6n, inline: utf8('hello') }, 'bad-length'],
    ['more inline than the length', { depth: 0, length: 4n, inline: utf8('hello') }, 'bad-length'],
    [
      'inline content beside children',
      { depth: 1, length: 60n, children: 1, inline: utf8('x') },
      'bad-length',
    ],
    [
      'children beside inline content',
      { depth: 0, length: 1n, children: 1, inline: utf8('x') },
      'wrong-child-count',
    ],
    ['a child too many', { depth: 1, length: 128n, children: 3 }, 'wrong-child-count'],
    ['a child too few', { depth: 1, length: 129n, children: 2 }, 'wrong-child-count'],
    ['no children', { depth: 1, length: 60n }, 'wrong-child-count'],
    [
      'more children than any root has',
      { depth: 1, length: 192n, children: 1025 },
      'not-canonical',
    ],
  ];
  test.each(cases)('%s', (_, fields, fault) => {
    expect(decodeRoot(rawRoot(fields), small)).toBe(fault);
  });

  test('offsets that leave a gap or overlap, and bytes too many or too few', () => {
    const good = rawRoot({ depth: 1, length: 128n, children: 2 });
    expect(decodeRoot(good, small)).toMatchObject({ depth: 1, length: 128 });
    for (const [at, value] of [
      [30, 39],
      [30, 37],
      [30, 0],
      [34, 0],
      [34, 0xffffffff],
      [34, 37],
    ] as const) {
      const bad = good.slice();
      new DataView(bad.buffer).setUint32(at, value, true);
      expect(decodeRoot(bad, small), `${at} ${value}`).toBe('not-canonical');
    }
    expect(decodeRoot(concatBytes(good, new Uint8Array(1)), small)).toBe('bad-length');
    expect(decodeRoot(good.subarray(0, good.length - 1), small)).toBe('not-canonical');
    expect(decodeRoot(concatBytes(good, new Uint8Array(miB)), small)).toBe('not-canonical');
    for (let length = 0; length < 38; length++)
      expect(typeof decodeRoot(good.subarray(0, length), small)).toBe('string');
  });

  test('whatever is taken is exactly what would have been written', () => {
    const good = rawRoot({ depth: 2, length: 300n, children: 2 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.boolean(),
        (changes, tail, random) => {
          const bytes = random ? concatBytes(good.subarray(0, 17), tail) : good.slice();
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
          const root = decodeRoot(bytes, small);
          if (typeof root === 'string') return;
          const again =
            root.depth === 0
              ? encodeInlineRoot(root.inline, small)
              : encodeTreeRoot(root.length, root.children, small);
          expect(again).toEqual(bytes);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test('a node has exactly the children of its place', () => {
  const children = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte));
  expect(decodeNode(encodeNode(children), 3)).toEqual(children);
  for (const count of [0, 2, 4, 1024]) {
    expect(decodeNode(encodeNode(children), count)).toBe('wrong-child-count');
  }
  expect(decodeNode(new Uint8Array(33), 1)).toBe('wrong-child-count');
});
