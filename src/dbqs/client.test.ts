import { describe, expect, it } from 'vitest';
import { found } from '../../testing/harness/genesis.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { storageInstance } from '../configuration/certificates.ts';
import type { QuorumCalls } from '../quorum/calls/contract.ts';
import { Exchange } from '../quorum/exchange.ts';
import type { HeaderScheme } from '../registers/rules/dissemination.ts';
import { DisseminationRule } from '../registers/rules/dissemination.ts';
import { StorageClient } from './client.ts';
import { objectId } from './ids.ts';
import { SingleWriterCounters } from './single-writer.ts';

/** A client whose writes reach nobody, and a record of the counters that it sent with, and had saved by then. */
function isolatedClient() {
  const scheme = simulatedSignatures();
  const genesis = found({ prng: new Prng(1), scheme, servers: 4, faults: 1 });
  const simulation = new Simulation({ seed: 1 });
  const node = new SimulatedNode(simulation, new Fabric(simulation), {
    name: 'c',
    peer: 'c' as PeerId,
  });
  const saved = new Map<string, number>();
  const used: { counter: number; saved: number | undefined }[] = [];
  const signer = scheme.signer(new Uint8Array(32).fill(1));
  const object = toHex(objectId(signer.publicKey));
  const quorum = { replies: [], n: 4, quorum: 3, byzantine: 1, vouch: 1, context: { epoch: 0 } };
  const calls: QuorumCalls = {
    call: (kind) => (kind === 'write' ? new Promise(() => {}) : Promise.resolve(quorum)),
  };
  /** Notes what is signed, since that is what is sent. */
  const rule = (id: Bytes, headers: HeaderScheme): DisseminationRule =>
    new DisseminationRule(id, {
      verify: headers.verify,
      matches: headers.matches,
      sign(counter, data) {
        used.push({ counter, saved: saved.get(object) });
        return headers.sign(counter, data);
      },
    });
  const clients: StorageClient[] = [];
  node.start(({ env }) => {
    const counters = new SingleWriterCounters({
      load: async (id) => saved.get(toHex(id)),
      save: async (id, counter) => {
        saved.set(toHex(id), counter);
      },
    });
    clients.push(
      new StorageClient({
        exchange: new Exchange(env, storageInstance(genesis.trust.system)),
        configuration: genesis.configuration,
        scheme,
        clientKey: new Uint8Array(32),
        counters,
        calls,
        rule,
      }),
    );
  });
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const write = async (text: string): Promise<void> => {
    const { signal } = new AbortController();
    clients[0]?.writeObjectAlone(signer, utf8(text), signal);
    await settle();
  };
  return { write, used };
}

describe('an only writer', () => {
  it('notes a counter durably before it sends anything with it', async () => {
    const { write, used } = isolatedClient();
    await write('first');
    await write('second');
    expect(used).toHaveLength(2);
    for (const { counter, saved } of used) expect(saved).toBeGreaterThanOrEqual(counter);
  });

  it('goes above a write of its own that has not ended', async () => {
    const { write, used } = isolatedClient();
    await write('first');
    await write('second');
    expect(used.map(({ counter }) => counter)).toEqual([1, 2]);
  });
});
