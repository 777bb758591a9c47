import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, concatBytes, mapKey, textOf, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { Prng } from '../base/prng.ts';
import { limits } from '../wire/limits.ts';
import type { CheckpointSave, PageChange, ReplicaGroup, Restored } from './contract.ts';
import { createReplica, markTable, ReplicaDisk } from './replica-disk.ts';
import { TestDisk } from './test-disk.ts';

const group: ReplicaGroup = {
  instance: new Uint8Array(32).fill(7),
  members: [1, 2, 3, 4].map((i) => new Uint8Array(32).fill(i)),
  faults: 1,
};

const root = new Uint8Array(32).fill(9);

const shown = (bytes: Bytes): string => `${bytes.length}:${toHex(bytes.subarray(0, 4))}`;

function recordsOf(restored: Restored | undefined): string[] {
  return (restored?.records ?? []).map((record) => textOf(record) ?? '?');
}

function pagesOf(restored: Restored | undefined): Record<string, string> {
  const pages: Record<string, string> = {};
  for (const { region, page, bytes } of restored?.checkpoint?.pages ?? []) {
    expect(pages[`${region}/${page}`]).toBeUndefined();
    pages[`${region}/${page}`] = bytes === undefined ? '-' : shown(bytes);
  }
  return pages;
}

async function created(): Promise<TestDisk> {
  const disk = new TestDisk();
  await createReplica(disk, group, 2);
  return disk;
}

async function refusal(opening: Promise<unknown>): Promise<string> {
  const error = await opening.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HoldfastError);
  return (error as HoldfastError).message;
}

describe('a replica on its disk', () => {
  it('starts on a disk that was created for it, and on no other', async () => {
    expect(await refusal(ReplicaDisk.open(new TestDisk(), group, 2))).toContain('no replica');
    const disk = await created();
    expect(await refusal(createReplica(disk, group, 2))).toContain('already');
    expect(await refusal(ReplicaDisk.open(disk, group, 3))).toContain('member 2');
    const other = { ...group, instance: new Uint8Array(32).fill(8) };
    expect(await refusal(ReplicaDisk.open(disk, other, 2))).toContain('no replica');
    expect((await ReplicaDisk.open(disk, group, 2)).restored).toBeUndefined();
    const again = await ReplicaDisk.open(disk, group, 2);
    const nothing = { checkpoint: undefined, records: [], damage: [], hasForgotten: false };
    expect(again.restored).toEqual(nothing);
  });

  it('begins with the pages that it was made with, as checkpoint 0', async () => {
    const disk = new TestDisk();
    const pages: PageChange[] = [
      { region: 'service', page: 3, bytes: utf8('three') },
      { region: 'clients', page: 0, bytes: utf8('a client') },
    ];
    const heir = { ...group, genesis: root };
    await createReplica(disk, heir, 2, { pages });
    expect(ReplicaDisk.hasStarted(disk, heir, 2)).toBe(false);
    const kept = { 'service/3': shown(utf8('three')), 'clients/0': shown(utf8('a client')) };
    const { disk: opened, restored } = await ReplicaDisk.open(disk, heir, 2);
    expect(restored).toMatchObject({ isFirstStart: true, records: [], damage: [] });
    expect(restored?.checkpoint).toMatchObject({ sequence: 0, root, notes: new Uint8Array(0) });
    expect(pagesOf(restored)).toEqual(kept);
    expect(ReplicaDisk.hasStarted(disk, heir, 2)).toBe(true);
    const again = (await ReplicaDisk.open(disk, heir, 2)).restored;
    expect(again?.isFirstStart).toBeUndefined();
    expect(pagesOf(again)).toEqual(kept);
    // What is saved later takes their place, and they are not taken for a part of it.
    const bytes = utf8('four');
    await opened.save({
      sequence: 4,
      root,
      notes: new Uint8Array(0),
      changes: [{ region: 'service', page: 3, bytes }],
      isWhole: false,
    });
    const later = (await ReplicaDisk.open(disk, heir, 2)).restored;
    expect(later?.checkpoint?.sequence).toBe(4);
    expect(pagesOf(later)).toEqual({ ...kept, 'service/3': shown(bytes) });
  });

  it('is nobody’s after a crash while it was made', async () => {
    const disk = new TestDisk();
    const torn = function* (): Generator<PageChange> {
      yield { region: 'service', page: 1, bytes: utf8('one') };
      throw new TypeError('the machine crashed');
    };
    const making = createReplica(disk, { ...group, genesis: root }, 2, { pages: torn() });
    await expect(making).rejects.toThrow('crashed');
    expect(await refusal(ReplicaDisk.open(disk, group, 2))).toContain('no replica');
  });

  it('says at every start that it took the place of a lost one', async () => {
    const disk = new TestDisk();
    await createReplica(disk, group, 2, { isDiskLost: true });
    for (const records of [[], ['a'], ['a', 'a']]) {
      const { disk: opened, restored } = await ReplicaDisk.open(disk, group, 2);
      expect(restored?.hasForgotten).toBe(true);
      expect(recordsOf(restored)).toEqual(records);
      opened.append(undefined, [utf8('a')]);
      await opened.sync();
    }
  });

  it('does not start without the promises it once made', async () => {
    const wiped = await created();
    await ReplicaDisk.open(wiped, group, 2);
    wiped.loseTable();
    expect(await refusal(ReplicaDisk.open(wiped, group, 2))).toContain('no replica');
    const halfWiped = await created();
    await ReplicaDisk.open(halfWiped, group, 2);
    halfWiped.loseJournal();
    expect(await refusal(ReplicaDisk.open(halfWiped, group, 2))).toContain('journal is gone');
    const damaged = await created();
    await ReplicaDisk.open(damaged, group, 2);
    damaged.damageSmallValues(1000);
    expect(await refusal(ReplicaDisk.open(damaged, group, 2))).toContain('damaged');
  });

  it('notices a journal that is older than the table', async () => {
    const disk = await created();
    const { disk: opened } = await ReplicaDisk.open(disk, group, 2);
    opened.append(undefined, [utf8('a'), utf8('b')]);
    await opened.sync();
    await opened.save({ sequence: 1, root, notes: utf8('n'), changes: [], isWhole: true });
    expect(recordsOf((await ReplicaDisk.open(disk, group, 2)).restored)).toEqual(['a', 'b']);
    disk.rollJournalBack(1);
    expect(await refusal(ReplicaDisk.open(disk, group, 2))).toContain('older than its checkpoint');
  });

  it('gives records back in order, and after a compaction what it left', async () => {
    const disk = await created();
    const { disk: replica } = await ReplicaDisk.open(disk, group, 2);
    replica.append(undefined, [utf8('a'), utf8('b')]);
    replica.append([utf8('c')], [utf8('d')]);
    await replica.sync();
    expect(disk.recordCount).toBe(4);
    replica.append([], [utf8('e')]);
    replica.append(undefined, [utf8('f')]);
    await replica.sync();
    const { restored } = await ReplicaDisk.open(disk, group, 2);
    expect(recordsOf(restored)).toEqual(['e', 'f']);
  });

  it('loses no durable record and no compaction halfway, wherever the power fails', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constant('compact' as const), count: fc.nat(3) }),
      fc.record({ do: fc.constantFrom('sync' as const, 'crash') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.nat(), async (steps, seed) => {
        const prng = new Prng(seed);
        let disk = await created();
        let { disk: replica } = await ReplicaDisk.open(disk, group, 2);
        let next = 0;
        const fresh = (count: number): Bytes[] =>
          Array.from({ length: count }, () => utf8(`${next++}`));
        // What a restart may find: one of the states since the last flush.
        let possible: string[][] = [[]];
        for (const each of steps) {
          const last = possible.at(-1) as string[];
          if (each.do === 'append') {
            const records = fresh(each.count);
            replica.append(undefined, records);
            records.forEach((_, i) => {
              possible.push([...last, ...records.slice(0, i + 1).map((r) => textOf(r) as string)]);
            });
          } else if (each.do === 'compact') {
            const [compact, records] = [fresh(each.count), fresh(1)];
            replica.append(compact, records);
            const compacted = compact.map((record) => textOf(record) as string);
            possible.push(compacted, [...compacted, textOf(records[0] as Bytes) as string]);
          } else if (each.do === 'sync') {
            await replica.sync();
            possible = [last];
          } else {
            disk = disk.crash(prng);
            const opened = await ReplicaDisk.open(disk, group, 2);
            replica = opened.disk;
            const found = recordsOf(opened.restored);
            expect(possible).toContainEqual(found);
            possible = [found];
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('has one whole checkpoint, the one before or the new one, wherever the power fails', async () => {
    const change = fc.record({
      region: fc.constantFrom('service' as const, 'clients' as const),
      page: fc.nat(5),
      bytes: fc.option(
        fc
          .tuple(fc.nat(255), fc.constantFrom(0, 10, limits.pageSizeBytesMax))
          .map(([fill, size]) => new Uint8Array(size).fill(fill)),
        { nil: undefined },
      ),
      // Many, so that a save takes several writes.
      count: fc.constantFrom(1, 1, 200),
    });
    const save = fc.record({
      isWhole: fc.boolean(),
      changes: fc.uniqueArray(change, {
        selector: ({ region, page }) => `${region}/${page}`,
        maxLength: 8,
      }),
      crashes: fc.boolean(),
      writesDone: fc.nat(4),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(save, { minLength: 1, maxLength: 8 }),
        fc.nat(),
        async (saves, seed) => {
          const prng = new Prng(seed);
          let disk = await created();
          let { disk: replica } = await ReplicaDisk.open(disk, group, 2);
          let model: Record<string, string> = {};
          let sequence = 0;
          for (const { isWhole, changes: drawn, crashes, writesDone } of saves) {
            const changes = drawn.flatMap(({ region, page, bytes, count }) =>
              Array.from({ length: count }, (_, i) => ({ region, page: 1000 * page + i, bytes })),
            );
            const next = applied(isWhole ? {} : model, changes);
            const notes = utf8(`notes ${sequence + 1}`);
            disk.isQuick = !crashes;
            const saving = replica.save({
              sequence: sequence + 1,
              root,
              notes,
              changes,
              isWhole,
            });
            if (!crashes) {
              await saving;
              model = next;
              sequence += 1;
              continue;
            }
            for (let i = 0; i < writesDone && disk.write(); i++) await Promise.resolve();
            disk = disk.crash(prng);
            const opened = await ReplicaDisk.open(disk, group, 2);
            replica = opened.disk;
            const found = opened.restored?.checkpoint;
            expect([sequence, sequence + 1]).toContain(found?.sequence ?? 0);
            if (found?.sequence === sequence + 1) {
              model = next;
              sequence += 1;
            }
            expect(pagesOf(opened.restored)).toEqual(model);
            // Nothing is left of a save that was cut short: format, checkpoint (twice) if any, and the pages.
            expect(disk.entryCount).toBe(Object.keys(model).length + (sequence > 0 ? 3 : 1));
          }
          const { restored } = await ReplicaDisk.open(disk, group, 2);
          expect(pagesOf(restored)).toEqual(model);
          expect(restored?.checkpoint?.sequence ?? 0).toBe(sequence);
          if (sequence > 0) {
            expect(textOf(restored?.checkpoint?.notes ?? utf8('?'))).toBe(`notes ${sequence}`);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('a table that is not as it was written', () => {
  const page = (number: number, text: string): PageChange => ({
    region: 'service',
    page: number,
    bytes: utf8(text),
  });
  const save = (sequence: number, ...changes: PageChange[]): CheckpointSave => ({
    sequence,
    root: new Uint8Array(32).fill(sequence),
    notes: utf8(`notes ${sequence}`),
    changes,
    isWhole: sequence === 1,
  });
  const pageKey = (place: number, version: number): string =>
    mapKey(
      concatBytes(
        utf8('r'),
        group.instance,
        utf8('p'),
        Uint8Array.of(0, 0, 0, place >>> 8, 0, 0, 0, place, 0, 0, 0, 0, 0, 0, 0, version),
      ),
    );
  const checkpointKey = (name: string): string =>
    mapKey(concatBytes(utf8('r'), group.instance, utf8(name)));

  async function saved(): Promise<TestDisk> {
    const disk = await created();
    const { disk: replica } = await ReplicaDisk.open(disk, group, 2);
    await replica.save(save(1, page(1, 'one'), page(2, 'two')));
    await replica.save(save(2, page(2, 'zwei')));
    return disk;
  }

  const whole = { 'service/1': shown(utf8('one')), 'service/2': shown(utf8('zwei')) };

  it('gives the root that was saved, and pages however they are: the engine compares them', async () => {
    const disk = await saved();
    const tooLong = new Uint8Array(limits.pageSizeBytesMax + 1);
    disk.entries.set(pageKey(1, 1), tooLong);
    disk.entries.delete(pageKey(2, 2));
    const { disk: replica, restored } = await ReplicaDisk.open(disk, group, 2);
    expect(restored?.checkpoint?.root).toEqual(new Uint8Array(32).fill(2));
    expect(restored?.damage).toEqual([]);
    expect(pagesOf(restored)).toEqual({ 'service/1': shown(tooLong) });
    // A whole save leaves nothing of it.
    await replica.save({ ...save(3, page(1, 'eins')), isWhole: true });
    expect(pagesOf((await ReplicaDisk.open(disk, group, 2)).restored)).toEqual({
      'service/1': shown(utf8('eins')),
    });
    expect(disk.entryCount).toBe(4);
  });

  it.each(['c', 'd'])('has the record of the checkpoint twice: %s is mended', async (name) => {
    for (const harm of ['flip', 'cut', 'empty', 'lose'] as const) {
      const disk = await saved();
      const key = checkpointKey(name);
      const right = disk.entries.get(key) as Bytes;
      if (harm === 'lose') disk.entries.delete(key);
      else if (harm === 'empty') disk.entries.set(key, new Uint8Array(0));
      else if (harm === 'cut') disk.entries.set(key, right.subarray(0, 20));
      else
        disk.entries.set(
          key,
          right.map((byte, i) => (i === 30 ? byte ^ 1 : byte)),
        );
      const { restored } = await ReplicaDisk.open(disk, group, 2);
      expect(restored?.damage).toEqual(harm === 'lose' ? [] : ['disk-checkpoint-damaged']);
      expect(restored?.checkpoint?.sequence).toBe(2);
      expect(pagesOf(restored)).toEqual(whole);
      if (harm !== 'lose') expect(disk.entries.get(key)).toEqual(right);
    }
  });

  it('is made anew where it is lost and the journal is not, and that is known until a save', async () => {
    const disk = await saved();
    disk.loseTable();
    await markTable(disk.table, group, 2);
    for (let time = 0; time < 2; time++) {
      const { restored } = await ReplicaDisk.open(disk, group, 2);
      expect(restored).toEqual({
        checkpoint: undefined,
        records: [],
        damage: ['disk-table-lost'],
        hasForgotten: false,
      });
    }
    const { disk: replica } = await ReplicaDisk.open(disk, group, 2);
    await replica.save(save(1, page(4, 'four')));
    for (let time = 0; time < 2; time++) {
      const { restored } = await ReplicaDisk.open(disk, group, 2);
      expect(restored?.damage).toEqual([]);
      expect(pagesOf(restored)).toEqual({ 'service/4': shown(utf8('four')) });
    }
    const both = await saved();
    both.loseTable();
    both.loseJournal();
    await markTable(both.table, group, 2);
    expect(await refusal(ReplicaDisk.open(both, group, 2))).toContain('journal is gone');
  });

  it('does not start when both records are damaged: what it promised is not known then', async () => {
    const disk = await saved();
    for (const name of ['c', 'd']) disk.entries.set(checkpointKey(name), new Uint8Array(200));
    expect(await refusal(ReplicaDisk.open(disk, group, 2))).toContain('checkpoint is damaged');
  });

  it('ignores and deletes pages that no save leaves', async () => {
    const disk = await saved();
    // Of an earlier save, replaced since; of a later one; of a region that there is not.
    disk.entries.set(pageKey(2, 1), utf8('two'));
    disk.entries.set(pageKey(7, 9), utf8('later'));
    disk.entries.set(pageKey(0x500, 1), utf8('nowhere'));
    disk.entries.set(pageKey(1, 1).slice(0, -1), utf8('no key'));
    const { restored } = await ReplicaDisk.open(disk, group, 2);
    expect([...(restored?.damage ?? [])].sort()).toEqual([
      'disk-page-misplaced',
      'disk-page-twice',
    ]);
    expect(pagesOf(restored)).toEqual(whole);
    const again = await ReplicaDisk.open(disk, group, 2);
    expect(again.restored?.damage).toEqual([]);
    expect(pagesOf(again.restored)).toEqual(whole);
  });

  it('gives an older copy of a page as if it were the newest: only the root tells', async () => {
    const disk = await saved();
    disk.entries.set(pageKey(2, 1), utf8('two'));
    disk.entries.delete(pageKey(2, 2));
    const { restored } = await ReplicaDisk.open(disk, group, 2);
    expect(pagesOf(restored)).toEqual({ ...whole, 'service/2': shown(utf8('two')) });
  });

  it('is given again as it is now, on request', async () => {
    const disk = await saved();
    const { disk: replica } = await ReplicaDisk.open(disk, group, 2);
    disk.entries.set(pageKey(1, 1), utf8('uno'));
    const readings: string[] = [];
    const first = replica.reload(() => readings.push('first'));
    expect([first.sequence, first.root]).toEqual([2, new Uint8Array(32).fill(2)]);
    expect(readings).toEqual([]);
    expect([...first.pages]).toContainEqual(page(1, 'uno'));
    expect(readings).toEqual(['first']);
    const second = replica.reload(() => readings.push('second')).pages[Symbol.iterator]();
    expect(second.next().done).toBe(false);
    second.return?.();
    second.return?.();
    expect(second.next().done).toBe(true);
    expect(readings).toEqual(['first', 'second']);
    for (const name of ['c', 'd']) disk.entries.delete(checkpointKey(name));
    const nothing = replica.reload(() => readings.push('third'));
    expect([nothing.sequence, [...nothing.pages]]).toEqual([0, []]);
    expect(readings).toEqual(['first', 'second', 'third']);
  });
});

describe('older copies', () => {
  async function twoSaves(): Promise<{ disk: TestDisk; replica: ReplicaDisk }> {
    const disk = await created();
    const { disk: replica } = await ReplicaDisk.open(disk, group, 2);
    replica.append(undefined, [utf8('a')]);
    await replica.sync();
    await replica.save({ sequence: 1, root, notes: utf8('n'), changes: [], isWhole: true });
    replica.append(undefined, [utf8('b')]);
    await replica.sync();
    return { disk, replica };
  }

  it('of the table under the journal look like a save that never ended', async () => {
    const { disk, replica } = await twoSaves();
    const old = new Map(disk.entries);
    await replica.save({ sequence: 2, root, notes: utf8('n'), changes: [], isWhole: false });
    for (const [key, value] of old) disk.entries.set(key, value);
    const { restored } = await ReplicaDisk.open(disk, group, 2);
    expect(restored?.checkpoint?.sequence).toBe(1);
    expect(restored?.damage).toEqual([]);
    expect(recordsOf(restored)).toEqual(['a', 'b']);
  });

  it('of the journal under the table are refused, those of both together are not noticed', async () => {
    const { disk, replica } = await twoSaves();
    const old = new Map(disk.entries);
    await replica.save({ sequence: 2, root, notes: utf8('n'), changes: [], isWhole: false });
    disk.rollJournalBack(1);
    expect(await refusal(ReplicaDisk.open(disk, group, 2))).toContain('older than its checkpoint');
    for (const [key, value] of old) disk.entries.set(key, value);
    expect(recordsOf((await ReplicaDisk.open(disk, group, 2)).restored)).toEqual(['a']);
  });
});

function applied(
  before: Record<string, string>,
  changes: readonly PageChange[],
): Record<string, string> {
  const after = { ...before };
  for (const { region, page, bytes } of changes) {
    if (bytes === undefined) delete after[`${region}/${page}`];
    else after[`${region}/${page}`] = shown(bytes);
  }
  return after;
}

it("says of a disk in a lost one's place that it is one, also when its table is lost right after the first start", async () => {
  const disk = new TestDisk();
  await createReplica(disk, group, 2, { isDiskLost: true });
  expect((await ReplicaDisk.open(disk, group, 2)).restored?.hasForgotten).toBe(true);
  // A crash before the engine's first record is durable; then the table cannot be opened any more.
  for (const entry of disk.table.range({
    from: new Uint8Array(1),
    to: new Uint8Array(64).fill(255),
    limit: 1000,
  }))
    await disk.table.write([{ key: entry.key, value: undefined }]);
  await markTable(disk.table, group, 2);
  const { restored } = await ReplicaDisk.open(disk, group, 2);
  expect(restored).toMatchObject({ records: [], hasForgotten: true });
});
