// Runs a storage replica: establishes who each channel belongs to, hands messages in, makes the effects durable and
// only then lets answers leave. Bounds what one channel, and all together, may have waiting.

import { assert } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, equalBytes, mapKey } from '../base/bytes.ts';
import type { Trust } from '../configuration/certificates.ts';
import type { Change } from '../env/disk.ts';
import type { Env } from '../env/env.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import {
  encodeMessage,
  type Message,
  type MessageValue,
  messageNumber,
  refusalCodes,
} from '../wire/registry.ts';
import type { ConfigurationRecord } from '../wire/types.ts';
import type { DurableStore } from './durable-store.ts';
import { FairShare } from './fair-share.ts';
import type { Item } from './holdings.ts';
import { type Effects, keyOfPeer, type Requester, type StorageReplica } from './replica.ts';
import type { StatusReport } from './requests.ts';

export interface ReplicaHostOptions {
  readonly env: Env;
  readonly replica: StorageReplica;
  readonly store: DurableStore;
  readonly trust: Trust;
  readonly instance: Bytes;
  /** Damage found while serving. */
  readonly onDamage: (item: Item) => void;
  /** The disk failed: nothing more may be acknowledged, and the process should end. */
  readonly onFailure: (error: Error) => void;
  readonly status: () => StatusReport;
}

interface Peer {
  requester: Requester;
  pending: number;
  faults: number;
}

export class ReplicaHost {
  readonly #options: ReplicaHostOptions;
  readonly #peers = new WeakMap<Channel, Peer>();
  /** Per key, the newest commit that wrote it and is not yet durable. */
  readonly #undurable = new Map<string, Promise<void>>();
  /** Clients that have shown a certificate since the start; forgetting one only makes it greet again. */
  readonly #certified = new Set<PeerId>();
  /** By key, so that many connections under one key are still one peer. */
  readonly #shares = new Map<PeerId, FairShare>();
  #record: ConfigurationRecord | undefined;
  #pendingBytes = 0;
  #failed = false;

  constructor(options: ReplicaHostOptions) {
    this.#options = options;
  }

  /** A request from the network. Never throws, whatever it is. */
  handle(channel: Channel, message: Message, sizeBytes: number): void {
    const { metrics } = this.#options.env;
    metrics.count('requests_received_total', message.name);
    const peer = this.#peerOf(channel);
    if (message.name === 'hello') return this.#onHello(channel, peer, message.value);
    if (message.name === 'status') return this.#onStatus(channel, peer, message.value);
    const full =
      peer.pending >= limits.pendingRequestsPerChannelMax ||
      this.#pendingBytes + sizeBytes > limits.pendingBytesMax;
    if (full) return this.#refuseOverload(channel, message);
    peer.pending += 1;
    this.#pendingBytes += sizeBytes;
    const settle = (): void => {
      peer.pending -= 1;
      this.#pendingBytes -= sizeBytes;
    };
    this.#shareOf(channel.peer).run(() => {
      if (message.name === 'getConfiguration') {
        settle();
        this.#onGetConfiguration(channel, peer, message.value);
        return;
      }
      const effects = this.#options.replica.handle(peer.requester, message);
      this.#apply(channel, peer, effects, settle);
    });
  }

  /** The payload was not a message: no honest node sends such. */
  onMalformed(channel: Channel): void {
    this.#onFault(channel, this.#peerOf(channel), 'malformed-message');
  }

  /** Commits changes that come from this server itself, a repair for instance. */
  async commit(changes: readonly Change[]): Promise<void> {
    if (changes.length === 0) return;
    await this.#commit(changes);
  }

  /** True for members and for clients that have shown a certificate: only they may send anything large. */
  knows(peer: PeerId): boolean {
    return (
      this.#certified.has(peer) || this.#options.replica.configuration.memberOf(peer) !== undefined
    );
  }

  /** True once the disk has failed; nothing is acknowledged after that. */
  get failed(): boolean {
    return this.#failed;
  }

  #shareOf(peer: PeerId): FairShare {
    let share = this.#shares.get(peer);
    if (share === undefined) {
      const { clock, timers } = this.#options.env;
      share = new FairShare(clock, timers);
      if (this.#shares.size >= limits.certifiedClientsMax) this.#shares.clear();
      this.#shares.set(peer, share);
    }
    return share;
  }

  #peerOf(channel: Channel): Peer {
    const known = this.#peers.get(channel);
    if (known !== undefined) return known;
    const member = this.#options.replica.configuration.memberOf(channel.peer);
    const requester: Requester = member === undefined ? { kind: 'stranger' } : { kind: 'member' };
    const peer: Peer = { requester, pending: 0, faults: 0 };
    this.#peers.set(channel, peer);
    return peer;
  }

  #onHello(channel: Channel, peer: Peer, hello: MessageValue<'hello'>): void {
    const { trust, replica } = this.#options;
    const [certificate] = hello.certificate;
    if (!equalBytes(hello.system, trust.system))
      return this.#onFault(channel, peer, 'wrong-system');
    if (peer.requester.kind !== 'stranger' || certificate === undefined) return;
    const key = keyOfPeer(channel.peer);
    const { publicKey, quotaBytes } = certificate.statement;
    // A certificate speaks for the key that it names; the channel has proved who is at its other end.
    if (!equalBytes(publicKey, key) || !trust.client(certificate, replica.configuration.epoch)) {
      return this.#onFault(channel, peer, 'bad-client-certificate');
    }
    peer.requester = { kind: 'client', key, quotaBytes };
    if (this.#certified.size >= limits.certifiedClientsMax) this.#certified.clear();
    this.#certified.add(channel.peer);
  }

  #onGetConfiguration(
    channel: Channel,
    peer: Peer,
    request: MessageValue<'getConfiguration'>,
  ): void {
    const { trust, replica } = this.#options;
    if (!equalBytes(request.system, trust.system))
      return this.#onFault(channel, peer, 'wrong-system');
    this.#record ??= replica.configuration.record;
    const value = { nonce: request.nonce, configuration: this.#record };
    this.#send(channel, {
      type: messageNumber('configuration'),
      payload: encodeMessage('configuration', value),
    });
  }

  #onStatus(channel: Channel, peer: Peer, request: MessageValue<'status'>): void {
    const { instance, nonce } = request;
    if (!equalBytes(instance, this.#options.instance))
      return this.#onFault(channel, peer, 'foreign-instance');
    if (peer.requester.kind === 'stranger') {
      return this.#refuse(channel, { instance, nonce }, refusalCodes['not-certified'].number);
    }
    const value = { ...this.#options.status(), instance, nonce };
    this.#send(channel, {
      type: messageNumber('serverStatus'),
      payload: encodeMessage('serverStatus', value),
    });
  }

  #apply(channel: Channel, peer: Peer, effects: Effects, settle: () => void): void {
    for (const item of effects.damaged) this.#options.onDamage(item);
    if (effects.fault !== undefined) this.#onFault(channel, peer, effects.fault);
    const { reply } = effects;
    const durable =
      effects.changes.length > 0 ? this.#commit(effects.changes) : this.#revealed(effects.reveals);
    const answer = (): void => {
      settle();
      if (reply !== undefined) this.#send(channel, reply);
    };
    if (durable === undefined) answer();
    // The failure itself has been reported by the commit; what waited for it is never answered.
    else durable.then(answer, settle);
  }

  #commit(changes: readonly Change[]): Promise<void> {
    const durable = this.#options.store.commit(changes);
    const keys = changes.map((change) => mapKey(change.key));
    for (const key of keys) this.#undurable.set(key, durable);
    durable.then(
      () => {
        for (const key of keys) {
          if (this.#undurable.get(key) === durable) this.#undurable.delete(key);
        }
      },
      (error: unknown) => this.#onCommitFailed(error),
    );
    return durable;
  }

  #onCommitFailed(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    assert(error instanceof Error, 'stores reject with errors');
    this.#options.env.log.error('disk-failed', { message: error.message });
    this.#options.onFailure(error);
  }

  /** When all that a reply reveals is durable; undefined when it is now. */
  #revealed(reveals: Effects['reveals']): Promise<unknown> | undefined {
    if (reveals === 'everything') {
      return this.#undurable.size === 0 ? undefined : Promise.all(this.#undurable.values());
    }
    if (this.#undurable.size === 0) return undefined;
    const waits = reveals.flatMap((key) => this.#undurable.get(mapKey(key)) ?? []);
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  #refuseOverload(channel: Channel, message: Message): void {
    if (!('instance' in message.value)) return;
    const { instance, nonce } = message.value;
    this.#refuse(channel, { instance, nonce }, refusalCodes.overloaded.number);
  }

  #refuse(channel: Channel, context: { instance: Bytes; nonce: Bytes }, code: number): void {
    const { epoch } = this.#options.replica.configuration;
    const value = { ...context, epoch, code, detail: 0 };
    this.#send(channel, {
      type: messageNumber('refused'),
      payload: encodeMessage('refused', value),
    });
  }

  #onFault(channel: Channel, peer: Peer, reason: string): void {
    this.#options.env.metrics.count('requests_rejected_total', reason);
    peer.faults += 1;
    if (peer.faults >= limits.badMessagesPerChannelMax) channel.close('too-many-bad-messages');
  }

  #send(channel: Channel, { type, payload }: { type: number; payload: Bytes }): void {
    if (!channel.send(type, payload)) this.#options.env.metrics.count('replies_dropped_total');
  }
}
