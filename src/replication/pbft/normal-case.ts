// The three phases (PBFT, 4.2): PRE-PREPARE fixes what a view's primary orders at a sequence, PREPARE that no other
// batch can be prepared there in this view, COMMIT that it survives into later views.

import { type Bytes, emptyBytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { BatchDelay } from '../batch-delay.ts';
import { InFlight } from '../in-flight.ts';
import { everyone } from '../outbox.ts';
import { type Batch, batchDigest, batchSizeBytes, isOf } from './batch.ts';
import type { Core } from './core.ts';
import { encodeRecord } from './records.ts';
import type { Slot } from './slot.ts';

type PrePrepare = ReplicationMessageValue<'prePrepare'>;
type Vote = ReplicationMessageValue<'pbftPrepare'>;

export const batchTimer = 'batch';

export class NormalCase {
  readonly #core: Core;
  /** Of a primary: where the next batch goes. */
  #next = 1;
  /** The oldest waiting request has waited for company long enough. */
  #isAged = false;
  #isTimerSet = false;
  /** The highest batch prepared in the current view. */
  #preparedTop = 0;
  readonly #inFlight = new InFlight();
  readonly #delay = new BatchDelay();

  constructor(core: Core) {
    this.#core = core;
  }

  get preparedTop(): number {
    return this.#preparedTop;
  }

  // ---- Primary ----

  /** Orders what waits: while fewer than W batches are in flight, and a batch is full, or old, or none is in flight. */
  propose(): void {
    const core = this.#core;
    if (!core.isActive || !core.isPrimary) return;
    const { queue, parameters, log, nowMs } = core;
    const { executed } = core.parts.execution;
    this.#delay.executed(executed, nowMs);
    this.#next = Math.max(this.#next, log.height + 1, core.newViewTop + 1);
    while (queue.waiting > 0 && this.#next <= log.top) {
      const inFlight = Math.max(0, this.#next - 1 - executed);
      if (inFlight >= parameters.batchesInFlight) return;
      const isFull =
        queue.waiting >= parameters.batchRequests ||
        queue.waitingSizeBytes >= limits.batchSizeBytesMax / 2;
      if (inFlight > 0 && !isFull && !this.#isAged) {
        this.#setTimer();
        return;
      }
      this.#isAged = false;
      if (!this.#proposeBatch()) return;
    }
  }

  onBatchTimer(): void {
    this.#isTimerSet = false;
    this.#isAged = true;
  }

  #setTimer(): void {
    if (this.#isTimerSet) return;
    this.#isTimerSet = true;
    const { out, nowMs, parameters } = this.#core;
    out.timer(batchTimer, nowMs + this.#delay.ms(parameters.batchDelayMs));
  }

  #proposeBatch(): boolean {
    const core = this.#core;
    const { batchRequests } = core.parameters;
    const isSmallOnly = this.#inFlight.isSmallOnly(this.#next, core.parts.execution.executed);
    const room = { count: batchRequests, sizeBytes: limits.batchSizeBytesMax, isSmallOnly };
    const taken = core.queue.take(room, core.nowMs);
    if (taken.length === 0) return false;
    const requests = taken.map(({ request }) => request);
    const digests = taken.map(({ digest }) => digest);
    const agreed = core.service.propose?.(operationsOf(requests)) ?? emptyBytes;
    const slot = core.log.slotAt(this.#next);
    if (slot === undefined) return false;
    this.#next += 1;
    this.#inFlight.note(taken, slot.sequence);
    this.#delay.proposed(slot.sequence, core.nowMs);
    const batch: Batch = { requests, digests, agreed };
    const digest = batchDigest(digests, agreed);
    this.keepBody(slot.sequence, digest, batch);
    this.accept(slot, digest, false);
    this.sendPrePrepare(slot.sequence, batch, undefined);
    return true;
  }

  /** @param to undefined: everybody. */
  sendPrePrepare(sequence: number, { requests, agreed }: Batch, to: number | undefined): void {
    const { instance, view, out } = this.#core;
    const fullRepliers = requests.map(({ request }) => this.#fullReplierOf(request));
    const value: PrePrepare = {
      instance,
      view,
      sequence,
      // The encoder only reads; its type does not say so.
      requests: requests as SignedRequest[],
      agreed,
      fullRepliers,
    };
    out.send(to === undefined ? everyone : this.#core.replica(to), 'prePrepare', value, view);
  }

  #fullReplierOf({ client, number }: OrderedRequest): number {
    return this.#core.queue.find(client, number)?.fullReplier ?? number % this.#core.n;
  }

  // ---- Backups ----

  onPrePrepare(from: number, message: PrePrepare): void {
    const core = this.#core;
    const { out, rules, log } = core;
    const { sequence, requests, agreed } = message;
    if (!core.isActive || message.view !== core.view) return out.count('other-view');
    if (from !== core.primary) return out.count('not-the-primary');
    if (!rules.mayPrePrepare(sequence, core.newViewTop, log.height, log.window)) {
      return out.count('outside-window');
    }
    const slot = log.slotAt(sequence);
    if (slot === undefined) return out.count('outside-window');
    if (slot.accepted !== undefined && !rules.mayReplaceAccepted()) {
      return this.#countAgain(slot.accepted, message);
    }
    if (batchSizeBytes(requests) > limits.batchSizeBytesMax) return out.count('batch-too-large');
    if (core.memberFailures.isThrottled(from, core.nowMs)) return out.count('member-throttled');
    const digests = this.#authenticated(from, requests);
    if (digests === undefined) return;
    if (!this.#isAgreedAcceptable(requests, agreed)) return out.count('agreed-refused');
    const digest = batchDigest(digests, agreed);
    this.keepBody(sequence, digest, { requests, digests, agreed });
    for (let i = 0; i < requests.length; i++) {
      core.parts.clientRequests.learn(
        requests[i] as SignedRequest,
        digests[i] as Bytes,
        message.fullRepliers[i],
      );
    }
    this.accept(slot, digest, false);
  }

  /** What came first stands, whether the primary says it again or says another thing; proposals prove nothing to others. */
  #countAgain(accepted: Bytes, { requests, agreed }: PrePrepare): void {
    const { log, out } = this.#core;
    const batch = log.batch(accepted);
    const isAgain = batch === undefined || isOf(batch, requests, agreed);
    out.count(isAgain ? 'duplicate' : 'pre-prepare-contradiction');
  }

  /** Digests of the requests if each is there once and its client signed it; judging anything else is for later. */
  #authenticated(from: number, requests: readonly SignedRequest[]): readonly Bytes[] | undefined {
    const { out, verifier, memberFailures, nowMs } = this.#core;
    if (requests.length === 0) {
      out.count('empty-batch');
      return undefined;
    }
    const digests: Bytes[] = [];
    const seen = new Set<string>();
    for (const request of requests) {
      const digest = verifier.verify(request);
      if (digest === undefined) {
        memberFailures.note(from, nowMs);
        out.count('request-not-signed');
        return undefined;
      }
      seen.add(mapKey(digest));
      digests.push(digest);
    }
    if (seen.size === digests.length) return digests;
    out.count('request-twice');
    return undefined;
  }

  #isAgreedAcceptable(requests: readonly SignedRequest[], agreed: Bytes): boolean {
    const { service } = this.#core;
    if (service.propose === undefined) return agreed.length === 0;
    return service.check?.(operationsOf(requests), agreed) ?? true;
  }

  // ---- Phases ----

  /** Stores a body so that it is durable before anything that names its digest leaves. */
  keepBody(sequence: number, digest: Bytes, batch: Batch): void {
    const { log, out } = this.#core;
    if (log.batchAt(sequence, digest) !== undefined) return;
    const record = encodeRecord('body', {
      requests: batch.requests as SignedRequest[],
      agreed: batch.agreed,
    });
    log.keepBody(digest, batch, record, sequence);
    out.record(record);
  }

  /** Takes a batch as the current view's at its sequence: enters Q, and a backup says so. The body is here. */
  accept(slot: Slot, digest: Bytes, isFromNewView: boolean): void {
    const core = this.#core;
    const { view, log, out, index } = core;
    const { sequence } = slot;
    slot.accepted = digest;
    if (core.rules.entersQ(core.isPrimary, isFromNewView)) {
      log.markAccepted(sequence, digest, view);
      out.record(encodeRecord('accepted', { view, sequence, digest }));
    }
    if (core.rules.mayPrepare(index, core.primary)) {
      slot.prepares.add(index, view, digest);
      this.sendPrepare(slot, digest, undefined);
    }
    this.#checkPrepared(slot);
  }

  onPrepare(from: number, vote: Vote): void {
    const core = this.#core;
    const { view, sequence, digest } = vote;
    if (view < core.view) return core.out.count('other-view');
    if (!core.rules.mayPrepare(from, core.primaryOf(view))) {
      return core.out.count('prepare-of-primary');
    }
    const slot = core.log.slotAt(sequence);
    if (slot === undefined) return core.out.count('outside-window');
    const counted = slot.prepares.add(from, view, digest);
    if (counted !== 'counted') return core.out.count(`prepare-${counted}`);
    if (view === core.view) this.#checkPrepared(slot);
  }

  onCommit(from: number, vote: Vote): void {
    const core = this.#core;
    const { view, sequence, digest } = vote;
    const slot = core.log.slotAt(sequence);
    if (slot === undefined) return core.out.count('outside-window');
    const counted = slot.commits.add(from, view, digest);
    if (counted !== 'counted') return core.out.count(`commit-${counted}`);
    this.#checkCommitted(slot, view, digest);
  }

  #checkPrepared(slot: Slot): void {
    const core = this.#core;
    const { view } = core;
    const digest = slot.accepted;
    if (slot.isPrepared || digest === undefined || !core.isActive) return;
    const votes = slot.prepares.tally(view, digest)?.members.size ?? 0;
    if (!core.rules.isPrepared(votes, core.faults)) return;
    slot.isPrepared = true;
    this.#preparedTop = Math.max(this.#preparedTop, slot.sequence);
    core.log.markPrepared(slot.sequence, digest, view);
    core.out.record(encodeRecord('prepared', { view, sequence: slot.sequence, digest }));
    slot.commits.add(core.index, view, digest);
    this.sendCommit(slot, digest, undefined);
    this.#checkCommitted(slot, view, digest);
    if (slot.committed === undefined) core.parts.execution.executeTentatively();
  }

  /** 2f+1 COMMITs of one view prove it, whatever view this member is in and whether or not it prepared the batch. */
  #checkCommitted(slot: Slot, view: number, digest: Bytes): void {
    if (slot.committed !== undefined) return;
    const votes = slot.commits.tally(view, digest)?.members.size ?? 0;
    if (!this.#core.rules.isCommitted(votes, this.#core.faults)) return;
    this.#core.parts.execution.commit(slot, digest);
  }

  sendPrepare(slot: Slot, digest: Bytes, to: number | undefined): void {
    this.#sendVote('pbftPrepare', slot, digest, to);
  }

  sendCommit(slot: Slot, digest: Bytes, to: number | undefined): void {
    this.#sendVote('pbftCommit', slot, digest, to);
  }

  #sendVote(
    name: 'pbftPrepare' | 'pbftCommit',
    { sequence }: Slot,
    digest: Bytes,
    to: number | undefined,
  ): void {
    const { instance, view, out } = this.#core;
    const value: Vote = { instance, view, sequence, digest };
    out.send(to === undefined ? everyone : this.#core.replica(to), name, value, view);
  }

  // ---- Views ----

  /** Entries above were dropped: what a primary ordered there it orders again. */
  dropAbove(bound: number): void {
    this.#next = Math.min(this.#next, bound + 1);
    this.#preparedTop = Math.min(this.#preparedTop, bound);
  }

  /** A view begins, or goes on after a restart: `top` is the last sequence that it has used. */
  enterView(top: number): void {
    const core = this.#core;
    this.#next = top + 1;
    this.#preparedTop = 0;
    this.#inFlight.clear();
    this.#delay.clear();
    core.queue.beginView(core.isPrimary);
  }

  /** A batch of the view that was accepted before a restart, with the votes that had been cast. */
  restore(slot: Slot, digest: Bytes, isPrepared: boolean): void {
    const { index, view, rules, primary } = this.#core;
    slot.accepted = digest;
    slot.isPrepared = isPrepared;
    if (rules.mayPrepare(index, primary)) slot.prepares.add(index, view, digest);
    if (!isPrepared) return;
    slot.commits.add(index, view, digest);
    this.#preparedTop = Math.max(this.#preparedTop, slot.sequence);
  }

  /**
   * Requests of a batch that is under way in this view without a PRE-PREPARE of it: they need no second batch, and keep
   * the clock running. Only those that their clients signed, because they may have to be proposed again.
   */
  learnBatch({ requests }: Batch): void {
    const { verifier, parts } = this.#core;
    for (const request of requests) {
      const digest = verifier.verify(request);
      if (digest !== undefined) parts.clientRequests.learn(request, digest, undefined);
    }
  }
}

function operationsOf(requests: readonly SignedRequest[]): Bytes[] {
  return requests.map(({ request }) => request.operation);
}
