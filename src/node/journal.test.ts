import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Bytes, utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import type { Journal } from '../env/disk.ts';
import { DiskError } from './disk-error.ts';
import { createJournal, openJournal } from './journal.ts';
import { recordHeaderSizeBytes, segmentHeaderSizeBytes } from './journal-format.ts';
import type { JournalDamage, JournalFiles } from './journal-segments.ts';

let root: string;
let copies = 0;
const prng = new Prng(1);

beforeEach(() => {
  root = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-journal-'));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

interface Where {
  readonly folder: string;
  readonly segmentSizeBytes?: number;
  readonly files?: JournalFiles;
  readonly mayBeDirect?: boolean;
}

const entropy = { bytes: (length: number) => prng.bytes(length) };

function create(segmentSizeBytes = 4096): Where {
  const folder = path.join(root, `journal-${copies++}`);
  fs.mkdirSync(folder);
  createJournal({ folder, segmentSizeBytes, entropy });
  return { folder, segmentSizeBytes };
}

function copyOf({ folder, ...rest }: Where): Where {
  const copy = path.join(root, `journal-${copies++}`);
  fs.cpSync(folder, copy, { recursive: true });
  return { ...rest, folder: copy };
}

function open(where: Where): Journal {
  const opening = openJournal({ ...where, entropy });
  if (opening.kind === 'damaged') throw new TypeError(`damaged: ${JSON.stringify(opening.damage)}`);
  return opening.journal;
}

function damageOf(where: Where): JournalDamage | undefined {
  const opening = openJournal({ ...where, entropy });
  if (opening.kind === 'damaged') return opening.damage;
  void opening.journal.close();
  return undefined;
}

const segments = ({ folder }: Where): string[] =>
  fs
    .readdirSync(folder)
    .filter((name) => name.endsWith('.journal'))
    .sort()
    .map((name) => path.join(folder, name));

const lastSegment = (where: Where): string => segments(where).at(-1) ?? '';

const texts = (journal: Journal): string[] =>
  [...journal.recover()].map(({ bytes }) => Buffer.from(bytes).toString());

async function appendSynced(journal: Journal, ...values: (string | Bytes)[]): Promise<void> {
  for (const value of values) {
    journal.append(typeof value === 'string' ? utf8(value) : value);
    await journal.sync();
  }
}

function flipByte(file: string, offset: number): void {
  const contents = fs.readFileSync(file);
  contents[offset] = (contents[offset] ?? 0) ^ 0x10;
  fs.writeFileSync(file, contents);
}

describe('a torn end', () => {
  test('is cut off wherever the last record breaks off', async () => {
    const where = create();
    const journal = open(where);
    await appendSynced(journal, 'first', 'second');
    const before = copyOf(where);
    await appendSynced(journal, 'third, torn');
    const after = fs.readFileSync(lastSegment(where));
    const begin = segmentHeaderSizeBytes + 2 * recordHeaderSizeBytes + 'firstsecond'.length;
    const end = begin + recordHeaderSizeBytes + 'third, torn'.length;

    for (let kept = begin; kept <= end; kept++) {
      const torn = copyOf(before);
      const contents = fs.readFileSync(lastSegment(torn));
      after.copy(contents, begin, begin, kept);
      fs.writeFileSync(lastSegment(torn), contents);
      const reopened = open(torn);
      const whole = kept === end;
      expect(texts(reopened)).toEqual(['first', 'second', ...(whole ? ['third, torn'] : [])]);
      // What comes next takes the place of the torn record and nothing of that ever shows again.
      await appendSynced(reopened, 'next');
      await reopened.close();
      const again = open(torn);
      expect(texts(again).at(-1)).toBe('next');
      await again.close();
    }
    await journal.close();
  });

  test('is also a batch of which an earlier record is lost and a later one is there', async () => {
    const where = create();
    const journal = open(where);
    await appendSynced(journal, 'durable');
    for (const text of ['one', 'two', 'three']) journal.append(utf8(text));
    await journal.sync();
    const torn = copyOf(where);
    const second = segmentHeaderSizeBytes + recordHeaderSizeBytes + 'durable'.length;
    flipByte(lastSegment(torn), second + recordHeaderSizeBytes);
    const reopened = open(torn);
    expect(texts(reopened)).toEqual(['durable']);
    await appendSynced(reopened, 'ONE');
    await reopened.close();
    const again = open(torn);
    expect(texts(again)).toEqual(['durable', 'ONE']);
    await again.close();
    await journal.close();
  });
});

describe('damage', () => {
  test('to any byte of a promised record is reported, and nothing is changed', async () => {
    const where = create();
    const journal = open(where);
    await appendSynced(journal, 'first', 'second', 'third');
    const begin = segmentHeaderSizeBytes + recordHeaderSizeBytes + 'first'.length;
    const end = begin + recordHeaderSizeBytes + 'second'.length;
    for (let offset = begin; offset < end; offset++) {
      const damaged = copyOf(where);
      flipByte(lastSegment(damaged), offset);
      const before = fs.readdirSync(damaged.folder);
      expect(damageOf(damaged)).toMatchObject({ lastGood: 1, reason: 'unreadable-record' });
      expect(fs.readdirSync(damaged.folder)).toEqual(before);
    }
    await journal.close();
  });

  test('to the very last record is reported when the journal was closed after it', async () => {
    const where = create();
    const journal = open(where);
    await appendSynced(journal, 'first', 'last');
    await journal.close();
    flipByte(
      lastSegment(where),
      segmentHeaderSizeBytes + 2 * recordHeaderSizeBytes + 'first'.length,
    );
    expect(damageOf(where)).toMatchObject({ lastGood: 1, reason: 'unreadable-record' });
  });

  test('to an earlier file is reported: its end, its header, all of it', async () => {
    const where = create(1024);
    const journal = open(where);
    for (let i = 0; i < 10; i++) await appendSynced(journal, new Uint8Array(300).fill(i));
    await journal.close();
    const files = segments(where);
    expect(files.length).toBeGreaterThan(3);
    const damageAfter = (
      harm: (file: string) => void,
      index: number,
    ): JournalDamage | undefined => {
      const damaged = copyOf(where);
      harm(segments(damaged)[index] ?? '');
      return damageOf(damaged);
    };
    expect(damageAfter((file) => flipByte(file, 600), 2)?.reason).toBe('unreadable-record');
    expect(damageAfter((file) => flipByte(file, 20), 2)?.reason).toBe('bad-header');
    expect(damageAfter((file) => fs.truncateSync(file, 10), 2)?.reason).toBe('bad-header');
    expect(damageAfter((file) => fs.rmSync(file), 2)?.reason).toBe('unreadable-record');
  });

  test('is not feigned by records that hold copies of records', async () => {
    const where = create(16_384);
    const journal = open(where);
    await appendSynced(journal, 'a', 'b');
    // A client may have seen another server's file, but never the marker of this one.
    const other = create(16_384);
    const otherJournal = open(other);
    await appendSynced(otherJournal, 'x', 'y', 'z');
    const copied = fs.readFileSync(lastSegment(other)).subarray(0, 2000);
    journal.append(copied);
    await journal.sync();
    const torn = copyOf(where);
    const third = segmentHeaderSizeBytes + 2 * (recordHeaderSizeBytes + 1);
    flipByte(lastSegment(torn), third + 9);
    const reopened = open(torn);
    expect(texts(reopened)).toEqual(['a', 'b']);
    await Promise.all([reopened.close(), journal.close(), otherJournal.close()]);
  });

  test('an emptied folder is not an empty journal', () => {
    const where = create();
    for (const file of segments(where)) fs.rmSync(file);
    expect(damageOf(where)).toMatchObject({ reason: 'no-segments' });
  });
});

describe('files', () => {
  test('are begun, recycled when trimmed, and give everything back in between', async () => {
    const where = create(2048);
    let journal = open(where);
    let expected: string[] = [];
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 40; i++) {
        const text = `${round}-${i}-${'.'.repeat(prng.below(200))}`;
        expected.push(text);
        const position = journal.append(utf8(text));
        if (i % 3 === 0) await journal.sync();
        if (i === 30) {
          journal.trim(position - 10);
          expected = expected.slice(-11);
        }
      }
      await journal.sync();
      expect(segments(where).length).toBeLessThan(12);
      await journal.close();
      journal = open(where);
      expect(texts(journal).slice(-expected.length)).toEqual(expected);
    }
    await journal.close();
  });

  test('take a record that is larger than a file is meant to be', async () => {
    const where = create(1024);
    const journal = open(where);
    const large = new Uint8Array(10_000).fill(5);
    await appendSynced(journal, 'small', large, 'small again');
    await journal.close();
    const reopened = open(where);
    expect([...reopened.recover()].map(({ bytes }) => bytes.length)).toEqual([5, 10_000, 11]);
    await reopened.close();
  });

  test('without records do not pile up over restarts', async () => {
    const where = create();
    for (let i = 0; i < 5; i++) await open(where).close();
    expect(segments(where)).toHaveLength(1);
  });
});

/** Real files until told to fail. */
function failingFiles(): {
  files: JournalFiles;
  fail: Partial<Record<keyof JournalFiles, string>>;
} {
  const fail: Partial<Record<keyof JournalFiles, string>> = {};
  const trouble = (name: keyof JournalFiles): NodeJS.ErrnoException | undefined => {
    const code = fail[name];
    return code === undefined ? undefined : Object.assign(new TypeError(`${code}: test`), { code });
  };
  const guard = <Args extends unknown[], Result>(
    name: keyof JournalFiles,
    run: (...args: Args) => Result,
  ) => {
    return (...args: Args): Result => {
      const error = trouble(name);
      if (error !== undefined) throw error;
      return run(...args);
    };
  };
  const files: JournalFiles = {
    ...fs,
    fsyncSync: guard('fsyncSync', fs.fsyncSync),
    fdatasyncSync: guard('fdatasyncSync', (descriptor: number) => {
      fs.fdatasyncSync(descriptor);
    }),
    writeSync: ((descriptor: number, bytes: Buffer, from: number, length: number, at: number) => {
      const error = trouble('writeSync');
      if (error !== undefined) throw error;
      return fs.writeSync(descriptor, bytes, from, length, at);
    }) as typeof fs.writeSync,
  };
  return { files, fail };
}

describe('a failing disk', () => {
  test('rejects the waiting syncs with its kind, and nothing more is taken', async () => {
    const { files, fail } = failingFiles();
    const where = create();
    const journal = open({ ...where, files });
    await appendSynced(journal, 'kept');
    fail.writeSync = 'ENOSPC';
    journal.append(utf8('lost'));
    const syncs = [journal.sync(), journal.sync()];
    for (const sync of syncs) await expect(sync).rejects.toMatchObject({ fault: 'disk-full' });
    delete fail.writeSync;
    expect(() => journal.append(utf8('no'))).toThrow(DiskError);
    await expect(journal.sync()).rejects.toMatchObject({ fault: 'disk-full' });
    await expect(journal.close()).rejects.toMatchObject({ fault: 'disk-full' });
    const reopened = open(where);
    expect(texts(reopened)).toEqual(['kept']);
    await reopened.close();
  });

  test('after a failed sync a later one that works does not count', async () => {
    const { files, fail } = failingFiles();
    const where = create();
    const journal = open({ ...where, files, mayBeDirect: false });
    journal.append(utf8('x'));
    fail.fdatasyncSync = 'EIO';
    await expect(journal.sync()).rejects.toMatchObject({ fault: 'disk-failed' });
    delete fail.fdatasyncSync;
    await expect(journal.sync()).rejects.toMatchObject({ fault: 'disk-failed' });
    await expect(journal.close()).rejects.toBeInstanceOf(DiskError);
  });

  test('that has no room for the next file fails the sync that needed it', async () => {
    const { files, fail } = failingFiles();
    const where = create(1024);
    const journal = open({ ...where, files });
    await appendSynced(journal, new Uint8Array(400));
    fail.fsyncSync = 'ENOSPC';
    journal.append(new Uint8Array(900));
    await expect(journal.sync()).rejects.toMatchObject({ fault: 'disk-full' });
    delete fail.fsyncSync;
    await expect(journal.close()).rejects.toBeInstanceOf(DiskError);
    const reopened = open(where);
    expect([...reopened.recover()]).toHaveLength(1);
    await reopened.close();
  });

  test.each([false, true])(
    'that is slow is synced in the thread pool, one at a time',
    async (mayBeDirect) => {
      let inLoop = 0;
      let running = 0;
      let runningMax = 0;
      let inPool = 0;
      const slow = (): void => {
        inLoop++;
        const untilMs = performance.now() + 20;
        while (performance.now() < untilMs);
      };
      const inTurn = <Rest extends unknown[]>(
        done: (error: NodeJS.ErrnoException | null, ...rest: Rest) => void,
      ) => {
        inPool++;
        running++;
        runningMax = Math.max(runningMax, running);
        return (error: NodeJS.ErrnoException | null, ...rest: Rest): void => {
          running--;
          done(error, ...rest);
        };
      };
      const files: JournalFiles = {
        ...fs,
        fdatasyncSync(descriptor) {
          slow();
          fs.fdatasyncSync(descriptor);
        },
        writeSync: ((
          descriptor: number,
          bytes: Buffer,
          from: number,
          length: number,
          at: number,
        ) => {
          if (mayBeDirect) slow();
          return fs.writeSync(descriptor, bytes, from, length, at);
        }) as typeof fs.writeSync,
        fdatasync: Object.assign(
          (descriptor: number, done: (error: NodeJS.ErrnoException | null) => void) =>
            fs.fdatasync(descriptor, inTurn(done)),
          { __promisify__: fs.fdatasync.__promisify__ },
        ),
        write: ((
          descriptor: number,
          bytes: Buffer,
          from: number,
          length: number,
          at: number,
          done: (error: NodeJS.ErrnoException | null, written: number) => void,
        ) =>
          fs.write(
            descriptor,
            bytes,
            from,
            length,
            at,
            mayBeDirect ? inTurn(done) : done,
          )) as typeof fs.write,
      };
      const where = create(1024 * 1024);
      const journal = open({ ...where, files, mayBeDirect });
      await Promise.all(
        Array.from({ length: 40 }, async (_, i) => {
          for (let j = 0; j < 5; j++) {
            await Promise.resolve();
            await appendSynced(journal, `${i}-${j}`);
          }
        }),
      );
      expect(inLoop).toBeGreaterThan(0);
      expect(inPool).toBeGreaterThan(0);
      expect(runningMax).toBe(1);
      await journal.close();
      const reopened = open(where);
      expect(texts(reopened)).toHaveLength(200);
      await reopened.close();
    },
  );
});
