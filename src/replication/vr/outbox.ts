// What one event gives, in the words of these parts: most sends belong to a view, and what they rest on may be durable.

import type { Bytes } from '../../base/bytes.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { Recipient } from '../contract.ts';
import { everyone, Outbox } from '../outbox.ts';

export class VrOutbox extends Outbox {
  /** To all other members; it belongs to `view`, or to the instance if undefined. */
  multicast<Name extends ReplicationMessageName>(
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#to(everyone, name, value, view, isUrgent);
  }

  toReplica<Name extends ReplicationMessageName>(
    index: number,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#to({ kind: 'replica', index }, name, value, view, isUrgent);
  }

  toClient<Name extends ReplicationMessageName>(
    key: Bytes,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#to({ kind: 'client', key }, name, value, view, isUrgent);
  }

  #to<Name extends ReplicationMessageName>(
    to: Recipient,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent: boolean,
  ): void {
    if (isUrgent) this.sendUrgently(to, name, value, view);
    else this.send(to, name, value, view);
  }
}
