// Entering a view by its NEW-VIEW (PBFT, 4.4). It is checked against exactly the VIEW-CHANGEs that it names, fetched if
// need be; and a view has one NEW-VIEW for ever.

import { type Bytes, compareBytes, equalBytes } from '../../base/bytes.ts';
import type { NewView, NewViewStatement, ViewChange } from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { everyone } from '../outbox.ts';
import type { Core } from './core.ts';
import { newViewFault, newViewRefutation } from './decision.ts';
import { type Charge, contradictingNewViews, refutedNewView } from './evidence.ts';
import { MemberSet } from './member-set.ts';
import { newViewPieces } from './quotas.ts';
import { encodeRecord } from './records.ts';
import { newViewDigest, viewChangeDigest } from './statements.ts';
import type { HeldViewChange } from './view-changes.ts';

/** A NEW-VIEW whose signature is right, with those of its VIEW-CHANGEs that are here. */
export interface OfferedView {
  readonly message: NewView;
  readonly digest: Bytes;
  readonly support: (HeldViewChange | undefined)[];
}

export class NewViews {
  readonly #core: Core;
  /** By primary: a NEW-VIEW whose VIEW-CHANGEs are not all here, or not all good. */
  readonly #offered = new Map<number, OfferedView>();
  /** By primary: the last one that was refuted. Another one of that view may still be right. */
  readonly #refuted = new Map<number, { readonly view: number; readonly digest: Bytes }>();
  /** Members proved to have signed wrong ones: one proof accuses as well as many, and has all VIEW-CHANGEs in it. */
  readonly #caught = new MemberSet();
  /** The NEW-VIEW of the current view, kept for members that come later. */
  #entered: OfferedView | undefined;
  /** Whether batches of the current NEW-VIEW wait for their bodies: not accepted yet. */
  #lacksBodies = false;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The view is left: its NEW-VIEW is not what anyone needs any more. */
  onViewLeft(): void {
    this.#entered = undefined;
    this.#lacksBodies = false;
  }

  // ---- VIEW-CHANGEs for it ----

  /** Whether some NEW-VIEW waits for VIEW-CHANGEs, or for others to vouch for those. */
  get isIncomplete(): boolean {
    return this.#offered.size > 0;
  }

  /** Whether a NEW-VIEW of this view waits for VIEW-CHANGEs. */
  isAwaiting(view: number): boolean {
    for (const { message } of this.#offered.values()) {
      if (message.statement.view === view) return true;
    }
    return false;
  }

  /** A VIEW-CHANGE that was found right may be one that a NEW-VIEW names. */
  onSupport(held: HeldViewChange): void {
    for (const { message, support } of this.#offered.values()) {
      message.statement.viewChanges.forEach(({ digest }, i) => {
        if (equalBytes(digest, held.digest)) support[i] = held;
      });
    }
  }

  /** Enters what can be entered now. */
  tryAll(): void {
    for (const offered of [...this.#offered.values()]) this.#tryEnter(offered);
  }

  /** A VIEW-CHANGE that some NEW-VIEW names. */
  find(digest: Bytes): HeldViewChange | undefined {
    const isIt = (held: HeldViewChange | undefined): boolean =>
      held !== undefined && equalBytes(held.digest, digest);
    const found = this.#entered?.support.find(isIt);
    if (found !== undefined) return found;
    for (const { support } of this.#offered.values()) {
      const supporting = support.find(isIt);
      if (supporting !== undefined) return supporting;
    }
    return undefined;
  }

  // ---- Entering ----

  onNewView(from: number, message: ReplicationMessageValue<'newView'>): void {
    const core = this.#core;
    const { out, rules, statements, n, faults } = core;
    const { view } = message.statement;
    const primary = core.primaryOf(view);
    if (view < 1 || primary === core.index) return out.count('new-view-odd');
    const known = this.#offered.get(primary) ?? this.#entered;
    const isKnownView = known?.message.statement.view === view;
    if (!isKnownView && !rules.mayAcceptNewView(core.view, core.isActive, view)) {
      return out.count('new-view-old');
    }
    if (known !== undefined && !isKnownView && known.message.statement.view > view) {
      return out.count('new-view-old');
    }
    const refuted = this.#refuted.get(primary);
    const pieces = newViewPieces(refuted !== undefined);
    if (!core.parts.statusExchange.maySpend(from, 'newView', pieces)) {
      return out.count('peer-too-eager');
    }
    const digest = newViewDigest(message.statement);
    if (isKnownView && equalBytes(known.digest, digest)) return out.count('duplicate');
    if (refuted !== undefined && equalBytes(refuted.digest, digest)) return out.count('duplicate');
    if (!statements.isNewView(message, digest)) return out.count('new-view-not-signed');
    if (isKnownView) {
      this.#accuse(primary, (accused) => contradictingNewViews(accused, known.message, message));
      if (!rules.mayAcceptNewView(core.view, core.isActive, view)) return;
    }
    if (newViewFault(message.statement, n, faults, rules) !== undefined) {
      return this.#refute({ message, digest }, []);
    }
    const offered: OfferedView = {
      message,
      digest,
      support: message.statement.viewChanges.map((reference) =>
        core.parts.viewChanges.find(reference.digest),
      ),
    };
    this.#offered.set(primary, offered);
    // What is missing is asked for at the next tick: a liar's NEW-VIEWs must not make this member ask for each.
    this.#tryEnter(offered);
  }

  #tryEnter(offered: OfferedView): void {
    const core = this.#core;
    const { message, support } = offered;
    const { view, viewChanges } = message.statement;
    const primary = core.primaryOf(view);
    if (!core.rules.mayAcceptNewView(core.view, core.isActive, view)) {
      this.#offered.delete(primary);
      return;
    }
    // What it would have accepted before it lost its disk it no longer knows.
    if (core.parts.recovery.isForgetful) return;
    const complete = support.filter((held): held is HeldViewChange => held !== undefined);
    if (complete.length < viewChanges.length) return;
    // Its author may not have known; but a batch that was committed since need not be in what it chose from.
    if (this.#isVoid(complete) && !core.parts.statusExchange.isWorkedIn(view)) return;
    this.#offered.delete(primary);
    const isMatching = complete.every(
      (held, i) => held.message.statement.replica === viewChanges[i]?.replica,
    );
    const refutation = isMatching
      ? newViewRefutation(
          message.statement,
          complete.map((held) => held.message.statement),
          core.faults,
          core.rules,
        )
      : 'new-view-wrong-author';
    if (refutation === undefined) return this.enter(offered, complete);
    core.out.count(refutation);
    this.#refute(
      offered,
      complete.map((held) => held.message),
    );
  }

  /** @param viewChanges those that refute it; none if it is wrong by itself. */
  #refute(
    { message, digest }: Pick<OfferedView, 'message' | 'digest'>,
    viewChanges: readonly ViewChange[],
  ): void {
    const { view } = message.statement;
    const primary = this.#core.primaryOf(view);
    this.#refuted.set(primary, { view, digest });
    this.#accuse(primary, (accused) => refutedNewView(accused, message, viewChanges));
  }

  #accuse(primary: number, charge: (accused: Bytes) => Charge): void {
    const { out, group } = this.#core;
    if (!this.#caught.add(primary)) return out.count('contradicts-again');
    out.evidence(charge(group.members[primary] as Bytes));
  }

  /** One's own may be void: enough others stay out of a view that rests on it unless it was entered before. */
  #isVoid(support: OfferedView['support']): boolean {
    const { index, parts } = this.#core;
    return support.some((held) => {
      const statement = held?.message.statement;
      return (
        statement !== undefined &&
        statement.replica !== index &&
        parts.viewChanges.isVoid(statement)
      );
    });
  }

  enter(offered: OfferedView, support: readonly HeldViewChange[]): void {
    const core = this.#core;
    const { statement } = offered.message;
    const { view, height, batches } = statement;
    const { out, log, parts } = core;
    if (core.view < view) parts.viewChanges.leave(view);
    core.isActive = true;
    for (const { message } of support) out.record(encodeRecord('supportedView', message));
    out.record(encodeRecord('enteredView', offered.message));
    this.#entered = offered;
    for (const [primary, other] of this.#offered) {
      if (other.message.statement.view <= view) this.#offered.delete(primary);
    }
    // First of all: below the mark nothing may be ordered again, whether or not the state is here.
    if (core.rules.heightAfterNewView(log.height, height) > log.height) {
      const proof = support.find(
        ({ message }) => message.statement.certificate.sequence === height,
      );
      if (proof !== undefined) parts.checkpoints.raise(proof.message.statement.certificate);
    }
    core.newViewTop = height + batches.length;
    parts.normalCase.enterView(core.newViewTop);
    parts.viewTimer.onViewEntered();
    out.count('view-entered');
    if (core.isPrimary) out.send(everyone, 'newView', offered.message, view);
    this.#acceptBatches(statement);
    parts.queries.onExecuted();
  }

  /** The batches of a NEW-VIEW count as its PRE-PREPAREs, each when its body is here and durable. */
  #acceptBatches({ height, batches }: NewViewStatement): void {
    const { log, parts } = this.#core;
    this.#lacksBodies = false;
    batches.forEach((digest, i) => {
      const sequence = height + 1 + i;
      const slot = log.slotAt(sequence);
      if (slot === undefined || slot.accepted !== undefined) return;
      const batch = log.batchAt(sequence, digest);
      if (batch === undefined) {
        this.#lacksBodies = true;
        parts.bodies.want(digest, sequence);
        return;
      }
      if (sequence > parts.execution.executed) parts.normalCase.learnBatch(batch);
      parts.normalCase.accept(slot, digest, true);
    });
  }

  /** A body that had been asked for is here. */
  onBody(): void {
    if (this.#lacksBodies && this.#entered !== undefined) {
      this.#acceptBatches(this.#entered.message.statement);
    }
  }

  // ---- Retransmission ----

  /** Asks once per primary and interval for what its NEW-VIEW lacks. */
  onTick(): void {
    for (const offered of this.#offered.values()) {
      this.#fetchSupport(offered);
      const code = this.#isVoid(offered.support) ? 'new-view-void' : 'new-view-incomplete';
      this.#core.out.count(code);
    }
  }

  /** For a member that has not entered this view: anyone may hand on what is signed. */
  sendEntered(to: number): void {
    if (this.#entered === undefined) return;
    this.#core.out.send(this.#core.replica(to), 'newView', this.#entered.message);
  }

  #fetchSupport({ message, support }: OfferedView): void {
    const { out, instance } = this.#core;
    const { view, viewChanges } = message.statement;
    const digests = viewChanges
      .filter((_, i) => support[i] === undefined)
      .map(({ digest }) => digest)
      .sort(compareBytes);
    if (digests.length === 0) return;
    out.sendUrgently(everyone, 'fetchViewChanges', { instance, view, digests });
  }

  // ---- Records ----

  *records(): Generator<Bytes> {
    if (this.#entered === undefined) return;
    for (const held of this.#entered.support) {
      if (held !== undefined) yield encodeRecord('supportedView', held.message);
    }
    yield encodeRecord('enteredView', this.#entered.message);
  }

  /** This member had entered a view. @param support the VIEW-CHANGEs recorded before. */
  restoreEntered(message: NewView, support: readonly ViewChange[]): void {
    const core = this.#core;
    const { view, height, batches, viewChanges } = message.statement;
    core.view = view;
    core.isActive = true;
    core.newViewTop = height + batches.length;
    const held = support.map((each) => ({
      message: each,
      digest: viewChangeDigest(each.statement),
    }));
    this.#entered = {
      message,
      digest: newViewDigest(message.statement),
      support: viewChanges.map(({ digest }) =>
        held.find((candidate) => equalBytes(candidate.digest, digest)),
      ),
    };
  }

  /** Goes on after a restart: batches of the NEW-VIEW that had not been accepted are accepted now. */
  resume(): void {
    if (this.#core.isActive && this.#entered !== undefined) {
      this.#acceptBatches(this.#entered.message.statement);
    }
  }
}
