import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { damagedEncodings } from '../../testing/wire/damaged.ts';
import {
  arbitraryOf,
  decodeNaively,
  encodeNaively,
  type Shape,
  shapeOf,
  type Value,
} from '../../testing/wire/ssz.ts';
import type { Bytes } from '../base/bytes.ts';
import { limits } from './limits.ts';
import { messageName } from './registry.ts';
import {
  clientPayloadSizeBytesMax,
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessageName,
  replicationMessageName,
  replicationMessageNames,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
  replicationRegistry,
} from './replication-registry.ts';

const shapes = new Map<ReplicationMessageName, Shape>(
  replicationMessageNames.map((name) => [name, shapeOf(replicationRegistry[name].type)]),
);
const small = { bytesMax: 40, listMax: 3 };

function shape(name: ReplicationMessageName): Shape {
  return shapes.get(name) as Shape;
}

/** Decodes, and demands of whatever is accepted that its encoding is the bytes it came from. */
function verdict(name: ReplicationMessageName, bytes: Bytes): boolean {
  const message = decodeReplicationMessage(replicationMessageNumber(name), bytes);
  if (message === undefined) return false;
  expect(message.name).toBe(name);
  const again = encodeReplicationMessage(message.name, message.value as never);
  expect(Buffer.compare(again, bytes)).toBe(0);
  return true;
}

describe.each(replicationMessageNames)('message %s', (name) => {
  it('keeps every valid value, in the encoding that the written rules give', () => {
    fc.assert(
      fc.property(arbitraryOf(shape(name), small), (value: Value) => {
        const bytes = encodeReplicationMessage(name, value as never);
        expect(Buffer.compare(bytes, encodeNaively(shape(name), value))).toBe(0);
        expect(decodeReplicationMessage(replicationMessageNumber(name), bytes)).toEqual({
          name,
          value,
        });
      }),
      { numRuns: 40, seed: 1 },
    );
  });

  it('agrees with the naive decoder about damaged encodings', () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(damagedEncodings(shape(name), small), (bytes) => {
        const isValid = verdict(name, bytes);
        expect(isValid).toBe(decodeNaively(shape(name), bytes) !== undefined);
        if (isValid) accepted += 1;
        else refused += 1;
      }),
      { numRuns: 300, seed: 2 },
    );
    expect(accepted).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
  });

  it('agrees with the naive decoder about any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
        expect(verdict(name, bytes)).toBe(decodeNaively(shape(name), bytes) !== undefined);
      }),
      { numRuns: 150, seed: 3 },
    );
  });

  it('refuses a payload above its bound, whatever is in it', () => {
    const bound = replicationPayloadSizeBytesMax(replicationMessageNumber(name)) ?? 0;
    expect(bound).toBeGreaterThan(0);
    expect(bound).toBeLessThanOrEqual(limits.replicationMessageSizeBytesMax);
    expect(verdict(name, new Uint8Array(bound + 1))).toBe(false);
  });
});

it('numbers are given once, apart from those of storage, and others decode to nothing', () => {
  const numbers = replicationMessageNames.map((name) => replicationMessageNumber(name));
  expect(numbers.map((number) => replicationMessageName(number))).toEqual(replicationMessageNames);
  for (let number = 0; number < 300; number++) {
    const isOurs = numbers.includes(number);
    expect(replicationPayloadSizeBytesMax(number) !== undefined).toBe(isOurs);
    if (isOurs) expect(messageName(number)).toBeUndefined();
    else expect(decodeReplicationMessage(number, new Uint8Array(64))).toBeUndefined();
  }
});

it('clients may send requests, reads and their question, and nothing else', () => {
  const allowed = replicationMessageNames.filter(
    (name) => clientPayloadSizeBytesMax(replicationMessageNumber(name)) !== undefined,
  );
  expect(allowed).toEqual(['submitRequest', 'queryRequest', 'lastNumber']);
  expect(clientPayloadSizeBytesMax(59)).toBeUndefined();
});
