// Leaving a view and entering the next one (PBFT, 4.4, with signed VIEW-CHANGE and NEW-VIEW and the sets P and Q in place
// of proofs, 4.5 of the journal version).

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type {
  NewView,
  NewViewStatement,
  ViewChange,
  ViewChangeStatement,
} from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Core } from './core.ts';
import { newViewFault, newViewRefutation, ViewChangeSet } from './decision.ts';
import { contradictingNewViews, contradictingViewChanges, refutedNewView } from './evidence.ts';
import { everyone } from './outbox.ts';
import { encodeRecord } from './records.ts';
import { newViewBytes, newViewDigest, viewChangeBytes, viewChangeDigest } from './statements.ts';

/** A VIEW-CHANGE that was found right. */
interface Held {
  readonly message: ViewChange;
  readonly digest: Bytes;
}

/** A NEW-VIEW whose signature is right, with those of its VIEW-CHANGEs that are here. */
interface Offered {
  readonly message: NewView;
  readonly digest: Bytes;
  readonly support: (Held | undefined)[];
}

/** Requests that a backup hands to a new primary at once; clients repeat the rest. */
const forwardedMax = 64;

export class ViewChanges {
  readonly #core: Core;
  /** By member: its VIEW-CHANGE for the highest view. */
  readonly #latest: (Held | undefined)[];
  /** By primary: a NEW-VIEW whose VIEW-CHANGEs are not all here. */
  readonly #offered = new Map<number, Offered>();
  /** The NEW-VIEW of the current view, kept for members that come later. */
  #entered: Offered | undefined;
  /** Batches of the current NEW-VIEW whose bodies are not here: not accepted yet. */
  readonly #bodiless = new Map<number, Bytes>();

  constructor(core: Core) {
    this.#core = core;
    this.#latest = new Array<Held | undefined>(core.n).fill(undefined);
  }

  // ---- Leaving ----

  /** Leaves the current view for `view`. What is said about P and Q is said once: the message is kept as it is. */
  start(view: number): void {
    const core = this.#core;
    const { log, out, index, instance, signer } = core;
    this.#leave(view);
    const statement: ViewChangeStatement = {
      replica: index,
      view,
      certificate: log.certificate,
      prepared: log.preparedEntries(),
      accepted: log.acceptedEntries(),
    };
    const digest = viewChangeDigest(statement);
    const signature = signer.sign(viewChangeBytes(instance, view, digest));
    const message: ViewChange = { instance, statement, signature };
    this.#latest[index] = { message, digest };
    out.record(encodeRecord('leftView', message));
    out.send(everyone, 'viewChange', message);
    out.count('view-left');
    this.#react();
  }

  #leave(view: number): void {
    const core = this.#core;
    core.parts.execution.undo();
    core.view = view;
    core.isActive = false;
    core.newViewTop = 0;
    core.log.leaveView();
    this.#entered = undefined;
    this.#bodiless.clear();
    core.parts.viewTimer.onViewLeft();
  }

  // ---- Others leave ----

  onViewChange(from: number, message: ReplicationMessageValue<'viewChange'>): void {
    const core = this.#core;
    const { out, statements } = core;
    const { replica, view } = message.statement;
    if (replica >= core.n || replica === core.index) return out.count('view-change-odd');
    if (!this.#isOfUse(view)) return out.count('view-change-old');
    const known = this.#latest[replica];
    const isAwaited = this.#isAwaited(view);
    if (known !== undefined && known.message.statement.view > view && !isAwaited) {
      return out.count('view-change-old');
    }
    if (!core.parts.statusExchange.maySpend(from)) return out.count('peer-too-eager');
    if (!statements.isViewChangeShaped(message.statement)) return out.count('view-change-odd');
    const digest = viewChangeDigest(message.statement);
    if (known !== undefined && equalBytes(known.digest, digest)) return out.count('duplicate');
    if (!statements.isViewChange(message, digest)) return out.count('view-change-not-signed');
    const held = { message, digest };
    if (known !== undefined && known.message.statement.view === view) {
      const accused = core.group.members[replica] as Bytes;
      out.evidence(contradictingViewChanges(accused, known.message, message));
    } else if (known === undefined || known.message.statement.view < view) {
      this.#latest[replica] = held;
    }
    this.#support(held);
    this.#react();
  }

  #isOfUse(view: number): boolean {
    const core = this.#core;
    if (view > core.view || (view === core.view && !core.isActive)) return true;
    return this.#isAwaited(view);
  }

  #isAwaited(view: number): boolean {
    for (const { message } of this.#offered.values()) {
      if (message.statement.view === view) return true;
    }
    return false;
  }

  #support(held: Held): void {
    for (const { message, support } of this.#offered.values()) {
      message.statement.viewChanges.forEach(({ digest }, i) => {
        if (equalBytes(digest, held.digest)) support[i] = held;
      });
    }
  }

  /** Draws the conclusions from what is held now. */
  #react(): void {
    const core = this.#core;
    for (const offered of [...this.#offered.values()]) this.#tryEnter(offered);
    let lowest = Number.POSITIVE_INFINITY;
    let later = 0;
    let supporters = 0;
    this.#latest.forEach((held, replica) => {
      const view = held?.message.statement.view ?? -1;
      if (view >= core.view) supporters += 1;
      if (view <= core.view || replica === core.index) return;
      later += 1;
      lowest = Math.min(lowest, view);
    });
    if (core.rules.mustJoin(later, core.faults)) return this.start(lowest);
    if (core.isActive) return;
    // Earlier, waiting would only drive this member on while the others are still content.
    if (core.rules.isViewChangeQuorum(supporters, core.faults)) core.parts.viewTimer.awaitNewView();
    if (core.isPrimary) this.#decide();
  }

  // ---- The new primary ----

  #decide(): void {
    const core = this.#core;
    const { view, faults, rules, instance, log } = core;
    const support = this.#latest.filter(
      (held): held is Held => held?.message.statement.view === view,
    );
    if (!rules.isViewChangeQuorum(support.length, faults)) return;
    const set = new ViewChangeSet(
      support.map(({ message }) => message.statement),
      faults,
      rules,
    );
    const batches = set.choose();
    if (batches === undefined) return core.out.count('view-change-blocked');
    let isComplete = true;
    batches.forEach((digest, i) => {
      const sequence = set.height + 1 + i;
      if (sequence <= log.height || log.batchAt(sequence, digest) !== undefined) return;
      isComplete = false;
      core.parts.bodies.want(digest, sequence);
    });
    if (!isComplete) return;
    const statement: NewViewStatement = {
      view,
      viewChanges: support.map(({ message, digest }) => ({
        replica: message.statement.replica,
        digest,
      })),
      height: set.height,
      batches,
    };
    const digest = newViewDigest(statement);
    const signature = core.signer.sign(newViewBytes(instance, view, digest));
    const message: NewView = { instance, statement, signature };
    this.#enter({ message, digest, support }, support);
  }

  // ---- Entering ----

  onNewView(_from: number, message: ReplicationMessageValue<'newView'>): void {
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
    const digest = newViewDigest(message.statement);
    if (isKnownView && equalBytes(known.digest, digest)) return out.count('duplicate');
    if (!statements.isNewView(message, digest)) return out.count('new-view-not-signed');
    const accused = core.group.members[primary] as Bytes;
    if (isKnownView) {
      out.evidence(contradictingNewViews(accused, known.message, message));
      if (!rules.mayAcceptNewView(core.view, core.isActive, view)) return;
    }
    if (newViewFault(message.statement, n, faults, rules) !== undefined) {
      return out.evidence(refutedNewView(accused, message, []));
    }
    const offered: Offered = {
      message,
      digest,
      support: message.statement.viewChanges.map((reference) =>
        this.#latest.find(
          (held) => held !== undefined && equalBytes(held.digest, reference.digest),
        ),
      ),
    };
    this.#offered.set(primary, offered);
    this.#tryEnter(offered);
    if (this.#offered.get(primary) === offered) this.#fetchSupport(offered);
  }

  #tryEnter(offered: Offered): void {
    const core = this.#core;
    const { message, support } = offered;
    const { view, viewChanges } = message.statement;
    const primary = core.primaryOf(view);
    if (!core.rules.mayAcceptNewView(core.view, core.isActive, view)) {
      this.#offered.delete(primary);
      return;
    }
    const complete = support.filter((held): held is Held => held !== undefined);
    if (complete.length < viewChanges.length) return;
    this.#offered.delete(primary);
    const accused = core.group.members[primary] as Bytes;
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
    if (refutation === undefined) return this.#enter(offered, complete);
    core.out.count(refutation);
    core.out.evidence(
      refutedNewView(
        accused,
        message,
        complete.map((held) => held.message),
      ),
    );
  }

  #enter(offered: Offered, support: readonly Held[]): void {
    const core = this.#core;
    const { statement } = offered.message;
    const { view, height, batches } = statement;
    const { out, log, parts } = core;
    if (core.view < view) this.#leave(view);
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
    parts.clientRequests.forwardWaiting(forwardedMax);
    parts.queries.onExecuted();
  }

  /** The batches of a NEW-VIEW count as its PRE-PREPAREs, each when its body is here and durable. */
  #acceptBatches({ height, batches }: NewViewStatement): void {
    const { log, parts } = this.#core;
    batches.forEach((digest, i) => {
      const sequence = height + 1 + i;
      const slot = log.slotAt(sequence);
      if (slot === undefined || slot.accepted !== undefined) return;
      if (log.batchAt(sequence, digest) === undefined) {
        this.#bodiless.set(sequence, digest);
        parts.bodies.want(digest, sequence);
        return;
      }
      this.#bodiless.delete(sequence);
      parts.normalCase.accept(slot, digest, true);
      parts.normalCase.markProposed(digest);
    });
  }

  /** A body that had been asked for is here. */
  onBody(): void {
    const { isActive, isPrimary } = this.#core;
    if (!isActive) {
      if (isPrimary) this.#decide();
    } else if (this.#bodiless.size > 0 && this.#entered !== undefined) {
      this.#acceptBatches(this.#entered.message.statement);
    }
  }

  // ---- Retransmission ----

  /** Members whose VIEW-CHANGE for the current view is here, as bits of a number. */
  supporters(): number {
    let supporters = 0;
    this.#latest.forEach((held, replica) => {
      if (held?.message.statement.view === this.#core.view) supporters += 2 ** replica;
    });
    return supporters;
  }

  onTick(): void {
    const { isActive, out } = this.#core;
    if (!isActive) this.sendOwn(undefined);
    for (const offered of this.#offered.values()) {
      this.#fetchSupport(offered);
      out.count('new-view-incomplete');
    }
  }

  /** @param to undefined: everybody. */
  sendOwn(to: number | undefined): void {
    const { index, out, view } = this.#core;
    const own = this.#latest[index];
    if (own === undefined || own.message.statement.view !== view) return;
    out.send(to === undefined ? everyone : this.#core.replica(to), 'viewChange', own.message);
  }

  /** For a member that has not entered this view: anyone may hand on what is signed. */
  sendEntered(to: number): void {
    if (this.#entered === undefined) return;
    this.#core.out.send(this.#core.replica(to), 'newView', this.#entered.message);
  }

  #fetchSupport({ message, support }: Offered): void {
    const { out, instance } = this.#core;
    const { view, viewChanges } = message.statement;
    const digests = viewChanges
      .filter((_, i) => support[i] === undefined)
      .map(({ digest }) => digest);
    if (digests.length === 0) return;
    out.sendUrgently(everyone, 'fetchViewChanges', { instance, view, digests });
  }

  onFetch(from: number, { digests }: ReplicationMessageValue<'fetchViewChanges'>): void {
    const { out, parts } = this.#core;
    if (!parts.statusExchange.maySpend(from)) return out.count('peer-too-eager');
    for (const wanted of digests) {
      const held = this.#find(wanted);
      if (held !== undefined) out.send(this.#core.replica(from), 'viewChange', held.message);
    }
  }

  #find(digest: Bytes): Held | undefined {
    const isIt = (held: Held | undefined): boolean =>
      held !== undefined && equalBytes(held.digest, digest);
    const found = this.#latest.find(isIt) ?? this.#entered?.support.find(isIt);
    if (found !== undefined) return found;
    for (const { support } of this.#offered.values()) {
      const supporting = support.find(isIt);
      if (supporting !== undefined) return supporting;
    }
    return undefined;
  }

  // ---- Records ----

  /** How the current view was come by. */
  *records(): Generator<Bytes> {
    const own = this.#latest[this.#core.index];
    if (!this.#core.isActive) {
      if (own !== undefined) yield encodeRecord('leftView', own.message);
      return;
    }
    if (this.#entered === undefined) return;
    for (const held of this.#entered.support) {
      if (held !== undefined) yield encodeRecord('supportedView', held.message);
    }
    yield encodeRecord('enteredView', this.#entered.message);
  }

  /** This member had left for a view, with this message. */
  restoreLeft(message: ViewChange): void {
    const core = this.#core;
    core.view = message.statement.view;
    core.isActive = false;
    core.newViewTop = 0;
    this.#entered = undefined;
    const digest = viewChangeDigest(message.statement);
    this.#latest[core.index] = { message, digest };
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
