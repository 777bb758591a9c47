// A second, naive reading of the SSZ rules in docs/WIRE.md, for tests: walks a declared type and shares no code with the
// library that the product encodes with. Also makes random values of any declared type.

import {
  ByteListType,
  ByteVectorType,
  ContainerType,
  ListBasicType,
  ListCompositeType,
  UintNumberType,
} from '@chainsafe/ssz';
import fc from 'fast-check';
import { AssertionFailed } from '../../src/base/assert.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import { concatBytes } from '../../src/base/bytes.ts';

/** What a declared type is made of. */
export type Shape =
  | { readonly kind: 'uint'; readonly sizeBytes: number }
  | { readonly kind: 'vector'; readonly sizeBytes: number }
  | { readonly kind: 'bytes'; readonly sizeBytesMax: number }
  | { readonly kind: 'list'; readonly element: Shape; readonly lengthMax: number }
  | { readonly kind: 'container'; readonly fields: ReadonlyArray<readonly [string, Shape]> };

export type Value = number | Bytes | readonly Value[] | { readonly [field: string]: Value };

export function shapeOf(type: unknown): Shape {
  if (type instanceof UintNumberType) return { kind: 'uint', sizeBytes: type.byteLength };
  if (type instanceof ByteVectorType) return { kind: 'vector', sizeBytes: type.lengthBytes };
  if (type instanceof ByteListType) return { kind: 'bytes', sizeBytesMax: type.limitBytes };
  if (type instanceof ListCompositeType || type instanceof ListBasicType) {
    return { kind: 'list', element: shapeOf(type.elementType), lengthMax: type.limit };
  }
  if (type instanceof ContainerType) {
    const fields: Record<string, unknown> = type.fields;
    return {
      kind: 'container',
      fields: Object.entries(fields).map(([name, field]) => [name, shapeOf(field)] as const),
    };
  }
  throw new AssertionFailed('a wire type of a kind that the wire specification does not have');
}

/** Bytes of every value of this shape; undefined where they differ. */
export function fixedSizeBytes(shape: Shape): number | undefined {
  if (shape.kind === 'uint' || shape.kind === 'vector') return shape.sizeBytes;
  if (shape.kind !== 'container') return undefined;
  let sum = 0;
  for (const [, field] of shape.fields) {
    const size = fixedSizeBytes(field);
    if (size === undefined) return undefined;
    sum += size;
  }
  return sum;
}

export interface Bounds {
  readonly bytesMax: number;
  readonly listMax: number;
}

/** Random values of a shape, with the edges of every field's range among them. */
export function arbitraryOf(shape: Shape, bounds: Bounds): fc.Arbitrary<Value> {
  switch (shape.kind) {
    case 'uint': {
      const max = Math.min(2 ** (8 * shape.sizeBytes) - 1, Number.MAX_SAFE_INTEGER);
      return fc.oneof(
        fc.constantFrom(0, 1, max - 1, max),
        fc.nat({ max: Math.min(max, 2 ** 31 - 1) }),
        fc.integer({ min: 0, max }),
      );
    }
    case 'vector':
      return fc.uint8Array({ minLength: shape.sizeBytes, maxLength: shape.sizeBytes });
    case 'bytes':
      return fc.uint8Array({ maxLength: Math.min(shape.sizeBytesMax, bounds.bytesMax) });
    case 'list':
      return fc.array(arbitraryOf(shape.element, bounds), {
        maxLength: Math.min(shape.lengthMax, bounds.listMax),
      });
    case 'container':
      return fc.record(
        Object.fromEntries(shape.fields.map(([name, field]) => [name, arbitraryOf(field, bounds)])),
      );
  }
}

/** The largest value of a shape: every list and byte string full, every number at its end. */
export function largestOf(shape: Shape): Value {
  switch (shape.kind) {
    case 'uint':
      return Math.min(2 ** (8 * shape.sizeBytes) - 1, Number.MAX_SAFE_INTEGER);
    case 'vector':
      return new Uint8Array(shape.sizeBytes).fill(0xff);
    case 'bytes':
      return new Uint8Array(shape.sizeBytesMax).fill(0xff);
    case 'list':
      return Array.from({ length: shape.lengthMax }, () => largestOf(shape.element));
    case 'container':
      return Object.fromEntries(shape.fields.map(([name, field]) => [name, largestOf(field)]));
  }
}

function fieldOf(value: Value, name: string): Value {
  if (
    typeof value !== 'object' ||
    value instanceof Uint8Array ||
    Array.isArray(value) ||
    !(name in value)
  ) {
    throw new AssertionFailed(`no field ${name}`);
  }
  const fields: Readonly<Record<string, Value>> = value as Readonly<Record<string, Value>>;
  return fields[name] as Value;
}

function bytesOf(value: Value): Bytes {
  if (!(value instanceof Uint8Array)) throw new AssertionFailed('not bytes');
  return value;
}

function uintBytes(value: Value, sizeBytes: number): Bytes {
  if (typeof value !== 'number') throw new AssertionFailed('not a number');
  const big = BigInt(value);
  return Uint8Array.from({ length: sizeBytes }, (_, i) => Number((big >> BigInt(8 * i)) & 0xffn));
}

/** One stretch of an encoding, in order; `path` names what it belongs to. */
export interface Piece {
  readonly path: string;
  readonly what: 'value' | 'offset';
  readonly shape: Shape;
  readonly bytes: Bytes;
}

/** The encoding of a value, cut into its fields and offsets. */
export function piecesOf(shape: Shape, value: Value, path = ''): Piece[] {
  switch (shape.kind) {
    case 'uint':
      return [{ path, what: 'value', shape, bytes: uintBytes(value, shape.sizeBytes) }];
    case 'vector':
    case 'bytes':
      return [{ path, what: 'value', shape, bytes: bytesOf(value) }];
    case 'list': {
      const items = Array.isArray(value) ? (value as readonly Value[]) : [];
      return sequence(items.map((item, i) => [`${path}[${i}]`, shape.element, item] as const));
    }
    case 'container': {
      const prefix = path === '' ? '' : `${path}.`;
      return sequence(
        shape.fields.map(
          ([name, field]) => [`${prefix}${name}`, field, fieldOf(value, name)] as const,
        ),
      );
    }
  }
}

/** Fixed-size parts in place, an offset for each of the others, which follow in order. */
function sequence(parts: ReadonlyArray<readonly [string, Shape, Value]>): Piece[] {
  let tailStart = 0;
  for (const [, shape] of parts) tailStart += fixedSizeBytes(shape) ?? 4;
  const head: Piece[] = [];
  const tail: Piece[] = [];
  for (const [path, shape, value] of parts) {
    const pieces = piecesOf(shape, value, path);
    if (fixedSizeBytes(shape) !== undefined) head.push(...pieces);
    else {
      head.push({ path, what: 'offset', shape, bytes: uintBytes(tailStart, 4) });
      tail.push(...pieces);
      for (const piece of pieces) tailStart += piece.bytes.length;
    }
  }
  return [...head, ...tail];
}

export function encodeNaively(shape: Shape, value: Value): Bytes {
  return concatBytes(...piecesOf(shape, value).map((piece) => piece.bytes));
}

/** Strict decoding: the value whose only encoding is `bytes`, or undefined. */
export function decodeNaively(shape: Shape, bytes: Bytes): Value | undefined {
  switch (shape.kind) {
    case 'uint': {
      if (bytes.length !== shape.sizeBytes) return undefined;
      const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
      return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
    }
    case 'vector':
      return bytes.length === shape.sizeBytes ? bytes : undefined;
    case 'bytes':
      return bytes.length <= shape.sizeBytesMax ? bytes : undefined;
    case 'list':
      return decodeList(shape.element, shape.lengthMax, bytes);
    case 'container': {
      const values = decodeParts(
        shape.fields.map(([, field]) => field),
        bytes,
      );
      return (
        values && Object.fromEntries(shape.fields.map(([name], i) => [name, values[i] as Value]))
      );
    }
  }
}

function decodeList(element: Shape, lengthMax: number, bytes: Bytes): Value[] | undefined {
  if (bytes.length === 0) return [];
  const size = fixedSizeBytes(element);
  const lengthBytes = size === undefined ? uint32At(bytes, 0) : bytes.length;
  const length = lengthBytes === undefined ? 0 : lengthBytes / (size ?? 4);
  if (!Number.isInteger(length) || length < 1 || length > lengthMax) return undefined;
  return decodeParts(
    Array.from({ length }, () => element),
    bytes,
  );
}

function uint32At(bytes: Bytes, at: number): number | undefined {
  const value = decodeNaively({ kind: 'uint', sizeBytes: 4 }, bytes.subarray(at, at + 4));
  return typeof value === 'number' ? value : undefined;
}

function decodeParts(parts: readonly Shape[], bytes: Bytes): Value[] | undefined {
  const headSize = parts.reduce((sum, part) => sum + (fixedSizeBytes(part) ?? 4), 0);
  if (bytes.length < headSize) return undefined;
  const starts: number[] = [];
  let at = 0;
  for (const part of parts) {
    if (fixedSizeBytes(part) === undefined) starts.push(uint32At(bytes, at) ?? 0);
    at += fixedSizeBytes(part) ?? 4;
  }
  const edges = [headSize, ...starts.slice(1), bytes.length];
  // The first variable part begins where the fixed ones end, the others where the one before them ends.
  if ((starts[0] ?? bytes.length) !== headSize) return undefined;
  if (
    edges.some((edge, i) => i > 0 && edge < (edges[i - 1] as number)) ||
    edges.some((edge) => edge > bytes.length)
  )
    return undefined;
  const values: Value[] = [];
  at = 0;
  let variable = 0;
  for (const part of parts) {
    const size = fixedSizeBytes(part);
    const slice =
      size === undefined
        ? bytes.subarray(edges[variable], edges[variable + 1])
        : bytes.subarray(at, at + size);
    if (size === undefined) variable += 1;
    at += size ?? 4;
    const value = decodeNaively(part, slice);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}
