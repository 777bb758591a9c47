import { expect, it } from 'vitest';
import { found, peerOf } from '../../testing/harness/genesis.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import { utf8 } from '../base/bytes.ts';
import { storageInstance } from '../configuration/certificates.ts';
import { StorageClient } from '../dbqs/client.ts';
import { objectId } from '../dbqs/ids.ts';
import { Exchange } from '../quorum/exchange.ts';
import { decodeMessage } from '../wire/registry.ts';
import { assembleServer } from './assemble.ts';

it('knows a client that greets while the disk is still being opened', async () => {
  const simulation = new Simulation({ seed: 1 });
  const fabric = new Fabric(simulation);
  const scheme = simulatedSignatures();
  const genesis = found({ prng: simulation.prng.fork(), scheme, servers: 4, faults: 1 });
  const { configuration, trust } = genesis;
  const nodes = configuration.members.map((member) => {
    const node = new SimulatedNode(simulation, fabric, {
      name: `s${member.index}`,
      peer: member.peer,
      address: { host: member.host, port: member.port },
    });
    node.start(async ({ env, disk }) => {
      await assembleServer({
        env,
        disk,
        configuration,
        trust,
        scheme,
        self: member.peer,
        recover: false,
        quotaBytesDefault: 0,
        scrubIntervalMs: 60_000,
        scrubRateBytesPerSecond: 1_000_000,
        software: 'test',
      });
    });
    return node;
  });

  const { key, greeting } = genesis.newClient('early');
  const node = new SimulatedNode(simulation, fabric, { name: 'c', peer: peerOf(key.publicKey) });
  const signal = new AbortController().signal;
  const signer = scheme.signer(new Uint8Array(32).fill(5));
  let client: StorageClient | undefined;
  node.start(({ env, network }) => {
    network.configure({ greeting });
    const exchange = new Exchange(env, storageInstance(trust.system));
    env.network.onMessage((channel, type, payload) => {
      const message = decodeMessage(type, payload);
      if (message !== undefined) exchange.handle(channel.peer, message);
    });
    client = new StorageClient({ exchange, configuration, scheme, clientKey: key.publicKey });
  });
  await simulation.runFor(100);
  const written = client?.writeObject(signer, utf8('first'), signal) ?? Promise.reject();
  await simulation.complete(written, 10_000);
  // Each server comes back with a journal to replay, from a disk that takes its time.
  for (const server of nodes) {
    server.disk.conditions.latency = { lowUs: 2_000_000, highUs: 2_000_000 };
    server.restart();
  }
  const read = client?.readObject(objectId(signer.publicKey), signal) ?? Promise.reject();
  expect((await simulation.complete(read, 60_000))?.data).toEqual(utf8('first'));
});
