import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { createJournal, openJournal } from './journal.ts';
import type { JournalFiles } from './journal-segments.ts';
import { closeStaging, openStaging, SegmentWriter } from './segment-writer.ts';

let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-segment-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const header = utf8('a header of 32 bytes, as they are');

/** A disk that has not heard of direct writes. */
const plainFiles: JournalFiles = {
  ...fs,
  openSync: (file, flags, mode) => {
    if (typeof flags === 'number' && (flags & fs.constants.O_DIRECT) !== 0) {
      throw Object.assign(new TypeError('EINVAL: test'), { code: 'EINVAL' });
    }
    return fs.openSync(file, flags, mode);
  },
};

/** Takes at most a few blocks of what it is given. */
const shortFiles: JournalFiles = {
  ...fs,
  writeSync: ((descriptor: number, bytes: Buffer, from: number, length: number, at: number) =>
    fs.writeSync(descriptor, bytes, from, Math.min(length, 8192), at)) as typeof fs.writeSync,
  write: ((
    descriptor: number,
    bytes: Buffer,
    from: number,
    length: number,
    at: number,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ) => fs.write(descriptor, bytes, from, Math.min(length, 8192), at, done)) as typeof fs.write,
};

function segment(name: string): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, Buffer.concat([header, Buffer.alloc(200_000, 0xee)]));
  return file;
}

/** Whether the disk of this test takes direct writes; not all do. */
function isDirectPossible(): boolean {
  const file = path.join(tmpdir(), `holdfast-direct-${process.pid}`);
  fs.writeFileSync(file, header);
  const staging = openStaging(true);
  const writer = SegmentWriter.open(fs, file, header, staging);
  if (writer !== undefined) fs.closeSync(writer.descriptor);
  closeStaging(staging);
  fs.rmSync(file);
  return staging.isDirect && writer !== undefined;
}
const directToo = isDirectPossible() ? [true, false] : [false];

const written = (writer: SegmentWriter): Promise<void> =>
  new Promise((resolve, reject) => {
    writer.write((error) => (error === null ? resolve() : reject(error)));
  });

async function writeRandomly(files: JournalFiles, mayBeDirect: boolean, seed: number) {
  const staging = openStaging(mayBeDirect);
  const file = segment(`${seed}-${mayBeDirect}`);
  const writer = SegmentWriter.open(files, file, header, staging);
  if (writer === undefined) throw new TypeError('the file was refused');
  const prng = new Prng(seed);
  const parts: Uint8Array[] = [header];
  for (let i = 0; i < 60; i++) {
    for (let j = prng.below(4); j >= 0; j--) {
      const part = prng.bytes(1 + prng.below(prng.below(8) === 0 ? 9000 : 300));
      parts.push(part);
      writer.stage(part.length, (target, offset) => target.set(part, offset));
    }
    if (prng.below(2) === 0) writer.writeSync();
    else await written(writer);
    // What was promised is there for another reader at once.
    const expected = Buffer.concat(parts);
    expect(fs.readFileSync(file).subarray(0, expected.length).equals(expected)).toBe(true);
  }
  fs.closeSync(writer.descriptor);
  closeStaging(staging);
  return staging.isDirect;
}

describe('a segment writer', () => {
  test.each([1, 2, 3])('puts every byte in its place, whichever way it writes', async (seed) => {
    for (const mayBeDirect of directToo) {
      expect(await writeRandomly(fs, mayBeDirect, seed)).toBe(mayBeDirect);
    }
  });

  test.each(directToo)('goes on after a short write', async (mayBeDirect) => {
    await writeRandomly(shortFiles, mayBeDirect, 4);
  });

  test.skipIf(directToo.length < 2)(
    'leaves nothing of a reused file in the block behind the last byte',
    () => {
      const staging = openStaging(true);
      const file = segment('reused');
      const writer = SegmentWriter.open(fs, file, header, staging);
      writer?.stage(5000, (target, offset) => target.fill(1, offset, offset + 5000));
      writer?.writeSync();
      const contents = fs.readFileSync(file);
      expect(contents.subarray(header.length + 5000, 8192).every((byte) => byte === 0)).toBe(true);
      expect(contents[8192]).toBe(0xee);
      closeStaging(staging);
    },
  );

  test.skipIf(directToo.length < 2)(
    'says so when a file takes no direct writes, and throws what else is wrong',
    () => {
      const staging = openStaging(true);
      expect(SegmentWriter.open(plainFiles, segment('plain'), header, staging)).toBeUndefined();
      const missing = path.join(folder, 'missing');
      expect(() => SegmentWriter.open(fs, missing, header, staging)).toThrow('ENOENT');
      closeStaging(staging);
    },
  );
});

test('a journal on a disk without direct writes works all the same', async () => {
  const entropy = new Prng(1);
  createJournal({ folder, entropy });
  for (const expected of [[], ['one'], ['one', 'one']]) {
    const opening = openJournal({ folder, entropy, files: plainFiles });
    if (opening.kind === 'damaged') throw new TypeError('damaged');
    const found = [...opening.journal.recover()].map(({ bytes }) => Buffer.from(bytes).toString());
    expect(found).toEqual(expected);
    opening.journal.append(utf8('one'));
    await opening.journal.sync();
    await opening.journal.close();
  }
});
