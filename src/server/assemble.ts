// A storage server out of an env, a disk and a configuration: the same for the daemon and for the simulator.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { utf8 } from '../base/bytes.ts';
import { storageInstance, type Trust } from '../configuration/certificates.ts';
import type { Configuration } from '../configuration/configuration.ts';
import type { SignatureScheme } from '../crypto/signature.ts';
import { DurableStore, type StoreDamage } from '../dbqs/durable-store.ts';
import { FreeSpace } from '../dbqs/free-space.ts';
import { HeaderVerifier } from '../dbqs/headers.ts';
import { Lifetime } from '../dbqs/lifetime.ts';
import { Maintenance } from '../dbqs/maintenance.ts';
import { metaKey, seal, unseal } from '../dbqs/records.ts';
import { Repair } from '../dbqs/repair.ts';
import { StorageReplica } from '../dbqs/replica.ts';
import { ReplicaHost } from '../dbqs/replica-host.ts';
import type { StatusReport } from '../dbqs/requests.ts';
import type { Disk } from '../env/disk.ts';
import type { Env } from '../env/env.ts';
import type { Channel, MessageHandler, Network } from '../env/network.ts';
import { Exchange } from '../quorum/exchange.ts';
import { limits } from '../wire/limits.ts';
import { decodeMessage, type Message, type MessageName, messageNumber } from '../wire/registry.ts';

export interface ServerOptions {
  readonly env: Env;
  readonly disk: Disk;
  readonly configuration: Configuration;
  readonly trust: Trust;
  readonly scheme: SignatureScheme;
  readonly self: PeerId;
  /** The disk was lost: answer nobody before everything has been fetched from the others. Kept across restarts. */
  readonly recover: boolean;
  /** Quota of clients whose certificate names none; 0 for no bound. */
  readonly quotaBytesDefault: number;
  readonly scrubIntervalMs: number;
  readonly scrubRateBytesPerSecond: number;
  /** Version of the software, for the status. */
  readonly software: string;
}

export interface StorageServer {
  readonly replica: StorageReplica;
  readonly repair: Repair;
  readonly store: DurableStore;
  readonly exchange: Exchange;
  /** True for peers that may send messages of any size: members and certified clients. */
  knows(peer: PeerId): boolean;
  status(): StatusReport;
  /** Resolves when the replica answers requests: at once, unless it has to recover. */
  readonly served: Promise<void>;
  /** Resolves with the error when the disk has failed; the server acknowledges nothing from then on. */
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

/** Bits of a status report's `state`. */
export const serverStates = { recovering: 0, serving: 1 } as const;

const stateKey = metaKey('state');
const recovering = new Uint8Array([serverStates.recovering]);
const serving = new Uint8Array([serverStates.serving]);
const firstId = new Uint8Array(32);

/** Messages that answer a request of this server's own; everything else is a request to it. */
const replyNames: ReadonlySet<MessageName> = new Set<MessageName>([
  'refused',
  'stale',
  'needConfiguration',
  'version',
  'written',
  'data',
  'stored',
  'block',
  'absent',
  'held',
  'listed',
  'serverStatus',
  'pong',
  'configuration',
]);

/** Starts a server; gives the kind of damage instead when its disk cannot be trusted. */
export async function assembleServer(options: ServerOptions): Promise<StorageServer | StoreDamage> {
  const { env, disk, configuration, trust, scheme, self } = options;
  const greetings = keepGreetings(env.network);
  const store = await DurableStore.open(disk, env.timers);
  if (typeof store === 'string') return store;
  const recovered = await readState(store, options.recover);
  if (recovered === undefined) return 'applied-mark-damaged';

  const freeSpace = new FreeSpace(
    () => disk.freeBytes(),
    () => store.accepted(),
  );
  const instance = storageInstance(trust.system);
  const exchange = new Exchange(env, instance);
  const verifier = new HeaderVerifier(trust.system, scheme);
  const replica = new StorageReplica(configuration, {
    self,
    instance,
    store,
    verifier,
    quotaBytesDefault: options.quotaBytesDefault,
    freeBytes: () => freeSpace.bytes(),
  });
  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  const host: ReplicaHost = new ReplicaHost({
    env,
    replica,
    store,
    trust,
    instance,
    onDamage: (item) => repair.add(item),
    onFailure: fail,
    status: () => status(),
  });
  const system = trust.system;
  let onServed: () => void = () => {};
  const served = new Promise<void>((resolve) => {
    onServed = resolve;
  });
  const lifetime = new Lifetime(env.timers);
  const shared = { env, exchange, replica, verifier, self, lifetime };
  const repair = new Repair({ ...shared, host, system });
  const maintenance = new Maintenance({
    ...shared,
    repair,
    scrubIntervalMs: options.scrubIntervalMs,
    scrubRateBytesPerSecond: options.scrubRateBytesPerSecond,
    async onRecovered() {
      await store.commit([{ key: stateKey, value: seal(stateKey, serving) }]);
      onServed();
    },
  });
  const startedMs = env.clock.nowMs();
  const status = (): StatusReport => ({
    epoch: configuration.epoch,
    software: utf8(options.software),
    state: replica.serving ? serverStates.serving : serverStates.recovering,
    uptimeMs: Math.floor(env.clock.nowMs() - startedMs),
    objects: replica.holdings.accounts.items.object,
    blocks: replica.holdings.accounts.items.block,
    storedSizeBytes: replica.holdings.accounts.storedSizeBytes,
    diskFreeBytes: Math.max(0, Math.floor(disk.freeBytes())),
    journalSizeBytes: disk.journal.sizeBytes(),
    damagedFound: repair.found,
    repaired: repair.repaired,
    repairsWaiting: repair.waiting,
    scrubPasses: maintenance.scrubPasses,
    lagItems: maintenance.lagItems,
  });

  countStored(replica, repair);
  if (recovered) {
    replica.serve();
    onServed();
  }
  const onMessage: MessageHandler = (channel, type, payload) => {
    const message = decodeMessage(type, payload);
    if (message === undefined) return host.onMalformed(channel);
    if (isReply(message)) exchange.handle(channel.peer, message);
    else host.handle(channel, message, payload.length);
  };
  env.network.onMessage(onMessage);
  for (const [channel, greeting] of greetings) onMessage(channel, messageNumber('hello'), greeting);
  maintenance.run().catch((error: unknown) => {
    if (error instanceof Error && !store.failed) fail(error);
  });

  return {
    replica,
    repair,
    store,
    exchange,
    knows: (peer) => host.knows(peer),
    status,
    served,
    failed,
    async stop() {
      lifetime.end();
      await store.close();
    },
  };
}

/**
 * Remembers who greets while the disk is being opened. A greeting is sent once for each connection: if it were lost, its
 * sender would be a stranger for as long as it stays connected. Requests are lost; they are sent again.
 */
function keepGreetings(network: Network): ReadonlyMap<Channel, Bytes> {
  const greetings = new Map<Channel, Bytes>();
  network.onMessage((channel, type, payload) => {
    const isKept = type === messageNumber('hello') && greetings.size < limits.connectionsMax;
    if (isKept) greetings.set(channel, payload);
  });
  network.onClosed((channel) => greetings.delete(channel));
  return greetings;
}

function isReply(message: Message): boolean {
  return replyNames.has(message.name);
}

/** Whether the store may be answered from; notes durably when it may not. undefined when the note is damaged. */
async function readState(store: DurableStore, recover: boolean): Promise<boolean | undefined> {
  if (recover) {
    await store.commit([{ key: stateKey, value: seal(stateKey, recovering) }]);
    return false;
  }
  const sealed = store.get(stateKey);
  if (sealed === undefined) return true;
  const state: Bytes | undefined = unseal(stateKey, sealed);
  return state === undefined ? undefined : state[0] === serverStates.serving;
}

/** Builds the accounts from the records, and finds damaged ones on the way. */
function countStored(replica: StorageReplica, repair: Repair): void {
  for (const kind of ['object', 'block'] as const) {
    let cursor: Bytes | undefined = firstId;
    while (cursor !== undefined) {
      const { next, damaged } = replica.holdings.countStored(kind, cursor);
      for (const item of damaged) repair.add(item);
      cursor = next;
    }
  }
}
