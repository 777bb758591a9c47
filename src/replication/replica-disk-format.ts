// How a replica's disk is laid out: keys and sealed records of its table.
//
// All keys after `r` and the instance:
//   f                            format: version, what was before (`pasts`), index of the member
//   c, d                         checkpoint, twice: version, sequence, last durable record of the journal, root, notes
//   p region page version        a page as of that save; those with a later version than the checkpoint do not count

import { assert } from '../base/assert.ts';
import { type Bytes, concatBytes, equalBytes, uint64Bytes, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { hashSizeBytes, taggedHash } from '../crypto/hash.ts';
import type { Change, Disk } from '../env/disk.ts';
import type { PageChange } from './contract.ts';
import { regionNumbers } from './page-tree.ts';

const formatVersion = 2;
const checksumSizeBytes = 16;
const checkpointHeadSizeBytes = 3 * 8 + hashSizeBytes;

/** What the format record says of the past. */
const pasts = {
  created: 0,
  started: 1,
  /** It has started, with another table, which is lost. */
  tableLost: 2,
  /** It was made in the place of another one, which is lost, and may have started. */
  diskLost: 3,
} as const;
export type Past = keyof typeof pasts;
const pastNames: readonly Past[] = ['created', 'started', 'tableLost', 'diskLost'];

export interface Keys {
  readonly format: Bytes;
  /** Two of them: one that is damaged must not cost the replica what the other says. */
  readonly checkpoints: readonly Bytes[];
  readonly pages: Bytes;
  readonly afterPages: Bytes;
}

export function keysOf(instance: Bytes): Keys {
  const key = (name: string): Bytes => concatBytes(utf8('r'), instance, utf8(name));
  return {
    format: key('f'),
    checkpoints: [key('c'), key('d')],
    pages: key('p'),
    afterPages: key('q'),
  };
}

/** A page's place in one number: region, then page. */
export function placeOf({ region, page }: PageChange): number {
  return regionNumbers[region] * 2 ** 32 + page;
}

export function pageKey(keys: Keys, place: number, version: number): Bytes {
  return concatBytes(keys.pages, uint64Bytes(place), uint64Bytes(version));
}

export function uint64At(bytes: Bytes, offset: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4);
}

function seal(key: Bytes, body: Bytes): Bytes {
  return concatBytes(taggedHash('record', key, body).subarray(0, checksumSizeBytes), body);
}

/** The body, or undefined if it is damaged or belongs under another key. */
export function unseal(key: Bytes, sealed: Bytes): Bytes | undefined {
  const body = sealed.subarray(checksumSizeBytes);
  return equalBytes(seal(key, body), sealed) ? body : undefined;
}

/** What the record of a checkpoint says. */
export interface CheckpointRecord {
  readonly version: number;
  readonly sequence: number;
  readonly durablePosition: number;
  readonly root: Bytes;
  readonly notes: Bytes;
  /** As stored, without the checksum. */
  readonly body: Bytes;
}

export function decodeCheckpoint(body: Bytes): CheckpointRecord | undefined {
  if (body.length < checkpointHeadSizeBytes) return undefined;
  return {
    version: uint64At(body, 0),
    sequence: uint64At(body, 8),
    durablePosition: uint64At(body, 16),
    root: body.subarray(24, checkpointHeadSizeBytes),
    notes: body.subarray(checkpointHeadSizeBytes),
    body,
  };
}

export function sealedTwice(keys: Keys, body: Bytes): Change[] {
  return keys.checkpoints.map((key) => ({ key, value: seal(key, body) }));
}

export function formatRecord(keys: Keys, self: number, past: Past): Change {
  const body = Uint8Array.of(formatVersion, pasts[past], self >>> 8, self);
  return { key: keys.format, value: seal(keys.format, body) };
}

export function readFormat(disk: Disk, keys: Keys, self: number): Past {
  const sealed = disk.table.get(keys.format);
  if (sealed === undefined) {
    throw new HoldfastError('data-folder', 'this data folder holds no replica of the group', {
      cure: 'Check the folder. If its contents are lost, the member must not start again empty.',
      details: { lost: true },
    });
  }
  const body = unseal(keys.format, sealed);
  if (body?.length !== 4) throw lost('its format record is damaged');
  const [version = 0, number = 0, high = 0, low = 0] = body;
  if (version !== formatVersion) {
    throw new HoldfastError('data-folder', `this data folder has the unknown format ${version}`);
  }
  if (high * 256 + low !== self) {
    throw new HoldfastError(
      'data-folder',
      `this data folder belongs to member ${high * 256 + low}`,
    );
  }
  const past = pastNames.find((name) => pasts[name] === number);
  assert(past !== undefined, 'the sealed record is our own');
  return past;
}

export function lost(what: string): HoldfastError {
  return new HoldfastError('data-folder', `this replica cannot start: ${what}`, {
    cure: 'What this member has promised to the others is lost.',
    details: { lost: true },
  });
}
