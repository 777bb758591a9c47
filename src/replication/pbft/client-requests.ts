// What clients ask and what they are told. A replica checks every request itself, whoever brought it, before it queues,
// proposes or hands it on.

import { type Bytes, emptyBytes, equalBytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Recipient, Sender } from '../contract.ts';
import { requestKinds, resultDigest } from '../requests.ts';
import type { Core } from './core.ts';
import { contradictingRequests } from './evidence.ts';
import { batchOrigin, ownOrigin } from './queue.ts';

export interface ReplyContext {
  readonly sequence: number;
  readonly isTentative: boolean;
  /** Whom the client asked for the whole result; undefined if this member does not know. */
  readonly fullReplier: number | undefined;
}

/** So many wrong proofs of one client are checked within this time; then nothing of it until that is over. */
const failedProofsMax = 16;
const failedProofsWithinMs = 1000;

/** `kind` of a reply. */
const finalKind = 0;
const tentativeKind = 1;

export class ClientRequests {
  readonly #core: Core;
  /** Clients whose proofs failed lately, in order of when that began. */
  readonly #failures = new Map<string, { readonly sinceMs: number; count: number }>();

  constructor(core: Core) {
    this.#core = core;
  }

  onSubmit(from: Sender, message: ReplicationMessageValue<'submitRequest'>): void {
    const core = this.#core;
    const { out, executor, queue } = core;
    const signed = message.request;
    const { client, number } = signed.request;
    const isFromClient = from.kind === 'client';
    if (isFromClient && !equalBytes(from.key, client)) return out.count('request-of-another');
    // A member that recovers is a client too, on its own channel.
    const isAuthor = isFromClient || equalBytes(core.group.members[from.index] as Bytes, client);
    if (this.#isAnswered(signed.request, message.fullReplier, isAuthor)) return;
    const known = queue.find(client, number);
    if (isFromClient && this.#isThrottled(from.key)) return out.count('client-throttled');
    const digest = core.verifier.verify(signed);
    if (digest === undefined) {
      if (isFromClient) this.#noteFailure(from.key);
      return out.count('request-not-signed');
    }
    if (known === undefined) {
      // Executed tentatively, it is in a batch; it waits all the same until that is for good.
      const isProposed = executor.table.find(client, number).kind !== 'new';
      // Members hand requests to their primary: here they would be timed without being handed on.
      if (!isAuthor && !core.isPrimary && core.isActive) return out.count('not-primary');
      const origin = isAuthor || isFromClient ? ownOrigin : from.index;
      const { fullReplier } = message;
      if (!queue.add(signed, digest, { origin, fullReplier, nowMs: core.nowMs, isProposed })) {
        return out.count('queue-full');
      }
    } else {
      if (isFromClient) known.fullReplier = message.fullReplier;
      if (!equalBytes(known.digest, digest)) {
        out.evidence(contradictingRequests(client, known.request, signed));
      }
    }
    if (isFromClient && !core.isPrimary && core.isActive) this.forward(signed, message.fullReplier);
    if (executor.ended) this.endQueue();
  }

  /** A wrong proof on a client's own channel is that client's doing: it may cause few checks that come to nothing. */
  #isThrottled(client: Bytes): boolean {
    if (this.#failures.size === 0) return false;
    const failed = this.#failures.get(mapKey(client));
    if (failed === undefined || failed.count < failedProofsMax) return false;
    return this.#core.nowMs - failed.sinceMs < failedProofsWithinMs;
  }

  #noteFailure(client: Bytes): void {
    const key = mapKey(client);
    const { nowMs } = this.#core;
    const failed = this.#failures.get(key);
    if (failed !== undefined && nowMs - failed.sinceMs < failedProofsWithinMs) {
      failed.count += 1;
      return;
    }
    this.#failures.delete(key);
    if (this.#failures.size >= limits.throttledClientsMax) {
      for (const oldest of this.#failures.keys()) {
        this.#failures.delete(oldest);
        break;
      }
    }
    this.#failures.set(key, { sinceMs: nowMs, count: 1 });
  }

  /** Answers from the table if the request was executed, or can never be. */
  #isAnswered(request: OrderedRequest, fullReplier: number, isFromClient: boolean): boolean {
    const { executor, parts } = this.#core;
    const found = executor.table.find(request.client, request.number);
    if (found.kind === 'new') {
      if (!executor.ended) return false;
      // Not in the table, which the next instance inherits: the request is new there.
      if (isFromClient) this.#replyWith(request, 1, fullReplier);
      return true;
    }
    if (!isFromClient) return true;
    if (found.kind === 'too-old') {
      this.#replyWith(request, 2, fullReplier);
      return true;
    }
    const { result, sequence } = found;
    const isTentative = sequence > parts.execution.executed;
    this.reply(request, 0, result, { sequence, isTentative, fullReplier });
    return !isTentative;
  }

  #replyWith(request: OrderedRequest, outcome: 1 | 2, fullReplier: number): void {
    const sequence = this.#core.parts.execution.executed;
    this.reply(request, outcome, emptyBytes, { sequence, isTentative: false, fullReplier });
  }

  /** Hands a request to the primary. Its signature speaks for it. */
  forward(request: SignedRequest, fullReplier: number): void {
    const { out, instance, primary } = this.#core;
    out.sendUrgently(this.#core.replica(primary), 'submitRequest', {
      instance,
      request,
      fullReplier,
    });
  }

  /** Takes a request that came in a batch and was verified there: it keeps the clock running until it is executed. */
  learn(signed: SignedRequest, digest: Bytes, fullReplier: number | undefined): void {
    const { queue, executor, nowMs } = this.#core;
    const { client, number } = signed.request;
    const known = queue.find(client, number);
    if (known !== undefined) {
      known.fullReplier ??= fullReplier;
      return queue.markProposed(client, number);
    }
    if (executor.ended || executor.table.find(client, number).kind !== 'new') return;
    queue.add(signed, digest, { origin: batchOrigin, fullReplier, nowMs, isProposed: true });
  }

  reply(request: OrderedRequest, outcome: 0 | 1 | 2, result: Bytes, context: ReplyContext): void {
    const { instance, view, out, n, index, parameters } = this.#core;
    const { sequence, isTentative, fullReplier } = context;
    const { client, number } = request;
    const designated = fullReplier ?? number % n;
    const isFull = result.length <= parameters.fullReplySizeBytesMax || designated === index;
    const value: ReplicationMessageValue<'requestReply'> = {
      instance,
      view,
      sequence,
      number,
      kind: isTentative ? tentativeKind : finalKind,
      outcome,
      digest: resultDigest(outcome, result),
      result: isFull ? [result] : [],
    };
    const member = request.kind === requestKinds.claim ? this.#core.memberOf(client) : -1;
    if (member === index) return this.#core.parts.recovery.onReply(index, value);
    const to: Recipient =
      member >= 0 ? this.#core.replica(member) : { kind: 'client', key: client };
    // What was executed for good stays true when the view is left.
    out.send(to, 'requestReply', value, isTentative ? view : undefined);
  }

  /** The instance has ended: whatever waits is for the next one. */
  endQueue(): void {
    const { queue, executor } = this.#core;
    for (const { request } of [...queue.all()]) {
      const { client, number } = request.request;
      queue.remove(client, number);
      if (executor.table.find(client, number).kind === 'new') {
        this.#replyWith(request.request, 1, number % this.#core.n);
      }
    }
  }

  /** After the state was replaced: what the table knows waits no longer. */
  dropAnswered(): void {
    const { queue, executor } = this.#core;
    for (const { request } of [...queue.all()]) {
      const { client, number } = request.request;
      if (executor.table.find(client, number).kind !== 'new') queue.remove(client, number);
    }
  }

  /**
   * Before the primary is accused: it may have had no place for what waits, or never heard of it. What can never be
   * executed any more, since its client went on without it, is no fault of the primary's.
   */
  remind(): void {
    const { queue, executor } = this.#core;
    for (const { request } of [...queue.all()]) {
      const { client, number } = request.request;
      if (executor.table.find(client, number).kind === 'too-old') queue.remove(client, number);
    }
    this.forwardWaiting(limits.clientWindow);
  }

  /** A backup tells a new primary what waits, the oldest first. */
  forwardWaiting(countMax: number): void {
    const { queue, n, isPrimary, isActive } = this.#core;
    if (isPrimary || !isActive) return;
    let count = 0;
    for (const { request, fullReplier } of queue.all()) {
      if (count++ === countMax) return;
      this.forward(request, fullReplier ?? request.request.number % n);
    }
  }
}
