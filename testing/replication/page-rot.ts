// A member's table rots: pages change, grow, shrink, vanish, come back older, or all of it does. Its journal is whole, so
// the member stays a correct one: it must notice, and repair itself from the others.

import { type Bytes, concatBytes, equalBytes, utf8 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { TableEntry } from '../../src/env/disk.ts';
import { limits } from '../../src/wire/limits.ts';
import { flipBits } from '../simulator/faults.ts';
import type { ReplicaMachine } from './replica-machine.ts';

export const rotKinds = [
  'flip',
  'cut',
  'empty',
  'longer',
  'too-long',
  'older',
  'lost',
  'moved',
  'more',
  'all-lost',
  'table-older',
] as const;
export type RotKind = (typeof rotKinds)[number];

const pagesPerRotMax = 3;
/** Region, page and version, eight bytes and eight. */
const placeSizeBytes = 16;

export class PageRot {
  readonly #replica: ReplicaMachine;
  readonly #prng: Prng;
  readonly #format: Bytes;
  readonly #pages: Bytes;
  /** The table as it was before it rotted last. */
  #older: readonly TableEntry[] = [];

  constructor(replica: ReplicaMachine, instance: Bytes, prng: Prng) {
    this.#replica = replica;
    this.#prng = prng;
    this.#format = concatBytes(utf8('r'), instance, utf8('f'));
    this.#pages = concatBytes(utf8('r'), instance, utf8('p'));
  }

  /** What is there now is what `older` pages come from the next time. */
  remember(): void {
    this.#older = this.#table.content();
  }

  /** Crashes the member, does something to its table and starts it again. @returns whether there was anything to rot. */
  play(kind: RotKind = this.#prng.pick(rotKinds) ?? 'flip'): boolean {
    this.#replica.crash();
    const before = this.#table.content();
    const pages = before.filter(({ key }) => this.#isPage(key));
    if (kind === 'table-older') this.#putBack(before);
    else if (kind === 'all-lost') for (const { key } of pages) this.#table.alter(key, undefined);
    else {
      const count = this.#prng.between(1, pagesPerRotMax);
      for (const page of this.#prng.shuffled(pages).slice(0, count)) this.#rot(kind, page);
    }
    this.#older = before;
    this.#replica.start();
    return pages.length > 0;
  }

  get #table() {
    return this.#replica.node.disk.table;
  }

  #isPage(key: Bytes): boolean {
    const isLong = key.length === this.#pages.length + placeSizeBytes;
    return isLong && equalBytes(key.subarray(0, this.#pages.length), this.#pages);
  }

  /** The whole table but the mark that it is this member's. */
  #putBack(before: readonly TableEntry[]): void {
    if (this.#older.length === 0) return;
    const isOther = ({ key }: TableEntry): boolean => !equalBytes(key, this.#format);
    for (const { key } of before.filter(isOther)) this.#table.alter(key, undefined);
    for (const { key, value } of this.#older.filter(isOther)) this.#table.alter(key, value);
  }

  #rot(kind: Exclude<RotKind, 'table-older' | 'all-lost'>, { key, value }: TableEntry): void {
    // What is empty already can only grow.
    switch (value.length === 0 && (kind === 'flip' || kind === 'cut') ? 'longer' : kind) {
      case 'flip':
        return this.#table.alter(key, flipBits(value, 3, this.#prng));
      case 'cut':
        return this.#table.alter(key, value.subarray(0, this.#prng.below(value.length)));
      case 'empty':
        return this.#table.alter(key, new Uint8Array(0));
      case 'longer':
        return this.#table.alter(key, concatBytes(value, this.#prng.bytes(9)));
      case 'too-long':
        return this.#table.alter(key, new Uint8Array(limits.pageSizeBytesMax + 1));
      case 'lost':
        return this.#table.alter(key, undefined);
      case 'older':
        return this.#table.alter(key, this.#olderOf(key) ?? value);
      case 'moved':
      case 'more': {
        if (kind === 'moved') this.#table.alter(key, undefined);
        const place = flipBits(key.subarray(this.#pages.length), 1, this.#prng);
        return this.#table.alter(concatBytes(this.#pages, place), value);
      }
    }
  }

  /** What the page held when the table was remembered. */
  #olderOf(key: Bytes): Bytes | undefined {
    const placeOf = (each: Bytes): Bytes => each.subarray(0, -placeSizeBytes / 2);
    return this.#older.find((entry) => equalBytes(placeOf(entry.key), placeOf(key)))?.value;
  }
}
