// What an engine promises to services and clients, whichever it is.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { serviceLimits } from '../../src/replication/service-limits.ts';
import { limits } from '../../src/wire/limits.ts';
import { replicationMessageNumber } from '../../src/wire/replication-registry.ts';
import { only } from '../../testing/simulator/faults.ts';
import { type GroupKind, type Member, ReplicatedGroup } from './replicated-group.ts';

const kinds: readonly (readonly [string, GroupKind])[] = [
  ['PBFT', { engine: 'pbft', faults: 1 }],
  ['PBFT, f = 2', { engine: 'pbft', faults: 2 }],
  ['PBFT, tentative', { engine: 'pbft', faults: 1, pbft: { isTentative: true } }],
  ['Viewstamped Replication', { engine: 'vr', faults: 1 }],
  ['Viewstamped Replication, f = 2', { engine: 'vr', faults: 2 }],
  ['VR with leases', { engine: 'vr', faults: 1, vr: { leaseMs: 200 } }],
  ['VR with three-message writes', { engine: 'vr', faults: 1, vr: { threeMessageWrites: true } }],
  ['VR with witnesses', { engine: 'vr', faults: 1, vr: { witnesses: true } }],
];

function texts({ service }: Member): string[] {
  return service.executed.map(({ text }) => text);
}

describe.each(kinds)('%s', (_, kind) => {
  const start = (): Promise<ReplicatedGroup> => ReplicatedGroup.start(kind);

  it('executes what clients submit once, in one order, with one state and the same input everywhere', async () => {
    const group = await start();
    const names = ['ada', 'ben', 'cleo'];
    const each = 2 * limits.clientWindow;
    const submitted = names.flatMap((name) => {
      const client = group.client(name);
      return Array.from({ length: each }, (_, i) => client.submit(utf8(`${name}${i}`)));
    });
    const answers = await group.told(...submitted);
    const total = names.length * each;
    const counts = answers.map(Number);
    expect(counts.toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: total }, (_, i) => i + 1),
    );
    await group.level();
    const [first, ...others] = group.holders;
    expect(new Set(texts(first as Member)).size).toBe(total);
    for (const member of others) {
      expect(member.service.executed).toEqual(first?.service.executed);
      expect(member.service.state).toBe(first?.service.state);
    }
    // What each was told is where it stands in the order.
    counts.forEach((count, i) => {
      const text = `${names[Math.floor(i / each)]}${i % each}`;
      expect(first?.service.executed[count - 1]?.text).toBe(text);
    });
  });

  it('asks the primary alone for input, shows it to the others, and gives it to every operation of the batch', async () => {
    const group = await start();
    await group.submit('ada', 'a', 'b', 'c');
    await group.level();
    const proposers = group.members.filter(({ service }) => service.proposed.length > 0);
    expect(proposers).toHaveLength(1);
    const { proposed } = (proposers[0] as Member).service;
    const inputs = proposed.flatMap((operations, i) =>
      operations
        // With an empty one a client claims a number.
        .filter((text) => text !== '')
        .map((text) => ({ text, agreed: `input ${i + 1} of ${operations.length}` })),
    );
    for (const { service } of group.holders) {
      expect(service.executed.map(({ text, agreed }) => ({ text, agreed }))).toEqual(inputs);
    }
    // Members of Viewstamped Replication trust their primary.
    if (kind.engine === 'vr') return;
    for (const member of group.members) {
      if (!proposers.includes(member)) expect(member.service.checked).toEqual(proposed);
    }
  });

  it('tells a service whose client it is', async () => {
    const group = await start();
    await group.submit('ada', 'a');
    await group.submit('ben', 'b');
    await group.level();
    const [holder] = group.holders;
    expect(new Set(holder?.service.executed.map(({ client }) => client)).size).toBe(2);
  });

  it('executes a request once however often it arrives', async () => {
    const group = await start();
    const type = replicationMessageNumber('submitRequest');
    group.fabric.add(
      only((packet) => packet.type === type, {
        stage: 'duplicate',
        judge: () => ({ kind: 'duplicate', copies: 3 }),
      }),
    );
    expect((await group.submit('ada', 'a', 'b', 'c')).toSorted()).toEqual(['1', '2', '3']);
    await group.simulation.runFor(5_000);
    expect(texts(group.holders[0] as Member).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('shows a read every write that had ended, and changes nothing for it', async () => {
    const group = await start();
    const [writer, reader] = [group.client('ada'), group.client('ben')];
    for (let i = 1; i <= 5; i++) {
      await group.told(writer.submit(utf8(`w${i}`)));
      expect(await group.told(reader.query(utf8('?')))).toEqual([`${i}`]);
      // Of the same kind, but ordered.
      expect(await group.told(reader.submit(utf8('?')))).toEqual([`${i}`]);
    }
    await group.level();
    for (const member of group.holders) expect(texts(member)).toHaveLength(5);
  });

  it('takes operations and gives results of any size within the bounds, empty ones too', async () => {
    const group = await start();
    const client = group.client('ada');
    const long = await group.simulation.complete(
      client.submit(utf8(`*${serviceLimits.resultSizeBytesMax}`)),
      60_000,
    );
    expect(long).toMatchObject({ kind: 'result' });
    if (long.kind === 'result') {
      expect(long.result).toHaveLength(serviceLimits.resultSizeBytesMax);
      expect(long.result.every((byte) => byte === 42)).toBe(true);
    }
    expect(await group.told(client.submit(utf8('*0')))).toEqual(['']);
    expect(await group.told(client.submit(new Uint8Array(0)))).toEqual(['3']);
    const large = new Uint8Array(serviceLimits.operationSizeBytesMax).fill(97);
    expect(await group.told(client.submit(large))).toEqual(['4']);
    await expect(client.submit(new Uint8Array(large.length + 1))).rejects.toThrow('bytes');
  });

  it('brings a member that was away to the state of the others, and tells its service', async () => {
    const group = await start();
    const away = group.holders.at(-1) as Member;
    await group.submit('ada', 'before');
    await group.level();
    away.crash();
    for (let i = 0; i < 30; i++) await group.submit('ada', `while${i}`);
    away.start();
    await group.until(() => away.isUp);
    await group.submit('ada', 'after');
    await group.until(() => away.service.count === 32);
    await group.level();
    const [other] = group.holders;
    expect(away.service.state).toBe(other?.service.state);
    // It has executed what was in its journal, and nothing of what it got as pages.
    const all = texts(other as Member);
    const places = texts(away).map((text) => all.indexOf(text));
    expect(places).toEqual(places.toSorted((x, y) => x - y));
    expect(places.length).toBeLessThan(all.length);
    expect(places).not.toContain(-1);
    expect(away.service.loads).toBeGreaterThan(0);
  });

  it('keeps state and answers over a restart of all members', async () => {
    const group = await start();
    expect(await group.submit('ada', 'a', 'b', 'c', 'd', 'e', 'f')).toHaveLength(6);
    await group.level();
    for (const member of group.members) member.crash();
    for (const member of group.members) member.start();
    await group.until(() => group.members.every(({ isUp }) => isUp));
    // A new process with the same key: it must learn which numbers are used, or it would be told old results.
    expect((await group.submit('ada', 'g', 'h')).toSorted()).toEqual(['7', '8']);
    await group.level();
    const states = group.holders.map(({ service }) => service.state);
    expect(new Set(states).size).toBe(1);
  });

  it('goes on without as many members as may fail, the primary among them', async () => {
    const group = await start();
    await group.submit('ada', 'a');
    const { primary } = (group.members[0] as Member).status;
    const victims = [primary, ...group.members.map((_, i) => i).filter((i) => i !== primary)];
    for (const victim of victims.slice(0, kind.faults)) group.members[victim]?.crash();
    expect(await group.submit('ben', 'b')).toEqual(['2']);
    expect(await group.submit('ada', 'c')).toEqual(['3']);
  });

  it('goes on with other operations when one is abandoned', async () => {
    const group = await start();
    const client = group.client('ada');
    const controller = new AbortController();
    const abandoned = client.submit(utf8('a'), { signal: controller.signal });
    controller.abort();
    await expect(abandoned).rejects.toThrow();
    expect(Number((await group.told(client.submit(utf8('b'))))[0])).toBeGreaterThan(0);
    await group.simulation.runFor(5_000);
    expect(texts(group.holders[0] as Member).filter((text) => text === 'a').length).toBeLessThan(2);
  });

  it('stops the members whose service fails, and says why', async () => {
    const group = await start();
    group
      .client('ada')
      .submit(utf8('#'))
      .catch(() => {});
    await group.until(() => group.failures.size > 0);
    await group.simulation.runFor(10_000);
    for (const { message } of group.failures.values()) expect(message).toMatch(/execute/);
  });

  it('ends with STOP: nothing behind it is executed, and all have one state to hand on', async () => {
    const group = await start();
    await group.submit('ada', 'a', 'b');
    const operations = ['!stop', 'c', 'd'];
    const told = await group.submit('ada', ...operations);
    await group.until(() => group.holders.every(({ status }) => status.status === 'final'));
    expect(await group.submit('ben', 'late')).toEqual(['ended']);
    const endings = group.holders.map(({ host }) => host.ending());
    expect(endings.every((ending) => ending !== undefined)).toBe(true);
    const roots = new Set(endings.map((ending) => JSON.stringify(ending?.root)));
    expect(roots.size).toBe(1);
    const executed = operations.filter((_, i) => told[i] !== 'ended');
    expect(executed).toContain('!stop');
    for (const member of group.holders) {
      expect(texts(member).at(-1)).toBe('!stop');
      expect(texts(member).toSorted()).toEqual(['a', 'b', ...executed].toSorted());
    }
  });

  it('begins with what another instance ended with, table of clients included', async () => {
    const group = await start();
    const client = group.client('ada');
    await group.told(client.submit(utf8('a')));
    await group.told(client.submit(utf8('!stop')));
    await group.until(() => group.holders.every(({ status }) => status.status === 'final'));
    const late = client.submit(utf8('b'));
    const ending = group.holders[0]?.host.ending();
    if (ending === undefined) expect.unreachable('the instance has ended');
    const begins = { root: ending.root, pages: [...ending.pages] };
    const next = await ReplicatedGroup.start(kind, 'second', begins, group);
    const follows = client.leave();
    next.client('ada', { follows });
    // It is told through the new one what it asked of the old one, if that had not answered yet.
    expect(['3', 'ended']).toContain((await group.told(late))[0]);
    const [answer] = await next.submit('ben', 'c');
    expect(Number(answer)).toBeGreaterThanOrEqual(3);
    await next.level();
    for (const member of next.holders) expect(texts(member)).not.toContain('a');
    expect(new Set(next.holders.map(({ service }) => service.state)).size).toBe(1);
  });
});
