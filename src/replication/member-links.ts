// A client's links to the members of its group: what goes to whom, and whose channel a message came on.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../base/bytes.ts';
import type { Address, Channel, Network } from '../env/network.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../wire/replication-registry.ts';
import type { ReplicaGroup } from './contract.ts';

export interface LinkHandlers {
  /** @param from index of the member whose channel brought it. */
  readonly onReply: (from: number, value: ReplicationMessageValue<'requestReply'>) => void;
  readonly onLastNumber: (from: number, value: ReplicationMessageValue<'lastNumberIs'>) => void;
  /** The connection to a member is gone. */
  readonly onLost: (member: number) => void;
}

export class MemberLinks {
  /** Indexes of all members. */
  readonly everyone: readonly number[];
  readonly #instance: Bytes;
  readonly #links: readonly (Channel | undefined)[];
  readonly #indexes: ReadonlyMap<PeerId, number>;
  readonly #handlers: LinkHandlers;

  /** Takes the network over. Messages of others than members, and of other instances, are ignored. */
  constructor(
    network: Network,
    { instance, members }: ReplicaGroup,
    addresses: readonly Address[],
    handlers: LinkHandlers,
  ) {
    const peers = members.map((key) => toHex(key) as PeerId);
    this.everyone = members.map((_, index) => index);
    this.#instance = instance;
    this.#handlers = handlers;
    this.#indexes = new Map(peers.map((peer, index) => [peer, index]));
    network.onMessage((channel, type, payload) => this.#receive(channel, type, payload));
    network.onLost?.(({ peer }) => {
      const member = this.#indexes.get(peer);
      if (member !== undefined) handlers.onLost(member);
    });
    this.#links = peers.map((peer, index) => {
      const address = addresses[index];
      return address === undefined ? undefined : network.open(peer, address);
    });
  }

  send<Name extends 'submitRequest' | 'queryRequest' | 'lastNumber'>(
    to: readonly number[],
    name: Name,
    value: ReplicationMessageValue<Name>,
  ): void {
    const payload = encodeReplicationMessage(name, value);
    const type = replicationMessageNumber(name);
    for (const member of to) this.#links[member]?.send(type, payload);
  }

  #receive(channel: Channel, type: number, payload: Bytes): void {
    const from = this.#indexes.get(channel.peer);
    if (from === undefined) return;
    const message = decodeReplicationMessage(type, payload);
    if (message?.name !== 'requestReply' && message?.name !== 'lastNumberIs') return;
    if (!equalBytes(message.value.instance, this.#instance)) return;
    if (message.name === 'requestReply') this.#handlers.onReply(from, message.value);
    else this.#handlers.onLastNumber(from, message.value);
  }
}
