// An instance ends while clients work, and another group goes on with its state: on another machine, with what one member
// kept. Nothing that was acknowledged is lost, and nothing is done that was said not to be.

import { rmSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeResult, encodeOperation } from '../../examples/key-value/index.ts';
import { endAll } from './processes.ts';
import { Counting, ReplicaGroup } from './replica-group.ts';
import { until } from './until.ts';

afterEach(endAll);

async function endedGroup(
  engine: 'pbft' | 'vr',
): Promise<{ group: ReplicaGroup; added: number[] }> {
  const group = await ReplicaGroup.start(engine);
  const counting = await Counting.start(group);
  await counting.goesOn();
  const added = await counting.end();
  await until('all members are at the end', () =>
    group.members.every(({ status }) => status?.status === 'final'),
  );
  return { group, added };
}

describe.each(['pbft', 'vr'] as const)('the end of an instance (%s)', (engine) => {
  test('is where another group begins, with a new machine and one member that has the state', async () => {
    const { group, added } = await endedGroup(engine);
    const roots = new Set(group.members.map(({ status }) => status?.root));
    await Promise.all(group.members.map((member) => member.kill()));
    const ending = await group.readEnding(1);
    expect([...roots]).toEqual([Buffer.from(ending.root).toString('hex')]);
    if (engine === 'pbft') {
      const { sequence, root } = ending;
      expect(group.checkEnding(ending.proof)).toEqual({ sequence, root });
    }
    const next = await group.next(1);
    expect(await Counting.read(next)).toEqual(added);
    const counting = await Counting.start(next);
    await counting.goesOn();
    // The one that had the state is not needed any more.
    await next.at(1).kill();
    await counting.goesOn();
    await next.at(1).start();
    await counting.goesOn(20);
    const { added: more, found } = await counting.judge();
    expect(found).toEqual(added.map((before, i) => before + (more[i] ?? 0)));
    await until('all members are well', () =>
      next.members.every(({ status }) => status?.status === 'normal'),
    );
  }, 180_000);

  test('is followed by clients, with what they have under way', async () => {
    const { group } = await endedGroup(engine);
    const client = await group.connect();
    expect(await client.submit(new Uint8Array(1))).toEqual({ kind: 'ended' });
    await Promise.all(group.members.map((member) => member.kill()));
    const key = Buffer.from('late');
    const put = client.submit(encodeOperation({ kind: 'put', key, value: key }));
    const ending = await group.readEnding(0);
    const next = await group.next(0);
    const following = await next.followedBy(client, ending);
    expect(await put).toMatchObject({ kind: 'result' });
    const read = await following.query(encodeOperation({ kind: 'get', key }));
    expect(read.kind === 'result' && decodeResult(read.result)).toEqual({
      kind: 'value',
      value: new Uint8Array(key),
    });
    await expect(client.submit(key)).rejects.toThrow('closed');
    const other = { ...ending, root: new Uint8Array(32) };
    const wrong = next.followedBy(following, other);
    // It has not ended, nor is that how the next one began.
    await expect(wrong).rejects.toThrow(engine === 'pbft' ? 'prove' : 'begin');
    expect((await following.submit(encodeOperation({ kind: 'delete', key }))).kind).toBe('result');
    await following.close();
  }, 180_000);

  test('is still told by members that were killed and started after it', async () => {
    const { group, added } = await endedGroup(engine);
    await Promise.all(group.members.map((member) => member.kill()));
    await Promise.all(group.members.map((member) => member.start()));
    await until('all members are at the end', () =>
      group.members.every(({ status }) => status?.status === 'final'),
    );
    await until('all of them have told so', () =>
      group.members.every(({ process }) => process?.stderr.includes('replica-final')),
    );
    const late = await group.connect();
    expect(await late.submit(new Uint8Array(1))).toEqual({ kind: 'ended' });
    await late.close();
    await Promise.all(group.members.map((member) => member.kill()));
    expect(await Counting.read(await group.next(2))).toEqual(added);
  }, 180_000);
});

test('a member that lost its disk recovers in a group that began with the state of another (pbft)', async () => {
  const { group, added } = await endedGroup('pbft');
  await Promise.all(group.members.map((member) => member.kill()));
  const next = await group.next(3);
  await next.at(2).kill();
  rmSync(next.at(2).folder, { recursive: true });
  await next.recover(2);
  await next.at(2).start();
  await until('it takes part again', () => next.at(2).status?.status === 'normal', 60_000);
  expect(await Counting.read(next)).toEqual(added);
}, 180_000);

test.each([
  ['vr', 'pbft'],
  ['pbft', 'vr'],
] as const)(
  'a group under %s is followed by one under %s',
  async (before, after) => {
    const { group, added } = await endedGroup(before);
    await Promise.all(group.members.map((member) => member.kill()));
    const next = await group.next(1, after);
    const counting = await Counting.start(next);
    await counting.goesOn();
    const { added: more, found } = await counting.judge();
    expect(found).toEqual(added.map((first, i) => first + (more[i] ?? 0)));
  },
  180_000,
);
