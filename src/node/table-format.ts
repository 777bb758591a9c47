import fs from 'node:fs';
import path from 'node:path';

// The first two pages of an LMDB file are its meta pages, written in turn; the one with the higher transaction is in
// force. Offsets within a page, integers little-endian:
const pageSizesBytes = { min: 512, max: 65_536 };
const at = { magic: 24, version: 28, pageSize: 48, roots: [88, 136], transaction: 152 } as const;
const metaSizeBytes = 160;
const magic = 0xbeefc0de;
const version = 2;
const noPage = 0xffff_ffff_ffff_ffffn;

export const tableFileName = 'data.mdb';

export type TableDamage = 'table-missing' | 'table-unreadable';

/**
 * Whether the table in `folder` can be opened. The native library ends the process when it is given a file that is not
 * its own, and takes an empty file for a new one, so a look from outside comes first. It sees a lost, foreign or cut
 * file; damage inside a page it cannot see, and what is kept in tables is checked where it is read.
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
    const current = first.transaction > second.transaction ? first : second;
    for (const root of current.roots) {
      const end = (root + 1n) * BigInt(current.pageSizeBytes);
      if (root !== noPage && end > BigInt(sizeBytes)) return 'table-unreadable';
    }
    return undefined;
  } finally {
    fs.closeSync(descriptor);
  }
}

interface Meta {
  readonly pageSizeBytes: number;
  readonly transaction: bigint;
  readonly roots: readonly bigint[];
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
    roots: at.roots.map((root) => page.readBigUInt64LE(root)),
  };
}
