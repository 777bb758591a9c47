// Members whose keys are in modules of their own. Who breaks into a member's process can have its module sign and vouch for as
// long as it is there; after the member's next change of keys it has nothing left.

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { silentLog } from '../../src/env/log.ts';
import { noMetrics } from '../../src/env/metrics.ts';
import type { Channel } from '../../src/env/network.ts';
import { systemClock, systemTimers } from '../../src/node/clock.ts';
import { systemEntropy } from '../../src/node/entropy.ts';
import { createChannelIdentity, type Identity } from '../../src/node/identity.ts';
import { createTlsNetwork, type TlsNetwork } from '../../src/node/network.ts';
import {
  encodeReplicationMessage,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
} from '../../src/wire/replication-registry.ts';
import { decodeSigning, encodeSigning, signingDecoder } from '../../src/wire/signing.ts';
import { endAll } from './processes.ts';
import { Counting, type Member, ReplicaGroup, type Signing } from './replica-group.ts';
import { recoverSignal } from './replica-process.ts';
import { NeverHappened, until } from './until.ts';

const networks: TlsNetwork[] = [];

afterEach(async () => {
  await Promise.all(networks.splice(0).map((network) => network.close()));
  await endAll();
});

function signingOf({ signing }: Member): Signing {
  if (signing === undefined) throw new NeverHappened('its key is in a module');
  return signing;
}

function saidTimes({ process }: Member, event: string): number {
  return (process?.stderr.split(`"${event}"`).length ?? 1) - 1;
}

/** What the module of a member answers to whoever may open its socket: here, for a key of the asker's own. */
function stolenWord(signing: Signing, channelKey: Bytes) {
  return new Promise<{ counter: number; notAfterMs: number; signature: Bytes }>(
    (resolve, reject) => {
      const decoder = signingDecoder();
      const socket = connect({ path: signing.socket });
      socket.on('error', reject);
      socket.on('data', (chunk: Buffer) => {
        decoder.push(chunk, (frame) => {
          const answer = decodeSigning(frame);
          socket.destroy();
          if (answer?.name === 'vouched') resolve(answer.value);
          else reject(new NeverHappened('the module vouches'));
        });
      });
      socket.write(encodeSigning('vouch', { channelKey }));
    },
  );
}

function stolenIdentity(group: ReplicaGroup, index: number): Promise<Identity> {
  const identity = group.description.members[index] ?? new Uint8Array(32);
  return createChannelIdentity(new Uint8Array(randomBytes(32)), async (channelKey) => ({
    identity,
    ...(await stolenWord(signingOf(group.at(index)), channelKey)),
  }));
}

/** Somebody with these keys on the channel to a member; the members' own messages are not answered. */
async function thief(group: ReplicaGroup, identity: Identity, victim: number) {
  const { description } = group;
  const network = await createTlsNetwork({
    identity,
    channelKeys: { system: description.instance },
    sizeBytesMax: replicationPayloadSizeBytesMax,
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log: silentLog,
    metrics: noMetrics,
  });
  networks.push(network);
  network.onMessage(() => {});
  const peer = toHex(description.members[victim] ?? new Uint8Array(32)) as PeerId;
  const address = description.addresses[victim];
  if (address === undefined) throw new NeverHappened('the member has an address');
  const channel = network.open(peer, address);
  return { state: () => network.state(peer), say: () => saySomething(group, channel) };
}

function saySomething(group: ReplicaGroup, channel: Channel): void {
  const { instance } = group.description;
  const value = { instance, counter: 0, forgotten: 0 };
  channel.send(
    replicationMessageNumber('queryStable'),
    encodeReplicationMessage('queryStable', value),
  );
}

const refused = 'closed right after the handshake';

test('stolen keys of a channel are worth nothing after the recovery of the member', async () => {
  const group = await ReplicaGroup.startSigned();
  const counting = await Counting.start(group, 2);
  await counting.goesOn(40);
  const [victim, away, broken] = [group.at(0), group.at(1), group.at(2)];
  const identity = await stolenIdentity(group, 2);
  const before = await thief(group, identity, 0);
  before.say();
  await until('the thief has a channel', () => before.state()?.phase === 'connected');

  await away.kill();
  broken.process?.kill(recoverSignal);
  await until('it has recovered', () => saidTimes(broken, 'recovery-done') === 1);
  await until('the thief has no channel', () => before.state()?.phase !== 'connected');
  await until('and gets none', () => {
    before.say();
    return before.state()?.lastError?.includes(refused);
  });
  await counting.goesOn(40);

  // Nor does it from one that was away meanwhile, nor from one that has been started anew and remembers.
  await away.start();
  await victim.kill();
  await victim.start();
  for (const index of [1, 0]) {
    const after = await thief(group, identity, index);
    await until('the restarted member refuses it too', () => {
      after.say();
      return after.state()?.lastError?.includes(refused);
    });
  }

  const { added, found } = await counting.judge();
  expect(found).toEqual(added);
  expect(Math.min(...added)).toBeGreaterThan(0);
});

test('each member recovers in turn, and starts anew, while clients work', async () => {
  const group = await ReplicaGroup.startSigned();
  const counting = await Counting.start(group, 2);
  for (const member of group.members) {
    member.process?.kill(recoverSignal);
    await until('it has recovered', () => saidTimes(member, 'recovery-done') === 1);
    await member.kill();
    await counting.goesOn(20);
    await member.start();
    await until('it is normal', () => member.status?.status === 'normal');
  }
  const { added, found } = await counting.judge();
  expect(found).toEqual(added);
  expect(Math.min(...added)).toBeGreaterThan(0);
});

test('a member whose module is gone ends and says so, and starts again with it, unless that has lost its folder', async () => {
  const group = await ReplicaGroup.startSigned();
  const counting = await Counting.start(group, 2);
  const member = group.at(1);
  const signing = signingOf(member);
  await signing.kill();
  const { process } = member;
  process?.kill(recoverSignal);
  expect((await process?.ended)?.code).toBe(1);
  expect(process?.stderr).toContain(`the signing module at ${signing.socket} does not answer`);

  const again = member.launch();
  expect((await again.ended).code).toBe(4);
  expect(again.stderr).toContain('Start it, and then this replica again.');

  await signing.start();
  await member.start();
  await until('it is normal', () => member.status?.status === 'normal');
  await counting.goesOn(20);
  const { added, found } = await counting.judge();
  expect(found).toEqual(added);

  await signing.kill();
  await rm(`${signing.folder}/counter`);
  const forgetful = signing.launch();
  expect((await forgetful.ended).code).toBe(8);
  expect(forgetful.stderr).toContain('can be started with its seed');
});
