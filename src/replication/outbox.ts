// Gathers what one event gives: an engine's parts put it in, the engine takes it out.

import { type Bytes, emptyBytes } from '../base/bytes.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../wire/replication-registry.ts';
import type {
  CheckpointSave,
  Effects,
  Evidence,
  Recipient,
  Send,
  TimerChange,
} from './contract.ts';

export const everyone: Recipient = { kind: 'replicas' };
const nothing: readonly never[] = [];

export class Outbox {
  #records: Bytes[] = [];
  #compact: readonly Bytes[] | undefined;
  #sends: Send[] = [];
  #timers: TimerChange[] = [];
  #save: CheckpointSave | undefined;
  #mark: number | undefined;
  #evidence: Omit<Evidence, 'genesis'>[] = [];
  #counts: string[] = [];
  #rekey: 'all' | number | undefined;
  #keyCounters: readonly number[] | undefined;
  #reloads = false;

  get hasRecords(): boolean {
    return this.#records.length > 0;
  }

  record(bytes: Bytes): void {
    this.#records.push(bytes);
  }

  /** Replaces all earlier records; what those of this event say is part of what `records` say. */
  compact(records: readonly Bytes[]): void {
    this.#compact = records;
    this.#records = [];
  }

  /**
   * A vote, a reply: leaves when everything recorded so far is durable.
   * @param view drops it if that view is left by then; undefined: it belongs to the instance.
   */
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
    view?: number,
  ): void {
    this.#push(to, name, value, view, true);
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

  /** Asks for word when everything recorded so far is durable. */
  mark(mark: number): void {
    this.#mark = mark;
  }

  /** Closes channels, those of one member or all, before anything of this event leaves. */
  rekey(whose: 'all' | number): void {
    this.#rekey = whose;
  }

  /** Takes no channels with keys of before these changes, by member. */
  demandKeys(counters: readonly number[]): void {
    this.#keyCounters = counters;
  }

  /** Asks for the checkpoint as it is on disk. */
  reload(): void {
    this.#reloads = true;
  }

  evidence(evidence: Omit<Evidence, 'genesis'>): void {
    this.#evidence.push(evidence);
    this.count(evidence.code);
  }

  count(code: string): void {
    this.#counts.push(code);
  }

  /** All gathered since the last time. @param genesis root of checkpoint 0, on which evidence rests. */
  take(genesis: Bytes = emptyBytes): Effects {
    const effects: Effects = {
      records: this.#records.length === 0 ? nothing : this.#records,
      compact: this.#compact,
      sends: this.#sends.length === 0 ? nothing : this.#sends,
      timers: this.#timers.length === 0 ? nothing : this.#timers,
      save: this.#save,
      rekey: this.#rekey,
      keyCounters: this.#keyCounters,
      reloads: this.#reloads,
      mark: this.#mark,
      evidence:
        this.#evidence.length === 0
          ? nothing
          : this.#evidence.map((evidence) => ({ ...evidence, genesis })),
      counts: this.#counts.length === 0 ? nothing : this.#counts,
    };
    if (this.#records.length > 0) this.#records = [];
    if (this.#sends.length > 0) this.#sends = [];
    if (this.#timers.length > 0) this.#timers = [];
    if (this.#evidence.length > 0) this.#evidence = [];
    if (this.#counts.length > 0) this.#counts = [];
    this.#compact = undefined;
    this.#save = undefined;
    this.#rekey = undefined;
    this.#keyCounters = undefined;
    this.#reloads = false;
    this.#mark = undefined;
    return effects;
  }
}
