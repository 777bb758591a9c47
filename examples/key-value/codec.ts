// Operations and results of the key-value store as bytes. Compact, and strict: one encoding for each, nothing left over.
//
//   get    1  key          put   2  key  value                     delete  3  key
//   cas    4  key  expected (0, or 1 length2 bytes)  value         scan    5  from  limit2           stop  6
//
// A key is length2 and bytes; a value is all that follows. Integers most significant first.

import { type Bytes, concatBytes } from './bytes.ts';

export const keySizeBytesMax = 256;
export const valueSizeBytesMax = 8 * 1024;
/** Entries of one scan. */
export const scanLimitMax = 1000;

export type Operation =
  | { readonly kind: 'get'; readonly key: Bytes }
  | { readonly kind: 'put'; readonly key: Bytes; readonly value: Bytes }
  | { readonly kind: 'delete'; readonly key: Bytes }
  | {
      readonly kind: 'compare-and-set';
      readonly key: Bytes;
      /** Undefined: the key must be absent. */
      readonly expected: Bytes | undefined;
      readonly value: Bytes;
    }
  /** Entries whose key is not below `from`, in ascending order, at most `limit` (1 … `scanLimitMax`). */
  | { readonly kind: 'scan'; readonly from: Bytes; readonly limit: number }
  /** Ends the instance that serves this store. */
  | { readonly kind: 'stop' };

export interface Entry {
  readonly key: Bytes;
  readonly value: Bytes;
}

export type Result =
  /** Done; also when a deleted key was not there. */
  | { readonly kind: 'done' }
  | { readonly kind: 'value'; readonly value: Bytes }
  | { readonly kind: 'absent' }
  /** Compare-and-set found another value, or none. */
  | { readonly kind: 'differs'; readonly current: Bytes | undefined }
  /** `isComplete`: nothing follows. Fewer than the limit may come back otherwise: results are bounded. */
  | { readonly kind: 'entries'; readonly entries: readonly Entry[]; readonly isComplete: boolean }
  | { readonly kind: 'refused'; readonly reason: Refusal };

export type Refusal = 'malformed' | 'full';

const codes = { get: 1, put: 2, delete: 3, 'compare-and-set': 4, scan: 5, stop: 6 } as const;
const resultCodes = { done: 0, value: 1, absent: 2, differs: 3, entries: 4, refused: 5 } as const;
const refusals: readonly Refusal[] = ['malformed', 'full'];

function sized(bytes: Bytes): Bytes {
  return concatBytes(Uint8Array.of(bytes.length >>> 8, bytes.length), bytes);
}

/** Encodes whatever it is given; a store refuses what is too long or out of range. */
export function encodeOperation(operation: Operation): Bytes {
  const code = Uint8Array.of(codes[operation.kind]);
  switch (operation.kind) {
    case 'get':
    case 'delete':
      return concatBytes(code, sized(operation.key));
    case 'put':
      return concatBytes(code, sized(operation.key), operation.value);
    case 'compare-and-set': {
      const { key, expected, value } = operation;
      const condition =
        expected === undefined ? Uint8Array.of(0) : concatBytes(Uint8Array.of(1), sized(expected));
      return concatBytes(code, sized(key), condition, value);
    }
    case 'scan': {
      const { from, limit } = operation;
      return concatBytes(code, sized(from), Uint8Array.of(limit >>> 8, limit));
    }
    case 'stop':
      return code;
  }
}

/** Whether an operation reads only, by its first byte. */
export function readsOnly(bytes: Bytes): boolean {
  return bytes[0] === codes.get || bytes[0] === codes.scan;
}

export function isStop(bytes: Bytes): boolean {
  return bytes.length === 1 && bytes[0] === codes.stop;
}

/** The operation, or undefined when the bytes are not exactly one within the bounds. */
export function decodeOperation(bytes: Bytes): Operation | undefined {
  const [code] = bytes;
  if (code === codes.stop) return bytes.length === 1 ? { kind: 'stop' } : undefined;
  const key = sizedAt(bytes, 1, keySizeBytesMax);
  if (key === undefined) return undefined;
  const rest = bytes.subarray(3 + key.length);
  switch (code) {
    case codes.get:
      return rest.length === 0 ? { kind: 'get', key } : undefined;
    case codes.delete:
      return rest.length === 0 ? { kind: 'delete', key } : undefined;
    case codes.put:
      return rest.length <= valueSizeBytesMax ? { kind: 'put', key, value: rest } : undefined;
    case codes['compare-and-set']:
      return decodeCompareAndSet(key, rest);
    case codes.scan: {
      if (rest.length !== 2) return undefined;
      const limit = uint16At(rest, 0);
      return limit >= 1 && limit <= scanLimitMax ? { kind: 'scan', from: key, limit } : undefined;
    }
    default:
      return undefined;
  }
}

function decodeCompareAndSet(key: Bytes, rest: Bytes): Operation | undefined {
  let expected: Bytes | undefined;
  if (rest[0] === 1) {
    expected = sizedAt(rest, 1, valueSizeBytesMax);
    if (expected === undefined) return undefined;
  } else if (rest[0] !== 0) {
    return undefined;
  }
  const value = rest.subarray(expected === undefined ? 1 : 3 + expected.length);
  if (value.length > valueSizeBytesMax) return undefined;
  return { kind: 'compare-and-set', key, expected, value };
}

function uint16At(bytes: Bytes, offset: number): number {
  return ((bytes[offset] as number) << 8) | (bytes[offset + 1] as number);
}

function sizedAt(bytes: Bytes, offset: number, sizeBytesMax: number): Bytes | undefined {
  if (bytes.length < offset + 2) return undefined;
  const sizeBytes = uint16At(bytes, offset);
  if (sizeBytes > sizeBytesMax || bytes.length < offset + 2 + sizeBytes) return undefined;
  return bytes.subarray(offset + 2, offset + 2 + sizeBytes);
}

export function encodeResult(result: Result): Bytes {
  const code = resultCodes[result.kind];
  switch (result.kind) {
    case 'done':
    case 'absent':
      return Uint8Array.of(code);
    case 'value':
      return tagged(code, result.value);
    case 'differs':
      return result.current === undefined
        ? Uint8Array.of(code, 0)
        : concatBytes(Uint8Array.of(code, 1), result.current);
    case 'entries': {
      const parts: Bytes[] = [Uint8Array.of(code, result.isComplete ? 1 : 0)];
      for (const { key, value } of result.entries) parts.push(sized(key), sized(value));
      return concatBytes(...parts);
    }
    case 'refused':
      return Uint8Array.of(code, refusals.indexOf(result.reason));
  }
}

function tagged(code: number, value: Bytes): Bytes {
  const bytes = new Uint8Array(1 + value.length);
  bytes[0] = code;
  bytes.set(value, 1);
  return bytes;
}

/** The result, or undefined when the bytes are not exactly one. */
export function decodeResult(bytes: Bytes): Result | undefined {
  const rest = bytes.subarray(1);
  switch (bytes[0]) {
    case resultCodes.done:
      return rest.length === 0 ? { kind: 'done' } : undefined;
    case resultCodes.absent:
      return rest.length === 0 ? { kind: 'absent' } : undefined;
    case resultCodes.value:
      return { kind: 'value', value: rest };
    case resultCodes.differs:
      if (rest[0] === 1) return { kind: 'differs', current: rest.subarray(1) };
      return rest[0] === 0 && rest.length === 1
        ? { kind: 'differs', current: undefined }
        : undefined;
    case resultCodes.entries:
      return decodeEntries(rest);
    case resultCodes.refused: {
      const reason = refusals[rest[0] ?? refusals.length];
      return reason === undefined || rest.length !== 1 ? undefined : { kind: 'refused', reason };
    }
    default:
      return undefined;
  }
}

function decodeEntries(rest: Bytes): Result | undefined {
  if (rest[0] === undefined || rest[0] > 1) return undefined;
  const entries: Entry[] = [];
  for (let offset = 1; offset < rest.length; ) {
    const key = sizedAt(rest, offset, keySizeBytesMax);
    if (key === undefined) return undefined;
    offset += 2 + key.length;
    const value = sizedAt(rest, offset, valueSizeBytesMax);
    if (value === undefined) return undefined;
    offset += 2 + value.length;
    entries.push({ key, value });
  }
  return { kind: 'entries', entries, isComplete: rest[0] === 1 };
}
