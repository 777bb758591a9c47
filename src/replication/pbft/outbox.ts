// Gathers what one event gives.

import type { Bytes } from '../../base/bytes.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { CheckpointSave, Effects, Recipient, Send, TimerChange } from '../contract.ts';
import type { Charge } from './evidence.ts';

export const everyone: Recipient = { kind: 'replicas' };

export class Outbox {
  #records: Bytes[] = [];
  #compact: readonly Bytes[] | undefined;
  #sends: Send[] = [];
  #timers: TimerChange[] = [];
  #save: CheckpointSave | undefined;
  #evidence: Charge[] = [];
  #counts: string[] = [];
  #rekey: 'all' | number | undefined;
  #reloads = false;

  get hasRecords(): boolean {
    return this.#records.length > 0;
  }

  record(bytes: Bytes): void {
    this.#records.push(bytes);
  }

  /** Replaces all earlier records; those of this event are part of what `records` says. */
  compact(records: readonly Bytes[]): void {
    this.#compact = records;
    this.#records = [];
  }

  /** A vote, a reply: leaves when everything recorded so far is durable. `view`: dropped if that view is left by then. */
  send<Name extends ReplicationMessageName>(
    to: Recipient,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view?: number,
  ): void {
    this.#push(to, name, value, view, false);
  }

  /** What vouches for nothing leaves at once. */
  sendUrgently<Name extends ReplicationMessageName>(
    to: Recipient,
    name: Name,
    value: ReplicationMessageValue<Name>,
  ): void {
    this.#push(to, name, value, undefined, true);
  }

  #push<Name extends ReplicationMessageName>(
    to: Recipient,
    name: Name,
    value: ReplicationMessageValue<Name>,
    view: number | undefined,
    isUrgent: boolean,
  ): void {
    // Name and value belong together by the signature; the compiler cannot distribute them over the union.
    this.#sends.push({ to, name, value, view, isUrgent } as Send);
  }

  /** A send that is made already. */
  forward(send: Send): void {
    this.#sends.push(send);
  }

  timer(name: string, atMs: number | undefined): void {
    this.#timers.push({ name, atMs });
  }

  save(save: CheckpointSave): void {
    this.#save = save;
  }

  /** Closes channels, those of one member or all, before anything of this event leaves. */
  rekey(whose: 'all' | number): void {
    this.#rekey = whose;
  }

  /** Asks for the checkpoint as it is on disk. */
  reload(): void {
    this.#reloads = true;
  }

  evidence(evidence: Charge): void {
    this.#evidence.push(evidence);
    this.count(evidence.code);
  }

  count(code: string): void {
    this.#counts.push(code);
  }

  /** @param genesis root of checkpoint 0. */
  take(genesis: Bytes): Effects {
    const effects: Effects = {
      records: this.#records,
      compact: this.#compact,
      sends: this.#sends,
      timers: this.#timers,
      save: this.#save,
      mark: undefined,
      evidence:
        this.#evidence.length === 0 ? [] : this.#evidence.map((charge) => ({ ...charge, genesis })),
      counts: this.#counts,
      rekey: this.#rekey,
      reloads: this.#reloads,
    };
    this.#rekey = undefined;
    this.#reloads = false;
    this.#records = [];
    this.#compact = undefined;
    this.#sends = [];
    this.#timers = [];
    this.#save = undefined;
    this.#evidence = [];
    this.#counts = [];
    return effects;
  }
}
