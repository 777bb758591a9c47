// What all schemas are made of.

import { ByteListType, ByteVectorType, UintNumberType } from '@chainsafe/ssz';
import { isCounter } from '../base/brand.ts';

type ByteViews = Parameters<UintNumberType['value_deserializeFromBytes']>[0];

/** Counters travel in 8 bytes and are numbers here: what a number cannot hold exactly is refused, not rounded. */
export class CounterType extends UintNumberType {
  override value_deserializeFromBytes(bytes: ByteViews, start: number, end: number): number {
    const value = super.value_deserializeFromBytes(bytes, start, end);
    if (!isCounter(value)) throw new RangeError('a counter is at most 2^53 - 1');
    return value;
  }
}

/** Bytes that may be many: the decoded value is a view into the message, which nobody changes once it has arrived. */
export class DataType extends ByteListType {
  override value_deserializeFromBytes(bytes: ByteViews, start: number, end: number): Uint8Array {
    this.assertValidSize(end - start);
    return bytes.uint8Array.subarray(start, end);
  }
}

export const Bytes16 = new ByteVectorType(16);
export const Bytes32 = new ByteVectorType(32);
export const Signature = new ByteVectorType(64);
export const Uint8 = new UintNumberType(1);
export const Uint16 = new UintNumberType(2);
export const Uint32 = new UintNumberType(4);
export const Uint64 = new CounterType(8);
