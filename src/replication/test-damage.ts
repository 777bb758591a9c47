// What a disk may give instead of the pages that were saved, for the tests of both engines.

import type { Bytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import type { PageChange, Region } from './contract.ts';

/** By region and number, as the test clusters keep them. */
export type StoredPages = Map<string, PageChange>;

export interface Damage {
  readonly what: string;
  /** Codes that the replica finds it by. */
  readonly codes: readonly string[];
  /** Pages that must come from others; undefined: all there are. */
  readonly fetched: number | undefined;
  /** @param older what was there earlier, with another page 0 of the service. */
  readonly play: (pages: StoredPages, older: StoredPages) => void;
}

function change(pages: StoredPages, place: string, alter: (bytes: Bytes) => Bytes): void {
  const page = pages.get(place);
  if (page?.bytes === undefined) throw new TypeError(`no page ${place}`);
  pages.set(place, { ...page, bytes: alter(page.bytes) });
}

function add(pages: StoredPages, region: Region, page: number, bytes: Bytes): void {
  pages.set(`${region}/${page}`, { region, page, bytes });
}

function flipped(bytes: Bytes): Bytes {
  return bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 4 : byte));
}

const differ = ['disk-pages-differ'];
const tooLong = new Uint8Array(limits.pageSizeBytesMax + 1).fill(1);
const huge = new Uint8Array(3_000_000).fill(1);

export const damages: readonly Damage[] = [
  {
    what: 'a page that is too long by a byte',
    codes: ['disk-page-too-long', ...differ],
    fetched: 1,
    play: (pages) => change(pages, 'service/0', () => tooLong),
  },
  {
    what: 'a page that is very much too long, in the table of clients',
    codes: ['disk-page-too-long', ...differ],
    fetched: 1,
    play: (pages) => change(pages, 'clients/0', () => huge),
  },
  {
    what: 'a page too many that is too long',
    codes: ['disk-page-too-long'],
    fetched: 0,
    play: (pages) => add(pages, 'service', 700, tooLong),
  },
  {
    what: 'an empty page',
    codes: differ,
    fetched: 1,
    play: (pages) => change(pages, 'service/0', () => new Uint8Array(0)),
  },
  {
    what: 'a page cut short',
    codes: differ,
    fetched: 1,
    play: (pages) => change(pages, 'service/0', (bytes) => bytes.subarray(0, bytes.length - 1)),
  },
  {
    what: 'a flipped bit in a page of the service',
    codes: differ,
    fetched: 1,
    play: (pages) => change(pages, 'service/0', flipped),
  },
  {
    what: 'a flipped bit in a client of the table',
    codes: differ,
    fetched: 1,
    play: (pages) => change(pages, 'clients/0', flipped),
  },
  {
    what: 'bytes that are no client in the table',
    codes: differ,
    fetched: 1,
    play: (pages) => change(pages, 'clients/0', () => Uint8Array.of(1, 2, 3)),
  },
  {
    what: 'a missing page',
    codes: differ,
    fetched: 1,
    play: (pages) => void pages.delete('service/0'),
  },
  {
    what: 'a page too many',
    codes: differ,
    fetched: 0,
    play: (pages) => add(pages, 'service', 300, Uint8Array.of(1)),
  },
  {
    what: 'a client too many',
    codes: differ,
    fetched: 0,
    play: (pages) => add(pages, 'clients', 40, Uint8Array.of(1)),
  },
  {
    what: 'a page with a number that there is not',
    codes: ['disk-page-misplaced'],
    fetched: 0,
    play: (pages) => add(pages, 'service', limits.pagesMax, Uint8Array.of(1)),
  },
  {
    what: 'a page under the number of another one',
    codes: differ,
    fetched: 1,
    play: (pages) => {
      const page = pages.get('service/0');
      pages.delete('service/0');
      add(pages, 'service', 9000, page?.bytes ?? tooLong);
    },
  },
  {
    what: 'an older copy of one page',
    codes: differ,
    fetched: 1,
    play: (pages, older) => {
      const page = older.get('service/0');
      if (page !== undefined) pages.set('service/0', page);
    },
  },
  {
    what: 'no page at all',
    codes: differ,
    fetched: undefined,
    play: (pages) => pages.clear(),
  },
];
