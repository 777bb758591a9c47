import { expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { toHex } from '../base/bytes.ts';
import type { Channel } from '../env/network.ts';
import {
  encodeReplicationMessage,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import type { Effects, Engine, EngineEvent, ReplicaGroup, Send } from './contract.ts';
import { ReplicaHost } from './host.ts';
import { Outbox } from './outbox.ts';
import { TestEnv } from './test-env.ts';

const group: ReplicaGroup = {
  instance: new Uint8Array(32).fill(7),
  members: [1, 2, 3, 4].map((i) => new Uint8Array(32).fill(i)),
  faults: 1,
};
const clientKey = new Uint8Array(32).fill(99);
const memberKey = new Uint8Array(32).fill(2);
const type = replicationMessageNumber('lastNumber');
const nonce = { instance: group.instance, nonce: new Uint8Array(16) };
const payload = encodeReplicationMessage('lastNumber', nonce);

const answer: Send = {
  to: { kind: 'client', key: clientKey },
  name: 'lastNumberIs',
  value: { ...nonce, number: 1 },
  view: undefined,
  isUrgent: false,
};

/** What a message is told to have been when these effects are what came of it. */
async function told(
  effects: Partial<Effects>,
  options: { key?: typeof clientKey; isFull?: boolean; payload?: typeof payload } = {},
): Promise<readonly Channel[]> {
  const env = new TestEnv();
  let next: Partial<Effects> = {};
  const nothing = new Outbox().take();
  const handle = ({ kind }: EngineEvent): Effects =>
    kind === 'message' ? { ...nothing, ...next } : nothing;
  const host = await ReplicaHost.open({
    env: env.env,
    disk: undefined,
    group,
    self: 0,
    addresses: group.members.map((_, i) => ({ host: 'localhost', port: 1000 + i })),
    engine: {
      handle,
      status: () => ({ damage: [] }),
      isCurrent: () => true,
    } as unknown as Engine,
    onEvidence: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  host.start();
  // The answers of a client go where it was heard last.
  const client = env.incoming(toHex(clientKey) as PeerId);
  if (options.isFull === true) client.send = () => false;
  env.deliver(client, type, payload);
  expect(env.inVain).toEqual([]);
  next = effects;
  const { key = clientKey } = options;
  const channel = key === clientKey ? client : env.incoming(toHex(key) as PeerId);
  env.deliver(channel, type, options.payload ?? payload);
  return env.inVain;
}

it('tells the network of a message of which nothing came but a reason to count it', async () => {
  expect(await told({ counts: ['duplicate'] })).toHaveLength(1);
  expect(await told({ counts: ['duplicate'] }, { key: memberKey })).toHaveLength(1);
  expect(await told({}, { payload: Uint8Array.of(1) })).toHaveLength(1);
});

it('says nothing of a message that was of use, or that there is nothing to say of', async () => {
  expect(await told({})).toEqual([]);
  expect(await told({ counts: ['view-left'], records: [Uint8Array.of(1)] })).toEqual([]);
  expect(await told({ counts: ['duplicate'], sends: [answer] })).toEqual([]);
  expect(await told({ counts: ['x'], timers: [{ name: 'status', atMs: 1 }] })).toEqual([]);
  expect(await told({ counts: ['vr-checkpoint'], mark: 1 })).toEqual([]);
});

it('holds a dropped answer against the client that asked, not against a member', async () => {
  expect(await told({ sends: [answer] }, { isFull: true })).toHaveLength(1);
  expect(await told({ sends: [answer] }, { isFull: true, key: memberKey })).toEqual([]);
});
