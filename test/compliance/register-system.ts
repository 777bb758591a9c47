// A few register servers and clients in virtual time, for every pairing of a rule with a way to find a quorum.

import { AssertionFailed, assert } from '../../src/base/assert.ts';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { storageInstance } from '../../src/configuration/certificates.ts';
import type { Member } from '../../src/configuration/configuration.ts';
import type { SignatureScheme, Signer } from '../../src/crypto/signature.ts';
import { StorageClient } from '../../src/dbqs/client.ts';
import { dataDigest, HeaderVerifier, headerScheme } from '../../src/dbqs/headers.ts';
import { objectId } from '../../src/dbqs/ids.ts';
import { type CounterStore, SingleWriterCounters } from '../../src/dbqs/single-writer.ts';
import { thresholds } from '../../src/quorum/arithmetic.ts';
import type { QuorumCalls } from '../../src/quorum/calls/contract.ts';
import { EpochCalls } from '../../src/quorum/calls/epochs.ts';
import { StaticCalls } from '../../src/quorum/calls/static.ts';
import { Exchange } from '../../src/quorum/exchange.ts';
import type { Versioned } from '../../src/registers/contract.ts';
import { QuorumRegister } from '../../src/registers/register.ts';
import { CrashRule } from '../../src/registers/rules/crash.ts';
import { DisseminationRule } from '../../src/registers/rules/dissemination.ts';
import { CrashRegisterServer } from '../../src/registers/server.ts';
import { assembleServer } from '../../src/server/assemble.ts';
import { decodeMessage, encodeMessage, messageNumber } from '../../src/wire/registry.ts';
import { found, peerOf } from '../../testing/harness/genesis.ts';
import { delayConstant } from '../../testing/simulator/faults.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { type Machine, SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';

export type RuleName = 'crash' | 'dissemination';
export type CallsName = 'static' | 'epochs';

/** Either rule's register, the second half of a write included. */
export type CompleteRegister = Pick<
  QuorumRegister<Versioned, unknown>,
  'read' | 'write' | 'writeAt'
>;

export interface RegisterSystem {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly servers: readonly SimulatedNode[];
  /** Servers that the pairing tolerates losing. */
  readonly faults: number;
  register(client: number): CompleteRegister;
  /** All operations of a client, where the servers are storage servers over epochs. */
  storage(client: number): StorageClient;
  /** Signs the versions of the object that `register` reads and writes. */
  readonly objectSigner: Signer;
  /** Signatures made and verified so far, by all nodes together. */
  readonly crypto: { signed: number; verified: number };
  /** Makes a client's knowledge of the configuration run out now; only epochs know of it. */
  expire(client: number): void;
}

export interface SystemShape {
  readonly faults?: number;
  /** Delay of every message; without it delays are drawn. */
  readonly delayUs?: number;
}

export async function registerSystem(
  rule: RuleName,
  calls: CallsName,
  seed: number,
  { faults = 1, delayUs }: SystemShape = {},
): Promise<RegisterSystem> {
  const simulation = new Simulation({ seed });
  const fabric = new Fabric(
    simulation,
    delayUs === undefined ? {} : { latency: delayConstant(delayUs) },
  );
  const crypto = { signed: 0, verified: 0 };
  const scheme = counting(simulatedSignatures(), crypto);
  const size = 3 * faults + 1;
  const prng = new Prng(seed);
  const { configuration, trust, newClient } = found({ prng, scheme, servers: size, faults });
  const { system } = trust;
  const instance = storageInstance(system);

  // The crash rule needs 2f+1 servers; over epochs the group is the configuration's all the same.
  const used = rule === 'crash' && calls === 'static' ? 2 * faults + 1 : size;
  const serving: Member[] = configuration.members.slice(0, used);
  const servers = serving.map((member) => {
    const address = { host: member.host, port: member.port };
    const node = new SimulatedNode(simulation, fabric, {
      name: member.host,
      peer: member.peer,
      address,
    });
    if (delayUs !== undefined) node.disk.conditions.latency = { lowUs: 0, highUs: 0 };
    node.start((machine) =>
      rule === 'crash' ? bootCrash(machine) : bootReplica(machine, member.peer),
    );
    return node;
  });

  function bootCrash({ env }: Machine): void {
    const server = new CrashRegisterServer(dataDigest);
    env.network.onMessage((channel, type, payload) => {
      const message = decodeMessage(type, payload);
      const reply = message === undefined ? undefined : server.handle(message);
      if (reply !== undefined) channel.send(reply.type, reply.payload);
    });
  }

  async function bootReplica({ env, disk, network }: Machine, self: PeerId): Promise<void> {
    network.configure({
      greeting: {
        type: messageNumber('hello'),
        payload: encodeMessage('hello', { system, certificate: [] }),
      },
    });
    const server = await assembleServer({
      env,
      disk,
      configuration,
      trust,
      scheme,
      self,
      recover: false,
      quotaBytesDefault: 0,
      scrubIntervalMs: 3_600_000,
      scrubRateBytesPerSecond: 1_000_000,
      software: 'test',
    });
    assert(typeof server !== 'string', 'a new disk is in order');
  }

  const objectSigner = scheme.signer(prng.bytes(32));
  const object = objectId(objectSigner.publicKey);
  const expired = new Set<number>();
  const verifier = new HeaderVerifier(system, scheme);
  const exchanges = [1, 2, 3].map((number) => bootClient(number));

  function bootClient(number: number): Exchange {
    const { key, greeting } = newClient(`client${number}`);
    const peer = peerOf(key.publicKey);
    const node = new SimulatedNode(simulation, fabric, { name: `client${number}`, peer });
    let exchange: Exchange | undefined;
    node.start(({ env, network }) => {
      network.configure({ greeting });
      const started = new Exchange(env, instance);
      env.network.onMessage((channel, type, payload) => {
        const message = decodeMessage(type, payload);
        if (message !== undefined) started.handle(channel.peer, message);
      });
      exchange = started;
    });
    if (exchange === undefined) throw new AssertionFailed('a client boots at once');
    return exchange;
  }

  function callsOf(client: number): QuorumCalls {
    const exchange = exchanges[client];
    assert(exchange !== undefined, 'such a client exists');
    if (calls === 'static')
      return new StaticCalls(exchange, serving, thresholds(rule, serving.length, faults));
    const source = {
      current: () => configuration,
      freshUntilMs: () => (expired.has(client) ? 0 : Number.POSITIVE_INFINITY),
    };
    return new EpochCalls(exchange, source, rule);
  }

  // Long enough for the replicas to have compared themselves with one another.
  await simulation.runFor(2_000);
  return {
    simulation,
    fabric,
    servers,
    faults,
    register(client) {
      const writer: Bytes = new Uint8Array(20).fill(client + 1);
      if (rule === 'crash') {
        return new QuorumRegister(
          callsOf(client),
          new CrashRule({ object, writer, digest: dataDigest }),
        );
      }
      const headers = headerScheme(verifier, system, writer, objectSigner);
      return new QuorumRegister(callsOf(client), new DisseminationRule(object, headers));
    },
    storage(client) {
      const exchange = exchanges[client];
      assert(exchange !== undefined, 'such a client exists');
      const clientKey = new Uint8Array(32).fill(client + 1);
      return new StorageClient({
        exchange,
        configuration,
        scheme,
        clientKey,
        counters: new SingleWriterCounters(memoryCounters()),
      });
    },
    objectSigner,
    crypto,
    expire: (client) => expired.add(client),
  };
}

export function counting(
  scheme: SignatureScheme,
  counts: { signed: number; verified: number },
): SignatureScheme {
  return {
    signer(seed) {
      const { publicKey, sign } = scheme.signer(seed);
      return {
        publicKey,
        sign(message) {
          counts.signed += 1;
          return sign(message);
        },
      };
    },
    verify(publicKey, message, signature) {
      counts.verified += 1;
      return scheme.verify(publicKey, message, signature);
    },
  };
}

function memoryCounters(): CounterStore {
  const saved = new Map<string, number>();
  return {
    load: async (object) => saved.get(toHex(object)),
    async save(object, counter) {
      saved.set(toHex(object), counter);
    },
  };
}
