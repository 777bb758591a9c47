// Replicas die, hang, lose their disks and come back while clients work. What was acknowledged is there, once.

import { readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Change, TableEntry } from '../../src/env/disk.ts';
import { limits } from '../../src/wire/limits.ts';
import { flipAt, usedSizeBytes } from './damage.ts';
import { endAll } from './processes.ts';
import { Counting, type Member, ReplicaGroup } from './replica-group.ts';
import { NeverHappened, until } from './until.ts';

// Replicas of one test would take processor time of the next ones.
afterEach(endAll);

async function right(counting: Counting): Promise<void> {
  const { added, found } = await counting.judge();
  expect(found).toEqual(added);
  expect(Math.min(...added)).toBeGreaterThan(0);
}

/** Flips bytes in the middle of each file of a journal. */
function spoilJournal({ folder }: Member): void {
  const journal = join(folder, 'journal');
  for (const name of readdirSync(journal).filter((each) => each.endsWith('.journal'))) {
    const file = join(journal, name);
    flipAt(file, [usedSizeBytes(file) >> 1]);
  }
}

const altered =
  (change: (value: Uint8Array) => Uint8Array | undefined) =>
  (pages: readonly TableEntry[]): Change[] =>
    pages.map(({ key, value }) => ({ key, value: change(value) }));

/** What becomes of the pages that a replica has stored; its journal stays as it is. */
const damages: readonly {
  readonly what: string;
  readonly code: string;
  readonly harm: (member: Member) => Promise<void> | void;
}[] = [
  {
    what: 'are too long',
    code: 'disk-page-too-long',
    harm: (member) => member.alterPages(altered(() => new Uint8Array(limits.pageSizeBytesMax + 1))),
  },
  {
    what: 'have a flipped bit',
    code: 'disk-pages-differ',
    harm: (member) =>
      member.alterPages(altered((value) => value.map((byte, i) => (i === 3 ? byte ^ 1 : byte)))),
  },
  {
    what: 'are cut short',
    code: 'disk-pages-differ',
    harm: (member) => member.alterPages(altered((value) => value.subarray(0, value.length >> 1))),
  },
  {
    what: 'are gone',
    code: 'disk-pages-differ',
    harm: (member) => member.alterPages(altered(() => undefined)),
  },
  {
    what: 'are in a file that is cut short',
    code: 'disk-table-lost',
    harm: ({ folder }) => {
      const file = join(folder, 'table', 'data.mdb');
      truncateSync(file, statSync(file).size >> 1);
    },
  },
  {
    what: 'are in a file that is gone',
    code: 'disk-table-lost',
    harm: ({ folder }) => rmSync(join(folder, 'table'), { recursive: true }),
  },
];

/** So long, in seconds, a killed member may take to be a voter again, its start not counted. */
const backWithinS = 5;

describe('a replicated service (pbft), while clients work', () => {
  test.each(['its primary', 'a backup'])(
    `%s is killed and started again, and takes part in full within ${backWithinS} s`,
    async (who) => {
      const group = await ReplicaGroup.start('pbft');
      const counting = await Counting.start(group);
      await counting.goesOn();
      const { primary } = group;
      const member = who === 'a backup' ? group.members.find((each) => each !== primary) : primary;
      if (member === undefined) throw new NeverHappened('the group has a backup');
      await member.kill();
      // Long enough for the others to have stopped trying to reach it at once.
      await counting.goesOn(1_000);
      await member.start();
      const latest = (): number =>
        Math.max(...group.members.map(({ status }) => status?.view ?? 0));
      const since = group.highestExecuted;
      await until(
        'it is where the others are, and votes',
        () => {
          const { status } = member;
          if (status?.status !== 'normal' || status.waitsFor !== undefined) return false;
          return status.view === latest() && status.executed >= since;
        },
        backWithinS * 1_000,
      );
      // From now on nothing can be done without it, in its own view or the next.
      const other = group.members.find((each) => each !== member && each !== group.primary);
      await other?.kill();
      await counting.goesOn();
      await right(counting);
    },
  );
});

describe.each(['pbft', 'vr'] as const)(
  'a replicated service (%s), while clients work',
  (engine) => {
    test('each replica in turn is killed and started again', async () => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      for (const member of group.members) {
        await counting.goesOn();
        await member.kill();
        await counting.goesOn();
        await member.start();
      }
      await counting.goesOn();
      const highest = (): number =>
        Math.max(...group.members.map(({ status }) => status?.executed ?? 0));
      const behind = highest();
      await until('all have caught up', () =>
        group.members.every(({ status }) => (status?.executed ?? 0) >= behind),
      );
      await right(counting);
    });

    test('the primary hangs: the others go on without it, and it comes back to them', async () => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      await counting.goesOn();
      const { primary } = group;
      primary.process?.kill('SIGSTOP');
      await counting.goesOn();
      primary.process?.kill('SIGCONT');
      await counting.goesOn();
      await until('it is in the view of the others', () =>
        group.members.every(({ status }) => (status?.view ?? 0) >= 1),
      );
      await right(counting);
    });

    test('all are killed at once, twice', async () => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      for (let time = 0; time < 2; time++) {
        await counting.goesOn();
        await Promise.all(group.members.map((member) => member.kill()));
        await Promise.all(group.members.map((member) => member.start()));
      }
      await counting.goesOn();
      await right(counting);
    });

    test('a replica whose disk is wiped does not start again, and the others go on', async () => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      await counting.goesOn();
      const member = group.at(1);
      await member.kill();
      rmSync(member.folder, { recursive: true });
      const { code } = await member.launch().ended;
      expect(code).toBe(8);
      expect(member.process?.stderr).toContain(member.folder);
      await counting.goesOn();
      await right(counting);
    });

    test.each(damages)('a replica whose pages $what fetches them', async ({ code, harm }) => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      await counting.goesOn(400);
      const member = group.at(1);
      await member.kill();
      await counting.goesOn();
      await harm(member);
      await member.start();
      await until('it says what it found', () => member.process?.stderr.includes(code));
      expect(member.process?.stderr).toContain('replica-disk-damaged');
      const highest = Math.max(...group.members.map(({ status }) => status?.executed ?? 0));
      await until('its state and its disk are whole again', () => {
        const { status } = member;
        return status !== undefined && status.executed >= highest && status.damage.length === 0;
      });
      // From now on nothing can be done without it.
      await group.at(2).kill();
      await counting.goesOn();
      expect(member.process?.result).toBeUndefined();
      await right(counting);
    });

    test('flipped bytes in a journal never make a replica say what is not so', async () => {
      const group = await ReplicaGroup.start(engine);
      const counting = await Counting.start(group);
      await counting.goesOn(200);
      const member = group.at(1);
      await member.kill();
      spoilJournal(member);
      const launched = member.launch();
      await until('it ends with a word, or runs', () => launched.result ?? member.status);
      await counting.goesOn();
      await right(counting);
    });
  },
);

describe('a member whose folder is made anew, while clients work', () => {
  test.each([
    ['was wiped', (member: Member) => rmSync(member.folder, { recursive: true }), [0, 1, 2, 3]],
    ['has a damaged journal', spoilJournal, [2, 3]],
  ] as const)('since it %s, is needed and there in the end (pbft)', async (_, harm, members) => {
    const group = await ReplicaGroup.start('pbft');
    const counting = await Counting.start(group);
    await counting.goesOn(200);
    // One after the other, so that what is there in the end is what they gave each other.
    for (const index of members) {
      const member = group.at(index);
      await member.kill();
      harm(member);
      const refused = member.launch();
      expect((await refused.ended).code).toBe(8);
      expect(refused.stderr).toContain('recoverReplicaFolder');
      await group.recover(index);
      await member.start();
      await until('it has recovered', () => member.status?.status === 'normal', 60_000);
      await counting.goesOn();
    }
    // From now on nothing can be done without it.
    await group.at(0).kill();
    await counting.goesOn();
    await right(counting);
  });

  test('cannot be under Viewstamped Replication, which says so', async () => {
    const group = await ReplicaGroup.start('vr');
    const counting = await Counting.start(group);
    await group.at(1).kill();
    rmSync(group.at(1).folder, { recursive: true });
    await expect(group.recover(1)).rejects.toThrow('no recovery from a lost disk');
    await counting.goesOn();
    await right(counting);
  });
});
