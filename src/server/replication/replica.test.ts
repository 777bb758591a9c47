import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../base/bytes.ts';
import { HoldfastError } from '../../base/errors.ts';
import { type Log, type LogFields, silentLog } from '../../env/log.ts';
import type { StateMachine } from '../../replication/contract.ts';
import { type ConnectGroupOptions, connectGroup } from './client.ts';
import { createReplicaFolder } from './folder.ts';
import { describeGroup, memberKey } from './group.ts';
import { type ReplicaOptions, startReplica } from './replica.ts';

const seeds = [1, 2, 3, 4].map((fill) => new Uint8Array(32).fill(fill));
const members = seeds.map((seed) => ({
  publicKey: memberKey(seed),
  // Any free one.
  address: { host: '127.0.0.1', port: 0 },
}));
const group = describeGroup('test', members, 1);
const service: StateMachine = {
  load() {},
  execute: (operation) => operation,
  query: (operation) => operation,
  isQuery: () => false,
};

let root: string;
let folder: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-replica-'));
  folder = join(root, 'data');
});
afterEach(() => rmSync(root, { recursive: true }));

function options(changed: object = {}): ReplicaOptions {
  const [identitySeed = new Uint8Array()] = seeds;
  return { group, identitySeed, engine: { kind: 'pbft' }, service, folder, ...changed };
}

async function refusal(work: () => Promise<unknown>): Promise<HoldfastError> {
  const error: unknown = await work().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (error instanceof HoldfastError) return error;
  throw new TypeError('not refused in words for a user', { cause: error });
}

describe('a replica refuses to start', () => {
  it('without its journal, and lets its folder go', async () => {
    await createReplicaFolder(folder, group, 0);
    const journal = join(folder, 'journal');
    const aside = join(root, 'journal');
    renameSync(journal, aside);
    for (const what of ['is missing', 'no-segments']) {
      const { code, message, cure } = await refusal(() => startReplica(options()));
      expect(code).toBe('data-folder');
      expect(message).toContain(what);
      expect(cure).toContain('recoverReplicaFolder');
      mkdirSync(journal, { recursive: true });
    }
    rmSync(journal, { recursive: true });
    renameSync(aside, journal);
    const replica = await startReplica(options());
    await replica.stop();
  });

  it('on a wiped folder, with a cure for replicas', async () => {
    for (const make of [() => {}, () => mkdirSync(folder)]) {
      make();
      const { code, cure } = await refusal(() => startReplica(options()));
      expect(code).toBe('data-folder');
      expect(cure).toContain('recoverReplicaFolder');
      expect(cure).not.toContain('--recover');
    }
  });
});

describe('what makes no sense is refused in words, before anything is opened:', () => {
  const named = (engine: unknown): object => ({ engine });
  const pbft = (parameters: object): object => named({ kind: 'pbft', parameters });
  const vr = (parameters: object): object => named({ kind: 'vr', parameters });
  const [first, ...others] = group.members;
  it.each<[string, object]>([
    ["no engine 'raft'", named({ kind: 'raft' })],
    ['2f+1 members', named({ kind: 'vr' })],
    ['checkpointIntervall is no parameter', pbft({ checkpointIntervall: 4 })],
    ['checkpointInterval must be a whole number', pbft({ checkpointInterval: 2.5 })],
    ['batchDelayMs must be a whole number', pbft({ batchDelayMs: -1 })],
    ['isTentative must be a boolean', pbft({ isTentative: 'yes' })],
    ['window must be a number', pbft({ window: undefined })],
    ['a group has members', { group: { ...group, members: [] } }],
    ['all zeros', { group: { ...group, members: [...others, new Uint8Array(32)] } }],
    [
      'member 1 has the key of member 0, not a key of its own',
      { group: { ...group, members: [first, first, first, first] } },
    ],
    ['member 0 has no host', { group: { ...group, addresses: [] } }],
    ['identitySeed is a Uint8Array of 32 bytes; it has 31', { identitySeed: new Uint8Array(31) }],
    ['of 32 bytes; it is a string', { identitySeed: 'x'.repeat(32) }],
    ['of member 4 is a', { group: { ...group, members: [first, ...others, first?.slice(1)] } }],
    ['2 × 128; this one is 200', pbft({ window: 200 })],
  ])('%s', async (words, changed) => {
    const error = await refusal(() => startReplica(options({ folder: undefined, ...changed })));
    expect(error.code).toBe('bad-configuration');
    expect(error.message).toContain(words);
  });

  it('parameters, though the folder could not be used either', async () => {
    const { code } = await refusal(() => startReplica(options({ folder, ...pbft({ window: 1 }) })));
    expect(code).toBe('bad-configuration');
  });

  it('parameters of Viewstamped Replication', async () => {
    const three = describeGroup('three', members.slice(0, 3), 1);
    for (const parameters of [{ leaseMS: 1 }, { mode: 'half' }, { heartbeatMs: 0.5 }]) {
      const changed = { folder: undefined, group: three, ...vr(parameters) };
      const error = await refusal(() => startReplica(options(changed)));
      expect(error.code).toBe('bad-configuration');
      expect(error.message).toContain(Object.keys(parameters)[0]);
    }
  });

  it('a port out of range, also when the group is described', () => {
    for (const port of [-1, 65_536, 1.5, Number.NaN]) {
      const address = { host: 'localhost', port };
      const describe = () =>
        describeGroup('t', [{ publicKey: memberKey(new Uint8Array(32).fill(1)), address }], 0);
      expect(describe, String(port)).toThrow('port');
    }
    expect(() => describeGroup('t', [], 0)).toThrow('a group has members');
    expect(() => describeGroup('', members, 1)).toThrow('a group has a name');
    expect(() => memberKey(new Uint8Array(31))).toThrow('the seed of a key is a Uint8Array of 32');
  });

  it('a file in place of the folder', async () => {
    writeFileSync(folder, '');
    for (const work of [
      () => startReplica(options()),
      () => createReplicaFolder(folder, group, 0),
    ]) {
      const { code, message } = await refusal(work);
      expect([code, message]).toEqual(['data-folder', `${folder} is a file and no folder`]);
    }
  });

  it('of a client', async () => {
    const engine: unknown = 'raft';
    const wrong: object[] = [{ engine }, { identitySeed: new Uint8Array(3) }];
    wrong.push({ identitySeed: seeds[2] });
    for (const timeoutMs of [0, -1, 1.5, Number.NaN, 2 ** 31]) wrong.push({ timeoutMs });
    for (const changed of wrong) {
      const given: ConnectGroupOptions = { group, engine: 'pbft', ...changed };
      expect((await refusal(() => connectGroup(given))).code).toBe('bad-configuration');
    }
    const client = await connectGroup({ group, engine: 'pbft' });
    const text: unknown = 'text';
    for (const ask of [client.submit, client.query]) {
      const error = await refusal(() => Reflect.apply(ask, client, [text]));
      expect(error.code).toBe('usage');
      expect(error.message).toContain('Uint8Array');
    }
    await client.close();
  });
});

it('a replica may be stopped twice, and says that it is', async () => {
  const told: [string, LogFields | undefined][] = [];
  const log = {
    ...silentLog,
    info: (...line: [string, LogFields?]) => told.push([line[0], line[1]]),
  };
  const replica = await startReplica(options({ folder: undefined, log }));
  expect(replica.status().status).toBe('normal');
  await Promise.all([replica.stop(), replica.stop()]);
  await replica.stop();
  expect(replica.status().status).toBe('stopped');
  const instance = toHex(group.instance).slice(0, 16);
  const said = { index: 0, port: expect.any(Number), engine: 'pbft', instance, status: 'normal' };
  const ofReplica = told.filter(([event]) => event.startsWith('replica-'));
  expect(ofReplica).toEqual([
    ['replica-started', said],
    ['replica-stopped', { index: 0 }],
  ]);
});

it.each([
  ['pbft', group],
  ['vr', describeGroup('alone', members.slice(0, 1), 0)],
] as const)('a replica that has failed says so until it is stopped (%s)', async (kind, group) => {
  const isQuery = (): boolean => {
    throw new TypeError('not today');
  };
  let port = 0;
  const log: Log = {
    ...silentLog,
    info: (event, fields) => {
      if (event === 'replica-started') port = Number(fields?.port);
    },
  };
  const failing = { ...service, isQuery };
  const replica = await startReplica(
    options({ folder: undefined, group, engine: { kind }, service: failing, log }),
  );
  const addresses = group.members.map((_, i) => ({ host: '127.0.0.1', port: i === 0 ? port : i }));
  const client = await connectGroup({ group: { ...group, addresses }, engine: kind });
  const answer = client.query(new Uint8Array(1)).catch((error: unknown) => error);
  expect((await replica.failed).message).toContain('isQuery');
  expect(replica.status().status).toBe('failed');
  expect(await replica.metrics()).toContain('holdfast_replication_takes_part 0');
  if (kind === 'pbft') expect(() => replica.recover()).toThrow('it is failed');
  await replica.stop();
  expect(replica.status().status).toBe('stopped');
  expect(await replica.metrics()).toContain('holdfast_replication_takes_part 0');
  if (kind === 'pbft') expect(() => replica.recover()).toThrow('it is stopped');
  await client.close();
  expect(await answer).toMatchObject({ code: 'interrupted' });
});

it('a replica of Viewstamped Replication says that it cannot recover', async () => {
  const three = describeGroup('three', members.slice(0, 3), 1);
  const changed = { folder: undefined, group: three, engine: { kind: 'vr' } };
  const replica = await startReplica(options(changed));
  expect(await refusal(async () => replica.recover())).toMatchObject({ code: 'usage' });
  expect(await replica.metrics()).toContain('holdfast_replication_diverged 0');
  await replica.stop();
});
