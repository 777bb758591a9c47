// The normal case (section 4.1): the primary gives batches consecutive numbers and multicasts them; backups append in
// order and acknowledge cumulatively; f acknowledgements and the primary's own durable copy commit.

import { emptyBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { InFlight } from '../in-flight.ts';
import { noDigest, withoutResult } from './acceptance.ts';
import type { Core } from './core.ts';
import { decodeEntry, encodeEntry, type LogEntry } from './log.ts';

interface Mark {
  readonly mark: number;
  readonly view: number;
  readonly sequence: number;
}

export class Normal {
  readonly #core: Core;
  /** Members whose acknowledgements commit, and what each has acknowledged, in the same order. */
  #voters: number[] = [];
  #votes: number[] = [];
  /** By member: the end of its log in this view, and what it holds durably and knows to be committed. */
  #reached: number[] = [];
  #held: number[] = [];
  readonly #marks: Mark[] = [];
  #markCount = 0;
  /** The own log is on disk up to here. */
  #durable = 0;
  /** The record with which this view began here is on disk. Only then may anything of it leave ahead of the disk. */
  #isViewDurable = false;
  /** The end of the log that this view began with. */
  inherited = 0;
  /** When something of the primary was last heard, on the clock of patience. */
  lastHeardMs = 0;
  /** Up to where the primary has said the log to be committed, whether or not that is here. */
  #told = 0;
  /** When the committed log last grew, or when there was nothing to commit. */
  #progressMs = 0;
  /** When the oldest queued request has waited long enough; undefined while none waits. */
  #batchDueMs: number | undefined;
  readonly #inFlight = new InFlight();
  /** Entries that came ahead of others, by number. */
  readonly #early = new Map<number, LogEntry>();

  constructor(core: Core) {
    this.#core = core;
  }

  isDurable(sequence: number): boolean {
    const { isPrimary, parameters } = this.#core;
    return (
      isPrimary && this.#isViewDurable && (parameters.mode === 'view' || sequence <= this.#durable)
    );
  }

  /** A view has begun here, as a primary or as a backup. */
  begin(): void {
    const core = this.#core;
    this.#early.clear();
    this.#inFlight.clear();
    this.#marks.length = 0;
    this.#durable = 0;
    this.#isViewDurable = false;
    this.#batchDueMs = undefined;
    this.#told = 0;
    this.inherited = core.log.last;
    this.lastHeardMs = core.awakeMs;
    this.#progressMs = core.awakeMs;
    if (core.isPrimary) {
      this.#voters = core.active.filter((member) => member !== core.index);
      this.#votes = this.#voters.map(() => 0);
      this.#reached = core.group.members.map(() => 0);
      this.#held = core.group.members.map(() => core.low);
      this.#mark();
    }
  }

  // ---- Primary ----

  /** Makes batches of what is queued, as far as it is time for them. */
  proposeIfDue(): void {
    const core = this.#core;
    const { parameters, parts } = core;
    while (core.isPrimary && parts.requests.queued > 0 && !core.executor.ended) {
      const inFlight = core.log.last - core.commit;
      if (inFlight >= parameters.pipelineMax) break;
      const isFull =
        parts.requests.queued >= parameters.batchRequestsMax ||
        parts.requests.queuedSizeBytes >= limits.batchSizeBytesMax / 2;
      const isDue = this.#batchDueMs !== undefined && this.#batchDueMs <= core.nowMs;
      if (!isFull && !isDue && inFlight > 0) break;
      if (!this.#propose()) break;
    }
    if (parts.requests.queued === 0) this.#batchDueMs = undefined;
    else if (this.#batchDueMs === undefined) {
      this.#batchDueMs = core.nowMs + parameters.batchDelayMs;
      core.out.timer('batch', this.#batchDueMs);
    }
  }

  #propose(): boolean {
    const core = this.#core;
    const { view, commit, low, instance, out, parameters } = core;
    const taken = core.parts.requests.take({
      count: parameters.batchRequestsMax,
      sizeBytes: limits.batchSizeBytesMax,
      isSmallOnly: this.#inFlight.isSmallOnly(core.log.last + 1, commit),
    });
    if (taken.length === 0) return false;
    this.#inFlight.note(taken, core.log.last + 1);
    const requests = taken.map(({ request }) => request);
    const { service } = core.executor;
    const agreed =
      service.propose === undefined
        ? emptyBytes
        : service.propose(requests.map(({ operation }) => operation));
    const entry = encodeEntry({ view, requests, agreed });
    if (commit === core.log.last) this.#progressMs = core.awakeMs;
    core.append(entry);
    const sequence = core.log.last;
    this.#mark();
    const value = { instance, view, sequence, commit, low, entry: entry.bytes };
    if (!parameters.witnesses) {
      out.multicast('vrPrepare', value, view, this.#isViewDurable);
    } else {
      for (const member of this.#voters) {
        out.toReplica(member, 'vrPrepare', value, view, this.#isViewDurable);
      }
    }
    this.#advance();
    if (parameters.threeMessageWrites) core.parts.execution.run();
    return true;
  }

  #mark(): void {
    const { view, log, out } = this.#core;
    this.#markCount += 1;
    this.#marks.push({ mark: this.#markCount, view, sequence: log.last });
    out.mark(this.#markCount);
  }

  onDurable(mark: number): void {
    const core = this.#core;
    let last: Mark | undefined;
    while (this.#marks[0] !== undefined && this.#marks[0].mark <= mark) last = this.#marks.shift();
    if (last === undefined || last.view !== core.view || !core.isPrimary) return;
    this.#isViewDurable = true;
    this.#durable = Math.max(this.#durable, last.sequence);
    this.#advance();
  }

  onPrepareOk(from: number, value: ReplicationMessageValue<'vrPrepareOk'>): void {
    const core = this.#core;
    const { view, sequence, commit } = value;
    if (view !== core.view || !core.isPrimary) return core.out.count('vr-stale');
    if (sequence > core.log.last || commit > sequence) return core.out.count('vr-impossible');
    const voter = this.#voters.indexOf(from);
    if (voter >= 0) this.#votes[voter] = Math.max(this.#votes[voter] ?? 0, sequence);
    this.#reached[from] = Math.max(this.#reached[from] ?? 0, sequence);
    this.#held[from] = Math.max(this.#held[from] ?? 0, commit);
    this.#advance();
  }

  #advance(): void {
    const core = this.#core;
    const { log, rules, parameters, faults, parts } = core;
    const own = rules.ownCopy(parameters.mode, log.last, this.#durable);
    // Who lacks its state counts as out, the primary too: it commits nothing.
    const counted = parts.repair.isNeeded ? 0 : own;
    const committed = rules.committed(counted, this.#votes, faults);
    if (parameters.witnesses) this.#raiseLow();
    if (committed <= core.commit) return;
    core.commit = committed;
    this.#progressMs = core.awakeMs;
    parts.viewChange.progressed();
    parts.execution.run();
    this.proposeIfDue();
  }

  #raiseLow(): void {
    const core = this.#core;
    this.#held[core.index] = Math.min(core.commit, this.#durable);
    let low = Number.POSITIVE_INFINITY;
    for (let i = 0; i < core.designatedCount; i++) low = Math.min(low, this.#held[i] ?? 0);
    core.hearLow(low);
  }

  heartbeat(): void {
    const core = this.#core;
    const { view, commit, low, instance, log, out } = core;
    const value = { instance, view, sequence: log.last, commit, low };
    out.multicast('vrCommit', value, view, this.#isViewDurable);
    if (core.parameters.witnesses) this.#reviewActive();
  }

  /** With witnesses: a silent active member, or a designated one that is back, means another active set. */
  #reviewActive(): void {
    const core = this.#core;
    const { awakeMs, log, commit, parameters, view } = core;
    if (log.last === commit) this.#progressMs = awakeMs;
    const { viewChange } = core.parts;
    if (awakeMs - this.#progressMs > viewChange.patience(parameters.primaryTimeoutMs)) {
      this.#voters.forEach((member, i) => {
        if ((this.#votes[i] ?? 0) < log.last) core.suspected[member] = true;
      });
      viewChange.begin(core.viewAfter(view));
      return;
    }
    if (core.active.every((member) => core.isDesignated(member))) return;
    const slack = parameters.checkpointInterval;
    for (let i = 0; i < core.designatedCount; i++) {
      if (i === core.index) continue;
      if (core.suspected[i] === true || (this.#reached[i] ?? 0) === 0) return;
      if ((this.#reached[i] ?? 0) + slack < commit) return;
    }
    core.out.count('vr-witness-released');
    viewChange.begin(view + core.designatedCount);
  }

  // ---- Backup ----

  /** Whether the primary has told of more that is committed than is executed here. */
  get isBehind(): boolean {
    return this.#told > this.#core.parts.execution.executed;
  }

  onPrepare(from: number, value: ReplicationMessageValue<'vrPrepare'>): void {
    const core = this.#core;
    if (!this.#isFromPrimary(from, value.view) || core.isStandingBy) return;
    const { sequence, commit, low } = value;
    const { log } = core;
    this.#told = Math.max(this.#told, commit);
    if (core.isLogFilled(1)) {
      core.hearCommit(commit);
      return core.out.count('vr-log-full');
    }
    if (sequence > log.last) {
      const entry = decodeEntry(value.entry);
      if (entry === undefined) return core.out.count('vr-bad-entry');
      if (sequence === log.last + 1) this.#take(entry);
      else this.#keepEarly(sequence, entry);
    }
    this.#takeEarly();
    core.hearCommit(commit);
    core.hearLow(low);
    this.acknowledge(sequence);
    core.parts.execution.run();
    if (sequence > log.last) core.parts.fetch.append(from);
  }

  #keepEarly(sequence: number, entry: LogEntry): void {
    if (this.#early.size < 2 * this.#core.parameters.pipelineMax) this.#early.set(sequence, entry);
  }

  #takeEarly(): void {
    const { log } = this.#core;
    while (this.#early.size > 0) {
      const entry = this.#early.get(log.last + 1);
      if (entry === undefined) {
        for (const sequence of this.#early.keys()) {
          if (sequence <= log.last) this.#early.delete(sequence);
        }
        return;
      }
      this.#early.delete(log.last + 1);
      this.#take(entry);
    }
  }

  #take(entry: LogEntry): void {
    const { parameters, parts } = this.#core;
    this.#core.append(entry);
    // To a client this is as good as an acknowledgement.
    if (parameters.threeMessageWrites && !parts.repair.isNeeded) this.#tellClients(entry);
  }

  /** Three-message writes: clients count the acknowledgements themselves. */
  #tellClients({ entry }: LogEntry): void {
    const { instance, view, log, out } = this.#core;
    const sequence = log.last;
    for (const { client, number } of entry.requests) {
      const said = { kind: 1, outcome: withoutResult, digest: noDigest, result: [] };
      out.toClient(client, 'requestReply', { instance, view, sequence, number, ...said }, view);
    }
  }

  onCommit(from: number, value: ReplicationMessageValue<'vrCommit'>): void {
    const core = this.#core;
    if (!this.#isFromPrimary(from, value.view)) return;
    const { sequence, commit, low } = value;
    this.#told = Math.max(this.#told, commit);
    core.hearLow(low);
    if (core.isStandingBy) {
      core.parts.checkpoints.witnessLow();
      return;
    }
    core.hearCommit(commit);
    core.parts.execution.run();
    core.parts.checkpoints.witnessLow();
    const { log, parameters } = core;
    if (sequence > log.last) core.parts.fetch.append(from);
    else if (commit < log.last || parameters.witnesses) this.acknowledge(log.last);
  }

  /** Whether a message is of the primary of the view in which this replica is normal; if of a later one, goes there. */
  #isFromPrimary(from: number, view: number): boolean {
    const core = this.#core;
    if (from !== core.primaryOf(view)) {
      core.out.count('vr-not-primary');
      return false;
    }
    if (view < core.view) {
      core.out.count('vr-stale');
      return false;
    }
    if (view > core.view || core.status !== 'normal') {
      core.parts.fetch.hearLater(view, from);
      return false;
    }
    this.lastHeardMs = core.awakeMs;
    return true;
  }

  /** Tells the primary up to where the log is here, without gap. */
  acknowledge(received: number): void {
    const { instance, view, log, commit, out, rules, parts } = this.#core;
    // Who lacks its state counts as out: a witness stands in for it until it is back.
    if (parts.repair.isNeeded) return;
    const sequence = rules.acknowledged(log.last, received);
    const value = { instance, view, sequence, commit };
    out.toReplica(this.#core.primaryOf(view), 'vrPrepareOk', value, view);
  }

  /** Entries were appended otherwise than by PREPARE. */
  appended(): void {
    this.#takeEarly();
    this.acknowledge(this.#core.log.last);
  }
}
