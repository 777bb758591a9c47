// Checkpoints (PBFT, 4.3): the state every K batches, voted for when it is on disk, stable with 2f+1 equal votes. A
// stable checkpoint moves the water marks and lets everything below be forgotten.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import {
  type Certificate,
  Certificate as CertificateType,
  CheckpointNotes,
  type CheckpointVote,
} from '../../wire/pbft.ts';
import { type CheckpointSave, type EngineEnding, statesDifferCode } from '../contract.ts';
import { everyone } from '../outbox.ts';
import type { Core } from './core.ts';
import { contradictingCheckpoints } from './evidence.ts';
import { encodeRecord } from './records.ts';
import { SignedCheckpoints } from './signed-checkpoints.ts';
import { checkpointBytes } from './statements.ts';

interface Taken {
  readonly sequence: number;
  readonly root: Bytes;
  readonly isFinal: boolean;
}

export class Checkpoints {
  readonly #core: Core;
  /** Votes by member and sequence: those within two windows, and the highest beyond. */
  readonly #votes: readonly Map<number, CheckpointVote>[];
  /** Own checkpoints that are not stable. */
  readonly #taken = new Map<number, Taken>();
  #saves: CheckpointSave[] = [];
  #isSaving = false;
  /** The save under way is of a state that was replaced since. */
  #isSaveVoid = false;
  /** Newest checkpoint in the table. */
  #saved = 0;
  /** The newest one for which this member has voted. */
  #voted = 0;
  readonly #signed: SignedCheckpoints;
  /** Whether records could be dropped since the journal was last begun anew. */
  #isCompactable = false;
  /** The checkpoint that ends the instance, once taken or installed. */
  #final: number | undefined;
  /** What the disk says that was saved last before a restart: it may have been voted for. */
  #found: Taken | undefined;
  /** What is wrong with the table; until it is put right saves are whole. */
  #damage: readonly string[] = [];

  #divergedAt: number | undefined;

  /** By member: when it was last told that the instance has ended. */
  readonly #finalAnsweredMs: number[] = [];

  constructor(core: Core) {
    this.#core = core;
    this.#signed = new SignedCheckpoints(core);
    this.#votes = core.group.members.map(() => new Map<number, CheckpointVote>());
  }

  get saved(): number {
    return this.#saved;
  }

  /** The newest checkpoint that this member has ever taken: its CHECKPOINT counts though the pages may be lost since. */
  get taken(): number {
    return Math.max(this.#core.log.height, this.#saved, this.#voted);
  }

  get damage(): readonly string[] {
    return this.#damage;
  }

  /** The first checkpoint that can never be stable; the group stops at the end of its window. */
  get divergedAt(): number | undefined {
    return this.#divergedAt;
  }

  /** Whether the instance has ended and everyone can be shown so. */
  get isFinished(): boolean {
    const { certificate } = this.#core.log;
    return certificate.isFinal === 1 && this.#core.parts.execution.executed >= certificate.sequence;
  }

  /** What the next instance begins with, once everyone can be shown that it is; undefined without a state that is so. */
  ending(): EngineEnding | undefined {
    const { executor, log, parts } = this.#core;
    const { certificate } = log;
    const { sequence, root } = certificate;
    if (!this.isFinished || parts.transfers.isRunning) return undefined;
    if (!equalBytes(executor.state.rootNow(), root)) return undefined;
    const proof = CertificateType.serialize(certificate);
    return { sequence, root, proof, pages: executor.state.frozenPages() };
  }

  /** It is known what the disk says. */
  start(): void {
    this.#signed.noteOwn(Math.max(this.taken, this.#found?.sequence ?? 0));
  }

  // ---- Own checkpoints ----

  onExecuted(sequence: number): void {
    const { executor, parameters, parts } = this.#core;
    if (executor.ended) {
      // The state right after the STOP; whatever comes behind it changes nothing.
      if (this.#final !== undefined) return;
      this.#final = sequence;
      this.#take(sequence, true);
      parts.clientRequests.endQueue();
    } else if (sequence % parameters.checkpointInterval === 0) {
      this.#take(sequence, false);
    }
  }

  #take(sequence: number, isFinal: boolean): void {
    const { executor, log, rules } = this.#core;
    const { root, changes } = executor.checkpoint(sequence);
    // What else is in a damaged table must not become a part of this one.
    const isWhole = this.#damage.length > 0;
    this.#saves.push({
      sequence,
      root,
      notes: this.#notes(isFinal),
      changes: isWhole ? [...executor.state.all()] : changes,
      isWhole,
    });
    if (sequence < log.height) return;
    if (sequence === log.height) return this.#compare(log.certificate);
    this.#taken.set(sequence, { sequence, root, isFinal });
    if (rules.mayVoteForCheckpoint(false)) this.#vote(sequence);
  }

  #notes(isFinal: boolean): Bytes {
    return CheckpointNotes.serialize({ isFinal: isFinal ? 1 : 0 });
  }

  onSaved(sequence: number): void {
    this.#isSaving = false;
    if (this.#isSaveVoid) {
      this.#isSaveVoid = false;
      return;
    }
    this.#saved = Math.max(this.#saved, sequence);
    this.#damage = [];
    if (this.#core.rules.mayVoteForCheckpoint(true)) this.#vote(sequence);
  }

  #vote(sequence: number): void {
    const { instance, index, signer, out, log } = this.#core;
    const taken = this.#taken.get(sequence);
    if (taken === undefined || sequence <= log.height) return;
    const { root } = taken;
    const found = this.#found;
    if (found?.sequence === sequence && !equalBytes(found.root, root)) {
      return out.count('checkpoint-contradicts-own');
    }
    const claim = { sequence, root, isFinal: taken.isFinal ? 1 : 0 };
    const signature = signer.sign(checkpointBytes(instance, claim));
    const vote: CheckpointVote = { instance, replica: index, ...claim, signature };
    this.#votes[index]?.set(sequence, vote);
    this.#signed.noteOwn(sequence);
    if (sequence > this.#voted) {
      this.#voted = sequence;
      out.record(encodeRecord('voted', { sequence }));
    }
    out.send(everyone, 'checkpoint', vote);
    this.#count(vote);
  }

  // ---- Votes ----

  onVote(from: number, vote: CheckpointVote): void {
    const { out, index, log, parameters, statements, group, parts } = this.#core;
    const { replica, sequence, root, isFinal } = vote;
    const votes = this.#votes[replica];
    if (replica === index) return this.#signed.onOwn(from, vote);
    // On its own channel only: what an intruder had it sign is void with the keys of that time, and others may have kept it.
    if (votes === undefined || from !== replica) return out.count('checkpoint-odd');
    if (sequence <= log.height) {
      this.#signed.keepPast(vote);
      return out.count('checkpoint-old');
    }
    if (isFinal > 1 || (isFinal === 0 && sequence % parameters.checkpointInterval !== 0)) {
      return out.count('checkpoint-odd');
    }
    const known = votes.get(sequence);
    if (known !== undefined && equalBytes(known.root, root) && known.isFinal === isFinal) {
      return out.count('duplicate');
    }
    const farthest = log.height + 2 * log.window;
    const far = sequence > farthest ? [...votes.keys()].filter((held) => held > farthest) : [];
    if (known === undefined && far.some((held) => held > sequence)) {
      return out.count('checkpoint-old');
    }
    if (!parts.statusExchange.maySpend(from, 'checkpoint')) return out.count('peer-too-eager');
    if (!statements.isCheckpointVote(vote)) return out.count('checkpoint-not-signed');
    if (known !== undefined) {
      const accused = group.members[replica] as Bytes;
      return out.evidence(contradictingCheckpoints(accused, known, vote));
    }
    for (const held of far) votes.delete(held);
    votes.set(sequence, vote);
    this.#count(vote);
  }

  #count({ sequence, root, isFinal }: CheckpointVote): void {
    const { rules, faults, log, parts } = this.#core;
    const equal: CheckpointVote[] = [];
    for (const votes of this.#votes) {
      const vote = votes.get(sequence);
      if (vote !== undefined && vote.isFinal === isFinal && equalBytes(vote.root, root)) {
        equal.push(vote);
      }
    }
    if (rules.isStable(equal.length, faults)) {
      const signatures = equal
        .slice(0, 2 * faults + 1)
        .map(({ replica, signature }) => ({ replica, signature }));
      this.raise({ sequence, root, isFinal, signatures });
      return;
    }
    this.#watchDivergence(sequence);
    if (!rules.isCommittedByClaims(equal.length, faults)) return;
    // A correct member is a whole window ahead.
    if (sequence > log.height + log.window) parts.statusExchange.hurry();
    this.#useVouched();
  }

  /** A member has changed its keys, or this one has (undefined): what was voted for on channels of before is said again. */
  forgetVotes(member: number | undefined): void {
    const { index } = this.#core;
    this.#votes.forEach((votes, of) => {
      if (of === member || (member === undefined && of !== index)) votes.clear();
    });
  }

  /** A member says how far it has come. */
  remind(member: number, reached: number): void {
    this.#signed.remind(member, reached, this.#votes[member]?.values() ?? []);
  }

  /** Says it, once, when no root can get enough votes, whatever those vote who have not yet. */
  #watchDivergence(sequence: number): void {
    const { rules, faults, n, out } = this.#core;
    if (this.#divergedAt !== undefined && this.#divergedAt <= sequence) return;
    const votes = this.#votes.flatMap((held) => held.get(sequence) ?? []);
    const most = Math.max(
      ...votes.map((vote) => votes.filter((other) => isSame(vote, other)).length),
    );
    if (rules.isStable(most + n - votes.length, faults)) return;
    this.#divergedAt = sequence;
    out.count(statesDifferCode);
  }

  /**
   * A member that lacks the state takes a later one that f+1 state, of whom one is correct: nobody may hold the stable
   * one any more, and without this member's vote the later one may never be stable.
   */
  #useVouched(): void {
    const { parts } = this.#core;
    const target = parts.transfers.target;
    if (target === undefined) return;
    let newest: CheckpointVote | undefined;
    for (const votes of this.#votes) {
      for (const vote of votes.values()) {
        if (vote.sequence <= (newest?.sequence ?? target)) continue;
        if (this.#isVouched(vote)) newest = vote;
      }
    }
    if (newest === undefined) return;
    const { sequence, root, isFinal } = newest;
    parts.transfers.fetch({ sequence, root, isFinal, signatures: [] });
  }

  #isVouched({ sequence, root, isFinal }: CheckpointVote): boolean {
    const { rules, faults } = this.#core;
    let equal = 0;
    for (const votes of this.#votes) {
      const vote = votes.get(sequence);
      if (vote?.isFinal === isFinal && equalBytes(vote.root, root)) equal += 1;
    }
    return rules.isCommittedByClaims(equal, faults);
  }

  /** Someone shows a certificate. */
  onCertificate(from: number, certificate: Certificate): void {
    const { out, log, statements, parts } = this.#core;
    const isForgotten = this.#signed.isForgotten(certificate);
    if (certificate.sequence <= log.height && !isForgotten) return out.count('checkpoint-old');
    if (!parts.statusExchange.maySpend(from, 'certificate')) return out.count('peer-too-eager');
    if (!statements.isCertificate(certificate)) return out.count('certificate-wrong');
    this.raise(certificate);
    if (isForgotten) parts.recovery.onShown();
  }

  /** A checkpoint above the low water mark is stable: raises the mark, whether or not the state is here. */
  raise(certificate: Certificate): void {
    const { log, out, parts, executor } = this.#core;
    const { sequence } = certificate;
    if (sequence <= log.height) return;
    out.record(encodeRecord('stable', certificate));
    log.raise(certificate);
    this.#isCompactable = true;
    if (this.#divergedAt !== undefined && this.#divergedAt <= sequence)
      this.#divergedAt = undefined;
    for (const votes of this.#votes) {
      for (const [held, vote] of votes) {
        if (held > sequence) continue;
        this.#signed.keepPast(vote);
        votes.delete(held);
      }
    }
    this.#compare(certificate);
    for (const held of this.#taken.keys()) if (held <= sequence) this.#taken.delete(held);
    executor.state.dropBelow(sequence);
    // A transfer of an older state would find nobody who still has it.
    const { target } = parts.transfers;
    const isMissing = target === undefined && parts.execution.executed < sequence;
    if (isMissing || (target !== undefined && target < sequence)) {
      parts.transfers.fetch(certificate);
      this.#useVouched();
    }
  }

  /** 2f+1 members state another root: then ours is damaged. */
  #compare(certificate: Certificate): void {
    const { executor, out, parts } = this.#core;
    const own = executor.state.root(certificate.sequence);
    if (own === undefined || equalBytes(own, certificate.root)) return;
    out.count('state-diverged');
    parts.transfers.fetch(certificate);
  }

  /** The instance has ended: whatever a member still wants of it is answered with the proof of that, now and then. */
  answerFinal(to: number): void {
    const { log, out, instance, nowMs, parameters } = this.#core;
    const { certificate } = log;
    if (certificate.isFinal === 0) return;
    const answeredMs = this.#finalAnsweredMs[to] ?? Number.NEGATIVE_INFINITY;
    if (nowMs - answeredMs < parameters.statusIntervalMs) return;
    this.#finalAnsweredMs[to] = nowMs;
    out.send(this.#core.replica(to), 'stableCheckpoint', { instance, certificate });
  }

  /** For a member whose checkpoint is older. */
  sendTo(to: number, above: number): void {
    const { log, out, instance, index } = this.#core;
    const { certificate } = log;
    if (certificate.sequence > above) {
      out.send(this.#core.replica(to), 'stableCheckpoint', { instance, certificate });
    }
    for (const [sequence, vote] of this.#votes[index] ?? []) {
      if (sequence > above) out.send(this.#core.replica(to), 'checkpoint', vote);
    }
  }

  // ---- Replaced state and records ----

  /** The whole state came from others. */
  onInstalled({ sequence, root, isFinal }: Certificate): void {
    const { executor, log } = this.#core;
    // A state of before the STOP, taken again, executes it again.
    this.#final = isFinal === 1 ? sequence : undefined;
    this.#saves = [
      {
        sequence,
        root,
        notes: this.#notes(isFinal === 1),
        changes: [...executor.state.all()],
        isWhole: true,
      },
    ];
    this.#taken.clear();
    // Taken over before it is stable: it is voted for, as if taken here, once it is saved.
    if (sequence > log.height)
      this.#taken.set(sequence, { sequence, root, isFinal: isFinal === 1 });
    // Until these pages are in the table too, the journal must hold everything since.
    this.#saved = Math.min(this.#saved, sequence - 1);
    this.#isSaveVoid = this.#isSaving;
  }

  /** Entries were dropped, and must not come back after a restart. */
  requestCompaction(): void {
    this.#isCompactable = true;
  }

  /** Something is wrong with what the disk holds. */
  noteDamage(codes: readonly string[]): void {
    for (const code of codes) this.#core.out.count(code);
    this.#damage = [...new Set([...this.#damage, ...codes])];
  }

  /** A checkpoint was saved before a restart, whether or not its pages are still here. */
  onFound(checkpoint: Taken): void {
    this.#found = checkpoint;
  }

  /** The state is what a saved checkpoint holds. */
  onRestored(checkpoint: Taken): void {
    const { sequence, isFinal } = checkpoint;
    this.#saved = sequence;
    if (isFinal) this.#final = sequence;
    if (sequence > 0) this.#taken.set(sequence, checkpoint);
  }

  /** Says again, after a restart, what may have been said before: the same bytes. */
  resume(): void {
    const { log } = this.#core;
    for (const sequence of [...this.#taken.keys()]) {
      if (sequence <= log.height) this.#taken.delete(sequence);
      else if (sequence <= this.#saved) this.#vote(sequence);
    }
    this.#compare(log.certificate);
  }

  /** At the end of an event: what is to be saved, and whether the journal can begin anew. */
  settle(): void {
    const { out, log } = this.#core;
    const next = this.#saves[0];
    if (next !== undefined && !this.#isSaving) {
      this.#saves.shift();
      this.#isSaving = true;
      out.save(next);
    }
    if (!this.#isCompactable || this.#saved < log.height) return;
    this.#isCompactable = false;
    out.compact([...this.#records()]);
  }

  restoreVoted(sequence: number): void {
    this.#voted = Math.max(this.#voted, sequence);
  }

  /** All that is still needed of what was ever recorded. */
  *#records(): Generator<Bytes> {
    const { log, parts } = this.#core;
    if (log.height > 0) yield encodeRecord('stable', log.certificate);
    if (this.#voted > log.height) yield encodeRecord('voted', { sequence: this.#voted });
    yield* parts.recovery.records();
    yield* parts.viewChanges.records();
    yield* parts.newViews.records();
    for (const entry of log.preparedEntries()) yield encodeRecord('prepared', entry);
    for (const entry of log.acceptedEntries()) yield encodeRecord('accepted', entry);
    yield* log.bodyRecords();
    yield* parts.execution.executedRecords(log.height);
  }
}

function isSame(a: CheckpointVote, b: CheckpointVote): boolean {
  return a.isFinal === b.isFinal && equalBytes(a.root, b.root);
}
