import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, textOf, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { Prng } from '../base/prng.ts';
import type { PageChange, ReplicaGroup, Restored } from './contract.ts';
import { createReplica, ReplicaDisk } from './replica-disk.ts';
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
    expect(again.restored).toEqual({ checkpoint: undefined, records: [], damage: [] });
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
      // Large ones, so that a save takes several writes.
      bytes: fc.option(
        fc
          .tuple(fc.nat(255), fc.constantFrom(0, 10, 3_000_000))
          .map(([fill, size]) => new Uint8Array(size).fill(fill)),
        { nil: undefined },
      ),
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
          for (const { isWhole, changes, crashes, writesDone } of saves) {
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
