import fs from 'node:fs';
import path from 'node:path';
import { isTreeSound, PageSet, type TreeClaim, type TreeFile } from './table-check.ts';

// The first two pages of an LMDB file are its meta pages, written in turn; the one with the higher transaction is in
// force. Offsets within a page, integers little-endian:
const pageSizesBytes = { min: 512, max: 65_536 };
// Of each tree: depth u16, then u64 each: branch pages, leaf pages, pages of large values, entries, root.
const at = { magic: 24, version: 28, pageSize: 48, trees: [54, 102], transaction: 152 } as const;
const metaSizeBytes = 160;
const magic = 0xbeefc0de;
const version = 2;
const noPage = 0xffff_ffff_ffff_ffffn;

export const tableFileName = 'data.mdb';

export type TableDamage = 'table-missing' | 'table-unreadable';

/**
 * Whether the table in `folder` can be opened. The native library ends the process when it is given a file that is not
 * its own, and takes an empty file for a new one, so a look from outside comes first: at the two meta pages, and at every
 * page that they lead to. Values are not looked at; what is kept in tables is checked where it is read.
 */
export function tableDamage(folder: string): TableDamage | undefined {
  const file = path.join(folder, tableFileName);
  if (!fs.existsSync(file)) return 'table-missing';
  const descriptor = fs.openSync(file, 'r');
  try {
    const sizeBytes = fs.fstatSync(descriptor).size;
    const first = readMeta(descriptor, 0);
    const second = first && readMeta(descriptor, first.pageSizeBytes);
    if (first === undefined || second === undefined) return 'table-unreadable';
    const { pageSizeBytes, trees } = first.transaction > second.transaction ? first : second;
    const pages = Math.floor(sizeBytes / pageSizeBytes);
    const pagesOf: TreeFile = { descriptor, pageSizeBytes, pages };
    const seen = new PageSet(pages);
    const isSound = trees.every((tree) => isTreeSound(pagesOf, tree, seen));
    return isSound ? undefined : 'table-unreadable';
  } finally {
    fs.closeSync(descriptor);
  }
}

interface Meta {
  readonly pageSizeBytes: number;
  readonly transaction: bigint;
  readonly trees: readonly TreeClaim[];
}

function readMeta(descriptor: number, offset: number): Meta | undefined {
  const page = Buffer.alloc(metaSizeBytes);
  if (fs.readSync(descriptor, page, 0, metaSizeBytes, offset) < metaSizeBytes) return undefined;
  if (page.readUInt32LE(at.magic) !== magic) return undefined;
  if (page.readUInt32LE(at.version) !== version) return undefined;
  const pageSizeBytes = page.readUInt32LE(at.pageSize);
  if (pageSizeBytes < pageSizesBytes.min || pageSizeBytes > pageSizesBytes.max) return undefined;
  return {
    pageSizeBytes,
    transaction: page.readBigUInt64LE(at.transaction),
    trees: at.trees.map((offset, index) => readClaim(page, offset, index === 0)),
  };
}

function readClaim(page: Buffer, offset: number, isNumbered: boolean): TreeClaim {
  const [branchPages, leafPages, overflowPages, entries] = [2, 10, 18, 26].map((field) =>
    Number(page.readBigUInt64LE(offset + field)),
  );
  const root = page.readBigUInt64LE(offset + 34);
  return {
    root: root === noPage ? undefined : Number(root),
    depth: page.readUInt16LE(offset),
    branchPages: branchPages ?? 0,
    leafPages: leafPages ?? 0,
    overflowPages: overflowPages ?? 0,
    entries: entries ?? 0,
    isNumbered,
  };
}
