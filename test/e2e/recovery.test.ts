// Members of a PBFT group recover proactively, one after the other, while clients work: nobody notices, and no connection
// of before is left.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { endAll, type Process } from './processes.ts';
import { Counting, type Member, ReplicaGroup } from './replica-group.ts';
import { recoverSignal } from './replica-process.ts';
import { NeverHappened, until } from './until.ts';

// Replicas of one test would take processor time of the next ones.
afterEach(endAll);

function processOf({ process }: Member): Process {
  if (process === undefined) throw new NeverHappened('the member runs');
  return process;
}

/** How often a member has said that a recovery began, and that one was over. */
function recoveriesOf(member: Member): { readonly begun: number; readonly done: number } {
  const { stderr } = processOf(member);
  const times = (event: string): number => stderr.split(`"${event}"`).length - 1;
  return { begun: times('recovery-started'), done: times('recovery-done') };
}

/** Each of the four has a turn of 2 s. */
const recoveryIntervalMs = 8_000;

const establishedState = '01';

/** What the system calls the open connections of a member, with members and clients; it uses no name twice. */
function connectionsOf(member: Member): Set<string> {
  const folder = `/proc/${processOf(member).pid}`;
  const rows = ['tcp', 'tcp6'].flatMap((name) =>
    readFileSync(`${folder}/net/${name}`, 'utf8').trim().split('\n').slice(1),
  );
  const established = rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, , , state]) => state === establishedState)
    .map((fields) => `socket:[${fields[9]}]`);
  const open = new Set(readdirSync(`${folder}/fd`).map((fd) => linkOf(`${folder}/fd/${fd}`)));
  return new Set(established.filter((name) => open.has(name)));
}

/** It may be closed meanwhile. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function expectOthers(member: Member, before: Set<string>): void {
  expect(before.size).toBeGreaterThan(0);
  expect([...connectionsOf(member)].filter((each) => before.has(each))).toEqual([]);
}

async function endsWell(group: ReplicaGroup, counting: Counting): Promise<void> {
  await until('all members are normal', () =>
    group.members.every(({ status }) => status?.status === 'normal'),
  );
  await counting.goesOn();
  const { added, found } = await counting.judge();
  expect(found).toEqual(added);
  expect(Math.min(...added)).toBeGreaterThan(0);
}

test('each member in turn recovers when asked, while clients work', async () => {
  const group = await ReplicaGroup.start('pbft');
  const counting = await Counting.start(group);
  for (const member of group.members) {
    await counting.goesOn(40);
    const before = connectionsOf(member);
    processOf(member).kill(recoverSignal);
    await until('it has recovered', () => recoveriesOf(member).done === 1);
    await counting.goesOn(40);
    expectOthers(member, before);
  }
  await endsWell(group, counting);
  expect(group.members.map(recoveriesOf)).toEqual(group.members.map(() => ({ begun: 1, done: 1 })));
});

test('members recover by themselves, while clients work', async () => {
  const group = await ReplicaGroup.start('pbft', recoveryIntervalMs);
  const counting = await Counting.start(group, 2);
  await counting.goesOn(1);
  const before = group.members.map((member) => ({
    member,
    ...recoveriesOf(member),
    connections: connectionsOf(member),
  }));
  await until(
    'each has begun to recover since, and has recovered',
    () => before.every(({ member, begun }) => recoveriesOf(member).done > begun),
    60_000,
  );
  for (const { member, connections } of before) expectOthers(member, connections);
  await endsWell(group, counting);
});
