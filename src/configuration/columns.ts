// The members of a configuration as packed columns, in ascending order of their ids: about 110 bytes a member instead of
// an object with strings. What callers see of a member is made when they ask for it.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, compareBytes, fromHex, textOf, toHex } from '../base/bytes.ts';
import { idSizeBytes } from './ring.ts';

/** One server of a configuration. `index` is its place in id order and valid within that configuration only. */
export interface Member {
  readonly index: number;
  readonly id: Bytes;
  readonly peer: PeerId;
  readonly host: string;
  readonly port: number;
}

const keySizeBytes = 32;

export interface MemberRow {
  readonly id: Bytes;
  readonly publicKey: Bytes;
  readonly host: Bytes;
  readonly port: number;
  readonly active: boolean;
}

export class MemberColumns {
  readonly count: number;
  readonly #ids: Bytes;
  readonly #keys: Bytes;
  readonly #ports: Uint16Array;
  readonly #active: Uint8Array;
  readonly #hosts: Bytes;
  /** Where each host begins in `#hosts`; one more at the end. */
  readonly #hostStarts: Uint32Array;
  /** Indices in ascending order of keys, to find a member by its key. */
  readonly #byKey: Uint32Array;

  constructor(rows: readonly MemberRow[]) {
    this.count = rows.length;
    this.#ids = new Uint8Array(rows.length * idSizeBytes);
    this.#keys = new Uint8Array(rows.length * keySizeBytes);
    this.#ports = new Uint16Array(rows.length);
    this.#active = new Uint8Array(rows.length);
    this.#hostStarts = new Uint32Array(rows.length + 1);
    this.#hosts = new Uint8Array(rows.reduce((sum, { host }) => sum + host.length, 0));
    rows.forEach(({ id, publicKey, host, port, active }, index) => {
      this.#ids.set(id, index * idSizeBytes);
      this.#keys.set(publicKey, index * keySizeBytes);
      this.#ports[index] = port;
      this.#active[index] = active ? 1 : 0;
      const start = this.#hostStarts[index] as number;
      this.#hosts.set(host, start);
      this.#hostStarts[index + 1] = start + host.length;
    });
    this.#byKey = Uint32Array.from(rows.keys()).sort((a, b) =>
      compareBytes(this.key(a), this.key(b)),
    );
  }

  id(index: number): Bytes {
    return this.#ids.subarray(index * idSizeBytes, (index + 1) * idSizeBytes);
  }

  key(index: number): Bytes {
    return this.#keys.subarray(index * keySizeBytes, (index + 1) * keySizeBytes);
  }

  isActive(index: number): boolean {
    return this.#active[index] === 1;
  }

  /** Indices of the active members, ascending. */
  activeIndices(): Uint32Array {
    return Uint32Array.from({ length: this.count }, (_, index) => index).filter((index) =>
      this.isActive(index),
    );
  }

  /** The ids at these indices, joined. */
  idsAt(indices: Uint32Array): Bytes {
    if (indices.length === this.count) return this.#ids;
    const ids = new Uint8Array(indices.length * idSizeBytes);
    indices.forEach((index, position) => {
      ids.set(this.id(index), position * idSizeBytes);
    });
    return ids;
  }

  /** True if two members have one key. */
  hasDuplicateKey(): boolean {
    for (let place = 1; place < this.count; place++) {
      const before = this.#byKey[place - 1] as number;
      if (compareBytes(this.key(before), this.key(this.#byKey[place] as number)) === 0) return true;
    }
    return false;
  }

  /** Index of the member with this key; undefined if there is none. */
  indexOf(peer: PeerId): number | undefined {
    const key = fromHex(peer);
    if (key === undefined) return undefined;
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.key(this.#byKey[middle] as number), key) < 0) low = middle + 1;
      else high = middle;
    }
    const found = this.#byKey[low];
    return found !== undefined && compareBytes(this.key(found), key) === 0 ? found : undefined;
  }

  member(index: number): Member {
    const host = textOf(this.#hosts.subarray(this.#hostStarts[index], this.#hostStarts[index + 1]));
    return {
      index,
      id: this.id(index),
      peer: toHex(this.key(index)) as PeerId,
      host: host ?? '',
      port: this.#ports[index] as number,
    };
  }
}
