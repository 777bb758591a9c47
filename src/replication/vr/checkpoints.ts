// Checkpoints of the state and what they allow to forget (section 5.1): log entries in memory, records on disk. A
// checkpoint is this replica's own affair; no other replica has to take the same one.

import { type Bytes, toHex } from '../../base/bytes.ts';
import { decodeAs } from '../../wire/registry.ts';
import { VrCheckpointNotes } from '../../wire/vr.ts';
import type { SavedCheckpoint } from '../contract.ts';
import { PagedState } from '../pages.ts';
import type { Core } from './core.ts';
import { appendRecord } from './records.ts';

export class Checkpoints {
  readonly #core: Core;
  /** Newest one that a restart finds; in mode `view` the newest. */
  saved = 0;
  #savedRoot: Bytes | undefined;
  #isSavedEnded = false;
  /** On its way to disk. */
  #saving: { sequence: number; root: Bytes; isEnded: boolean } | undefined;
  /** The instance has ended and its last state is not saved yet. */
  #isFinalDue = false;
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

  get damage(): readonly string[] {
    return this.#damage;
  }

  /** Something is wrong with what the disk holds. */
  noteDamage(codes: readonly string[]): void {
    for (const code of codes) this.#core.out.count(code);
    this.#damage = [...new Set([...this.#damage, ...codes])];
  }

  /** Whether the disk has yet to confirm a checkpoint. */
  get isSaving(): boolean {
    return this.#saving !== undefined;
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
    if (hasEnded) this.#isFinalDue = true;
    const isDue = sequence % parameters.checkpointInterval === 0 && !executor.ended;
    if (!isDue && !this.#isFinalDue) return;
    // The disk is still busy with the last one: the next will do.
    if (this.#saving !== undefined) return;
    this.#take(sequence);
  }

  #take(sequence: number): void {
    const { executor, out, parameters } = this.#core;
    // What else is in a damaged table must not become a part of this one.
    const isWhole = executor.state.checkpoints().length === 0 || this.#damage.length > 0;
    const { root, changes: changed } = executor.checkpoint(sequence);
    const changes = isWhole ? [...executor.state.all()] : changed;
    const isEnded = executor.ended;
    this.#isFinalDue = false;
    this.#saving = { sequence, root, isEnded };
    if (parameters.mode === 'full') {
      out.save({ sequence, root, notes: notesOf(isEnded), changes, isWhole });
    } else {
      this.onSaved(sequence);
    }
  }

  /** A state that was fetched is to be saved whole. @returns whether the caller must wait for that. */
  install(sequence: number, root: Bytes, isEnded: boolean): boolean {
    const { executor, out, parameters } = this.#core;
    this.#saving = { sequence, root, isEnded };
    this.#isFinalDue = false;
    if (parameters.mode === 'full') {
      const changes = [...executor.state.all()];
      out.save({ sequence, root, notes: notesOf(isEnded), changes, isWhole: true });
      return true;
    }
    this.onSaved(sequence);
    return false;
  }

  /** @returns whether this is the save that is waited for, not one that a fetched state has overtaken. */
  onSaved(sequence: number): boolean {
    const saving = this.#saving;
    if (saving?.sequence !== sequence) return false;
    const { executor, parts, isWitness } = this.#core;
    const before = this.saved;
    this.#saving = undefined;
    this.#damage = [];
    this.saved = sequence;
    this.#savedRoot = saving.root;
    this.#isSavedEnded = saving.isEnded;
    // The one before stays for those who are fetching it.
    if (!isWitness) executor.state.dropBelow(before);
    this.#forget();
    if (this.#isFinalDue) this.#take(parts.execution.executed);
    return true;
  }

  #forget(): void {
    const { log, parameters, out, low, commit } = this.#core;
    const kept = parameters.intervalsKept * parameters.checkpointInterval;
    // What some designated replica may lack must be at hand should a witness have to keep it.
    const free = parameters.witnesses ? Math.min(this.saved, low, commit) : this.saved;
    log.dropTo(Math.min(this.saved - kept, free));
    if (parameters.mode !== 'full') return;
    const base = Math.max(free, log.first - 1);
    const records = [this.#core.stateRecord(base)];
    for (let n = base + 1; n <= log.last; n++) {
      records.push(appendRecord(n, log.at(n).bytes));
    }
    out.compact(records);
    out.count('vr-checkpoint');
  }

  /** A witness has no state: its checkpoints are empty and say only up to where its log was forgotten. */
  witnessLow(): void {
    const core = this.#core;
    const { log, low, rules, parameters, out } = core;
    if (!core.isWitness || !core.hasLog || this.#saving !== undefined) return;
    const isIdle = core.isStandingBy;
    if (isIdle && rules.mayDropLog(log.last, low)) {
      core.hasLog = false;
      log.reset(low);
      core.commit = low;
      core.recordState();
      this.#saveEmpty(low);
      out.count('vr-log-dropped');
    } else if (
      !isIdle &&
      Math.min(low, core.commit) - this.saved >= parameters.checkpointInterval
    ) {
      const free = Math.min(low, core.commit);
      log.dropTo(free);
      this.#saveEmpty(free);
    }
  }

  #saveEmpty(sequence: number): void {
    const root = new Uint8Array(32);
    this.#saving = { sequence, root, isEnded: false };
    const notes = notesOf(false);
    this.#core.out.save({ sequence, root, notes, changes: [], isWhole: true });
  }

  /** What was found on disk. @returns false if it is not such as this module writes. */
  restore(checkpoint: SavedCheckpoint): boolean {
    const notes = decodeAs(VrCheckpointNotes, checkpoint.notes);
    if (notes === undefined) return false;
    const { executor, parts, isWitness } = this.#core;
    const { sequence, root, pages } = checkpoint;
    const isEnded = notes.isEnded === 1;
    const { state, found } = PagedState.sift(isWitness ? [] : pages);
    this.noteDamage(found);
    if (!isWitness && !executor.install(state, { sequence, root, isEnded })) {
      this.noteDamage(['disk-pages-differ']);
      // What an instance began with is in no log, and nobody else names it.
      if (sequence === 0) return false;
      parts.repair.lost(state, { sequence, root, isEnded });
      return true;
    }
    this.saved = sequence;
    parts.execution.jumpTo(sequence);
    if (isWitness) return true;
    this.#isSavedEnded = isEnded;
    this.#savedRoot = root;
    return true;
  }
}

function notesOf(isEnded: boolean): Bytes {
  return VrCheckpointNotes.serialize({ isEnded: isEnded ? 1 : 0 });
}
