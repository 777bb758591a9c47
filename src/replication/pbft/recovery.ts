// Proactive recovery (PBFT, OSDI 2000): a member that may have been broken into without anyone noticing gets new keys,
// learns from the others how far they are, checks its pages against what was agreed, and is as good as new afterwards.
// Meanwhile it takes part, within bounds that whatever it wrongly believes cannot push.

import type { Bytes } from '../../base/bytes.ts';
import { emptyBytes, equalBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { Certificate, NewKey, RecoveredRecord } from '../../wire/pbft.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { SavedCheckpoint } from '../contract.ts';
import { everyone } from '../outbox.ts';
import { bundle, requestKinds } from '../requests.ts';
import type { Core } from './core.ts';
import { Forgotten } from './forgotten.ts';
import { PageCheck } from './page-check.ts';
import { encodeRecord } from './records.ts';
import {
  estimateStable,
  medianView,
  type Reported,
  recoveredView,
  recoveryPoint,
} from './recovery-rules.ts';
import { newKeyBytes } from './statements.ts';

/** When the next recovery begins. */
export const recoveryTimer = 'recovery';
/** While one is going on: when what was not answered is said again. */
export const recoveryTickTimer = 'recovery-tick';
/** Runs out at once: everything else that waits comes before the next slice of pages. */
export const pageCheckTimer = 'page-check';

/** Requests of one recovery: its own, and those that make the group go on while nobody else asks for anything. */
const requestsPerRecovery = 65_536;

interface Running {
  readonly counter: number;
  /** By member, its own among them. */
  readonly reported: (Reported | undefined)[];
  /** H_M, once estimated. */
  bound: number | undefined;
  /** The view when it began; undefined once it is known whether that one can be right. */
  view: number | undefined;
  /** The request that is being ordered, and its place in this recovery: 0 is the recovery itself. */
  request: SignedRequest | undefined;
  requests: number;
  /** By member: at which sequence it executed the recovery's request. */
  readonly executedAt: (number | undefined)[];
  /** A stable checkpoint so high ends the recovery. */
  point: number | undefined;
  /** Those on the disk are asked for, then read and hashed in slices, then what differs is fetched. */
  pages: 'unchecked' | 'loading' | 'reading' | 'fetching' | 'right';
  reading: Reading | undefined;
  readonly beganMs: number;
  /** What was executed at the last tick. */
  seen: number;
}

interface Reading {
  readonly check: PageCheck;
  /** What was stable when it began. */
  readonly certificate: Certificate;
  /** Of the pages that are read. */
  readonly sequence: number;
}

export class Recovery {
  readonly #core: Core;
  /** The newest NEW-KEY of each member. */
  readonly #keys: (NewKey | undefined)[];
  readonly #forgotten: Forgotten;
  #recovered = 0;
  /** The journal says so too, in case that the table that says it is lost. */
  #hasForgotten = false;
  /** Where the last recovery from a lost disk ended. */
  #recoveredView = 0;
  #running: Running | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#forgotten = new Forgotten(core);
    this.#keys = new Array<NewKey | undefined>(core.n).fill(undefined);
  }

  get isRunning(): boolean {
    return this.#running !== undefined || this.isForgetful;
  }

  /** Whether this member has lost its disk and not recovered yet: it makes no promises. */
  get isForgetful(): boolean {
    return this.#forgotten.isForgetful;
  }

  /** The counter with which a member began anew after the loss of its disk; 0: never. */
  forgottenBy(member: number): number {
    return this.#keys[member]?.forgotten ?? 0;
  }

  // ---- Beginning ----

  /** After the start: goes on with what a restart interrupted, and sets the time of the next one. */
  start(): void {
    const { index, n, nowMs, out, parameters } = this.#core;
    const { recoveryIntervalMs } = parameters;
    if (recoveryIntervalMs > 0) {
      out.timer(recoveryTimer, nowMs + (recoveryIntervalMs * (index + 1)) / n);
    }
    if (this.isForgetful) out.record(encodeRecord('recovered', this.#recoveredRecord()));
    if (this.#counterOf(index) > this.#recovered) this.begin();
    else if (this.isForgetful) this.onTick();
  }

  onTimer(): void {
    const { nowMs, out, parameters } = this.#core;
    out.timer(recoveryTimer, nowMs + parameters.recoveryIntervalMs);
    this.begin();
  }

  begin(): void {
    const core = this.#core;
    const { out, index, parts } = core;
    if (this.#running !== undefined || parts.checkpoints.isFinished) {
      return out.count('recovery-refused');
    }
    if (this.isForgetful && this.#counterOf(index) === 0) return out.count('recovery-refused');
    this.#beginWith(this.#counterOf(index) + 1);
  }

  #beginWith(counter: number): void {
    const core = this.#core;
    const { out, index, instance, signer, log, n, parts } = core;
    if (counter > limits.newKeyCounterMax) return out.count('recovery-refused');
    // A primary that says nothing for a while would cost everyone its time-out.
    if (core.isActive && core.isPrimary) parts.viewChanges.start(core.view + 1);
    const forgotten = this.isForgetful ? counter : this.forgottenBy(index);
    const stated = { replica: index, counter, forgotten };
    const message = { instance, ...stated, signature: signer.sign(newKeyBytes(instance, stated)) };
    this.#keys[index] = message;
    out.record(encodeRecord('newKey', message));
    out.rekey('all');
    out.count('recovery-started');
    log.forgetVotes(undefined, index, n);
    log.shut();
    this.#running = {
      counter,
      reported: new Array<Reported | undefined>(n).fill(undefined),
      bound: undefined,
      view: this.isForgetful ? undefined : core.view,
      request: undefined,
      requests: 0,
      executedAt: new Array<number | undefined>(n).fill(undefined),
      point: undefined,
      pages: 'unchecked',
      reading: undefined,
      beganMs: core.nowMs,
      seen: -1,
    };
    out.send(everyone, 'newKey', message);
    this.#arm();
  }

  #counterOf(member: number): number {
    return this.#keys[member]?.counter ?? 0;
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
    const message = this.#keys[index];
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
      out.send(core.replica(member), 'queryStable', { instance, counter: running.counter });
    }
    const { executed } = parts.execution;
    if (running.bound !== undefined && running.seen === executed) this.#submit(running);
    running.seen = executed;
    this.#arm();
  }

  // ---- Others' keys ----

  onNewKey(from: number, message: ReplicationMessageValue<'newKey'>): void {
    const { out, n, index, statements, parts, log } = this.#core;
    const { replica, counter, forgotten } = message;
    if (replica === index) return this.#onOwnKey(from, message);
    if (replica >= n || counter > limits.newKeyCounterMax || forgotten > counter) {
      return out.count('new-key-odd');
    }
    if (counter <= this.#counterOf(replica)) return out.count('new-key-old');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    if (forgotten < this.forgottenBy(replica)) return out.count('new-key-odd');
    this.#keys[replica] = message;
    out.record(encodeRecord('newKey', message));
    out.rekey(replica);
    out.count('new-key');
    log.forgetVotes(replica, index, n);
    parts.viewChanges.onForgotten(replica);
    this.#tell(replica, counter);
  }

  /** Somebody shows this member a NEW-KEY of its own, which it may have forgotten. */
  #onOwnKey(from: number, message: ReplicationMessageValue<'newKey'>): void {
    const { out, statements } = this.#core;
    const isAsked = this.isForgetful && this.#running === undefined;
    if (!isAsked || message.counter >= limits.newKeyCounterMax) return out.count('new-key-odd');
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    this.#onKnown(from, message.counter);
  }

  #onKnown(from: number, counter: number): void {
    const largest = this.#forgotten.onAnswer(from, counter);
    if (largest !== undefined) this.#beginWith(largest + 1);
  }

  onQueryStable(from: number, { counter }: ReplicationMessageValue<'queryStable'>): void {
    const { out, parts } = this.#core;
    const known = this.#keys[from];
    const newest = known?.counter ?? 0;
    if (counter > newest) return out.count('query-stable-early');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (known !== undefined && counter < newest)
      out.send(this.#core.replica(from), 'newKey', known);
    else this.#tell(from, counter);
  }

  #tell(to: number, counter: number): void {
    const { out, instance } = this.#core;
    // Who has lost its disk has forgotten which others once did.
    const hasForgotten = counter > 0 && this.forgottenBy(to) === counter;
    for (const message of hasForgotten ? this.#keys : []) {
      if (message === undefined || message.forgotten === 0 || message.replica === to) continue;
      out.send(this.#core.replica(to), 'newKey', message);
    }
    out.send(this.#core.replica(to), 'replyStable', { instance, counter, ...this.#own() });
  }

  /** The newest checkpoint taken, not only the newest stable one: so a checkpoint that is stable is never above it. */
  #own(): Reported {
    const { log, parts, view } = this.#core;
    const checkpoint = parts.checkpoints.taken;
    return { checkpoint, prepared: Math.max(log.preparedTop, checkpoint), view };
  }

  // ---- Estimation ----

  onReplyStable(from: number, message: ReplicationMessageValue<'replyStable'>): void {
    const running = this.#running;
    if (running === undefined && this.isForgetful && message.counter === 0) {
      return this.#onKnown(from, 0);
    }
    if (running === undefined || message.counter !== running.counter) {
      return this.#core.out.count('reply-stable-unasked');
    }
    const { checkpoint, prepared, view } = message;
    const known = running.reported[from];
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
    running.reported[index] = this.#own();
    // So many must know of the loss that no 2f+1 can enter a view on a VIEW-CHANGE of before.
    const others = viewsOf(running.reported, index).length;
    if (this.isForgetful && !this.#forgotten.hasEnough(others)) return;
    const stable = estimateStable(running.reported, faults);
    if (stable === undefined) return;
    // A multiple of K, because a checkpoint that high must become stable without anything above it.
    const { checkpointInterval: interval, window } = parameters;
    const bound = Math.ceil((stable + window) / interval) * interval;
    running.bound = bound;
    out.count('recovery-estimated');
    log.setBound(bound);
    log.dropAbove(bound);
    parts.normalCase.dropAbove(bound);
    parts.viewChanges.resume();
    parts.newViews.resume();
    parts.checkpoints.requestCompaction();
    this.#submit(running);
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

  // ---- The request ----

  /** Has the request ordered, by all ways, until enough members have executed it. */
  #submit(running: Running): void {
    const { out, instance, index, group, signer, parts } = this.#core;
    const client = group.members[index] as Bytes;
    if (running.request === undefined) {
      const number = running.counter * requestsPerRecovery + running.requests;
      const { claim: kind } = requestKinds;
      const request = { client, number, kind, operation: emptyBytes };
      running.request = bundle(signer, instance, [request])[0];
    }
    const request = running.request;
    if (request === undefined) return;
    const value = { instance, request, fullReplier: index };
    out.sendUrgently(everyone, 'submitRequest', value);
    parts.clientRequests.onSubmit({ kind: 'client', key: client }, value);
  }

  /** A member, or this one itself, says at which sequence a request of the recovery was executed. */
  onReply(from: number, reply: ReplicationMessageValue<'requestReply'>): void {
    const { faults, parameters } = this.#core;
    const running = this.#running;
    if (running?.bound === undefined || running.point !== undefined) return;
    if (reply.kind !== 0 || reply.outcome !== 0) return;
    if (reply.number !== running.counter * requestsPerRecovery) return;
    running.executedAt[from] = reply.sequence;
    const { checkpointInterval, window } = parameters;
    const equal = running.executedAt.filter((at) => at === reply.sequence).length;
    if (equal <= 2 * faults) return;
    running.point = recoveryPoint(running.bound, reply.sequence, checkpointInterval, window);
  }

  // ---- Pages ----

  /**
   * What the disk holds is checked, not what is in memory: the next restart begins with it.
   * @param checkpoint undefined: all is in memory, and the digests of that are made anew.
   */
  onReloaded(checkpoint: SavedCheckpoint | undefined): void {
    const { executor, log, out, parts } = this.#core;
    const pages = checkpoint?.pages ?? executor.state.allFrozen();
    const check = new PageCheck(pages);
    const running = this.#running;
    if (running?.pages !== 'loading') return check.close();
    if (parts.transfers.isRunning || !this.#isComparable(running, checkpoint?.sequence)) {
      check.close();
      running.pages = 'unchecked';
      return;
    }
    out.count('recovery-pages-checked');
    const sequence = checkpoint?.sequence ?? parts.execution.executed;
    running.pages = 'reading';
    running.reading = { check, certificate: log.certificate, sequence };
    this.onPageCheckTimer();
  }

  /** Reads and hashes one slice. */
  onPageCheckTimer(): void {
    const { log, nowMs, out, parts } = this.#core;
    const running = this.#running;
    if (running?.reading === undefined) return;
    const { check, certificate, sequence } = running.reading;
    if (parts.transfers.isRunning) {
      // The state is replaced anyhow, and the disk's with it: that one is checked then.
      check.close();
      running.reading = undefined;
      running.pages = 'unchecked';
      return;
    }
    if (!check.step()) return out.timer(pageCheckTimer, nowMs);
    running.reading = undefined;
    running.pages = 'fetching';
    for (const code of check.found) out.count(code);
    if (sequence === certificate.sequence && !equalBytes(check.state.rootNow(), certificate.root)) {
      out.count('recovery-pages-differ');
    }
    // A later one may have become stable meanwhile; what has changed since then is fetched.
    parts.transfers.replace(log.certificate, check.state);
  }

  /**
   * Whether what was saved last is stable, or a later one is. Before, this member would give its state up for an older one
   * that nobody may hold any more. What is above H_M was never saved by a correct member, and is not waited for.
   */
  #isComparable({ bound }: Running, saved: number | undefined): boolean {
    const { log, parts } = this.#core;
    const sequence = saved ?? parts.checkpoints.saved;
    return sequence <= log.height || sequence > (bound ?? 0);
  }

  /** The pages of a stable checkpoint are here, each compared with what was agreed. */
  onInstalled(): void {
    if (this.#running?.pages === 'fetching') this.#running.pages = 'right';
  }

  // ---- Going on ----

  /** At the end of an event. */
  settle(): void {
    const running = this.#running;
    if (running?.bound === undefined) return;
    const { log, out, parts, executor, queue, group, index } = this.#core;
    const mayCheck = running.pages === 'unchecked' && log.height > 0 && !parts.transfers.isRunning;
    if (mayCheck && this.#isComparable(running, undefined)) {
      running.pages = 'loading';
      out.reload();
    }
    const isFar = running.point !== undefined && log.height >= running.point;
    const isOver = isFar || parts.checkpoints.isFinished;
    const isRight = running.pages === 'right' && running.view === undefined;
    if (isOver && isRight && !parts.transfers.isRunning) return this.#finish();
    // What waits where the disk was lost need not be known to any other member.
    const isAsked = queue.size > 0 && !this.isForgetful;
    if (running.point === undefined || isFar || isAsked) return;
    // Nobody asks for anything: without batches no checkpoint would ever be high enough.
    const number = running.request?.request.number ?? 0;
    const client = group.members[index] as Bytes;
    if (executor.table.largest(client) < number) return;
    if (running.requests >= requestsPerRecovery - 1) return;
    running.requests += 1;
    running.request = undefined;
    this.#submit(running);
  }

  #finish(): void {
    const { out, log, index, parts } = this.#core;
    this.#recovered = this.#counterOf(index);
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
    for (const message of this.#keys) {
      if (message !== undefined) yield encodeRecord('newKey', message);
    }
    if (this.#recovered > 0 || this.isForgetful) {
      yield encodeRecord('recovered', this.#recoveredRecord());
    }
  }

  #recoveredRecord(): { counter: number; view: number } {
    return { counter: this.#recovered, view: this.#recoveredView };
  }

  /** What the disk says of earlier recoveries is known: this decides how the member goes on. */
  onRestored(hasForgotten: boolean): void {
    const isUnfinished = this.forgottenBy(this.#core.index) > this.#recovered;
    const hasBegun = this.#hasForgotten && this.#recovered === 0;
    this.#forgotten.start(
      hasForgotten || hasBegun || isUnfinished,
      this.#recovered > 0 && !isUnfinished,
    );
  }

  restoreKey(message: NewKey): void {
    if (message.counter > this.#counterOf(message.replica)) this.#keys[message.replica] = message;
  }

  restoreRecovered({ counter, view }: RecoveredRecord): void {
    if (counter < this.#recovered) return;
    // Only who has forgotten begins with one that is 0.
    if (counter === 0) this.#hasForgotten = true;
    this.#recovered = counter;
    this.#recoveredView = view;
    if (view > this.#core.view) this.#core.parts.viewChanges.waitFor(view);
  }
}

/** What the others say of their views. */
function viewsOf(reported: Running['reported'], index: number): number[] {
  return reported.flatMap((each, member) =>
    each === undefined || member === index ? [] : [each.view],
  );
}
