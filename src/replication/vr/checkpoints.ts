// Checkpoints of the state and what they allow to forget (section 5.1): log entries in memory, records on disk. A
// checkpoint is this replica's own affair; no other replica has to take the same one.

import { type Bytes, emptyBytes, equalBytes, toHex } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { decodeAs } from '../../wire/registry.ts';
import { VrCheckpointNotes } from '../../wire/vr.ts';
import type { EngineEnding, SavedCheckpoint } from '../contract.ts';
import type { Installed } from '../executor.ts';
import { PagedState } from '../pages.ts';
import type { Core } from './core.ts';
import { appendRecord } from './records.ts';

interface Saving {
  readonly sequence: number;
  /** Undefined: there is no state in it. */
  readonly root: Bytes | undefined;
  readonly isEnded: boolean;
  /** It came from others, and may be far from what the journal tells of. */
  readonly isFetched: boolean;
}

export class Checkpoints {
  readonly #core: Core;
  /** Newest one that a restart finds; in mode `view` the newest. */
  saved = 0;
  #savedRoot: Bytes | undefined;
  #isSavedEnded = false;
  /** On its way to disk. */
  #saving: Saving | undefined;
  /** A checkpoint is to be taken as soon as the disk is not busy with the last one. */
  #isDue = false;
  /** Logs of this view and of later ones have what the state is made of. */
  #view = 0;
  /** The journal's entries go on behind this; it may be less. */
  #journalBase = 0;
  /** What is wrong with the table; until it is put right saves are whole. */
  #damage: readonly string[] = [];

  constructor(core: Core) {
    this.#core = core;
  }

  get root(): string {
    return this.#savedRoot === undefined ? '' : toHex(this.#savedRoot);
  }

  /** The saved checkpoint is the instance's last state. */
  get isFinal(): boolean {
    return this.#isSavedEnded;
  }

  /** What the next instance begins with; undefined before this one has ended, and without a state. */
  ending(): EngineEnding | undefined {
    const { executor, hasState } = this.#core;
    const root = this.#savedRoot;
    if (!this.#isSavedEnded || !hasState || root === undefined) return undefined;
    if (!equalBytes(executor.state.rootNow(), root)) return undefined;
    return {
      sequence: this.saved,
      root,
      proof: emptyBytes,
      pages: executor.state.frozenPages(),
    };
  }

  get damage(): readonly string[] {
    return this.#damage;
  }

  /** Something is wrong with what the disk holds. In mode `view` there is nothing in it, and no save to put it right. */
  noteDamage(codes: readonly string[]): void {
    if (this.#core.parameters.mode === 'view') return;
    for (const code of codes) this.#core.out.count(code);
    this.#damage = [...new Set([...this.#damage, ...codes])];
  }

  /** Whether the disk has yet to confirm a checkpoint. */
  get isSaving(): boolean {
    return this.#saving !== undefined;
  }

  /**
   * Whether a log of view `lastNormal` has what the state is made of. The disk may have saved the state before the journal
   * had the log from which it was executed, and a state that is fetched is here before the log that goes with it.
   */
  isInLogOf(lastNormal: number): boolean {
    return this.#core.rules.isInLog(lastNormal, this.#view);
  }

  /** What to offer to who needs more than the log still has. */
  get offered(): { sequence: number; root: Bytes; isEnded: number } | undefined {
    if (this.#savedRoot === undefined) return undefined;
    return {
      sequence: this.saved,
      root: this.#savedRoot,
      isEnded: this.#isSavedEnded ? 1 : 0,
    };
  }

  /** Batch `sequence` was executed. @param hasEnded it ended the instance. */
  executed(sequence: number, hasEnded: boolean): void {
    const { parameters, executor } = this.#core;
    const isRegular = sequence % parameters.checkpointInterval === 0 && !executor.ended;
    if (isRegular || hasEnded) this.#isDue = true;
    if (this.#isDue && this.#saving === undefined) this.#take(sequence);
  }

  #take(sequence: number): void {
    const { executor, out, parameters, lastNormal } = this.#core;
    // What else is in a damaged table must not become a part of this one.
    const isWhole = executor.state.checkpoints().length === 0 || this.#damage.length > 0;
    const { root, changes: changed } = executor.checkpoint(sequence);
    const changes = isWhole ? [...executor.state.all()] : changed;
    const isEnded = executor.ended;
    this.#isDue = false;
    this.#saving = { sequence, root, isEnded, isFetched: false };
    this.#view = Math.max(this.#view, lastNormal);
    if (parameters.mode === 'full') {
      out.save({ sequence, root, notes: this.#notes(isEnded), changes, isWhole });
    } else {
      this.onSaved(sequence);
    }
  }

  /**
   * A state that was fetched is this replica's from now on, and to be saved whole.
   * @param view of a log that has what the state is made of.
   * @returns whether the caller must wait until it is saved.
   */
  install({ sequence, root, isEnded }: Installed, view: number): boolean {
    const { executor, out, parameters, hasState } = this.#core;
    if (!hasState) out.count('vr-witness-full');
    this.#core.hasState = true;
    this.#saving = { sequence, root, isEnded, isFetched: true };
    this.#view = Math.max(this.#view, view);
    this.#isDue = false;
    if (parameters.mode === 'full') {
      const changes = [...executor.state.all()];
      out.save({ sequence, root, notes: this.#notes(isEnded), changes, isWhole: true });
      return true;
    }
    this.onSaved(sequence);
    return false;
  }

  /** @returns whether this is the save that is waited for, not one that a fetched state has overtaken. */
  onSaved(sequence: number): boolean {
    const saving = this.#saving;
    if (saving?.sequence !== sequence) return false;
    const { executor, parts, hasState, parameters, out } = this.#core;
    const before = this.saved;
    this.#saving = undefined;
    this.#damage = [];
    this.saved = sequence;
    this.#savedRoot = saving.root;
    this.#isSavedEnded = saving.isEnded;
    // The one before stays for those who are fetching it.
    if (hasState) executor.state.dropBelow(before);
    this.#forget();
    if (parameters.mode === 'full') {
      out.count('vr-checkpoint');
      if (saving.isFetched || this.#isJournalLong) this.#compact();
    }
    // A witness whose log is full waits for the newest one: it must not wait for further batches itself.
    if (this.#isDue) {
      parts.execution.undoTentative();
      this.#take(parts.execution.executed);
      parts.execution.run();
    }
    return true;
  }

  /** What a checkpoint has need not be in the log, but for those who lag a little. */
  #forget(): void {
    const { log, parameters } = this.#core;
    const kept = parameters.intervalsKept * parameters.checkpointInterval;
    log.dropTo(Math.min(this.saved - kept, this.#free));
    log.dropTo(log.excessOver(limits.vrLogSizeBytesMax, this.saved));
  }

  /** Nothing up to here is needed in the own journal. */
  get #free(): number {
    const { parameters, low, commit, heldMax } = this.#core;
    if (!parameters.witnesses) return this.saved;
    // What some designated replica may lack must be at hand should a witness have to keep it, within a bound.
    return Math.max(Math.min(this.saved, low, commit), this.saved - heldMax);
  }

  get #newJournalBase(): number {
    return Math.max(this.#free, this.#core.log.first - 1);
  }

  /** Whether writing the journal anew is worth it: what goes is not much less than what stays. */
  get #isJournalLong(): boolean {
    const base = this.#newJournalBase;
    return 2 * (base - this.#journalBase) >= this.#core.log.last - base;
  }

  #compact(): void {
    const { log, out } = this.#core;
    const base = this.#newJournalBase;
    const records = [this.#core.stateRecord(base)];
    for (let n = base + 1; n <= log.last; n++) {
      records.push(appendRecord(n, log.at(n).bytes));
    }
    this.#journalBase = base;
    out.compact(records);
  }

  /** What a witness need not keep: the beginning of its log, or all that it has. */
  witnessLow(): void {
    const core = this.#core;
    const { log, low, rules, parameters } = core;
    if (!core.isWitness || this.#saving !== undefined) return;
    if (core.isStandingBy) {
      const isKeeping = core.hasLog || core.hasState;
      if (isKeeping && rules.mayDropLog(log.last, low)) this.#dropAll(low);
      return;
    }
    const free = Math.min(low, core.commit);
    if (core.hasState || free - this.saved < parameters.checkpointInterval) return;
    log.dropTo(free);
    this.#saveEmpty(free);
  }

  #dropAll(low: number): void {
    const core = this.#core;
    core.hasLog = false;
    core.log.reset(low);
    core.commit = low;
    if (core.hasState) this.dropState();
    core.recordState();
    this.#saveEmpty(low);
    core.out.count('vr-log-dropped');
  }

  /** A witness has no use any more for the state that it kept for a while. */
  dropState(): void {
    const { executor, parts } = this.#core;
    this.#core.hasState = false;
    this.#savedRoot = undefined;
    this.#isDue = false;
    this.#view = 0;
    const empty = new PagedState();
    executor.install(empty, { sequence: 0, root: empty.rootNow(), isEnded: false });
    executor.state.dropBelow(1);
    parts.execution.jumpTo(0);
  }

  /** A witness without a state saves only up to where its log was forgotten. */
  #saveEmpty(sequence: number): void {
    this.#saving = { sequence, root: undefined, isEnded: false, isFetched: false };
    const notes = this.#notes(false);
    const root = new Uint8Array(32);
    this.#core.out.save({ sequence, root, notes, changes: [], isWhole: true });
  }

  #notes(isEnded: boolean): Bytes {
    const { hasState } = this.#core;
    return VrCheckpointNotes.serialize({
      isEnded: isEnded ? 1 : 0,
      hasState: hasState ? 1 : 0,
      view: this.#view,
    });
  }

  /** What was found on disk. @returns false if it is not such as this module writes. */
  restore(checkpoint: SavedCheckpoint): boolean {
    const { sequence, root, pages } = checkpoint;
    const { executor, parts, isWitness } = this.#core;
    const isInherited = sequence === 0 && checkpoint.notes.length === 0;
    // A witness has no use for what the instance begins with.
    if (isInherited && isWitness) return true;
    const notes = isInherited ? inheritedNotes : decodeAs(VrCheckpointNotes, checkpoint.notes);
    if (notes === undefined) return false;
    if (notes.hasState === 0) {
      this.saved = sequence;
      return isWitness;
    }
    this.#view = notes.view;
    this.#core.hasState = true;
    const isEnded = notes.isEnded === 1;
    const { state, found } = PagedState.sift(pages);
    this.noteDamage(found);
    const agreed = sequence === 0 ? this.#core.genesis : root;
    if (!executor.install(state, { sequence, root: agreed, isEnded })) {
      this.noteDamage(['disk-pages-differ']);
      if (sequence === 0) parts.repair.lacksGenesis(state);
      else parts.repair.lost(state, { sequence, root, isEnded });
      return true;
    }
    this.saved = sequence;
    parts.execution.jumpTo(sequence);
    this.#isSavedEnded = isEnded;
    this.#savedRoot = agreed;
    return true;
  }
}

const inheritedNotes = { hasState: 1, isEnded: 0, view: 0 };
