// What all parts of the engine share: where this replica stands, its log, its state. The parts call each other through
// here; each part keeps to itself what only it needs.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicaGroup, ReplicaStatus, StateMachine } from '../contract.ts';
import { Executor } from '../executor.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { Execution } from './execution.ts';
import type { Fetch } from './fetch.ts';
import type { Hello } from './hello.ts';
import type { Leases } from './leases.ts';
import { type LogEntry, VrLog } from './log.ts';
import type { Normal } from './normal.ts';
import { VrOutbox } from './outbox.ts';
import type { VrParameters } from './parameters.ts';
import type { Questions } from './questions.ts';
import { adoptRecord, appendRecord, stageRecord, stateRecord } from './records.ts';
import type { Recovery } from './recovery.ts';
import type { Repair } from './repair.ts';
import type { Requests } from './requests.ts';
import type { VrRules } from './rules.ts';
import type { ViewChange } from './view-change.ts';

/** `final` is shown to the outside only: an ended instance goes on serving those that lag. */
export type Status = Exclude<ReplicaStatus['status'], 'final'>;

export interface Parts {
  readonly requests: Requests;
  readonly questions: Questions;
  readonly normal: Normal;
  readonly execution: Execution;
  readonly checkpoints: Checkpoints;
  readonly viewChange: ViewChange;
  readonly fetch: Fetch;
  readonly recovery: Recovery;
  readonly repair: Repair;
  readonly leases: Leases;
  readonly hello: Hello;
}

export interface CoreOptions {
  readonly group: ReplicaGroup;
  readonly index: number;
  readonly service: StateMachine;
  readonly parameters: VrParameters;
  readonly rules: VrRules;
  readonly nonce: () => Bytes;
}

export class Core {
  readonly group: ReplicaGroup;
  readonly instance: Bytes;
  readonly index: number;
  readonly size: number;
  readonly faults: number;
  readonly parameters: VrParameters;
  readonly rules: VrRules;
  readonly executor: Executor;
  readonly nonce: () => Bytes;
  readonly out = new VrOutbox();
  /** Root of the state that the instance begins with. */
  readonly genesis: Bytes;
  /** Of the event being handled. */
  nowMs = 0;
  /** When the next tick is due: what comes long after it comes to a process that was held up. */
  #tickDueMs = Number.POSITIVE_INFINITY;
  #heldUpMs = 0;

  view = 0;
  status: Status = 'normal';
  /** The view that the log belongs to. Never above `view`. */
  lastNormal = 0;
  /** False only for a witness that keeps no log. */
  hasLog: boolean;
  /** False only for a witness that keeps no state; with one it is a full replica but for becoming primary. */
  hasState: boolean;
  log: VrLog = new VrLog();
  /** Known to be committed; never above the log's end. */
  commit = 0;
  /** Up to here every designated replica holds the log durably and knows it to be committed. With witnesses only. */
  low = 0;
  /** Members that acknowledge in this view. */
  active: readonly number[];
  /** Members suspected of being out, by index; one is cleared when it is heard. */
  readonly suspected: boolean[];

  #parts: Parts | undefined;

  constructor(options: CoreOptions) {
    this.group = options.group;
    this.instance = options.group.instance;
    this.index = options.index;
    this.size = options.group.members.length;
    this.faults = options.group.faults;
    this.parameters = options.parameters;
    this.rules = options.rules;
    this.executor = new Executor(options.service);
    this.genesis = options.group.genesis ?? this.executor.state.rootNow();
    this.nonce = options.nonce;
    this.active = this.firstActive();
    this.hasLog = !this.isWitness;
    this.hasState = !this.isWitness;
    this.suspected = new Array<boolean>(this.size).fill(false);
  }

  connect(parts: Parts): void {
    this.#parts = parts;
  }

  get parts(): Parts {
    // Set right after construction.
    return this.#parts as Parts;
  }

  /**
   * The clock of patience: stands still while this process is held up. What the others have sent meanwhile lies in its
   * buffers, and it must not take its own silence for theirs. Means nothing to promises, which end by the real clock.
   */
  get awakeMs(): number {
    return this.nowMs - this.#heldUpMs;
  }

  /** Takes the time of an event. */
  begin(nowMs: number): void {
    this.nowMs = nowMs;
    const lateMs = nowMs - this.#tickDueMs;
    if (lateMs <= this.parameters.heartbeatMs) return;
    this.#heldUpMs += lateMs;
    this.#tickDueMs = nowMs;
  }

  setTick(): void {
    this.#tickDueMs = this.nowMs + this.parameters.heartbeatMs;
    this.out.timer('tick', this.#tickDueMs);
  }

  /** Members that keep the state: all of them without witnesses. */
  get designatedCount(): number {
    return this.parameters.witnesses ? this.faults + 1 : this.size;
  }

  isDesignated(index: number): boolean {
    return index < this.designatedCount;
  }

  get isWitness(): boolean {
    return !this.isDesignated(this.index);
  }

  primaryOf(view: number): number {
    return view % this.designatedCount;
  }

  get isPrimary(): boolean {
    return this.status === 'normal' && this.primaryOf(this.view) === this.index;
  }

  get isActive(): boolean {
    return this.active.includes(this.index);
  }

  /** A witness that is not wanted in this view: its log, if it has one, is another view's. */
  get isStandingBy(): boolean {
    return this.isWitness && (this.lastNormal !== this.view || !this.isActive);
  }

  /** All members but this one. */
  get others(): number[] {
    return Array.from({ length: this.size }, (_, i) => i).filter((i) => i !== this.index);
  }

  firstActive(): number[] {
    return Array.from({ length: this.designatedCount }, (_, i) => i);
  }

  isInstance(instance: Bytes): boolean {
    return equalBytes(instance, this.instance);
  }

  /**
   * The end of what needs no fetching: what this replica has of the log that all agree on. Who keeps no state has no use
   * for what all designated replicas hold, and may get it from nobody.
   */
  get base(): number {
    return this.hasState ? this.commit : Math.max(this.commit, this.low);
  }

  /** Batches that stay in the log although there is a checkpoint, or could be one, that has them. */
  get heldMax(): number {
    const { intervalsHeld, checkpointInterval } = this.parameters;
    return intervalsHeld * checkpointInterval;
  }

  /** Whether what a witness keeps instead of a state is `share` of what it may. */
  isLogFilled(share: number): boolean {
    if (this.hasState || !this.hasLog) return false;
    // What all designated replicas hold goes when the next log is adopted.
    const length = this.log.last - Math.max(this.log.first - 1, this.low);
    if (length >= share * (this.heldMax + this.parameters.pipelineMax)) return true;
    return length > 0 && this.log.sizeBytes >= share * limits.vrLogSizeBytesMax;
  }

  /** Appends an entry to the log, and to the journal where logs are kept there. */
  append(entry: LogEntry): void {
    this.log.append(entry);
    if (this.parameters.mode === 'full') {
      this.out.record(appendRecord(this.log.last, entry.bytes));
    }
  }

  /**
   * Becomes normal in `view` with a log that has the own entries up to `keep`, then `entries`: one step on disk as well,
   * so that there is never a log of one view under the name of another.
   */
  adopt(view: number, keep: number, entries: readonly LogEntry[], active: readonly number[]): void {
    // A witness's log begins above what all designated replicas hold as committed; what it has below may be void.
    const isReset = !this.hasLog || (!this.hasState && keep <= this.low);
    if (isReset) {
      this.log.reset(keep);
      this.commit = keep;
    }
    this.log.cutAbove(keep);
    for (const entry of entries) {
      this.log.append(entry);
      if (this.parameters.mode === 'full') {
        this.out.record(stageRecord(this.log.last, entry.bytes));
      }
    }
    this.hasLog = true;
    this.view = view;
    this.lastNormal = view;
    this.active = active;
    this.status = 'normal';
    if (this.parameters.mode === 'full') {
      const said = { view, keep, isReset: isReset ? 1 : 0, sequence: this.log.last };
      this.out.record(adoptRecord({ ...said, low: this.low, active: [...active] }));
    } else {
      this.recordState();
    }
  }

  recordState(): void {
    this.out.record(this.stateRecord(this.parameters.mode === 'full' ? this.log.first - 1 : 0));
  }

  /** @param base what the records of entries that follow it go on behind, if it is the journal's first record. */
  stateRecord(base: number): Bytes {
    const { view, lastNormal, hasLog, low, active } = this;
    return stateRecord({
      view,
      lastNormal,
      hasLog: hasLog ? 1 : 0,
      base,
      low,
      active: [...active],
    });
  }

  /** Learns that the log is committed up to `sequence`, as far as it is here. */
  hearCommit(sequence: number): void {
    const known = Math.min(sequence, this.log.last);
    if (known <= this.commit) return;
    this.commit = known;
    if (this.status === 'normal') this.parts.viewChange.progressed();
  }

  /** Learns how far every designated replica has the log as committed. */
  hearLow(low: number): void {
    if (low <= this.low) return;
    this.low = low;
    if (this.status === 'normal') this.parts.viewChange.progressed();
    if (!this.isWitness) this.hearCommit(low);
  }

  /** The next view worth trying: one whose primary is not known to be out. */
  viewAfter(view: number): number {
    for (let next = view + 1; next <= view + this.designatedCount; next++) {
      if (this.suspected[this.primaryOf(next)] !== true) return next;
    }
    return view + 1;
  }
}
