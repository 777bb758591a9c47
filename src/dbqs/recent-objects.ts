// The objects that a replica has lately read from its store or written to it, decoded and checked, so that what is asked
// for again and again is not looked up, hashed and decoded each time. Two generations: when the young one is full it
// becomes the old one, and what is used from the old one moves back.

import { type Bytes, equalBytes, mapKey } from '../base/bytes.ts';
import type { ObjectHeader } from '../wire/types.ts';
import type { ObjectRecord } from './records.ts';

/** Objects per generation; with the data kept at most 2 × 2048 × 5 KiB, 20 MiB. */
const generationMax = 2048;
/** Data above this is read from the store each time. */
const dataSizeBytesMax = 4096;

interface RecentObject {
  readonly record: ObjectRecord;
  data: Bytes | undefined;
}

export class RecentObjects {
  #young = new Map<string, RecentObject>();
  #old = new Map<string, RecentObject>();

  record(object: Bytes): ObjectRecord | undefined {
    return this.#find(mapKey(object))?.record;
  }

  /** The data of exactly this version, if it is kept. */
  data(object: Bytes, header: ObjectHeader): Bytes | undefined {
    const found = this.#find(mapKey(object));
    return found !== undefined && isSameVersion(found.record.header, header)
      ? found.data
      : undefined;
  }

  /** @param data of the record's version; checked by the caller. */
  keep(object: Bytes, record: ObjectRecord, data: Bytes | undefined): void {
    this.#insert(mapKey(object), { record, data: data === undefined ? undefined : kept(data) });
  }

  keepData(object: Bytes, header: ObjectHeader, data: Bytes): void {
    const found = this.#find(mapKey(object));
    if (found !== undefined && isSameVersion(found.record.header, header)) found.data = kept(data);
  }

  forget(object: Bytes): void {
    const key = mapKey(object);
    this.#young.delete(key);
    this.#old.delete(key);
  }

  #find(key: string): RecentObject | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old !== undefined) this.#insert(key, old);
    return old;
  }

  #insert(key: string, object: RecentObject): void {
    if (this.#young.size >= generationMax) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, object);
  }
}

function isSameVersion(a: ObjectHeader, b: ObjectHeader): boolean {
  return (
    a === b ||
    (equalBytes(a.signature, b.signature) && equalBytes(a.version.digest, b.version.digest))
  );
}

/** A copy: what is handed in may be a small view into a large message. */
function kept(data: Bytes): Bytes | undefined {
  return data.length <= dataSizeBytesMax ? Uint8Array.from(data) : undefined;
}
