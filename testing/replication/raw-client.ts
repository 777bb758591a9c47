// A client without the client library: says what a script wants, to whom it wants, under what number it wants.

import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, toHex } from '../../src/base/bytes.ts';
import type { Signer } from '../../src/crypto/signature.ts';
import type { Channel } from '../../src/env/network.ts';
import { bundle } from '../../src/replication/requests.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessageValue,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
} from '../../src/wire/replication-registry.ts';
import { SimulatedNode } from '../simulator/node.ts';
import type { SimulatedGroup } from './group.ts';

export class RawClient {
  readonly signer: Signer;
  readonly replies: ReplicationMessageValue<'requestReply'>[] = [];
  readonly #group: SimulatedGroup;
  #links: readonly Channel[] = [];

  constructor(group: SimulatedGroup, name: string) {
    this.#group = group;
    this.signer = group.newSigner();
    const peer = toHex(this.signer.publicKey) as PeerId;
    const node = new SimulatedNode(group.simulation, group.fabric, { name, peer });
    node.start(({ env, network }) => {
      network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
      env.network.onMessage((_, type, payload) => {
        const message = decodeReplicationMessage(type, payload);
        if (message?.name === 'requestReply') this.replies.push(message.value);
      });
      const addresses = group.addressesFor(name);
      this.#links = group.group.members.map((key, index) =>
        env.network.open(toHex(key) as PeerId, addresses[index] ?? { host: '', port: 0 }),
      );
    });
  }

  submit(to: readonly number[], number: number, operation: Bytes): void {
    const { instance } = this.#group.group;
    const request = { client: this.signer.publicKey, number, kind: 0, operation };
    for (const signed of bundle(this.signer, instance, [request])) {
      const value = { instance, request: signed, fullReplier: 0 };
      const payload = encodeReplicationMessage('submitRequest', value);
      for (const index of to) {
        this.#links[index]?.send(replicationMessageNumber('submitRequest'), payload);
      }
    }
  }
}
