// Proactive recovery (PBFT, OSDI 2000): a member that may have been broken into without anyone noticing gets new keys,
// learns from the others how far they are, checks its pages against what was agreed, and is as good as new afterwards.
// Meanwhile it takes part, within bounds that whatever it wrongly believes cannot push.

import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { NewKey, RecoveredRecord } from '../../wire/pbft.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { SavedCheckpoint } from '../contract.ts';
import { everyone } from '../outbox.ts';
import type { Core } from './core.ts';
import { Forgotten } from './forgotten.ts';
import { Keys } from './keys.ts';
import { PageCheck } from './page-check.ts';
import type { QueuedRequest } from './queue.ts';
import { encodeRecord } from './records.ts';
import { RecoveryPages } from './recovery-pages.ts';
import { RecoveryRequests } from './recovery-requests.ts';
import {
  estimateStable,
  medianView,
  type Reported,
  reachedBefore,
  recoveredView,
} from './recovery-rules.ts';
import { ShownKeys } from './shown-keys.ts';

/** When the next recovery begins. */
export const recoveryTimer = 'recovery';
/** While one is going on: when what was not answered is said again. */
export const recoveryTickTimer = 'recovery-tick';

interface Running {
  readonly counter: number;
  /** What it first told to have forgotten. */
  readonly began: number;
  /** By member, its own among them. */
  readonly reported: (Reported | undefined)[];
  /** H_M, once estimated. */
  bound: number | undefined;
  /** The view when it began; undefined once it is known whether that one can be right. */
  view: number | undefined;
  readonly requests: RecoveryRequests;
  /** As soon as there is a bound. */
  pages: RecoveryPages | undefined;
  readonly beganMs: number;
  /** What was executed at the last tick. */
  seen: number;
  /** What was the oldest that waited at the last tick. */
  head: QueuedRequest | undefined;
  /** What has waited as the oldest from one tick to the next: it may be known to nobody else. */
  vain: QueuedRequest | undefined;
}

export class Recovery {
  readonly #core: Core;
  readonly keys: Keys;
  readonly #forgotten: Forgotten;
  #recovered = 0;
  /** The journal says so too, in case that the table that says it is lost. */
  #hasForgotten = false;
  /** Where the last recovery from a lost disk ended. */
  #recoveredView = 0;
  #signed: { readonly counter: number; readonly atMs: number } | undefined;
  /** From the start on. */
  #shown: ShownKeys | undefined;
  #running: Running | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#forgotten = new Forgotten(core);
    this.keys = new Keys(core);
  }

  get isRunning(): boolean {
    return this.#running !== undefined || this.isForgetful;
  }

  /** Whether this member has lost its disk and not recovered yet: it makes no promises. */
  get isForgetful(): boolean {
    return this.#forgotten.isForgetful;
  }

  /** Whether enough others have said how far they are. */
  get isEstimated(): boolean {
    return this.#running?.bound !== undefined;
  }

  // ---- Beginning ----

  /** After the start: goes on with what a restart interrupted, and sets the time of the next one. */
  start(): void {
    const { index, n, nowMs, out, parameters, faults } = this.#core;
    const { recoveryIntervalMs } = parameters;
    if (recoveryIntervalMs > 0) {
      // A primary leaves its view for the next one's: against the order of primaries only one in a round is that.
      out.timer(recoveryTimer, nowMs + (recoveryIntervalMs * (n - index)) / n);
    }
    this.keys.start();
    const counterThen = this.keys.counterOf(index);
    this.#shown = new ShownKeys({ faults, timeoutMs: parameters.timeoutMs, counterThen });
    this.#core.parts.checkpoints.start();
    if (this.isForgetful) out.record(encodeRecord('recovered', this.#recoveredRecord()));
    const counter = this.keys.counterOf(index);
    if (this.isForgetful && counter === 0) this.onTick();
    else if (this.keys.isBehind && this.mayHaveForgotten) {
      // Its disk may be another one than it had: the others show what it has signed within a round trip.
      out.timer(recoveryTimer, nowMs + parameters.timeoutMs);
    } else if (counter !== this.#recovered || this.keys.isBehind) this.begin();
    else if (this.isForgetful) this.onTick();
  }

  onTimer(): void {
    const { nowMs, out, parameters } = this.#core;
    const { recoveryIntervalMs } = parameters;
    if (recoveryIntervalMs > 0) out.timer(recoveryTimer, nowMs + recoveryIntervalMs);
    // The module has refused: what the others know is asked for again.
    if (this.isForgetful && this.#running === undefined) return this.#forgotten.askAgain();
    this.begin();
  }

  begin(): void {
    const core = this.#core;
    const { out, index, parts } = core;
    if (this.#running !== undefined || parts.checkpoints.isFinished) {
      return out.count('recovery-refused');
    }
    if (this.isForgetful && this.keys.counterOf(index) === 0) return out.count('recovery-refused');
    this.#beginWith(this.keys.counterOf(index) + 1);
  }

  /** @param isAgain after a loss of which nothing was known when this recovery began: what that one said to forget is too little. */
  #beginWith(atLeast: number, isAgain = false, said = 0): void {
    const core = this.#core;
    const { out, index, log, n, parts, signer } = core;
    // Whoever had broken in may have had later changes of keys signed; who takes those takes none below.
    const counter = Math.max(atLeast, (signer.keyChanges?.() ?? 0) + 1);
    if (counter > limits.newKeyCounterMax) return out.count('recovery-refused');
    // One loss is one loss, however often its recovery begins again.
    const known = Math.max(said, this.keys.forgottenBy(index));
    const isNew = isAgain || known <= this.#recovered;
    const forgotten = this.isForgetful && isNew ? counter : known;
    const isTold = known > this.keys.forgottenBy(index);
    const message = this.keys.signed(counter, forgotten);
    if (message === undefined) {
      // An intruder may have used up what the module signs in a time.
      const againMs = core.nowMs + limits.signingKeyChangeIntervalMs;
      if (this.#running === undefined) out.timer(recoveryTimer, againMs);
      return out.count('recovery-refused');
    }
    this.keys.renew(message);
    // A primary that says nothing for a while would cost everyone its time-out. And what is void must be said anew.
    if (core.isActive ? core.isPrimary : isTold) parts.viewChanges.start(core.view + 1);
    out.count('recovery-started');
    log.forgetVotes(undefined, index, n);
    parts.checkpoints.forgetVotes(undefined);
    log.shut();
    this.#running?.pages?.close();
    this.#running = {
      counter,
      began: this.#running?.began ?? forgotten,
      reported: new Array<Reported | undefined>(n).fill(undefined),
      bound: undefined,
      view: this.isForgetful ? undefined : core.view,
      requests: new RecoveryRequests(core, counter),
      pages: undefined,
      beganMs: core.nowMs,
      seen: -1,
      head: undefined,
      vain: undefined,
    };
    out.send(everyone, 'newKey', message);
    this.#arm();
  }

  #arm(): void {
    const { out, nowMs, parameters } = this.#core;
    out.timer(recoveryTickTimer, nowMs + parameters.statusIntervalMs);
  }

  /** Says again what nobody may have heard. */
  onTick(): void {
    const core = this.#core;
    const { out, index, instance, n, parts } = core;
    const running = this.#running;
    const message = this.keys.own;
    if (running === undefined && this.isForgetful) {
      this.#forgotten.ask();
      return this.#arm();
    }
    if (running === undefined || message === undefined) return;
    for (let member = 0; member < n; member++) {
      if (member === index) continue;
      const isSilent = running.reported[member] === undefined;
      if (isSilent) out.send(core.replica(member), 'newKey', message);
      // Who has answered is asked again while that is not enough: it may not have been far enough to vouch for others.
      if (!isSilent && running.bound !== undefined && running.view === undefined) continue;
      const { counter, forgotten } = message;
      out.send(core.replica(member), 'queryStable', { instance, counter, forgotten });
    }
    const { executed } = parts.execution;
    const { head } = core.queue;
    // What waits here from one tick to the next may be known to no other member, so it is not waited for any more.
    if (head === running.head) running.vain = head;
    running.head = head;
    if (running.bound !== undefined && running.seen === executed) this.#push(running);
    // Of what they say of the first one a part may be lost, though everything goes on.
    else if (running.bound !== undefined && running.requests.point === undefined)
      running.requests.submit();
    if (running.bound !== undefined) running.requests.renumber();
    running.seen = executed;
    this.#arm();
  }

  /** Nothing was executed for a while. */
  #push({ requests }: Running): void {
    if (this.#isFar(requests) || !requests.goOn()) requests.submit();
  }

  /** Whether a checkpoint as high as has to be is stable. */
  #isFar({ point }: RecoveryRequests): boolean {
    return point !== undefined && this.#core.log.height >= point;
  }

  // ---- After the loss of the disk ----

  /**
   * Whether a statement of its own can tell this member that its disk is not the one that it had. Not once it has changed
   * its keys: an intruder may have signed anything before, and could have the member lose its votes again and again.
   */
  get mayHaveForgotten(): boolean {
    const { checkpoints } = this.#core.parts;
    return this.keys.own === undefined && !this.isForgetful && !checkpoints.isFinished;
  }

  /** Shown one that it cannot have made by what its disk says, it is as if it had begun with a disk in a lost one's place. */
  onShown(): void {
    if (!this.mayHaveForgotten || !this.#forgotten.notice()) return;
    this.#hasForgotten = true;
    this.#core.out.record(encodeRecord('recovered', this.#recoveredRecord()));
    this.onTick();
  }

  /** Somebody shows this member a NEW-KEY of its own, which it may have forgotten. */
  onOwnKey(from: number, message: ReplicationMessageValue<'newKey'>): void {
    const { out, parts, statements } = this.#core;
    const isOfUse = this.mayHaveForgotten || this.isRunning || this.#isUnknownLoss(message);
    const isLater = message.counter > (this.#running?.counter ?? -1);
    if (!isLater && !this.#isOfLaterLoss(message)) return out.count('new-key-odd');
    if (message.forgotten > message.counter) return out.count('new-key-odd');
    if (!isOfUse || message.counter >= limits.newKeyCounterMax) return out.count('new-key-odd');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    // Signed before there was a module, which will sign nothing as high.
    if (message.counter > this.#signedUpTo(message.counter)) return out.count('new-key-far');
    this.onShown();
    if (!this.isForgetful) return this.#beginAbove(from, message);
    if (this.#running === undefined) this.#onKnown(from, message.counter);
    else this.#beginAgain(this.#running, from, message);
  }

  /** What its module says to have signed, or said within this time-out: whoever shows something must not have it asked often. */
  #signedUpTo(atMost: number): number {
    const { signer, nowMs, parameters } = this.#core;
    if (signer.keyChanges === undefined) return atMost;
    if (this.#signed === undefined || nowMs - this.#signed.atMs >= parameters.timeoutMs) {
      this.#signed = { counter: signer.keyChanges(), atMs: nowMs };
    }
    return this.#signed.counter;
  }

  /** Whether it tells of a later loss than this member does: it has lost its disk again before others heard of the first. */
  #isOfLaterLoss({ forgotten }: ReplicationMessageValue<'newKey'>): boolean {
    return this.isRunning && forgotten > this.keys.forgottenBy(this.#core.index);
  }

  /** To who believes it, this member's VIEW-CHANGEs are void until it says the same. They are of use between views only. */
  #isUnknownLoss({ forgotten }: NewKey): boolean {
    const { index, parts, isActive } = this.#core;
    return !isActive && !parts.checkpoints.isFinished && forgotten > this.keys.forgottenBy(index);
  }

  /**
   * An intruder had this member sign a NEW-KEY for later: who has it takes none below. It forgets nothing, whatever that one
   * says, and says from now on that it had.
   */
  #beginAbove(from: number, message: NewKey): void {
    const { out, index, nowMs } = this.#core;
    const credible = this.#shown?.add(from, message, nowMs);
    if (credible === undefined) return out.count('new-key-far');
    if (!this.#forgotten.mayForgetAgain) return out.count('new-key-too-soon');
    this.#forgotten.onAgain();
    // Above all of them at once: it may do so seldom, and a liar show one after the other.
    const counter = Math.max(this.keys.counterOf(index), ...credible.map((each) => each.counter));
    const forgotten = Math.max(...credible.map((each) => each.forgotten));
    // A restart must not take that for a loss from which it has not recovered.
    if (forgotten > this.#recovered) {
      this.#recovered = forgotten;
      out.record(encodeRecord('recovered', this.#recoveredRecord()));
    }
    this.#beginWith(counter + 1, false, forgotten);
  }

  /** Who has taken a newer one takes none of this recovery. */
  #beginAgain(
    { counter, began }: Running,
    from: number,
    message: ReplicationMessageValue<'newKey'>,
  ): void {
    const { out } = this.#core;
    const isAgain = this.#isOfLaterLoss(message);
    if (isAgain && !this.#forgotten.mayForgetAgain) return out.count('new-key-too-soon');
    const largest = this.#forgotten.onAnswer(from, message.counter, began) ?? 0;
    if (largest < message.counter) return out.count('new-key-far');
    if (isAgain) this.#forgotten.onAgain();
    this.#beginWith(Math.max(largest, counter) + 1, isAgain);
  }

  #onKnown(from: number, counter: number): void {
    const largest = this.#forgotten.onAnswer(from, counter);
    if (largest !== undefined) this.#beginWith(largest + 1);
  }

  // ---- Estimation ----

  onReplyStable(from: number, message: ReplicationMessageValue<'replyStable'>): void {
    const running = this.#running;
    this.keys.onHeard(from, message.counter);
    if (running === undefined && this.isForgetful && message.counter === 0) {
      return this.#onKnown(from, 0);
    }
    if (running === undefined || message.counter !== running.counter) {
      return this.#core.out.count('reply-stable-unasked');
    }
    const { checkpoint, prepared, view } = message;
    const known = running.reported[from];
    // The new keys have cost what the old channels carried.
    if (known === undefined) this.#core.parts.transfers.onReached(from);
    running.reported[from] = {
      checkpoint: Math.min(checkpoint, known?.checkpoint ?? checkpoint),
      prepared: Math.max(prepared, known?.prepared ?? prepared),
      view,
    };
    if (running.bound === undefined) this.#estimate(running);
    if (running.bound !== undefined) this.#judgeView(running);
  }

  #estimate(running: Running): void {
    const { index, faults, log, parameters, parts, out } = this.#core;
    running.reported[index] = this.keys.reported();
    // So many must know of the loss that no 2f+1 can enter a view on a VIEW-CHANGE of before.
    const others = viewsOf(running.reported, index).length;
    if (this.isForgetful && !this.#forgotten.hasEnough(others)) return;
    const stable = estimateStable(running.reported, faults);
    if (stable === undefined) return;
    // A multiple of K, because a checkpoint that high must become stable without anything above it.
    const { checkpointInterval: interval, window } = parameters;
    const bound = Math.ceil((stable + window) / interval) * interval;
    running.bound = bound;
    running.pages = new RecoveryPages(this.#core, bound);
    out.count('recovery-estimated');
    log.setBound(bound);
    log.dropAbove(bound);
    parts.normalCase.dropAbove(bound);
    parts.viewChanges.resume();
    parts.newViews.resume();
    parts.checkpoints.requestCompaction();
    running.requests.begin(reachedBefore(running.reported, faults));
  }

  #judgeView(running: Running): void {
    const { index, faults, parts } = this.#core;
    if (running.view === undefined) return;
    const verdict = recoveredView(running.view, viewsOf(running.reported, index), faults);
    if (verdict.kind === 'open') return;
    running.view = undefined;
    if (verdict.kind === 'kept') return;
    parts.viewChanges.fallBack(verdict.view);
    parts.newViews.resume();
    parts.checkpoints.requestCompaction();
  }

  /** A member, or this one itself, says at which sequence a request of the recovery was executed. */
  onReply(from: number, reply: ReplicationMessageValue<'requestReply'>): void {
    const running = this.#running;
    if (running?.bound !== undefined) running.requests.onReply(from, reply, running.bound);
  }

  // ---- Pages ----

  /** What the disk holds is checked, not what is in memory: the next restart begins with it. */
  onReloaded(checkpoint: SavedCheckpoint | undefined): void {
    const pages = this.#running?.pages;
    if (pages !== undefined) return pages.onReloaded(checkpoint);
    // Nobody waits for it any more; nothing is saved until the pages are let go.
    if (checkpoint !== undefined) new PageCheck(checkpoint.pages).close();
  }

  onPageCheckTimer(): void {
    this.#running?.pages?.onTimer();
  }

  onInstalled(): void {
    this.#running?.pages?.onInstalled();
  }

  // ---- Going on ----

  /** At the end of an event. */
  settle(): void {
    const running = this.#running;
    if (running?.bound === undefined) return;
    const { parts, queue } = this.#core;
    running.pages?.settle();
    const isFar = this.#isFar(running.requests);
    const isOver = isFar || parts.checkpoints.isFinished;
    const isRight = running.pages?.areRight === true && running.view === undefined;
    if (isOver && isRight) return this.#finish();
    // What waits where the disk was lost need not be known to any other member.
    const isAsked = queue.size > 0 && queue.head !== running.vain && !this.isForgetful;
    // While nobody else asks for anything this member does.
    if (!isFar && !isAsked) running.requests.goOn();
  }

  #finish(): void {
    const { out, log, index, parts } = this.#core;
    this.#recovered = this.keys.counterOf(index);
    if (this.isForgetful) {
      this.#recoveredView = medianView(viewsOf(this.#running?.reported ?? [], index));
      this.#forgotten.end(this.#recoveredView);
    }
    this.#stretch();
    this.#running = undefined;
    out.record(encodeRecord('recovered', this.#recoveredRecord()));
    out.timer(recoveryTickTimer, undefined);
    out.count('recovery-done');
    log.setBound(0);
    parts.viewChanges.resume();
    parts.newViews.resume();
  }

  /** Members take turns: as long as a recovery has taken here, each of the others gets before the next one. */
  #stretch(): void {
    const { n, nowMs, out, parameters } = this.#core;
    if (this.#running === undefined || parameters.recoveryIntervalMs === 0) return;
    const { beganMs } = this.#running;
    const turnsMs = n * (nowMs - beganMs);
    if (turnsMs <= parameters.recoveryIntervalMs) return;
    out.timer(recoveryTimer, beganMs + turnsMs);
    out.count('recovery-slow');
  }

  // ---- Records ----

  *records(): Generator<Bytes> {
    yield* this.keys.records();
    if (this.#recovered > 0 || this.isForgetful) {
      yield encodeRecord('recovered', this.#recoveredRecord());
    }
  }

  #recoveredRecord(): { counter: number; view: number } {
    return { counter: this.#recovered, view: this.#recoveredView };
  }

  /** What the disk says of earlier recoveries is known: this decides how the member goes on. */
  onRestored(hasForgotten: boolean): void {
    const isUnfinished = this.keys.forgottenBy(this.#core.index) > this.#recovered;
    const hasBegun = this.#hasForgotten && this.#recovered === 0;
    this.#forgotten.start(
      hasForgotten || hasBegun || isUnfinished,
      this.#recovered > 0 && !isUnfinished,
    );
  }

  restoreRecovered({ counter, view }: RecoveredRecord): void {
    if (counter < this.#recovered) return;
    // Only who has forgotten begins with one that is 0.
    if (counter === 0) this.#hasForgotten = true;
    // What it had said of views before it noticed is void.
    const isFirst = this.#hasForgotten && this.#recovered === 0 && counter > 0;
    this.#recovered = counter;
    this.#recoveredView = view;
    if (isFirst || view > this.#core.view) this.#core.parts.viewChanges.waitFor(view);
  }
}

/** What the others say of their views. */
function viewsOf(reported: Running['reported'], index: number): number[] {
  return reported.flatMap((each, member) =>
    each === undefined || member === index ? [] : [each.view],
  );
}
