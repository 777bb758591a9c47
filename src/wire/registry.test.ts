import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  accepts,
  describeMessages,
  describeNumbers,
  type TestedRegistry,
} from '../../testing/wire/registry-suite.ts';
import {
  fixedSizeBytes,
  largestOf,
  type Shape,
  shapeOf,
  type Value,
} from '../../testing/wire/ssz.ts';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import { limits } from './limits.ts';
import {
  decodeMessage,
  encodeMessage,
  type MessageName,
  type MessageValue,
  messageName,
  messageNames,
  messageNumber,
  payloadSizeBytesMax,
  refusalCodeOf,
  refusalCodes,
  registry,
} from './registry.ts';

const names = messageNames;
const shapes = new Map<MessageName, Shape>(
  names.map((name) => [name, shapeOf(registry[name].type)]),
);

function shape(name: MessageName): Shape {
  return shapes.get(name) as Shape;
}

/** Through the product's encoder; the value was made from the same declaration, which the compiler cannot see. */
function encode(name: MessageName, value: Value): Bytes {
  return encodeMessage(name, value as MessageValue<MessageName>);
}

const tested: TestedRegistry = {
  entries: Object.fromEntries(names.map((name) => [name, registry[name].type])),
  encode: (name, value) => encode(name as MessageName, value as Value),
  decode: (name, bytes) => decodeMessage(messageNumber(name as MessageName), bytes),
  runs: [60, 400, 150],
};
const verdict = (name: MessageName, bytes: Bytes): boolean => accepts(tested, name, bytes);

describeMessages(tested);

describe.each(names)('message %s', (name) => {
  it('has a bound that its largest value meets and nothing exceeds', () => {
    const bound = payloadSizeBytesMax(messageNumber(name)) ?? 0;
    const largest = encode(name, largestOf(shape(name)));
    expect(largest.length).toBe(bound);
    expect(verdict(name, largest)).toBe(true);
    expect(
      decodeMessage(messageNumber(name), concatBytes(largest, new Uint8Array(1))),
    ).toBeUndefined();
    const cap =
      name === 'configuration' ? limits.configurationSizeBytesMax : limits.messageSizeBytesMax;
    expect(bound).toBeLessThanOrEqual(cap);
  });

  it('refuses a full-size payload of anything quickly', () => {
    const bound = payloadSizeBytesMax(messageNumber(name)) ?? 0;
    const before = performance.now();
    for (const fill of [0x00, 0x04, 0x01, 0xff]) {
      verdict(name, new Uint8Array(bound).fill(fill));
    }
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe('counters', () => {
  it.each([
    ['2^53 - 1', 2n ** 53n - 1n, true],
    ['2^53', 2n ** 53n, false],
    ['2^53 + 1, which no number holds', 2n ** 53n + 1n, false],
    ['2^63', 2n ** 63n, false],
    ['2^64 - 1', 2n ** 64n - 1n, false],
  ])('%s', (_, value, accepted) => {
    const bytes = new Uint8Array(fixedSizeBytes(shape('status')) ?? 0);
    new DataView(bytes.buffer).setBigUint64(32, value, true);
    expect(verdict('status', bytes)).toBe(accepted);
  });
});

describe('lists whose offsets promise more than there is', () => {
  /** A configuration message whose member list begins with this offset and has `size` bytes. */
  function withMembers(firstOffset: number, size: number): Bytes {
    const empty = encode('configuration', {
      nonce: new Uint8Array(16),
      configuration: {
        system: new Uint8Array(32),
        certificate: {
          statement: {
            epoch: 0,
            configurationRoot: new Uint8Array(32),
            memberCount: 0,
            activeCount: 0,
            faults: 1,
            parametersHash: new Uint8Array(32),
            previous: new Uint8Array(32),
          },
          signature: new Uint8Array(64),
        },
        members: [],
      },
    });
    const list = new Uint8Array(size);
    new DataView(list.buffer).setUint32(0, firstOffset, true);
    return concatBytes(empty, list);
  }

  it.each([
    ['no element', 0, 8],
    ['more bytes than follow', 2 ** 32 - 4, 8],
    ['a broken multiple', 5, 8],
    ['more elements than the list may have', 4 * (limits.configurationMembersMax + 1), 3_000_000],
    ['a table that fills the payload', 3_000_000, 3_000_000],
  ])('%s', (_, firstOffset, size) => {
    expect(verdict('configuration', withMembers(firstOffset, size))).toBe(false);
  });
});

describe('decoding', () => {
  it('gives nothing for numbers that are not registered', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1, max: 70_000 }),
        fc.uint8Array({ maxLength: 80 }),
        (number, bytes) => {
          if (messageName(number) !== undefined) return;
          expect(payloadSizeBytesMax(number)).toBeUndefined();
          expect(decodeMessage(number, bytes)).toBeUndefined();
        },
      ),
    );
  });

  it('owns what it returns: the input may be reused', () => {
    const bytes = encode('stored', largestOf(shape('stored')));
    const message = decodeMessage(messageNumber('stored'), bytes);
    bytes.fill(0);
    expect(message).toEqual({ name: 'stored', value: largestOf(shape('stored')) });
  });

  it('reads from inside a larger buffer', () => {
    const bytes = encode('stored', largestOf(shape('stored')));
    const inside = concatBytes(new Uint8Array(3), bytes, new Uint8Array(3)).subarray(
      3,
      3 + bytes.length,
    );
    expect(verdict('stored', inside)).toBe(true);
    expect(verdict('stored', Buffer.from(inside))).toBe(true);
  });
});

/** Append only. */
const numbersEverUsed: ReadonlyArray<readonly [number, string]> = [
  [1, 'hello'],
  [2, 'getConfiguration'],
  [3, 'configuration'],
  [4, 'refused'],
  [5, 'stale'],
  [6, 'needConfiguration'],
  [10, 'readVersion'],
  [11, 'version'],
  [12, 'write'],
  [13, 'written'],
  [14, 'fetch'],
  [15, 'data'],
  [20, 'store'],
  [21, 'stored'],
  [22, 'get'],
  [23, 'block'],
  [24, 'absent'],
  [25, 'hold'],
  [26, 'held'],
  [30, 'list'],
  [31, 'listed'],
  [40, 'status'],
  [41, 'serverStatus'],
  [42, 'ping'],
  [43, 'pong'],
  [50, 'registerRead'],
  [51, 'registerValue'],
  [52, 'registerWrite'],
  [53, 'registerWritten'],
];

/** Append only, likewise. */
const refusalsEverUsed: ReadonlyArray<readonly [number, string]> = [
  [1, 'not-certified'],
  [2, 'wrong-system'],
  [3, 'not-responsible'],
  [4, 'too-large'],
  [5, 'over-quota'],
  [6, 'invalid'],
  [7, 'not-held'],
  [8, 'repairing'],
  [9, 'overloaded'],
  [10, 'disk-full'],
  [11, 'disk-failing'],
];

describeNumbers('message numbers', registry, numbersEverUsed);
describeNumbers('refusal codes', refusalCodes, refusalsEverUsed);

it('lists every registered message once', () => {
  expect(Object.keys(registry)).toEqual(messageNames);
});

it('looks refusal codes up by number', () => {
  for (const [name, { number }] of Object.entries(refusalCodes))
    expect(refusalCodeOf(number)).toBe(name);
  expect(refusalCodeOf(0)).toBeUndefined();
  expect(refusalCodeOf(999)).toBeUndefined();
});
