// State transfer (section 5.2): the log of one view from a member that has it, in parts; or, when its beginning is gone
// there, a checkpoint's pages first. Nothing of the own log is given up before all of the other one is here.

import type { Bytes } from '../../base/bytes.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { PagedState } from '../pages.ts';
import { StateTransfer, type TransferStep } from '../transfer.ts';
import type { Core } from './core.ts';
import { decodeEntry, type LogEntry } from './log.ts';
import { needs } from './log-answers.ts';

/**
 * `append`: the end of the own view's log. `adopt`: the log of a view that has begun elsewhere. `start`: the log that
 * this replica has chosen as the new primary. `recover`: everything.
 */
type Purpose = 'append' | 'adopt' | 'start' | 'recover';

interface Job {
  readonly purpose: Purpose;
  readonly view: number;
  peer: number;
  readonly nonce: Bytes;
  /** What the staged entries follow. */
  base: number;
  staged: LogEntry[];
  /** Where the log must at least reach. */
  goal: number;
  commit: number;
  active: readonly number[];
  retryAtMs: number;
  /** When something that was asked for last came. */
  progressMs: number;
  /** The checkpoint that is being fetched. */
  checkpoint: { readonly sequence: number; readonly isEnded: boolean } | undefined;
  /** No checkpoint there is makes a full log shorter: what is still missing is taken all the same. */
  isOverfilling: boolean;
  /** The fetched checkpoint is on its way to disk. */
  isInstalling: boolean;
}

type NewState = ReplicationMessageValue<'vrNewState'>;

const retryHeartbeats = 4;
const aliveHeartbeats = 20;

export class Fetch {
  readonly #core: Core;
  #job: Job | undefined;
  /** Outlives jobs: a state that takes long to fetch must not be begun anew with every view. */
  #transfer: StateTransfer | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The view whose log is being fetched. */
  get view(): number {
    return this.#job?.view ?? this.#core.view;
  }

  get isStarting(): boolean {
    return this.#job?.purpose === 'start';
  }

  /** The own state is ahead of the own disk: nothing may be said or promised now. */
  get isInstalling(): boolean {
    return this.#job?.isInstalling === true;
  }

  /** Whether something has come of late. */
  get isAlive(): boolean {
    const { nowMs, parameters } = this.#core;
    const silentMs = aliveHeartbeats * parameters.heartbeatMs;
    return this.#job !== undefined && nowMs - this.#job.progressMs < silentMs;
  }

  get progress(): number | undefined {
    return this.#job?.checkpoint === undefined ? undefined : this.#transfer?.progress();
  }

  stop(): void {
    if (this.#job?.checkpoint !== undefined) this.#core.out.timer('transfer', undefined);
    this.#job = undefined;
  }

  /** `view` has begun elsewhere, `from` is normal in it. */
  hearLater(view: number, from: number): void {
    const core = this.#core;
    if (core.status === 'transferring' && this.#job !== undefined && this.#job.view >= view) {
      if (this.#job.view === view) core.parts.normal.lastHeardMs = core.awakeMs;
      return;
    }
    const isStandingBy = core.isWitness && core.status === 'normal' && view === core.view;
    if (isStandingBy || !core.rules.mayReplaceLog(core, view)) return core.out.count('vr-stale');
    core.parts.viewChange.leave();
    core.status = 'transferring';
    core.parts.normal.lastHeardMs = core.awakeMs;
    if (!core.rules.keepsLogWhileTransferring()) {
      core.view = view;
      core.lastNormal = view;
      core.log.cutAbove(core.commit);
    }
    this.#begin('adopt', view, from, core.base, 0);
  }

  /** Entries of the own view are missing at the end of the log. */
  append(from: number): void {
    const { view, log } = this.#core;
    if (this.#job === undefined) this.#begin('append', view, from, log.last, 0);
  }

  /** As the new primary: the chosen log of view `lastNormal`, which ends at `goal`. */
  start(lastNormal: number, from: number, goal: number): void {
    this.#begin('start', lastNormal, from, this.#core.base, goal);
  }

  recover(view: number, from: number, goal: number): void {
    this.#begin('recover', view, from, this.#core.commit, goal);
  }

  #begin(purpose: Purpose, view: number, peer: number, base: number, goal: number): void {
    this.stop();
    const { active, nonce } = this.#core;
    this.#job = {
      purpose,
      view,
      peer,
      nonce: nonce(),
      base,
      staged: [],
      goal,
      commit: 0,
      active,
      retryAtMs: 0,
      progressMs: this.#core.nowMs,
      checkpoint: undefined,
      isOverfilling: false,
      isInstalling: false,
    };
    this.#ask(this.#job);
  }

  #ask(job: Job): void {
    const { instance, out, nowMs, parameters } = this.#core;
    job.retryAtMs = nowMs + retryHeartbeats * parameters.heartbeatMs;
    this.#rebase(job);
    const { nonce, view } = job;
    const from = job.base + job.staged.length;
    const value = { instance, nonce, view, from, needs: this.#needs(job) };
    out.toReplica(job.peer, 'vrGetState', value, undefined, true);
  }

  #needs(job: Job): number {
    const core = this.#core;
    // A witness takes no more of a log before a checkpoint has made its own one shorter, if there is one.
    if (core.isLogFilled(1) && !job.isOverfilling) return needs.checkpoint;
    if (job.purpose === 'start') return needs.chosen;
    return core.hasState ? needs.all : needs.lacking;
  }

  /** What became known to be committed meanwhile, or came by itself, need not come, and others may not have it any more. */
  #rebase(job: Job): void {
    const { base: committed, log } = this.#core;
    const base = job.purpose === 'append' ? log.last : committed;
    if (base <= job.base) return;
    job.staged = job.staged.slice(base - job.base);
    job.base = base;
  }

  onNewState(from: number, value: NewState): void {
    const core = this.#core;
    const job = this.#job;
    if (job === undefined || !equalBytes(value.nonce, job.nonce) || value.view !== job.view) {
      return core.out.count('vr-unasked');
    }
    if (value.commit > value.sequence) return core.out.count('vr-impossible');
    if (job.purpose === 'adopt' && core.isWitness && !value.active.includes(core.index)) {
      return core.parts.viewChange.standBy(value.view, value.active);
    }
    job.progressMs = core.nowMs;
    core.hearLow(value.low);
    core.parts.execution.run();
    this.#rebase(job);
    job.active = value.active;
    job.commit = Math.max(job.commit, value.commit);
    const [checkpoint] = value.checkpoint;
    // The primary has all that is here acknowledged: it will have a checkpoint.
    if (job.purpose === 'append' && checkpoint === undefined && core.isLogFilled(1)) {
      return core.out.count('vr-log-full');
    }
    if (checkpoint !== undefined) return this.#fetchCheckpoint(job, checkpoint);
    if (job.checkpoint !== undefined) this.#preferEntries(job, value);
    this.#stage(job, from, value);
  }

  /** This member still has what another one offered a checkpoint for. */
  #preferEntries(job: Job, { first, entries }: NewState): void {
    const core = this.#core;
    if (first > job.base + 1 || entries.length === 0) return;
    job.checkpoint = undefined;
    core.out.timer('transfer', undefined);
    if (job.purpose === 'append') core.status = 'normal';
  }

  #stage(job: Job, from: number, value: NewState): void {
    const core = this.#core;
    const expected = job.base + job.staged.length + 1;
    if (value.first > expected) return core.out.count('vr-unasked');
    for (let i = expected - value.first; i < value.entries.length; i++) {
      const bytes = value.entries[i];
      const entry = bytes && decodeEntry(bytes);
      if (entry === undefined) return core.out.count('vr-bad-entry');
      job.staged.push(entry);
    }
    job.goal = Math.max(job.goal, job.purpose === 'start' ? 0 : value.sequence);
    if (job.purpose === 'append') this.#appendStaged(job);
    if (job.base + job.staged.length >= job.goal) return this.#complete(job);
    if (value.entries.length > 0) {
      job.peer = from;
      this.#ask(job);
    }
  }

  #appendStaged(job: Job): void {
    const core = this.#core;
    for (const entry of job.staged) {
      job.base += 1;
      // PREPAREs may have brought it meanwhile.
      if (job.base === core.log.last + 1) core.append(entry);
    }
    job.staged = [];
    core.hearCommit(job.commit);
    core.parts.normal.appended();
    core.parts.execution.run();
  }

  #complete(job: Job): void {
    const core = this.#core;
    this.stop();
    this.#transfer = undefined;
    if (job.purpose === 'append') return;
    if (job.purpose === 'start') {
      // The chosen log ends at the goal, though whoever sent it may have sent more.
      return core.parts.viewChange.start(job.base, job.staged.slice(0, job.goal - job.base));
    }
    if (job.purpose === 'adopt' && !core.rules.mayReplaceLog(core, job.view)) {
      if (core.rules.keepsLogWhileTransferring()) return core.out.count('vr-stale');
    }
    if (core.primaryOf(job.view) === core.index) return core.out.count('vr-impossible');
    core.out.count('vr-log-fetched');
    core.adopt(job.view, job.base, job.staged, job.active);
    core.hearCommit(job.commit);
    core.parts.viewChange.entered();
  }

  // ---- Checkpoints ----

  #fetchCheckpoint(job: Job, { sequence, root, isEnded }: NewState['checkpoint'][number]): void {
    const core = this.#core;
    if (!this.#isFit(sequence)) {
      core.out.count('vr-checkpoint-unfit');
      if (job.purpose !== 'adopt' || job.isOverfilling) return;
      job.isOverfilling = true;
      return this.#ask(job);
    }
    if (job.checkpoint !== undefined && job.checkpoint.sequence >= sequence) return;
    if (job.checkpoint === undefined) core.out.count('vr-transfer');
    job.checkpoint = { sequence, isEnded: isEnded === 1 };
    core.parts.execution.undoTentative();
    if (core.status === 'normal') core.status = 'transferring';
    const target = { sequence, root };
    if (this.#transfer !== undefined) {
      return this.#follow(job, this.#transfer, this.#transfer.retarget(target, core.nowMs));
    }
    this.#transfer = new StateTransfer({
      instance: core.instance,
      target,
      local: core.parts.repair.local,
      sources: core.others,
      seed: sequence * core.size + core.index,
      timeoutMs: transferTimeoutHeartbeats * core.parameters.heartbeatMs,
    });
    this.#follow(job, this.#transfer, this.#transfer.begin(core.nowMs));
  }

  /** Whether the state of a checkpoint is wanted. Who keeps none can have one that its own log goes on from. */
  #isFit(sequence: number): boolean {
    const { commit, hasState, log } = this.#core;
    return sequence > commit || (!hasState && sequence >= log.first - 1);
  }

  onStatePart(from: number, value: ReplicationMessageValue<'statePart'>): void {
    const { nowMs, out } = this.#core;
    const job = this.#job;
    const transfer = this.#transfer;
    if (job?.checkpoint === undefined || transfer === undefined) return out.count('vr-unasked');
    job.progressMs = nowMs;
    this.#follow(job, transfer, transfer.onPart(from, value, nowMs));
  }

  onTransferTimer(): void {
    const job = this.#job;
    const transfer = this.#transfer;
    if (job?.checkpoint === undefined || transfer === undefined) return;
    this.#follow(job, transfer, transfer.onTimer(this.#core.nowMs));
  }

  #follow(job: Job, transfer: StateTransfer, step: TransferStep): void {
    const { out } = this.#core;
    for (const code of step.counts) out.count(code);
    for (const send of step.sends) out.forward(send);
    out.timer('transfer', step.timerAtMs);
    if (transfer.isComplete) this.#install(job, transfer);
  }

  /** A checkpoint is committed state, whatever this replica's log says; of the log only what follows it stays. */
  #install(job: Job, transfer: StateTransfer): void {
    const core = this.#core;
    const { sequence, root } = transfer.target;
    const isEnded = job.checkpoint?.isEnded === true;
    job.checkpoint = undefined;
    // A disk tells saves apart by their numbers only. The state is asked for again, and is here then.
    if (!core.hasState && core.parts.checkpoints.isSaving) return;
    this.#transfer = undefined;
    // This replica may have come further by itself.
    if (!this.#isFit(sequence)) return this.#resume(job);
    const { state } = PagedState.sift(transfer.result);
    // Pages in memory were not what their digests said. It is asked for again.
    if (!core.executor.install(state, { sequence, root, isEnded })) {
      return core.out.count('transfer-wrong-root');
    }
    if (sequence > core.commit) {
      core.log.dropTo(sequence);
      core.commit = sequence;
    }
    core.parts.execution.jumpTo(sequence);
    job.base = core.commit;
    job.staged = [];
    job.isInstalling = core.parts.checkpoints.install({ sequence, root, isEnded }, job.view);
    if (!job.isInstalling) this.#resume(job);
  }

  onSaved(): void {
    const job = this.#job;
    if (job?.isInstalling !== true) return;
    job.isInstalling = false;
    this.#resume(job);
  }

  #resume(job: Job): void {
    const core = this.#core;
    if (job.purpose === 'append') {
      core.status = 'normal';
      core.parts.normal.lastHeardMs = core.awakeMs;
      job.base = core.log.last;
      core.parts.requests.viewChanged();
    }
    this.#ask(job);
  }

  onTick(): void {
    const core = this.#core;
    const job = this.#job;
    if (job === undefined || job.isInstalling || core.nowMs < job.retryAtMs) return;
    // The chosen log, and what a recovering replica needs, are where they were found; others may have the rest.
    if (job.purpose === 'adopt' || job.purpose === 'append') job.peer = this.#nextPeer(job.peer);
    this.#ask(job);
  }

  #nextPeer(peer: number): number {
    const { size, index } = this.#core;
    const next = (peer + 1) % size;
    return next === index ? (next + 1) % size : next;
  }
}

const transferTimeoutHeartbeats = 20;
