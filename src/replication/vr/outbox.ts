// Collects what one event causes.

import type { Bytes } from '../../base/bytes.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { CheckpointSave, Effects, Recipient, Send, TimerChange } from '../contract.ts';

const toReplicas: Recipient = { kind: 'replicas' };
const nothing: readonly never[] = [];

export class Outbox {
  #records: Bytes[] = [];
  #compact: Bytes[] | undefined;
  #sends: Send[] = [];
  #timers: TimerChange[] = [];
  #save: CheckpointSave | undefined;
  #mark: number | undefined;
  #counts: string[] = [];

  record(bytes: Bytes): void {
    this.#records.push(bytes);
  }

  compact(records: Bytes[]): void {
    this.#compact = records;
  }

  save(save: CheckpointSave): void {
    this.#save = save;
  }

  mark(mark: number): void {
    this.#mark = mark;
  }

  count(code: string): void {
    this.#counts.push(code);
  }

  timer(name: string, atMs: number | undefined): void {
    this.#timers.push({ name, atMs });
  }

  push(send: Send): void {
    this.#sends.push(send);
  }

  /** To all other members; it belongs to `view`, or to the instance if undefined. */
  multicast<Name extends ReplicationMessageName>(
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#push(toReplicas, name, value, view, isUrgent);
  }

  toReplica<Name extends ReplicationMessageName>(
    index: number,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#push({ kind: 'replica', index }, name, value, view, isUrgent);
  }

  toClient<Name extends ReplicationMessageName>(
    key: Bytes,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent = false,
  ): void {
    this.#push({ kind: 'client', key }, name, value, view, isUrgent);
  }

  #push<Name extends ReplicationMessageName>(
    to: Recipient,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent: boolean,
  ): void {
    // Name and value belong together by the signature; the compiler does not carry that into the union.
    this.#sends.push({ to, name, value, view, isUrgent } as Send);
  }

  /** All collected since the last time. */
  take(): Effects {
    const effects: Effects = {
      records: this.#records.length === 0 ? nothing : this.#records,
      compact: this.#compact,
      sends: this.#sends.length === 0 ? nothing : this.#sends,
      timers: this.#timers.length === 0 ? nothing : this.#timers,
      save: this.#save,
      mark: this.#mark,
      evidence: nothing,
      counts: this.#counts.length === 0 ? nothing : this.#counts,
    };
    if (this.#records.length > 0) this.#records = [];
    if (this.#sends.length > 0) this.#sends = [];
    if (this.#timers.length > 0) this.#timers = [];
    if (this.#counts.length > 0) this.#counts = [];
    this.#compact = undefined;
    this.#save = undefined;
    this.#mark = undefined;
    return effects;
  }
}
