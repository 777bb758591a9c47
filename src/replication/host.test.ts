import { describe, expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import {
  encodeReplicationMessage,
  replicationMessageName,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import type {
  Effects,
  Engine,
  EngineEvent,
  Recipient,
  ReplicaGroup,
  ReplicaStatus,
  Send,
} from './contract.ts';
import { ServiceFailed } from './guarded-service.ts';
import { ReplicaHost } from './host.ts';
import { Outbox } from './outbox.ts';
import { createReplica } from './replica-disk.ts';
import { TestDisk } from './test-disk.ts';
import { TestEnv } from './test-env.ts';

const group: ReplicaGroup = {
  instance: new Uint8Array(32).fill(7),
  members: [1, 2, 3, 4].map((i) => new Uint8Array(32).fill(i)),
  faults: 1,
};
const addresses = group.members.map((_, i) => ({ host: 'localhost', port: 1000 + i }));
const root = new Uint8Array(32).fill(5);
const clientKey = new Uint8Array(32).fill(99);

const nothing = new Outbox().take();

/** Gives the effects that the test lines up, and notes what it is told. */
class ScriptedEngine implements Engine {
  readonly events: EngineEvent[] = [];
  readonly script: Partial<Effects>[] = [];
  currentView = 0;
  damage: readonly string[] = [];
  divergedAt: number | undefined;
  parametersDiffer: readonly string[] = [];
  failure: Error | undefined;

  handle(event: EngineEvent): Effects {
    this.events.push(event);
    if (this.failure !== undefined) throw this.failure;
    // Only messages and timers are scripted: other events answer with nothing.
    const isScripted = event.kind === 'message' || event.kind === 'timer';
    return { ...nothing, ...(isScripted ? this.script.shift() : undefined) };
  }

  ending(): undefined {}

  isCurrent(view: number): boolean {
    return view === this.currentView;
  }

  status(): ReplicaStatus {
    return {
      view: this.currentView,
      status: 'normal',
      primary: 0,
      executed: 0,
      committed: 0,
      checkpoint: 0,
      transferred: undefined,
      root: '',
      damage: this.damage,
      divergedAt: this.divergedAt,
      parametersDiffer: this.parametersDiffer,
    };
  }

  /** Kinds of events after the start, with what tells them apart. */
  get told(): string[] {
    return this.events.slice(1).map((event) => {
      if (event.kind === 'durable') return `durable ${event.mark}`;
      if (event.kind === 'saved') return `saved ${event.sequence}`;
      return event.kind === 'timer' ? `timer ${event.name}` : event.kind;
    });
  }
}

/** A message whose number tells it apart. */
function send(
  number: number,
  to: Recipient,
  options: Partial<Pick<Send, 'view' | 'isUrgent'>> = {},
): Send {
  const value = { instance: group.instance, nonce: new Uint8Array(16), number };
  return { to, name: 'lastNumberIs', value, view: undefined, isUrgent: false, ...options };
}
const toAll: Recipient = { kind: 'replicas' };

async function running(isInMemory = false, damage: readonly string[] = []) {
  const env = new TestEnv();
  const disk = new TestDisk();
  await createReplica(disk, group, 0);
  const engine = new ScriptedEngine();
  engine.damage = damage;
  const failures: Error[] = [];
  const host = await ReplicaHost.open({
    env: env.env,
    disk: isInMemory ? undefined : disk,
    group,
    self: 0,
    addresses,
    engine,
    onEvidence: ({ code }) => env.counts.push(`evidence ${code}`),
    onFailure: (error) => failures.push(error),
  });
  host.start();
  disk.isQuick = false;
  const channelOf = (key: Bytes): Channel => env.incoming(toHex(key) as PeerId);
  const client = channelOf(clientKey);
  const value = { instance: group.instance, nonce: new Uint8Array(16) };
  const payload = encodeReplicationMessage('lastNumber', value);
  const type = replicationMessageNumber('lastNumber');
  /** Lets the engine handle a message, with these effects. */
  const effect = (effects: Partial<Effects>, channel = client): void => {
    engine.script.push(effects);
    env.deliver(channel, type, payload);
  };
  return { env, disk, engine, host, failures, effect, client, channelOf };
}

/** What left, by recipient and number. */
function left(env: TestEnv): string[] {
  return env.sent.map(({ peer, type, payload }) => {
    const number = new DataView(payload.buffer, payload.byteOffset).getUint32(48, true);
    expect(replicationMessageName(type)).toBe('lastNumberIs');
    return `${Number.parseInt(peer.slice(0, 2), 16)}:${number}`;
  });
}

/** Lets promises settle. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('the host', () => {
  it('lets what vouches for records leave only when they are durable, and in order', async () => {
    const { env, disk, effect, engine } = await running();
    effect({ sends: [send(1, toAll)] });
    expect(left(env)).toEqual(['2:1', '3:1', '4:1']);
    env.sent.length = 0;
    effect({
      records: [utf8('a')],
      sends: [send(2, toAll), send(3, { kind: 'client', key: clientKey }, { isUrgent: true })],
      mark: 7,
    });
    // Without records of its own it still waits for those before it.
    effect({ sends: [send(4, { kind: 'replica', index: 2 })], mark: 8 });
    expect(left(env)).toEqual(['99:3']);
    expect(engine.told).not.toContain('durable 7');
    disk.flush();
    await settled();
    expect(left(env)).toEqual(['99:3', '2:2', '3:2', '4:2', '3:4']);
    expect(engine.told.slice(-2)).toEqual(['durable 7', 'durable 8']);
  });

  it('has one flush running, and the next one takes all that came meanwhile', async () => {
    const { env, disk, effect } = await running();
    const before = disk.flushCount;
    effect({ records: [utf8('a')], sends: [send(1, { kind: 'replica', index: 1 })] });
    for (let i = 2; i < 6; i++) {
      effect({ records: [utf8('b')], sends: [send(i, { kind: 'replica', index: 1 })] });
    }
    expect(disk.flushCount - before).toBe(1);
    disk.flush();
    await settled();
    expect(left(env)).toEqual(['2:1']);
    expect(disk.flushCount - before).toBe(2);
    disk.flush();
    await settled();
    expect(left(env)).toEqual(['2:1', '2:2', '2:3', '2:4', '2:5']);
    expect(disk.flushCount - before).toBe(2);
  });

  it('drops what belongs to a view that was left before the records were durable', async () => {
    const { env, disk, effect, engine } = await running();
    effect({
      records: [utf8('a')],
      sends: [send(1, toAll, { view: 0 }), send(2, { kind: 'replica', index: 1 })],
    });
    engine.currentView = 1;
    disk.flush();
    await settled();
    expect(left(env)).toEqual(['2:2']);
    expect(env.counts).toContain('send-dropped-view');
  });

  it('closes channels whose keys are void, and hears nothing that still comes out of them', async () => {
    const { env, effect, engine, client, channelOf } = await running();
    const [, second, third] = group.members as [Bytes, Bytes, Bytes];
    const [of2, of3] = [channelOf(second), channelOf(third)];
    const link = env.link(toHex(second) as PeerId);
    effect({}, of2);
    effect({}, of3);
    effect({ rekey: 1, sends: [send(1, { kind: 'replica', index: 1 }, { isUrgent: true })] });
    expect(env.closedChannels).toEqual([of2, link]);
    expect(left(env)).toEqual(['2:1']);
    expect(env.sent[0]?.channel).not.toBe(link);
    const heard = engine.events.length;
    effect({}, of2);
    expect(engine.events.length).toBe(heard);
    expect(env.counts).toContain('channel-void');
    effect({}, channelOf(second));
    expect(engine.events.length).toBe(heard + 1);
    env.closedChannels.length = 0;
    engine.script.length = 0;
    effect({ rekey: 'all' });
    expect(env.closedChannels).toContain(client);
    expect(env.closedChannels).toContain(of3);
    expect(env.closedChannels.filter(({ peer }) => peer === toHex(third))).toHaveLength(2);
  });

  it('makes new keys when it closes all channels, and takes no older ones of others', async () => {
    const { env, effect } = await running();
    const [, second, third] = group.members as [Bytes, Bytes, Bytes];
    effect({ rekey: 1, keyCounters: [9, 4, 0] });
    expect(env.keyChanges).toEqual([`${toHex(second)} 4`]);
    effect({ keyCounters: [9, 4, 2] });
    expect(env.keyChanges.slice(1)).toEqual([`${toHex(second)} 4`, `${toHex(third)} 2`]);
    effect({ rekey: 'all' });
    expect(env.keyChanges.slice(3)).toEqual(['renewed']);
  });

  it('gives the engine the pages that the disk has, after a save that is under way', async () => {
    const { disk, effect, engine, host } = await running();
    disk.isQuick = true;
    const bytes = utf8('page');
    const changes = [{ region: 'service' as const, page: 3, bytes }];
    effect({
      save: { sequence: 4, root, notes: utf8('n'), changes, isWhole: true },
      reloads: true,
    });
    await settled();
    host.recover();
    expect(engine.told).toContain('recover');
    const event = engine.events.find(({ kind }) => kind === 'reloaded');
    const checkpoint = event?.kind === 'reloaded' ? event.checkpoint : undefined;
    expect(checkpoint?.sequence).toBe(4);
    // What is to be saved now waits until they are read: they are those of one checkpoint.
    const later = [{ region: 'service' as const, page: 3, bytes: utf8('later') }];
    effect({ save: { sequence: 8, root, notes: utf8('n'), changes: later, isWhole: false } });
    await settled();
    expect(engine.told).not.toContain('saved 8');
    expect([...(checkpoint?.pages ?? [])]).toEqual(changes);
    await settled();
    expect(engine.told).toContain('saved 8');
  });

  it('counts as durable what is in memory only when asked to', async () => {
    const { env, effect, engine } = await running(true);
    const save = { sequence: 9, root, notes: utf8(''), changes: [], isWhole: true };
    effect({ records: [utf8('a')], sends: [send(1, toAll)], mark: 1, save });
    expect(left(env)).toHaveLength(3);
    expect(engine.told).toEqual(['message', 'durable 1', 'saved 9']);
  });

  it('says what is wrong with the disk, once, and when it is put right', async () => {
    const { disk, effect, engine, env } = await running(false, ['disk-page-too-long', 'x']);
    const found = 'replica-disk-damaged {"found":"disk-page-too-long x"}';
    expect(env.logged).toEqual([found]);
    disk.isQuick = true;
    const save = { sequence: 4, root, notes: utf8('n'), changes: [], isWhole: true };
    effect({ save });
    await settled();
    expect(env.logged).toEqual([found]);
    engine.damage = [];
    effect({ save });
    await settled();
    expect(env.logged).toEqual([found, 'replica-disk-repaired {"checkpoint":0}']);
    expect((await running()).env.logged).toEqual([]);
  });

  it('saves checkpoints one after the other and says when', async () => {
    const { disk, effect, engine } = await running();
    const save = (sequence: number) => ({
      sequence,
      root,
      notes: utf8('n'),
      changes: [{ region: 'service' as const, page: sequence, bytes: utf8('p') }],
      isWhole: false,
    });
    effect({ save: save(1) });
    effect({ save: save(2) });
    await settled();
    expect(engine.told).toEqual(['message', 'message']);
    disk.write();
    await settled();
    expect(engine.told.at(-1)).toBe('saved 1');
    disk.write();
    await settled();
    expect(engine.told.at(-1)).toBe('saved 2');
  });

  it('restarts with what was durable', async () => {
    const { disk, effect, host } = await running();
    effect({ records: [utf8('a')] });
    disk.flush();
    await settled();
    effect({ records: [utf8('b')] });
    host.close();
    const engine = new ScriptedEngine();
    const after = disk.crash(new Prng(1));
    const options = { group, self: 0, addresses, engine, onEvidence() {}, onFailure() {} };
    const again = await ReplicaHost.open({ ...options, env: new TestEnv().env, disk: after });
    again.start();
    const [start] = engine.events;
    const records = start?.kind === 'start' ? start.restored?.records.map(toHex) : undefined;
    expect(records?.[0]).toBe(toHex(utf8('a')));
  });

  it('does nothing more after a failed flush, and says so once', async () => {
    const { env, disk, effect, engine, failures } = await running();
    effect({ records: [utf8('a')], sends: [send(1, toAll)], timers: [{ name: 't', atMs: 5 }] });
    effect({ records: [utf8('b')] });
    const events = engine.events.length;
    disk.fail(new TypeError('gone'));
    await settled();
    effect({ sends: [send(2, toAll)] });
    env.advance(100);
    expect(failures.map(({ message }) => message)).toEqual(['gone']);
    expect(left(env)).toEqual([]);
    expect(engine.events).toHaveLength(events);
  });

  it('stops when its engine finds its own state wrong', async () => {
    const { effect, engine, failures } = await running();
    engine.failure = new TypeError('impossible');
    effect({});
    effect({});
    expect(failures.map(({ message }) => message)).toEqual(['impossible']);
    expect(engine.events).toHaveLength(2);
  });

  it('keeps one timer per name, and wakes the engine neither early nor twice', async () => {
    const { env, effect, engine } = await running();
    effect({
      timers: [
        { name: 'a', atMs: 10 },
        { name: 'b', atMs: 20 },
      ],
    });
    effect({ timers: [{ name: 'a', atMs: 50 }] });
    env.advance(30);
    expect(engine.told.filter((event) => event.startsWith('timer'))).toEqual(['timer b']);
    effect({
      timers: [
        { name: 'a', atMs: 40 },
        { name: 'c', atMs: 45 },
      ],
    });
    effect({ timers: [{ name: 'c', atMs: undefined }] });
    env.advance(11);
    expect(engine.told.at(-1)).toBe('timer a');
    env.advance(1000);
    expect(engine.told.filter((event) => event.startsWith('timer'))).toEqual([
      'timer b',
      'timer a',
    ]);
  });

  it('knows a sender by its channel', async () => {
    const { effect, engine, channelOf } = await running();
    effect({}, channelOf(group.members[2] as Bytes));
    effect({}, channelOf(clientKey));
    const senders = engine.events.flatMap((event) =>
      event.kind === 'message' ? [event.from] : [],
    );
    expect(senders).toEqual([
      { kind: 'replica', index: 2 },
      { kind: 'client', key: clientKey },
    ]);
  });

  it('answers a client on the channel on which it was heard last', async () => {
    const { env, effect, channelOf, host } = await running();
    const [first, second] = [channelOf(clientKey), channelOf(clientKey)];
    const reply = { sends: [send(1, { kind: 'client', key: clientKey })] };
    effect(reply, first);
    effect(reply, second);
    expect(env.sent.map(({ channel }) => channel)).toEqual([first, second]);
    host.closed(first);
    effect(reply, second);
    expect(env.sent).toHaveLength(3);
    host.closed(second);
    effect(reply, channelOf(group.members[1] as Bytes));
    expect(env.sent).toHaveLength(3);
  });

  it('ends channels that send no messages, and nothing they send reaches the engine', async () => {
    const { env, engine, client } = await running();
    const type = replicationMessageNumber('submitRequest');
    for (let i = 0; i < limits.badMessagesPerChannelMax; i++) {
      expect(env.closedChannels).toEqual([]);
      env.deliver(client, type, Uint8Array.of(1, 2, 3));
    }
    expect(env.closedChannels).toEqual([client]);
    // A message of another protocol on a shared network is none of its business.
    env.deliver(client, 1, Uint8Array.of(1));
    expect(engine.events).toHaveLength(1);
  });

  it('bounds what waits for the disk on behalf of one client', async () => {
    const { env, disk, effect } = await running();
    effect({ records: [utf8('a')] });
    const most = limits.waitingSendsPerClientMax;
    for (let i = 0; i < most + 5; i++) {
      effect({ sends: [send(i, { kind: 'client', key: clientKey })] });
    }
    disk.flush();
    await settled();
    expect(left(env)).toHaveLength(most);
    expect(env.counts.filter((code) => code === 'send-dropped-waiting')).toHaveLength(5);
    effect({ records: [utf8('b')], sends: [send(1, { kind: 'client', key: clientKey })] });
    disk.flush();
    await settled();
    expect(left(env)).toHaveLength(most + 1);
  });

  it('remembers a bounded number of clients', async () => {
    const { env, effect, channelOf } = await running();
    const keyOf = (i: number): Bytes => {
      const key = new Uint8Array(32).fill(200);
      new DataView(key.buffer).setUint32(0, i + 2 ** 31);
      return key;
    };
    const first = channelOf(keyOf(0));
    effect({}, first);
    for (let i = 1; i <= limits.clientChannelsMax; i++) effect({}, channelOf(keyOf(i)));
    effect({ sends: [send(1, { kind: 'client', key: keyOf(0) })] }, channelOf(keyOf(5)));
    expect(env.sent).toHaveLength(0);
    effect({ sends: [send(1, { kind: 'client', key: keyOf(0) })] }, first);
    expect(env.sent).toHaveLength(1);
  });

  it('hands evidence and counts on', async () => {
    const { env, effect } = await running();
    const evidence = {
      code: 'two-roots',
      accused: clientKey,
      proof: utf8('p'),
      genesis: new Uint8Array(32),
    };
    effect({ evidence: [evidence], counts: ['view-change'] });
    expect(env.counts).toEqual(['evidence two-roots', 'view-change']);
  });
});

describe('a host whose group diverged', () => {
  it('says at which checkpoint, and why that may be', async () => {
    const { env, engine, effect } = await running();
    engine.divergedAt = 8;
    effect({ counts: ['states-differ'] });
    expect(env.logged).toHaveLength(1);
    expect(env.logged[0]).toMatch(/^replica-states-differ .*"checkpoint":8.*not deterministic/);
  });
});

describe('a host whose members have different parameters', () => {
  it('says which, and both values', async () => {
    const { env, engine, effect } = await running();
    engine.parametersDiffer = ['member 2 has window 512, here 256'];
    effect({ counts: ['parameters-differ'] });
    expect(env.logged).toHaveLength(1);
    expect(env.logged[0]).toMatch(/^replica-parameters-differ .*member 2 has window 512, here 256/);
  });
});

describe('a host whose service fails', () => {
  it('logs where, once', async () => {
    const { env, engine, effect, failures } = await running();
    const cause = new RangeError('page 7');
    const failure = new ServiceFailed('execute', 'threw: page 7', cause);
    engine.failure = failure;
    for (let i = 0; i < 2; i++) effect({});
    expect(failures).toEqual([failure]);
    const fields = { message: "the service's execute threw: page 7", at: cause.stack };
    expect(env.logged).toEqual([`replica-failed ${JSON.stringify(fields)}`]);
  });
});
