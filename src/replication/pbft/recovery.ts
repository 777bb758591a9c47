// Proactive recovery (PBFT, OSDI 2000): a member that may have been broken into without anyone noticing gets new keys,
// learns from the others how far they are, checks its pages against what was agreed, and is as good as new afterwards.
// Meanwhile it takes part, within bounds that whatever it wrongly believes cannot push.

import type { Bytes } from '../../base/bytes.ts';
import { emptyBytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { NewKey } from '../../wire/pbft.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { SavedCheckpoint } from '../contract.ts';
import { everyone } from '../outbox.ts';
import { bundle, requestKinds } from '../requests.ts';
import type { Core } from './core.ts';
import { encodeRecord } from './records.ts';
import { estimateStable, type Reported, recoveredView, recoveryPoint } from './recovery-rules.ts';
import { newKeyBytes } from './statements.ts';

/** When the next recovery begins. */
export const recoveryTimer = 'recovery';
/** While one is going on: when what was not answered is said again. */
export const recoveryTickTimer = 'recovery-tick';

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
  pages: 'unchecked' | 'loading' | 'checking' | 'right';
  /** What was executed at the last tick. */
  seen: number;
}

export class Recovery {
  readonly #core: Core;
  /** The newest NEW-KEY of each member. */
  readonly #keys: (NewKey | undefined)[];
  #recovered = 0;
  #running: Running | undefined;

  constructor(core: Core) {
    this.#core = core;
    this.#keys = new Array<NewKey | undefined>(core.n).fill(undefined);
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  // ---- Beginning ----

  /** After the start: goes on with what a restart interrupted, and sets the time of the next one. */
  start(): void {
    const { index, n, nowMs, out, parameters } = this.#core;
    const { recoveryIntervalMs } = parameters;
    if (recoveryIntervalMs > 0) {
      out.timer(recoveryTimer, nowMs + (recoveryIntervalMs * (index + 1)) / n);
    }
    if (this.#counterOf(index) > this.#recovered) this.begin();
  }

  onTimer(): void {
    const { nowMs, out, parameters } = this.#core;
    out.timer(recoveryTimer, nowMs + parameters.recoveryIntervalMs);
    this.begin();
  }

  begin(): void {
    const core = this.#core;
    const { out, index, instance, signer, log, n, parts } = core;
    if (this.#running !== undefined || parts.checkpoints.isFinished) {
      return out.count('recovery-refused');
    }
    const counter = this.#counterOf(index) + 1;
    if (counter > limits.newKeyCounterMax) return out.count('recovery-refused');
    // A primary that says nothing for a while would cost everyone its time-out.
    if (core.isActive && core.isPrimary) parts.viewChanges.start(core.view + 1);
    const signature = signer.sign(newKeyBytes(instance, index, counter));
    const message = { instance, replica: index, counter, signature };
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
      view: core.view,
      request: undefined,
      requests: 0,
      executedAt: new Array<number | undefined>(n).fill(undefined),
      point: undefined,
      pages: 'unchecked',
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
    if (running === undefined || message === undefined) return;
    for (let member = 0; member < n; member++) {
      if (member === index || running.reported[member] !== undefined) continue;
      out.send(core.replica(member), 'newKey', message);
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
    const { replica, counter } = message;
    if (replica >= n || replica === index || counter > limits.newKeyCounterMax) {
      return out.count('new-key-odd');
    }
    if (counter <= this.#counterOf(replica)) return out.count('new-key-old');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    if (!statements.isNewKey(message)) return out.count('new-key-not-signed');
    this.#keys[replica] = message;
    out.record(encodeRecord('newKey', message));
    out.rekey(replica);
    out.count('new-key');
    log.forgetVotes(replica, index, n);
    this.#tell(replica, counter);
  }

  onQueryStable(from: number, { counter }: ReplicationMessageValue<'queryStable'>): void {
    const { out, parts } = this.#core;
    if (counter !== this.#counterOf(from)) return out.count('query-stable-old');
    if (!parts.statusExchange.maySpend(from, 'recovery')) return out.count('peer-too-eager');
    this.#tell(from, counter);
  }

  #tell(to: number, counter: number): void {
    const { out, instance } = this.#core;
    out.send(this.#core.replica(to), 'replyStable', { instance, counter, ...this.#own() });
  }

  /** The newest checkpoint taken, not only the newest stable one: so a checkpoint that is stable is never above it. */
  #own(): Reported {
    const { log, parts, view } = this.#core;
    const checkpoint = Math.max(log.height, parts.checkpoints.saved);
    return { checkpoint, prepared: Math.max(log.preparedTop, checkpoint), view };
  }

  // ---- Estimation ----

  onReplyStable(from: number, message: ReplicationMessageValue<'replyStable'>): void {
    const running = this.#running;
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
    const others = running.reported.flatMap((each, member) =>
      each === undefined || member === index ? [] : [each.view],
    );
    const verdict = recoveredView(running.view, others, faults);
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

  /** What the disk holds is checked, not what is in memory: the next restart begins with it. */
  onReloaded(checkpoint: SavedCheckpoint | undefined): void {
    const { log, out, parts } = this.#core;
    const running = this.#running;
    if (running?.pages !== 'loading') return;
    running.pages = 'unchecked';
    if (parts.transfers.isRunning || !this.#isComparable(running, checkpoint?.sequence)) return;
    running.pages = 'checking';
    out.count('recovery-pages-checked');
    parts.transfers.check(log.certificate, checkpoint);
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
    if (this.#running?.pages === 'checking') this.#running.pages = 'right';
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
    if (running.point === undefined || isFar || queue.size > 0) return;
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
    this.#running = undefined;
    out.record(encodeRecord('recovered', { counter: this.#recovered }));
    out.timer(recoveryTickTimer, undefined);
    out.count('recovery-done');
    log.setBound(0);
    parts.viewChanges.resume();
    parts.newViews.resume();
  }

  // ---- Records ----

  *records(): Generator<Bytes> {
    for (const message of this.#keys) {
      if (message !== undefined) yield encodeRecord('newKey', message);
    }
    if (this.#recovered > 0) yield encodeRecord('recovered', { counter: this.#recovered });
  }

  restoreKey(message: NewKey): void {
    if (message.counter > this.#counterOf(message.replica)) this.#keys[message.replica] = message;
  }

  restoreRecovered(counter: number): void {
    this.#recovered = Math.max(this.#recovered, counter);
  }
}
