// What every disk promises, real or simulated: one suite, run over each implementation.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { Disk, Journal, Table } from '../../src/env/disk.ts';

export interface DiskHarness {
  /** Opens the disk; after `crash` or after both parts were closed, opens what is left of it. */
  open(): Promise<Disk>;
  /** Stops the disk's owner at once: nothing is closed, and what was not synced may be lost. */
  crash(): Promise<void>;
  /** Ends the test. */
  dispose(): Promise<void>;
}

/** Runs the suite over the disks that `makeHarness` makes, a fresh one for each test. */
export function diskCompliance(name: string, makeHarness: () => Promise<DiskHarness>): void {
  describe(`${name}: a disk`, () => {
    let harness: DiskHarness;
    beforeEach(async () => {
      harness = await makeHarness();
    });
    afterEach(() => harness.dispose());

    const reopen = async ({ journal, table }: Disk): Promise<Disk> => {
      await journal.close();
      await table.close();
      return harness.open();
    };
    const crash = async (): Promise<Disk> => {
      await harness.crash();
      return harness.open();
    };
    journalCompliance(() => harness, reopen, crash);
    tableCompliance(() => harness, reopen, crash);
  });
}

type Reopening = (disk: Disk) => Promise<Disk>;

const texts = (journal: Journal): [number, string][] =>
  [...journal.recover()].map(({ position, bytes }) => [position, Buffer.from(bytes).toString()]);

function journalCompliance(
  harness: () => DiskHarness,
  reopen: Reopening,
  crash: () => Promise<Disk>,
): void {
  test('says how much may still be written', async () => {
    const disk = await harness().open();
    expect(disk.freeBytes()).toBeGreaterThan(0);
  });

  test('begins with an empty journal', async () => {
    const { journal } = await harness().open();
    expect(texts(journal)).toEqual([]);
    expect(journal.sizeBytes()).toBe(0);
    await journal.sync();
  });

  test('gives synced records back after a close, in order, with their positions', async () => {
    const disk = await harness().open();
    const positions = ['a', 'b', '', 'd'].map((text) => disk.journal.append(utf8(text)));
    await disk.journal.sync();
    const { journal } = await reopen(disk);
    expect(texts(journal)).toEqual(['a', 'b', '', 'd'].map((text, i) => [positions[i], text]));
  });

  test('gives synced records back after a crash, and of the others at most a beginning', async () => {
    const disk = await harness().open();
    const synced = disk.journal.append(utf8('synced'));
    await disk.journal.sync();
    const lost = ['x', 'y', 'z'].map((text): [number, string] => [
      disk.journal.append(utf8(text)),
      text,
    ]);
    const { journal } = await crash();
    const found = texts(journal);
    expect(found[0]).toEqual([synced, 'synced']);
    expect(found.slice(1)).toEqual(lost.slice(0, found.length - 1));
  });

  test('positions increase with every append, also over a restart', async () => {
    const disk = await harness().open();
    const first = disk.journal.append(utf8('1'));
    const second = disk.journal.append(utf8('2'));
    expect(second).toBeGreaterThan(first);
    await disk.journal.sync();
    const { journal } = await crash();
    expect(texts(journal)).toHaveLength(2);
    expect(journal.append(utf8('3'))).toBeGreaterThan(second);
  });

  test('positions are not used again after everything was trimmed', async () => {
    const disk = await harness().open();
    const last = [1, 2, 3].map((n) => disk.journal.append(Uint8Array.of(n))).at(-1) ?? 0;
    await disk.journal.sync();
    disk.journal.trim(last);
    const again = await reopen(disk);
    texts(again.journal);
    expect(again.journal.append(utf8('next'))).toBeGreaterThan(last);
  });

  test('every waiting sync covers what was appended before it', async () => {
    const disk = await harness().open();
    const waits: Promise<void>[] = [];
    for (let i = 0; i < 100; i++) {
      disk.journal.append(Uint8Array.of(i));
      waits.push(disk.journal.sync());
    }
    await Promise.all(waits);
    const { journal } = await crash();
    expect([...journal.recover()].map(({ bytes }) => bytes[0])).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  test('trimming keeps what is behind, and sizeBytes follows what is retained', async () => {
    const disk = await harness().open();
    const record = new Uint8Array(1000);
    const positions = Array.from({ length: 10 }, () => disk.journal.append(record));
    await disk.journal.sync();
    const fullSizeBytes = disk.journal.sizeBytes();
    expect(fullSizeBytes).toBeGreaterThanOrEqual(10_000);
    disk.journal.trim(positions[4] ?? 0);
    expect(disk.journal.sizeBytes()).toBe(fullSizeBytes / 2);
    const { journal } = await crash();
    // Trimmed records need not survive, but may: trimming is not itself durable.
    const found = [...journal.recover()].map(({ position }) => position);
    expect(found.slice(-5)).toEqual(positions.slice(5));
    journal.trim(positions[9] ?? 0);
    expect(journal.sizeBytes()).toBe(0);
  });

  test('a record is taken as it was when appended and comes back as bytes of its own', async () => {
    const disk = await harness().open();
    disk.journal.append(utf8('one'));
    disk.journal.append(utf8('two'));
    await disk.journal.sync();
    const { journal } = await reopen(disk);
    const [one, two] = [...journal.recover()].map(({ bytes }) => bytes);
    one?.fill(0);
    expect(Buffer.from(two ?? []).toString()).toBe('two');
  });

  test('a closed journal refuses work', async () => {
    const { journal } = await harness().open();
    await journal.close();
    await expect(journal.sync()).rejects.toThrow();
    expect(() => journal.append(utf8('late'))).toThrow();
  });
}

const key = (...bytes: number[]): Bytes => Uint8Array.from(bytes);

function contents(table: Table, from = key(0), to = key(255), limit = 1000): [string, string][] {
  return table
    .range({ from, to, limit })
    .map(({ key, value }) => [Buffer.from(key).toString('hex'), Buffer.from(value).toString()]);
}

function tableCompliance(
  harness: () => DiskHarness,
  reopen: Reopening,
  crash: () => Promise<Disk>,
): void {
  test('begins with an empty table', async () => {
    const { table } = await harness().open();
    expect(table.get(key(1))).toBeUndefined();
    expect(contents(table)).toEqual([]);
  });

  test('holds what was written, through a close and through a crash', async () => {
    const disk = await harness().open();
    await disk.table.write([
      { key: key(1), value: utf8('a') },
      { key: key(2), value: utf8('') },
    ]);
    expect(disk.table.get(key(1))).toEqual(utf8('a'));
    expect(disk.table.get(key(2))).toEqual(utf8(''));
    const second = await reopen(disk);
    expect(second.table.get(key(1))).toEqual(utf8('a'));
    await second.table.write([{ key: key(1), value: undefined }]);
    const third = await crash();
    expect(third.table.get(key(1))).toBeUndefined();
    expect(contents(third.table)).toEqual([['02', '']]);
  });

  test('later changes of one write win, and removing nothing is fine', async () => {
    const { table } = await harness().open();
    await table.write([
      { key: key(1), value: utf8('first') },
      { key: key(1), value: utf8('second') },
      { key: key(2), value: utf8('x') },
      { key: key(2), value: undefined },
      { key: key(3), value: undefined },
    ]);
    expect(contents(table)).toEqual([['01', 'second']]);
    await table.write([]);
  });

  test('writes take effect in the order of the calls', async () => {
    const { table } = await harness().open();
    const resolved: number[] = [];
    const writes = Array.from({ length: 50 }, (_, i) =>
      table.write([{ key: key(1), value: utf8(`${i}`) }]).then(() => resolved.push(i)),
    );
    await Promise.all(writes);
    expect(table.get(key(1))).toEqual(utf8('49'));
    expect(resolved).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test('a write that was not awaited is there as a whole or not at all after a crash', async () => {
    const { table } = await harness().open();
    await table.write([{ key: key(9), value: utf8('kept') }]);
    const write = table.write([
      { key: key(1), value: utf8('x') },
      { key: key(2), value: utf8('y') },
    ]);
    write.catch(() => {});
    const after = (await crash()).table;
    expect(after.get(key(9))).toEqual(utf8('kept'));
    expect(after.get(key(1)) === undefined).toBe(after.get(key(2)) === undefined);
  });

  test('ranges are in byte order, from included, to excluded, cut at the limit', async () => {
    const { table } = await harness().open();
    const keys = [key(2), key(1), key(1, 0), key(128), key(1, 255), key(200, 1)];
    await table.write(keys.map((key) => ({ key, value: utf8('v') })));
    const order = ['01', '0100', '01ff', '02', '80', 'c801'];
    expect(contents(table).map(([key]) => key)).toEqual(order);
    expect(contents(table, key(1, 0), key(128)).map(([key]) => key)).toEqual(order.slice(1, 4));
    expect(contents(table, key(0), key(255), 2).map(([key]) => key)).toEqual(order.slice(0, 2));
    expect(contents(table, key(0), key(255), 0)).toEqual([]);
    expect(contents(table, key(3), key(1))).toEqual([]);
    expect(contents(table, key(3), key(3))).toEqual([]);
  });

  test('values that were read stay as they are, whatever is written later', async () => {
    const { table } = await harness().open();
    for (const size of [1, 100, 5000, 1 << 20]) {
      await table.write([{ key: key(1), value: new Uint8Array(size).fill(1) }]);
      const got = table.get(key(1));
      const ranged = table.range({ from: key(1), to: key(2), limit: 1 })[0]?.value;
      await table.write([{ key: key(1), value: new Uint8Array(size).fill(2) }]);
      for (let i = 0; i < 5; i++) {
        await table.write([{ key: key(2, i), value: new Uint8Array(size).fill(3) }]);
        table.get(key(2, i));
      }
      for (const value of [got, ranged]) {
        expect(value?.length).toBe(size);
        expect(value?.every((byte) => byte === 1)).toBe(true);
      }
    }
  });

  test('keys may have up to 256 bytes', async () => {
    const { table } = await harness().open();
    const long = new Uint8Array(256).fill(7);
    await table.write([{ key: long, value: utf8('long') }]);
    expect(table.get(long)).toEqual(utf8('long'));
    expect(table.get(long.subarray(0, 255))).toBeUndefined();
  });

  test('closing waits for the writes that were made', async () => {
    const disk = await harness().open();
    const write = disk.table.write([{ key: key(1), value: utf8('in time') }]);
    const { table } = await reopen(disk);
    await write;
    expect(table.get(key(1))).toEqual(utf8('in time'));
    await table.close();
    await expect(table.write([])).rejects.toThrow();
  });
}
