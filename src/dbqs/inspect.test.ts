import { expect, it } from 'vitest';
import { found } from '../../testing/harness/genesis.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { storageInstance } from '../configuration/certificates.ts';
import type { Timers } from '../env/clock.ts';
import type { Env } from '../env/env.ts';
import { Exchange } from '../quorum/exchange.ts';
import { Patience } from '../quorum/patience.ts';
import { decodeMessage, type Message } from '../wire/registry.ts';
import { StorageClient } from './client.ts';
import { HeaderVerifier, headerScheme } from './headers.ts';
import { objectId } from './ids.ts';

const scheme = simulatedSignatures();
const { configuration, trust } = found({ prng: new Prng(1), scheme, servers: 4, faults: 1 });
const signer = scheme.signer(new Uint8Array(32).fill(1));
const object = objectId(signer.publicKey);
const data = utf8('value');
const header = headerScheme(
  new HeaderVerifier(trust.system, scheme),
  trust.system,
  new Uint8Array(20),
  signer,
).sign(1, data);

/** What a correct server that holds the object answers. */
function answer(request: Message): Message | undefined {
  if (request.name !== 'readVersion' && request.name !== 'fetch') return undefined;
  const { instance, epoch, nonce } = request.value;
  const common = { instance, epoch, nonce, object };
  return request.name === 'fetch'
    ? { name: 'data', value: { ...common, header, data } }
    : { name: 'version', value: { ...common, header: [header], data: [] } };
}

/**
 * A client whose requests are answered in the same breath by all servers but those that are out.
 * @param waitsMs takes how long the client was going to wait; it waits until all that answer have done so.
 */
function clientBeside(out: ReadonlySet<PeerId>, waitsMs: number[]): StorageClient {
  const simulation = new Simulation({ seed: 1 });
  const peer = 'c' as PeerId;
  const node = new SimulatedNode(simulation, new Fabric(simulation), { name: 'c', peer });
  const clients: StorageClient[] = [];
  node.start(({ env }) => {
    const exchange: Exchange = new Exchange(
      answering({ ...env, timers: timersNoting(waitsMs) }, (from, request) => {
        const said = out.has(from) ? undefined : answer(request);
        if (said !== undefined) queueMicrotask(() => exchange.handle(from, said));
      }),
      storageInstance(trust.system),
    );
    clients.push(
      new StorageClient({ exchange, configuration, scheme, clientKey: new Uint8Array(32) }),
    );
  });
  return clients[0] ?? expect.unreachable('the node starts at once');
}

function timersNoting(waitsMs: number[]): Timers {
  return {
    after(delayMs, action) {
      waitsMs.push(delayMs);
      const immediate = setImmediate(action);
      return { cancel: () => clearImmediate(immediate) };
    },
  };
}

function answering(env: Env, onRequest: (to: PeerId, request: Message) => void): Env {
  return {
    ...env,
    network: {
      open: (peer) => ({
        peer,
        send(type: number, payload: Bytes) {
          const request = decodeMessage(type, payload);
          if (request !== undefined) onRequest(peer, request);
          return true;
        },
        close: () => {},
      }),
      onMessage: () => {},
      onClosed: () => {},
      close: async () => {},
    },
  };
}

it('finds what the others hold of an object beside a server that never answers', async () => {
  const [, out] = configuration.groupOf(object).members;
  const waitsMs: number[] = [];
  const client = clientBeside(new Set(out === undefined ? [] : [out.peer]), waitsMs);
  const patience = new Patience(1000);
  const { signal } = new AbortController();
  for (const expected of [1000, 250]) {
    waitsMs.length = 0;
    const { byServer, newest } = await client.inspectObject(object, patience, signal);
    expect(newest).toEqual(header);
    for (const [{ peer }, { finding }] of byServer) {
      expect(finding).toBe(peer === out?.peer ? 'silent' : 'holds');
    }
    // Four servers are asked for the version, those that showed it for the data.
    expect(waitsMs.toSorted()).toEqual([...Array(6).fill(1000), expected].toSorted());
  }
});
