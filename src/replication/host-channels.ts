// Who each of a replica's channels belongs to, and on which one a member or client is reached. The key that a channel has
// proved is all that decides.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, fromHex, mapKey, toHex } from '../base/bytes.ts';
import type { Env } from '../env/env.ts';
import type { Address, Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import type { Recipient, ReplicaGroup, Sender } from './contract.ts';

export interface HostChannelsOptions {
  readonly env: Env;
  readonly group: ReplicaGroup;
  /** Index of this member. */
  readonly self: number;
  /** Where the members are, by index. */
  readonly addresses: readonly Address[];
}

/** The other end of a channel. */
export interface Peer {
  readonly sender: Sender;
  /** Key of the map of clients; undefined for a member. */
  readonly clientKey: string | undefined;
  bad: number;
  /** Closed because its keys count as known to others: nothing that still comes out of it is heard. */
  isVoid: boolean;
}

export class HostChannels {
  readonly #options: HostChannelsOptions;
  readonly #peers = new WeakMap<Channel, Peer>();
  readonly #memberIndexes: ReadonlyMap<PeerId, number>;
  /** Channels on which something came. */
  readonly #channels = new Set<Channel>();
  /** Links to the other members, by index. */
  #links: (Channel | undefined)[] = [];
  /** The newest channel of each client; once full, in the order in which they were heard. */
  readonly #clients = new Map<string, Channel>();

  constructor(options: HostChannelsOptions) {
    this.#options = options;
    this.#memberIndexes = new Map(
      options.group.members.map((key, index) => [toHex(key) as PeerId, index]),
    );
  }

  /** Connects to the other members. */
  dial(): void {
    this.#links = this.#options.group.members.map((_, index) => this.#open(index));
  }

  #open(index: number): Channel | undefined {
    const { env, group, self, addresses } = this.#options;
    const key = group.members[index];
    const address = addresses[index];
    if (index === self || key === undefined || address === undefined) return undefined;
    return env.network.open(toHex(key) as PeerId, address);
  }

  /** @param counters by member, the number of the change of keys that its channels must have known. */
  demandKeys(counters: readonly number[]): void {
    const { env, group, self } = this.#options;
    group.members.forEach((key, index) => {
      const counter = counters[index] ?? 0;
      if (index === self || counter === 0) return;
      env.network.demandKeys?.(toHex(key) as PeerId, counter);
    });
  }

  /** Closes channels for good, one member's or all, and handshakes with members anew: with new keys if all are closed. */
  rekey(whose: 'all' | number): void {
    if (whose === 'all') this.#options.env.network.renewKeys?.();
    for (const channel of [...this.#channels]) {
      const peer = this.#peers.get(channel);
      if (peer === undefined) continue;
      const { sender } = peer;
      if (whose !== 'all' && !(sender.kind === 'replica' && sender.index === whose)) continue;
      peer.isVoid = true;
      this.#channels.delete(channel);
      if (peer.clientKey !== undefined) this.#clients.delete(peer.clientKey);
      channel.close('new-key');
    }
    this.#links.forEach((link, index) => {
      if (link === undefined || (whose !== 'all' && whose !== index)) return;
      this.peerOf(link).isVoid = true;
      this.#channels.delete(link);
      link.close('new-key');
      this.#links[index] = this.#open(index);
    });
  }

  /** An incoming connection is gone. */
  closed(channel: Channel): void {
    this.#channels.delete(channel);
    const key = this.#peers.get(channel)?.clientKey;
    if (key !== undefined && this.#clients.get(key) === channel) this.#clients.delete(key);
  }

  peerOf(channel: Channel): Peer {
    let peer = this.#peers.get(channel);
    if (peer === undefined) {
      const index = this.#memberIndexes.get(channel.peer);
      const key = fromHex(channel.peer) ?? new Uint8Array(32);
      peer =
        index === undefined
          ? { sender: { kind: 'client', key }, clientKey: mapKey(key), bad: 0, isVoid: false }
          : { sender: { kind: 'replica', index }, clientKey: undefined, bad: 0, isVoid: false };
      this.#peers.set(channel, peer);
      this.#channels.add(channel);
    }
    return peer;
  }

  /** Replies go to the channel on which the client was heard last. */
  noteClient(key: string, channel: Channel): void {
    const isFull = this.#clients.size >= limits.clientChannelsMax;
    if (this.#clients.get(key) === channel && !isFull) return;
    this.#clients.delete(key);
    if (isFull) {
      for (const longestSilent of this.#clients.keys()) {
        if (this.#clients.size < limits.clientChannelsMax) break;
        this.#clients.delete(longestSilent);
      }
    }
    this.#clients.set(key, channel);
  }

  /** Sends where it can be sent: not to a client that was not heard, nor where too much waits. False if nowhere. */
  send(to: Recipient, type: number, payload: Bytes): boolean {
    if (to.kind === 'replicas') {
      let hasSent = false;
      for (const link of this.#links) {
        if (link !== undefined && this.#transmit(link, type, payload)) hasSent = true;
      }
      return hasSent;
    }
    const channel =
      to.kind === 'replica' ? this.#links[to.index] : this.#clients.get(mapKey(to.key));
    return channel !== undefined && this.#transmit(channel, type, payload);
  }

  #transmit(channel: Channel, type: number, payload: Bytes): boolean {
    if (channel.send(type, payload)) return true;
    this.#options.env.metrics.count('replication_events_total', 'send-dropped-queue');
    return false;
  }
}
