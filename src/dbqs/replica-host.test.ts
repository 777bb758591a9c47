import { expect, it } from 'vitest';
import { found } from '../../testing/harness/genesis.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import { assert } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { Prng } from '../base/prng.ts';
import { storageInstance } from '../configuration/certificates.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import { messageName } from '../wire/registry.ts';
import { DurableStore } from './durable-store.ts';
import { HeaderVerifier } from './headers.ts';
import { StorageReplica } from './replica.ts';
import { ReplicaHost } from './replica-host.ts';

const scheme = simulatedSignatures();
const { configuration, trust } = found({ prng: new Prng(1), scheme, servers: 4, faults: 1 });
const instance = storageInstance(trust.system);
const stranger = '0f'.repeat(32) as PeerId;

/** A host for which any work takes all the time that one peer may have, and whose timers fire when asked to. */
async function slowHost() {
  const simulation = new Simulation({ seed: 1 });
  const self = configuration.members[0]?.peer;
  assert(self !== undefined, 'there are four servers');
  const node = new SimulatedNode(simulation, new Fabric(simulation), { name: 's', peer: self });
  const due: (() => void)[] = [];
  const hosts: ReplicaHost[] = [];
  let nowMs = 0;
  node.start(async ({ env, disk }) => {
    const store = await DurableStore.open(disk, env.timers);
    assert(store instanceof DurableStore, 'a new disk is in order');
    const verifier = new HeaderVerifier(trust.system, scheme);
    const replica = new StorageReplica(configuration, {
      self,
      instance,
      store,
      verifier,
      quotaBytesDefault: 0,
      freeBytes: () => 2 ** 40,
    });
    const slow = {
      clock: { nowMs: () => ++nowMs * 100 },
      timers: { after: (_: number, action: () => void) => ({ cancel() {}, at: due.push(action) }) },
    };
    const unused = (): never => expect.unreachable('strangers get no further');
    hosts.push(
      new ReplicaHost({
        env: { ...env, ...slow },
        ...{ replica, store, trust, instance },
        ...{ onDamage: unused, onFailure: unused, status: unused },
      }),
    );
  });
  await simulation.runUntil(() => hosts.length > 0, 60_000);
  const [host] = hosts;
  assert(host !== undefined, 'the node has started');
  const catchUp = (): void => {
    for (let action = due.shift(); action !== undefined; action = due.shift()) action();
  };
  return { host, catchUp };
}

it('keeps no more questions for the configuration than other requests', async () => {
  const { host, catchUp } = await slowHost();
  const answers: (string | undefined)[] = [];
  const channel: Channel = {
    peer: stranger,
    send: (type) => answers.push(messageName(type)) > 0,
    close: () => {},
  };
  const { system } = trust;
  const value = { system, nonce: new Uint8Array(16) };
  const most = limits.pendingRequestsPerChannelMax;
  for (let time = 0; time < 3 * most; time++) {
    host.handle(channel, { name: 'getConfiguration', value }, 48);
  }
  catchUp();
  expect(new Set(answers)).toEqual(new Set(['configuration']));
  // The first was answered at once.
  expect(answers).toHaveLength(1 + most);
  host.handle(channel, { name: 'getConfiguration', value }, 48);
  catchUp();
  expect(answers).toHaveLength(2 + most);
});
