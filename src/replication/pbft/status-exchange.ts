// Retransmission, driven by receivers: a member that lacks something says what it has, and the others send what they may
// send of the rest, each its own votes. Who knows a batch to be committed says so; f+1 of these replace all votes, so that
// a member whose primary starves it keeps up.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { PbftStatus, SlotStatus } from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { parametersDifferCode } from '../contract.ts';
import { everyone } from '../outbox.ts';
import { ParameterDifferences } from '../parameter-differences.ts';
import { batchSizeBytes } from './batch.ts';
import type { Core } from './core.ts';
import { isInNumber, MemberSet } from './member-set.ts';
import { Quotas, type Sent, type Work } from './quotas.ts';
import type { Slot } from './slot.ts';

export const statusTimer = 'status';

export class StatusExchange {
  readonly #core: Core;
  #dueMs = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  /** What had been reached at the last tick. */
  #seen = { executed: -1, view: -1, height: -1 };
  readonly #answeredMs: number[];
  readonly #quotas: Quotas;
  /** Members of whom anything has come since the start. */
  readonly #heard = new MemberSet();
  /** By member: up to where it has executed, or knows what is committed, as it said last. */
  readonly #reachedBy: number[];
  /** By member: the view in which it works, as it said last. */
  readonly #viewOf: number[];
  readonly #differences: ParameterDifferences;

  constructor(core: Core) {
    this.#core = core;
    this.#answeredMs = new Array<number>(core.n).fill(Number.NEGATIVE_INFINITY);
    this.#quotas = new Quotas(core.parameters.statusIntervalMs);
    this.#reachedBy = new Array<number>(core.n).fill(0);
    this.#viewOf = new Array<number>(core.n).fill(0);
    const { checkpointInterval, window } = core.parameters;
    this.#differences = new ParameterDifferences({ checkpointInterval, window });
  }

  /** What others say to have set otherwise, for people. */
  get parametersDiffer(): readonly string[] {
    return this.#differences.all;
  }

  onHeard(from: number): void {
    this.#heard.add(from);
  }

  /**
   * Whether enough others have been heard since the start to make a quorum with this member. After a restart they may
   * need a while to notice that it is back, and clients are often quicker.
   */
  get isInTouch(): boolean {
    return this.#heard.size >= 2 * this.#core.faults;
  }

  /** Whether f+1 others say that they have come further: at least one of them has. */
  get isBehind(): boolean {
    return this.#isOneAbove(this.#reachedBy, this.#core.parts.execution.executed);
  }

  /** Whether f+1 others say that they work in later views. */
  get isViewOver(): boolean {
    return this.#isOneAbove(this.#viewOf, this.#core.view);
  }

  /** Whether so many others say that they work in this view that it rests on nothing void. */
  isWorkedIn(view: number): boolean {
    const { faults, rules } = this.#core;
    let working = 0;
    for (const theirs of this.#viewOf) if (theirs === view) working += 1;
    return rules.mayFollow(working, faults);
  }

  /** Whether f+1 others say more than this, so that a correct one does. */
  #isOneAbove(said: readonly number[], own: number): boolean {
    let above = 0;
    for (const theirs of said) if (theirs > own) above += 1;
    return above > this.#core.faults;
  }

  /** Whether a member has not caused too much of this work in this interval; counts one more piece of it. */
  maySpend(member: number, work: Work, pieces = 1): boolean {
    return this.#quotas.maySpend(member, work, this.#core.nowMs, pieces);
  }

  /** Whether a member may be sent what it asked for by its digest. */
  mayAnswer(member: number, digest: Bytes, sizeBytes: number): boolean {
    return this.#quotas.mayAnswer(member, digest, sizeBytes, this.#core.nowMs);
  }

  /** Whether a member may be sent more of this kind now. */
  maySend(member: number, kind: Sent): boolean {
    return this.#quotas.maySend(member, kind, this.#core.nowMs);
  }

  noteSent(member: number, kind: Sent, sizeBytes: number): void {
    this.#quotas.noteSent(member, kind, sizeBytes, this.#core.nowMs);
  }

  // ---- Telling ----

  start(): void {
    this.#tell();
    this.#arm();
  }

  /** At the end of an event: something may be missing now that nobody waits for yet. */
  settle(): void {
    const { nowMs, parameters } = this.#core;
    if (this.#dueMs - nowMs > parameters.statusIntervalMs && this.#isBusy()) this.#arm();
  }

  #arm(): void {
    const { nowMs, parameters, out } = this.#core;
    const { statusIntervalMs, idleStatusIntervalMs } = parameters;
    this.#dueMs = nowMs + (this.#isBusy() ? statusIntervalMs : idleStatusIntervalMs);
    out.timer(statusTimer, this.#dueMs);
  }

  #isBusy(): boolean {
    const { isActive, queue, parts } = this.#core;
    const { execution, transfers, bodies, newViews } = parts;
    return (
      !isActive ||
      queue.size > 0 ||
      execution.committed > execution.executed ||
      transfers.isRunning ||
      bodies.isWaiting ||
      newViews.isIncomplete ||
      this.isBehind ||
      this.isViewOver
    );
  }

  onTimer(): void {
    const { parts, view, log, nowMs, parameters } = this.#core;
    const { executed } = parts.execution;
    const seen = this.#seen;
    const isStuck = seen.executed === executed && seen.view === view && seen.height === log.height;
    this.#seen = { executed, view, height: log.height };
    if (isStuck) {
      parts.bodies.onTick();
      parts.viewChanges.onTick();
      parts.clientRequests.handOnAgain(2 * parameters.statusIntervalMs);
    }
    // Not only when stuck: who goes on by what the others say was committed is still not in their view.
    parts.newViews.onTick();
    const isQuiet = nowMs - this.#toldMs >= parameters.idleStatusIntervalMs;
    if (isStuck || isQuiet || this.isBehind || this.isViewOver) this.#tell();
    this.#arm();
  }

  /** Tells at once that this member is behind. */
  hurry(): void {
    const { nowMs, parameters } = this.#core;
    if (nowMs - this.#toldMs >= parameters.statusIntervalMs / 2) this.#tell();
  }

  /** Tells at once what the others must know: that this member has lost patience. */
  tellNow(): void {
    this.#tell();
  }

  #tell(): void {
    const { instance, genesis, view, isActive, log, parts, out, nowMs, parameters } = this.#core;
    const { checkpointInterval, window } = parameters;
    this.#toldMs = nowMs;
    const { executed } = parts.execution;
    const value: PbftStatus = {
      instance,
      genesis,
      checkpointInterval,
      window,
      view,
      isActive: isActive ? 1 : 0,
      isDoubting: parts.viewChanges.isDoubting ? 1 : 0,
      height: log.height,
      executed,
      viewChanges: parts.viewChanges.supporters(),
      slots: this.#slots(Math.max(executed, log.height) + 1),
    };
    // What others may leave a view for must not be forgotten.
    if (value.isDoubting === 1) out.send(everyone, 'pbftStatus', value);
    else out.sendUrgently(everyone, 'pbftStatus', value);
  }

  #slots(first: number): SlotStatus[] {
    const { log, view } = this.#core;
    const slots: SlotStatus[] = [];
    for (let sequence = first; slots.length < limits.statusSlotsMax; sequence++) {
      const slot = log.slot(sequence);
      if (slot === undefined) break;
      slots.push({
        sequence,
        isAccepted: slot.accepted === undefined ? 0 : 1,
        prepares: slot.prepares.membersOf(view),
        commits: slot.commits.membersOf(view),
      });
    }
    return slots;
  }

  // ---- Answering ----

  onStatus(from: number, status: ReplicationMessageValue<'pbftStatus'>): void {
    const core = this.#core;
    const { nowMs, parameters, out, parts, genesis } = core;
    const { checkpointInterval, window } = status;
    if (this.#differences.note(from, [checkpointInterval, window])) out.count(parametersDifferCode);
    if (!equalBytes(status.genesis, genesis)) return out.count('genesis-differs');
    this.#reachedBy[from] = status.executed;
    this.#viewOf[from] = status.isActive === 1 ? status.view : 0;
    if (status.isDoubting === 1) parts.viewChanges.onDoubt(from, status.view);
    if (parts.newViews.isIncomplete) parts.newViews.tryAll();
    const answeredMs = this.#answeredMs[from] ?? nowMs;
    if (nowMs - answeredMs < parameters.statusIntervalMs / 2) return out.count('peer-too-eager');
    this.#answeredMs[from] = nowMs;
    this.#remind(from, status);
    parts.checkpoints.sendTo(from, status.height);
    this.#helpWithView(from, status);
    this.#helpWithSlots(from, status);
  }

  /** Whose disk was replaced by an empty one unnoticed is shown what it has signed. */
  #remind(from: number, { view, height, executed }: PbftStatus): void {
    const { viewChanges, checkpoints, recovery } = this.#core.parts;
    viewChanges.remind(from, view);
    checkpoints.remind(from, Math.max(height, executed));
    if (executed === 0) recovery.keys.remind(from);
    if (!recovery.isRunning) recovery.keys.tellOwn(from);
  }

  #helpWithView(from: number, status: PbftStatus): void {
    const { view, isActive, index, parts } = this.#core;
    if (status.view > view || (status.view === view && status.isActive === 1)) return;
    if (isActive) parts.newViews.sendEntered(from);
    else if (status.view < view || !isInNumber(status.viewChanges, index)) {
      parts.viewChanges.sendOwn(from);
    }
  }

  #helpWithSlots(from: number, status: PbftStatus): void {
    const { log, out, instance, view, isActive } = this.#core;
    const inView = isActive && status.isActive === 1 && status.view === view;
    const first = Math.max(status.executed, status.height) + 1;
    for (let i = 0; i < limits.statusSlotsMax; i++) {
      const slot = log.slot(first + i);
      if (slot === undefined) continue;
      const { sequence, committed } = slot;
      if (committed !== undefined) {
        out.send(this.#core.replica(from), 'committed', { instance, sequence, digest: committed });
      }
      const theirs = status.slots[i];
      if (inView)
        this.#helpWithVotes(from, slot, theirs?.sequence === sequence ? theirs : undefined);
    }
  }

  #helpWithVotes(from: number, slot: Slot, theirs: SlotStatus | undefined): void {
    const { index, isPrimary, log, newViewTop, parts, rules, primary } = this.#core;
    const digest = slot.accepted;
    if (digest === undefined) return;
    const { normalCase } = parts;
    if (isPrimary && theirs?.isAccepted !== 1 && slot.sequence > newViewTop) {
      const batch = log.batch(digest);
      if (batch !== undefined && this.maySend(from, 'proposal')) {
        this.noteSent(from, 'proposal', batchSizeBytes(batch.requests));
        normalCase.sendPrePrepare(slot.sequence, batch, from);
      }
    }
    if (rules.mayPrepare(index, primary) && !isInNumber(theirs?.prepares ?? 0, index)) {
      normalCase.sendPrepare(slot, digest, from);
    }
    if (slot.isPrepared && !isInNumber(theirs?.commits ?? 0, index)) {
      normalCase.sendCommit(slot, digest, from);
    }
  }

  /** A member says what it knows to be committed. */
  onCommitted(from: number, message: ReplicationMessageValue<'committed'>): void {
    const { log, out, rules, faults, parts } = this.#core;
    const { sequence, digest } = message;
    this.#reachedBy[from] = Math.max(this.#reachedBy[from] ?? 0, sequence);
    if (sequence <= parts.execution.executed) return out.count('duplicate');
    const slot = log.slotAt(sequence);
    if (slot === undefined) return out.count('outside-window');
    if (slot.committed !== undefined) return out.count('duplicate');
    const counted = slot.claims.add(from, 0, digest);
    if (counted !== 'counted') return out.count(`committed-${counted}`);
    const claims = slot.claims.tally(0, digest)?.members.size ?? 0;
    if (rules.isCommittedByClaims(claims, faults)) parts.execution.commit(slot, digest);
  }
}
