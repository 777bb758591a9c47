// Gets the state that a whole log goes on from: the own disk has lost it, or a witness never had it. Who has lost it keeps
// its promises and its log, and gives both to whoever asks; but until it is repaired it counts as out: it acknowledges,
// votes, executes and answers nothing. Pages that are right on the disk are not fetched.
//
// A witness that stands in for a replica that is out keeps the log for it (preferred quorums, as in Harp). Memory and
// journal have a bound: before that is reached it gets a state. From then on it executes, takes checkpoints of its own and
// forgets its log as every full replica does, until it is not wanted any more.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Installed } from '../executor.ts';
import { PagedState } from '../pages.ts';
import { StateTransfer, type TransferStep } from '../transfer.ts';
import type { Core } from './core.ts';
import { decodeEntry, type LogEntry } from './log.ts';
import { needs } from './log-answers.ts';

type NewState = ReplicationMessageValue<'vrNewState'>;

export const repairTimer = 'repair';
const retryHeartbeats = 4;
const transferTimeoutHeartbeats = 20;
/** How full a witness's log is when it begins to get a state. */
const dueShare = 0.5;

export class Repair {
  readonly #core: Core;
  /** What the disk gave; undefined where that is not needed any more. */
  #found: PagedState | undefined;
  #transfer: StateTransfer | undefined;
  #target: Installed | undefined;
  /** Entries from others whose logs begin earlier, and what they follow: what is executed here, or a checkpoint. */
  #staged: LogEntry[] = [];
  #base = 0;
  #nonce: Bytes | undefined;
  #peer = 0;
  #retryAtMs = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Whether the state that the log goes on from is missing. */
  get isNeeded(): boolean {
    const { hasState, log, parts } = this.#core;
    return hasState && parts.execution.executed < log.first - 1;
  }

  /**
   * Whether the own log may be the best one and of no use, since the others' end before it begins. One that begins with the
   * instance is of use to all of them; but with witnesses, who votes is counted on to acknowledge, and one of those that
   * keep no state votes in the place of who lacks it.
   */
  get keepsFromVoting(): boolean {
    return this.isNeeded && (this.#core.log.first > 1 || this.#core.parameters.witnesses);
  }

  /** Whether a state is missing, or soon will be. */
  get #isWanted(): boolean {
    return this.isNeeded || this.#core.isLogFilled(dueShare);
  }

  /** Share that is here, 0 … 1; undefined while there is nothing to repair. */
  get progress(): number | undefined {
    return this.isNeeded ? (this.#transfer?.progress() ?? 0) : undefined;
  }

  /** Pages that need not be fetched where they are right. */
  get local(): PagedState {
    return this.#found ?? this.#core.executor.state;
  }

  /** The pages on the disk are not those of the checkpoint that was saved. */
  lost(found: PagedState, saved: Installed): void {
    this.#found = found;
    this.#target = saved;
  }

  /** The instance begins with pages, and they are not here. @param found what is right of these need not be fetched. */
  lacksGenesis(found: PagedState): void {
    const { genesis, parts } = this.#core;
    parts.execution.jumpTo(-1);
    this.lost(found, { sequence: 0, root: genesis, isEnded: false });
  }

  /** After a restart: what was saved here may be what the others hold too. */
  begin(): void {
    const saved = this.#target;
    if (!this.isNeeded) return this.#end();
    this.#core.out.count('vr-state-missing');
    this.#retryAtMs = this.#core.nowMs;
    if (saved !== undefined) this.#fetch(saved);
  }

  onTick(): void {
    const { nowMs, parts, lastNormal } = this.#core;
    if (!this.#isWanted) return this.#end();
    // A later checkpoint that is on its way makes this one needless.
    if (parts.fetch.progress !== undefined || nowMs < this.#retryAtMs) return;
    if (this.#transfer?.isComplete === true) return this.#install(this.#transfer);
    // Others' logs of the own log's view need not have what the lost state was made of.
    if (!parts.checkpoints.isInLogOf(lastNormal)) return;
    this.#peer = this.#nextPeer();
    this.#ask();
  }

  #end(): void {
    if (this.#transfer !== undefined) this.#core.out.timer(repairTimer, undefined);
    this.#found = undefined;
    this.#transfer = undefined;
    this.#target = undefined;
    this.#staged = [];
    this.#base = 0;
    this.#nonce = undefined;
  }

  #nextPeer(): number {
    const { designatedCount, index } = this.#core;
    const next = (this.#peer + 1) % designatedCount;
    return next === index ? (next + 1) % designatedCount : next;
  }

  #ask(): void {
    const { instance, out, lastNormal, parts, log } = this.#core;
    this.#wait();
    this.#rebase(parts.execution.executed);
    this.#nonce = this.#core.nonce();
    const isGap = this.#isGap;
    const value = {
      instance,
      nonce: this.#nonce,
      view: lastNormal,
      from: isGap ? this.#base + this.#staged.length : log.last,
      needs: isGap ? needs.all : needs.checkpoint,
    };
    out.toReplica(this.#peer, 'vrGetState', value, undefined, true);
  }

  /** Whether entries are missing before the log. A witness misses none: its log goes on from where it has to. */
  get #isGap(): boolean {
    const { hasState, log } = this.#core;
    return hasState && this.#base < log.first - 1;
  }

  #rebase(sequence: number): void {
    if (sequence <= this.#base) return;
    this.#base = sequence;
    this.#staged = [];
  }

  #wait(): void {
    const { nowMs, parameters } = this.#core;
    this.#retryAtMs = nowMs + retryHeartbeats * parameters.heartbeatMs;
  }

  /** Whether it is the answer to a question asked here. */
  isAnswer({ nonce }: NewState): boolean {
    return this.#nonce !== undefined && equalBytes(nonce, this.#nonce);
  }

  /** Entries that the own log has forgotten, or a checkpoint. */
  onNewState({ view, first, entries, checkpoint: [offered] }: NewState): void {
    const core = this.#core;
    if (!this.#isWanted || view !== core.lastNormal) return core.out.count('vr-stale');
    if (offered === undefined) {
      if (this.#isGap) this.#stage(first, entries);
      return;
    }
    const { sequence, root, isEnded } = offered;
    // It must meet the own log. If that ends before, the log's end is fetched first; if it begins later, what is between.
    if (sequence < core.log.first - 1 || sequence > core.log.last) {
      core.out.count('vr-checkpoint-unfit');
      if (!core.hasState || sequence > core.log.last || sequence <= this.#base) return;
      this.#rebase(sequence);
      return this.#ask();
    }
    if (sequence !== this.#transfer?.target.sequence) {
      this.#fetch({ sequence, root, isEnded: isEnded === 1 });
    }
  }

  #stage(first: number, entries: readonly Bytes[]): void {
    const core = this.#core;
    const before = this.#staged.length;
    for (let i = this.#base + before + 1 - first; i < entries.length; i++) {
      if (this.#base + this.#staged.length === core.log.first - 1) break;
      const bytes = entries[i];
      const entry = bytes && decodeEntry(bytes);
      if (entry === undefined) return core.out.count('vr-bad-entry');
      this.#staged.push(entry);
    }
    if (this.#base + this.#staged.length < core.log.first - 1) {
      if (this.#staged.length > before) this.#ask();
      return;
    }
    core.log.prepend(this.#staged);
    this.#staged = [];
    // Now the checkpoint that they follow meets the log.
    if (this.isNeeded) this.#ask();
    else this.#finish();
  }

  #fetch(target: Installed): void {
    const core = this.#core;
    this.#target = target;
    this.#wait();
    if (this.#transfer !== undefined) {
      return this.#follow(this.#transfer, this.#transfer.retarget(target, core.nowMs));
    }
    this.#transfer = new StateTransfer({
      instance: core.instance,
      target,
      local: this.local,
      sources: core.others,
      seed: target.sequence * core.size + core.index,
      timeoutMs: transferTimeoutHeartbeats * core.parameters.heartbeatMs,
    });
    this.#follow(this.#transfer, this.#transfer.begin(core.nowMs));
  }

  onStatePart(from: number, value: ReplicationMessageValue<'statePart'>): void {
    const { nowMs, out } = this.#core;
    const transfer = this.#transfer;
    if (transfer === undefined) return out.count('vr-unasked');
    if (value.nodes.length + value.pages.length > 0) this.#wait();
    this.#follow(transfer, transfer.onPart(from, value, nowMs));
  }

  onTimer(): void {
    const transfer = this.#transfer;
    if (transfer !== undefined) this.#follow(transfer, transfer.onTimer(this.#core.nowMs));
  }

  #follow(transfer: StateTransfer, step: TransferStep): void {
    const { out } = this.#core;
    for (const code of step.counts) out.count(code);
    for (const send of step.sends) out.forward(send);
    out.timer(repairTimer, step.timerAtMs);
    if (transfer.isComplete) this.#install(transfer);
  }

  /** The log reaches from below this state to above it, so nothing that was said rests on saving it. */
  #install(transfer: StateTransfer): void {
    const core = this.#core;
    const target = this.#target;
    // A disk tells saves apart by their numbers only.
    if (core.parts.checkpoints.isSaving) return this.#wait();
    this.#transfer = undefined;
    const isFit = (sequence: number) => sequence >= core.log.first - 1 && sequence <= core.log.last;
    if (!this.#isWanted || target === undefined || !isFit(target.sequence)) return;
    const { state } = PagedState.sift(transfer.result);
    if (!core.executor.install(state, target)) {
      this.#found = state;
      return core.out.count('transfer-wrong-root');
    }
    core.commit = Math.max(core.commit, target.sequence);
    core.parts.execution.jumpTo(target.sequence);
    // What the instance begins with is in no log.
    core.parts.checkpoints.install(target, target.sequence === 0 ? 0 : core.lastNormal);
    this.#finish();
  }

  #finish(): void {
    const { out, parts, status, isPrimary, isStandingBy, hasLog, log } = this.#core;
    this.#end();
    out.count('vr-state-repaired');
    parts.execution.run();
    parts.requests.viewChanged();
    const isBackup = status === 'normal' && !isPrimary && hasLog && !isStandingBy;
    if (isBackup) parts.normal.acknowledge(log.last);
  }
}
