// From a client file to a running client on the real network.

import { dirname, join } from 'node:path';
import type { PeerId } from '../base/brand.ts';
import { toHex } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import { storageInstance, type Trust } from '../configuration/certificates.ts';
import type { Configuration, Member } from '../configuration/configuration.ts';
import { ed25519 } from '../crypto/signature.ts';
import { fetchConfiguration } from '../dbqs/bootstrap.ts';
import { StorageClient } from '../dbqs/client.ts';
import { SingleWriterCounters } from '../dbqs/single-writer.ts';
import type { Env } from '../env/env.ts';
import { type Log, silentLog } from '../env/log.ts';
import { type Metrics, noMetrics } from '../env/metrics.ts';
import { systemClock, systemTimers } from '../node/clock.ts';
import { systemEntropy } from '../node/entropy.ts';
import { createIdentity } from '../node/identity.ts';
import { createTlsNetwork, type TlsNetwork } from '../node/network.ts';
import { Exchange } from '../quorum/exchange.ts';
import { trustOf } from '../server/system-info.ts';
import {
  decodeMessage,
  encodeMessage,
  messageNumber,
  payloadSizeBytesMax,
} from '../wire/registry.ts';
import { requireTimeoutMs } from './arguments.ts';
import { HoldfastClient } from './client.ts';
import { type ClientFile, findClientFile, loadClientFile } from './client-file.ts';
import type { Client } from './contract.ts';
import { counterFolder } from './counter-file.ts';
import { deadline } from './deadline.ts';
import { endpointOf, type LinkTrouble } from './failures.ts';

export interface ConnectOptions {
  /** A client file, or its path. Absent: found as the command line finds it (docs/CLIENT.md). */
  readonly client?: string | ClientFile;
  /** Every operation ends within this time, in ms above 0; transfers of any length, when nothing has moved for so long. */
  readonly timeoutMs?: number;
  /** Where an only writer's counters are kept. Absent: a folder beside the client file. */
  readonly stateFolder?: string;
  readonly log?: Log;
  readonly metrics?: Metrics;
}

export const timeoutMsDefault = 30_000;

/**
 * Reaches a system; resolves when a configuration has been obtained and verified.
 * @throws HoldfastError `bad-configuration`, `unavailable` naming the servers that did not answer.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  return (await connectWithStorage(options)).client;
}

/** As `connect`, and what the client stands on, for tools that look deeper than applications do. */
export async function connectWithStorage(
  options: ConnectOptions,
): Promise<{ readonly client: Client; readonly storage: StorageClient }> {
  const { timeoutMs = timeoutMsDefault } = options;
  requireTimeoutMs(timeoutMs);
  const file = await clientFileOf(options.client);
  const identity = await createIdentity(file.identitySeed);
  const metrics = options.metrics ?? noMetrics;
  const log = options.log ?? silentLog;
  const trust = trustOf(file.system);
  const network = await createTlsNetwork({
    identity,
    greeting: {
      type: messageNumber('hello'),
      payload: encodeMessage('hello', { system: file.system.id, certificate: [file.certificate] }),
    },
    sizeBytesMax: (type) => payloadSizeBytesMax(type),
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log,
    metrics,
  });
  const env: Env = {
    clock: systemClock,
    timers: systemTimers,
    network,
    entropy: systemEntropy,
    log,
    metrics,
  };
  const exchange = exchangeOn(env, storageInstance(file.system.id));
  const trouble = troubleOf(network);
  try {
    const found = await firstConfiguration(exchange, file, trust, timeoutMs, network);
    const storage = storageClient(exchange, found, file, options.stateFolder);
    const client = new HoldfastClient({
      env,
      storage,
      scheme: ed25519,
      objectSeed: file.objectKey.seed,
      timeoutMs,
      trouble,
      close: () => network.close(),
    });
    return { client, storage };
  } catch (error) {
    await network.close();
    throw error;
  }
}

/** One round of asking all servers for the configuration; each is about as long as those before it together. */
const attemptTimeoutMsMin = 250;
const attemptTimeoutMsMax = 8_000;
/** Servers that all refuse or cannot be found are not waited for any longer than this. */
const hopelessAfterMs = 900;
/** A server that has connected and said nothing for so long does not mean to. */
const foreignAfterMs = 1_000;

/** @throws HoldfastError `unavailable` */
async function firstConfiguration(
  exchange: Exchange,
  file: ClientFile,
  trust: Trust,
  timeoutMs: number,
  network: TlsNetwork,
): Promise<Configuration> {
  const trouble = troubleOf(network);
  const servers = file.servers.map(({ host, port, key }, index): Member => {
    return { index, id: key, peer: toHex(key) as PeerId, host, port };
  });
  const startedMs = systemClock.nowMs();
  for (;;) {
    const soFarMs = systemClock.nowMs() - startedMs;
    const attemptMs = Math.min(Math.max(attemptTimeoutMsMin, soFarMs), attemptTimeoutMsMax);
    const limit = deadline(systemTimers, Math.min(attemptMs, timeoutMs - soFarMs));
    const found = await fetchConfiguration(exchange, servers, trust, limit.signal);
    limit.end();
    if (!(found instanceof Map)) return found;
    const waitedMs = systemClock.nowMs() - startedMs;
    const hopeless = servers.every(({ peer }) => trouble(peer) !== undefined);
    if (waitedMs >= timeoutMs || (hopeless && waitedMs >= hopelessAfterMs)) {
      throw noConfiguration(found, network, waitedMs);
    }
  }
}

async function clientFileOf(client: string | ClientFile | undefined): Promise<ClientFile> {
  if (typeof client === 'object') return client;
  const found = await findClientFile({ given: client, env: process.env, folder: process.cwd() });
  return loadClientFile(found.file);
}

function exchangeOn(env: Env, instance: Uint8Array): Exchange {
  const exchange = new Exchange(env, instance);
  env.network.onMessage((channel, type, payload) => {
    const message = decodeMessage(type, payload);
    if (message === undefined) env.metrics.count('replies_rejected_total', 'malformed-message');
    else exchange.handle(channel.peer, message);
  });
  return exchange;
}

function storageClient(
  exchange: Exchange,
  configuration: Configuration,
  file: ClientFile,
  stateFolder: string | undefined,
): StorageClient {
  const folder = stateFolder ?? join(dirname(file.path), 'client-state');
  return new StorageClient({
    exchange,
    configuration,
    scheme: ed25519,
    clientKey: file.certificate.statement.publicKey,
    counters: new SingleWriterCounters(counterFolder(folder)),
  });
}

function troubleOf(network: TlsNetwork): LinkTrouble {
  return (peer) => {
    const state = network.state(peer);
    return state === undefined || state.phase === 'connected' ? undefined : state.lastError;
  };
}

interface Silence {
  readonly why: string;
  /** Whoever is at this address is not of the client's system. */
  readonly isForeign: boolean;
}

/** Why there is no configuration from this server. Servers say nothing to clients of other systems. */
function silenceOf(network: TlsNetwork, peer: PeerId, waitedMs: number): Silence {
  if (network.state(peer)?.phase === 'connected') {
    const why = 'connected, but no answer: it may belong to another system';
    return { why, isForeign: waitedMs >= foreignAfterMs };
  }
  const why = troubleOf(network)(peer) ?? 'no answer';
  return { why, isForeign: why.startsWith('wrong key') };
}

function noConfiguration(
  faults: ReadonlyMap<Member, string>,
  network: TlsNetwork,
  waitedMs: number,
): HoldfastError {
  const silences = [...faults].map(([member, fault]) => ({
    server: endpointOf(member),
    ...(fault === 'silent'
      ? silenceOf(network, member.peer, waitedMs)
      : { why: `gave no valid configuration: ${fault}`, isForeign: fault === 'wrong-system' }),
  }));
  const servers = silences.map(({ server, why }) => ({ server, why }));
  const list = servers.map(({ server, why }) => `${server} (${why})`).join(', ');
  if (silences.every(({ isForeign }) => isForeign)) {
    return new HoldfastError(
      'bad-configuration',
      `the client file belongs to another system than the servers at its addresses: ${list}`,
      {
        cure: 'Use the client file of the system that runs there, or start the servers of this one.',
        details: { servers },
      },
    );
  }
  const took = `${Math.max(0.1, Math.round(waitedMs / 100) / 10)} s`;
  return new HoldfastError(
    'unavailable',
    `none of the servers in the client file gave a valid configuration within ${took}: ${list}`,
    {
      cure:
        waitedMs < hopelessAfterMs
          ? 'Give it more time, for example --timeout 30s; or start the system, if it does not run.'
          : 'Start the system (`holdfast dev`, or its servers), and check that the client file belongs to it.',
      details: { servers },
    },
  );
}
