// Leaving a view, and as its primary opening the next one (PBFT, 4.4, with signed VIEW-CHANGE and NEW-VIEW and the sets P
// and Q in place of proofs, 4.5 of the journal version).

import { type Bytes, compareBytes, equalBytes } from '../../base/bytes.ts';
import type {
  NewView,
  NewViewStatement,
  ViewChange,
  ViewChangeStatement,
} from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { everyone } from '../outbox.ts';
import type { Core } from './core.ts';
import { ViewChangeSet } from './decision.ts';
import { contradictingViewChanges } from './evidence.ts';
import { MemberSet } from './member-set.ts';
import { viewChangePieces } from './quotas.ts';
import { encodeRecord } from './records.ts';
import {
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
  viewChangeSizeBytes,
} from './statements.ts';

/** A VIEW-CHANGE that was found right. */
export interface HeldViewChange {
  readonly message: ViewChange;
  readonly digest: Bytes;
}

export class ViewChanges {
  readonly #core: Core;
  /** By member: its VIEW-CHANGE for the highest view. */
  readonly #latest: (HeldViewChange | undefined)[];
  /** By member: the view that it has last said to have lost patience with; -1 for none. */
  readonly #doubted: number[];
  /** By member: when it was reminded of its VIEW-CHANGE last. */
  readonly #remindedMs: number[];
  /** Members proved to contradict themselves: one proof accuses as well as many, and each is twice as long as what they say. */
  readonly #caught = new MemberSet();
  /** When everybody was sent the own VIEW-CHANGE last. */
  #sentMs = Number.NEGATIVE_INFINITY;

  constructor(core: Core) {
    this.#core = core;
    this.#latest = new Array<HeldViewChange | undefined>(core.n).fill(undefined);
    this.#doubted = new Array<number>(core.n).fill(-1);
    this.#remindedMs = new Array<number>(core.n).fill(Number.NEGATIVE_INFINITY);
  }

  // ---- Losing patience ----

  /** Whether this member would leave the current view if others did. */
  get isDoubting(): boolean {
    return this.#doubted[this.#core.index] === this.#core.view;
  }

  /**
   * This member has lost patience with the view. It says so and goes on in it until f+1 have: whoever leaves alone is
   * lost as a voter until the others follow, for what it has said in its VIEW-CHANGE binds it. What was said stays so
   * while the view lasts, over restarts too; otherwise one member could leave on the word of others that have taken it back.
   */
  doubt(): void {
    const { index, view, out, parts } = this.#core;
    if (this.isDoubting || parts.recovery.isForgetful) return;
    this.#doubted[index] = view;
    out.record(encodeRecord('doubted', { view }));
    out.count('view-doubted');
    parts.statusExchange.tellNow();
    this.#react();
  }

  /** Another member says that it has lost patience with a view. */
  onDoubt(from: number, view: number): void {
    if (this.#doubted[from] === view) return;
    this.#doubted[from] = view;
    if (view === this.#core.view) this.#react();
  }

  // ---- Leaving ----

  /** Leaves the current view for `view`. What is said about P and Q is said once: the message is kept as it is. */
  start(view: number): void {
    const core = this.#core;
    const { log, out, index, instance, signer, parts } = core;
    if (parts.recovery.isForgetful) return;
    this.leave(view);
    const statement: ViewChangeStatement = {
      replica: index,
      view,
      forgotten: parts.recovery.keys.forgottenBy(index),
      certificate: log.certificate,
      prepared: log.preparedEntries(),
      accepted: log.acceptedEntries(),
    };
    const digest = viewChangeDigest(statement);
    const signature = signer.sign(viewChangeBytes(instance, view, digest));
    const message: ViewChange = { instance, statement, signature };
    this.#latest[index] = { message, digest };
    out.record(encodeRecord('leftView', message));
    this.sendOwn(undefined);
    out.count('view-left');
    this.#react();
  }

  /** Stops working in the current view. */
  leave(view: number): void {
    const core = this.#core;
    core.parts.execution.undo();
    core.view = view;
    core.isActive = false;
    core.newViewTop = 0;
    core.log.leaveView();
    core.parts.newViews.onViewLeft();
    core.parts.viewTimer.onViewLeft();
  }

  /** A recovering member goes back to a view that the others vouch for; what it claimed about later ones is void. */
  fallBack(view: number): void {
    const core = this.#core;
    this.leave(view);
    this.#latest[core.index] = undefined;
    this.#doubted[core.index] = -1;
    core.out.count('view-fallen-back');
    // View 0 began without a NEW-VIEW.
    if (view > 0) return;
    core.isActive = true;
    core.parts.normalCase.enterView(0);
    core.parts.viewTimer.onViewEntered();
  }

  // ---- Others leave ----

  onViewChange(from: number, message: ReplicationMessageValue<'viewChange'>): void {
    const core = this.#core;
    const { out, statements } = core;
    const { replica, view } = message.statement;
    if (replica >= core.n) return out.count('view-change-odd');
    if (replica === core.index) return this.#onOwn(from, message);
    if (!this.#isOfUse(view)) return out.count('view-change-old');
    const known = this.#latest[replica];
    const isAwaited = core.parts.newViews.isAwaiting(view);
    const before = known?.message.statement;
    const useless = known === undefined || isAwaited ? undefined : this.#useless(known, message);
    if (useless !== undefined) return out.count(useless);
    if (!this.#mayJudge(from, message)) return out.count('peer-too-eager');
    if (!statements.isViewChangeShaped(message.statement)) return out.count('view-change-odd');
    const digest = viewChangeDigest(message.statement);
    if (known !== undefined && equalBytes(known.digest, digest)) return out.count('duplicate');
    if (!statements.isViewChange(message, digest)) return out.count('view-change-not-signed');
    const held = { message, digest };
    if (this.isVoid(message.statement)) {
      out.count('view-change-void');
      // It may not know of the loss: an intruder may have signed that it had one.
      if (from === replica) core.parts.recovery.keys.remind(replica);
      // A NEW-VIEW that names it need not be waited for.
      core.parts.newViews.onSupport(held);
      return core.parts.newViews.tryAll();
    }
    if (known !== undefined && isOfSameView(known.message.statement, message.statement)) {
      this.#accuse(replica, known.message, message);
    } else if (before === undefined || isLater(message.statement, before)) {
      this.#latest[replica] = held;
    }
    core.parts.newViews.onSupport(held);
    // The primary itself gives up: there is nothing to wait for.
    if (core.isActive && replica === core.primary && view > core.view) this.start(core.view + 1);
    else this.#react();
  }

  /** Beside what is known of its author: why it need not be looked at, unless a NEW-VIEW waits for it. */
  #useless({ message: known }: HeldViewChange, message: ViewChange): string | undefined {
    if (isLater(known.statement, message.statement)) return 'view-change-old';
    // The same signature is of the same, or wrong.
    if (equalBytes(known.signature, message.signature)) return 'duplicate';
    const isOther = isOfSameView(known.statement, message.statement);
    if (isOther && this.#caught.has(message.statement.replica)) return 'contradicts-again';
    return undefined;
  }

  #accuse(replica: number, known: ViewChange, message: ViewChange): void {
    const { out, group } = this.#core;
    if (this.#caught.has(replica)) return out.count('contradicts-again');
    this.#caught.add(replica);
    out.evidence(contradictingViewChanges(group.members[replica] as Bytes, known, message));
  }

  #mayJudge(from: number, { statement }: ViewChange): boolean {
    const { statusExchange } = this.#core.parts;
    return statusExchange.maySpend(from, 'viewChange', viewChangePieces(statement));
  }

  /** A NEW-VIEW may rest on one of its own that this member has forgotten. */
  #onOwn(from: number, message: ViewChange): void {
    const { out, parts, statements, view } = this.#core;
    const isAwaited =
      this.isVoid(message.statement) && parts.newViews.isAwaiting(message.statement.view);
    const isUnknown = parts.recovery.mayHaveForgotten && message.statement.view > view;
    if (!isAwaited && !isUnknown) return out.count('view-change-odd');
    if (!this.#mayJudge(from, message)) return out.count('peer-too-eager');
    const digest = viewChangeDigest(message.statement);
    if (!statements.isViewChange(message, digest)) return out.count('view-change-not-signed');
    // Whoever leaves for a view records that before anyone hears of it.
    if (isUnknown) return parts.recovery.onShown();
    parts.newViews.onSupport({ message, digest });
    this.#react();
  }

  /** A member is in an earlier view than it has said: it may have forgotten that. Its message may be long. */
  remind(member: number, view: number): void {
    const { nowMs, parameters, out, parts } = this.#core;
    const held = this.#latest[member];
    if (held === undefined || held.message.statement.view <= view) return;
    if (nowMs - (this.#remindedMs[member] ?? nowMs) < parameters.timeoutMs) return;
    const sizeBytes = viewChangeSizeBytes(held.message);
    if (!parts.statusExchange.mayAnswer(member, held.digest, sizeBytes)) return;
    this.#remindedMs[member] = nowMs;
    out.send(this.#core.replica(member), 'viewChange', held.message);
  }

  #isOfUse(view: number): boolean {
    const core = this.#core;
    if (view > core.view || (view === core.view && !core.isActive)) return true;
    return core.parts.newViews.isAwaiting(view);
  }

  /** Whether its author has forgotten since what it says there. */
  isVoid({ replica, forgotten }: ViewChangeStatement): boolean {
    return this.#core.rules.isVoid(forgotten, this.#core.parts.recovery.keys.forgottenBy(replica));
  }

  /** A member says that it has lost its disk: with it the patience that it had lost, which it does not repeat. */
  onForgotten(replica: number): void {
    const held = this.#latest[replica];
    this.#doubted[replica] = -1;
    if (held !== undefined && this.isVoid(held.message.statement))
      this.#latest[replica] = undefined;
  }

  /** Whether so many members want this view or a later one that its primary could open it. */
  get hasQuorum(): boolean {
    const { view, rules, faults } = this.#core;
    const supporters = this.#latest.filter((held) => (held?.message.statement.view ?? -1) >= view);
    return rules.isViewChangeQuorum(supporters.length, faults);
  }

  /** Draws the conclusions from what is held now. */
  #react(): void {
    const core = this.#core;
    if (core.parts.recovery.isForgetful) return;
    core.parts.newViews.tryAll();
    let lowest = Number.POSITIVE_INFINITY;
    let later = 0;
    let doubting = 0;
    this.#latest.forEach((held, replica) => {
      const view = held?.message.statement.view ?? -1;
      if (view > core.view || this.#doubted[replica] === core.view) doubting += 1;
      if (view <= core.view || replica === core.index) return;
      later += 1;
      lowest = Math.min(lowest, view);
    });
    if (core.rules.mustJoin(later, core.faults)) return this.start(lowest);
    if (core.rules.mustLeave(doubting, core.faults, this.isDoubting)) {
      return this.start(core.view + 1);
    }
    if (core.isActive) return;
    // Earlier, waiting would only drive this member on while the others are still content.
    if (this.hasQuorum && !this.isDoubting) core.parts.viewTimer.awaitNewView();
    if (core.isPrimary) this.#decide();
  }

  // ---- The new primary ----

  #decide(): void {
    const core = this.#core;
    const { view, faults, rules, instance, log } = core;
    if (core.parts.recovery.isForgetful) return;
    const support = this.#latest.filter(
      (held): held is HeldViewChange => held?.message.statement.view === view,
    );
    if (!rules.isViewChangeQuorum(support.length, faults)) return;
    // Who has lost its disk, or gone back to a view, may have opened it before.
    if (this.#latest[core.index]?.message.statement.view !== view) return;
    const set = new ViewChangeSet(
      support.map(({ message }) => message.statement),
      faults,
      rules,
    );
    const batches = set.choose();
    if (batches === undefined) return core.out.count('view-change-blocked');
    // Of what is prepared f+1 correct members must know that they accepted it: the primary is one of them, or nobody is
    // asked to prepare it.
    const top = log.topFrom(Math.max(log.height, set.height));
    if (set.top > top) return core.out.count('view-change-bounded');
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
    core.parts.newViews.enter({ message, digest, support }, support);
  }

  /** A body that had been asked for is here, or a recovery allows more: the new view may begin now. */
  resume(): void {
    if (!this.#core.isActive && this.#core.isPrimary) this.#decide();
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
    if (!this.#core.isActive) this.sendOwn(undefined);
  }

  /** @param to undefined: everybody. One member alone is sent nothing that has only just gone to all. */
  sendOwn(to: number | undefined): void {
    const { index, out, view, nowMs, parameters } = this.#core;
    const own = this.#latest[index];
    if (own === undefined || own.message.statement.view !== view) return;
    if (to === undefined) this.#sentMs = nowMs;
    else if (nowMs - this.#sentMs < parameters.statusIntervalMs / 2) return;
    out.send(to === undefined ? everyone : this.#core.replica(to), 'viewChange', own.message);
  }

  onFetch(from: number, { digests }: ReplicationMessageValue<'fetchViewChanges'>): void {
    const { out, parts } = this.#core;
    if (!parts.statusExchange.maySpend(from, 'fetchViewChanges'))
      return out.count('peer-too-eager');
    // Distinct, so that a short list cannot ask for many copies of a long message.
    const isAscending = digests.every(
      (digest, i) => i === 0 || compareBytes(digests[i - 1] as Bytes, digest) < 0,
    );
    if (!isAscending) return out.count('fetch-unordered');
    for (const wanted of digests) {
      const held = this.find(wanted) ?? parts.newViews.find(wanted);
      if (held === undefined) continue;
      const sizeBytes = viewChangeSizeBytes(held.message);
      if (!parts.statusExchange.mayAnswer(from, wanted, sizeBytes)) {
        out.count('peer-too-eager');
        continue;
      }
      out.send(this.#core.replica(from), 'viewChange', held.message);
    }
  }

  find(digest: Bytes): HeldViewChange | undefined {
    return this.#latest.find((held) => held !== undefined && equalBytes(held.digest, digest));
  }

  // ---- Records ----

  *records(): Generator<Bytes> {
    const own = this.#latest[this.#core.index];
    if (this.isDoubting) yield encodeRecord('doubted', { view: this.#core.view });
    if (!this.#core.isActive && own !== undefined) yield encodeRecord('leftView', own.message);
  }

  /** After the loss of a disk: in no view, and without a claim about any, until a NEW-VIEW of this one or a later one comes. */
  waitFor(view: number): void {
    const core = this.#core;
    core.view = view;
    core.isActive = view === 0;
    core.newViewTop = 0;
    core.parts.newViews.onViewLeft();
    this.#latest[core.index] = undefined;
    this.#doubted[core.index] = -1;
  }

  /** This member had said that it has lost patience with a view. */
  restoreDoubted(view: number): void {
    this.#doubted[this.#core.index] = view;
  }

  /** This member had left for a view, with this message. */
  restoreLeft(message: ViewChange): void {
    const core = this.#core;
    core.view = message.statement.view;
    core.isActive = false;
    core.newViewTop = 0;
    core.parts.newViews.onViewLeft();
    const digest = viewChangeDigest(message.statement);
    this.#latest[core.index] = { message, digest };
  }
}

/** Of one author: what it says since it lost its disk, for a later view otherwise. */
function isLater(a: ViewChangeStatement, b: ViewChangeStatement): boolean {
  return a.forgotten === b.forgotten ? a.view > b.view : a.forgotten > b.forgotten;
}

/** Of one author: whether they contradict each other if they are not the same. */
function isOfSameView(a: ViewChangeStatement, b: ViewChangeStatement): boolean {
  return a.view === b.view && a.forgotten === b.forgotten;
}
