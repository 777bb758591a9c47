// What clients ask and what they are told. A replica checks every request itself, whoever brought it, before it queues,
// proposes or hands it on.

import { type Bytes, emptyBytes, equalBytes, mapKey } from '../../base/bytes.ts';
import type { OrderedRequest, SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import type { Recipient, Sender } from '../contract.ts';
import { ownOrigin } from '../laned-queue.ts';
import { handedOnAgainMs } from '../lanes.ts';
import { answerCostBytes, QuestionTurns } from '../question-turns.ts';
import { requestKinds, resultDigest } from '../requests.ts';
import type { Core } from './core.ts';
import { contradictingRequests } from './evidence.ts';
import { CaughtClients } from './failed-checks.ts';
import { batchOrigin, type QueuedRequest } from './queue.ts';

export interface ReplyContext {
  readonly sequence: number;
  readonly isTentative: boolean;
  /** Whom the client asked for the whole result; undefined if this member does not know. */
  readonly fullReplier: number | undefined;
}

/** `kind` of a reply. */
const finalKind = 0;
const tentativeKind = 1;

/** A request whose result is stored. */
interface Repeat {
  readonly request: OrderedRequest;
  readonly fullReplier: number;
}

export class ClientRequests {
  readonly #core: Core;
  /** Large results that clients ask for again: without a check of any signature, so within a budget. */
  readonly #repeats = new QuestionTurns<Repeat>((repeat) => this.#repeat(repeat));
  readonly #caught = new CaughtClients();

  constructor(core: Core) {
    this.#core = core;
  }

  get wantsTurn(): boolean {
    return this.#repeats.wantsTurn;
  }

  beginTurn(): void {
    this.#repeats.beginTurn();
  }

  onSubmit(from: Sender, message: ReplicationMessageValue<'submitRequest'>): void {
    const core = this.#core;
    const { out, executor, queue } = core;
    const { request: signed, fullReplier } = message;
    const { client, number } = signed.request;
    const isFromClient = from.kind === 'client';
    if (isFromClient && !equalBytes(from.key, client)) return out.count('request-of-another');
    // A member that recovers is a client too, on its own channel.
    const isAuthor = isFromClient || equalBytes(core.group.members[from.index] as Bytes, client);
    if (this.#isAnswered(signed.request, fullReplier, isAuthor)) return;
    const known = queue.find(client, number);
    if (known === undefined) {
      // Members hand requests to their primary: here they would be timed without being handed on.
      if (!isAuthor && !core.isPrimary) return out.count('not-primary');
      this.#take(from, message, isAuthor || isFromClient ? ownOrigin : from.index);
    } else if (!isSame(known.request.request, signed.request)) {
      this.#onOther(from, known, signed);
    } else if (isFromClient) {
      known.fullReplier = fullReplier;
      this.#handOnAgain(known);
    } else if (!isAuthor) {
      queue.moveToLane(client, number, from.index);
    }
    if (executor.ended) this.endQueue();
  }

  #take(
    from: Sender,
    { request, fullReplier }: ReplicationMessageValue<'submitRequest'>,
    origin: number,
  ): void {
    const { out, executor, queue, nowMs } = this.#core;
    const { client, number } = request.request;
    // Before anything is checked: refusing must cost less than asking.
    if (!queue.hasRoom(request, origin)) return out.count('queue-full');
    const digest = this.#check(from, request);
    if (digest === undefined) return;
    // Executed tentatively, it is in a batch; it waits all the same until that is for good.
    const isProposed = executor.table.isSettled(client, number);
    const arrival = { origin, fullReplier, nowMs, isProposed };
    if (!queue.add(request, digest, arrival)) out.count('queue-full');
  }

  /** Something else than what is known under its number: it changes nothing, and costs nothing once its client is caught. */
  #onOther(from: Sender, known: QueuedRequest, signed: SignedRequest): void {
    if (this.#caught.has(mapKey(signed.request.client))) {
      return this.#core.out.count('contradicts-again');
    }
    if (this.#check(from, signed) !== undefined) this.#accuse(known, signed);
  }

  /** One proof accuses a client as well as many. @param signed another than the known one, and its client signed it too. */
  #accuse(known: QueuedRequest, signed: SignedRequest): void {
    const { out } = this.#core;
    const { client } = signed.request;
    const key = mapKey(client);
    if (this.#caught.has(key)) return out.count('contradicts-again');
    this.#caught.note(key);
    out.evidence(contradictingRequests(client, known.request, signed));
  }

  /** The digest of a request that its client signed. Whoever brings others is heard less. */
  #check(from: Sender, signed: SignedRequest): Bytes | undefined {
    const { out, nowMs, verifier, clientFailures, memberFailures } = this.#core;
    const isFromClient = from.kind === 'client';
    const failures = isFromClient ? clientFailures : memberFailures;
    if (!failures.isEmpty) {
      const whom = isFromClient ? mapKey(from.key) : from.index;
      if (failures.isThrottled(whom, nowMs)) {
        out.count(isFromClient ? 'client-throttled' : 'member-throttled');
        return undefined;
      }
    }
    const digest = verifier.verify(signed);
    if (digest !== undefined) return digest;
    failures.note(isFromClient ? mapKey(from.key) : from.index, nowMs);
    out.count('request-not-signed');
    return undefined;
  }

  /** Answers from the table if the request was executed, or can never be. */
  #isAnswered(request: OrderedRequest, fullReplier: number, isFromClient: boolean): boolean {
    const { executor, parts, parameters } = this.#core;
    const found = executor.table.find(request.client, request.number);
    // Those who are ahead may know more of the client: what is too far here is for the order to judge.
    if (found.kind === 'new' || found.kind === 'too-far') {
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
    if (!isTentative && result.length > parameters.fullReplySizeBytesMax) {
      this.#askAgain({ request, fullReplier });
      return true;
    }
    this.reply(request, 0, result, { sequence, isTentative, fullReplier });
    return !isTentative;
  }

  #askAgain(repeat: Repeat): void {
    const { out } = this.#core;
    const { client, number } = repeat.request;
    const key = mapKey(client);
    if (this.#repeats.waitingOf(key).some(({ request }) => request.number === number)) {
      return out.count('duplicate');
    }
    if (this.#repeats.ask(key, repeat) !== 'taken') out.count('repeats-full');
  }

  /** @returns what it cost, in bytes. */
  #repeat({ request, fullReplier }: Repeat): number {
    const { executor } = this.#core;
    const found = executor.table.find(request.client, request.number);
    if (found.kind !== 'stored') return answerCostBytes;
    const { result, sequence } = found;
    this.reply(request, 0, result, { sequence, isTentative: false, fullReplier });
    return answerCostBytes + result.length;
  }

  #replyWith(request: OrderedRequest, outcome: 1 | 2, fullReplier: number): void {
    const sequence = this.#core.parts.execution.executed;
    this.reply(request, outcome, emptyBytes, { sequence, isTentative: false, fullReplier });
  }

  /** At the end of an event: a backup hands on to the primary what waits, as much as may be outstanding there. */
  handOn(): void {
    const { queue, isPrimary, isActive, nowMs } = this.#core;
    if (queue.waiting === 0 || isPrimary || !isActive) return;
    for (const waiting of queue.takeToHandOn(nowMs)) this.#forward(waiting);
  }

  #handOnAgain({ request, fullReplier }: QueuedRequest): void {
    const { queue, isPrimary, isActive, nowMs } = this.#core;
    if (isPrimary || !isActive) return;
    const { client, number } = request.request;
    if (!queue.handOnAgain(client, number, nowMs - handedOnAgainMs, nowMs)) return;
    this.#forward({ request, fullReplier });
  }

  /** Hands a request to the primary. Its signature speaks for it. */
  #forward({ request, fullReplier }: Pick<QueuedRequest, 'request' | 'fullReplier'>): void {
    const { out, instance, primary, n } = this.#core;
    out.sendUrgently(this.#core.replica(primary), 'submitRequest', {
      instance,
      request,
      fullReplier: fullReplier ?? request.request.number % n,
    });
  }

  /** Takes a request that came in a batch and was verified there: it keeps the clock running until it is executed. */
  learn(signed: SignedRequest, digest: Bytes, fullReplier: number | undefined): void {
    const { queue, executor, nowMs } = this.#core;
    const { client, number } = signed.request;
    const known = queue.find(client, number);
    if (known !== undefined) {
      if (!equalBytes(known.digest, digest)) this.#accuse(known, signed);
      known.fullReplier ??= fullReplier;
      return queue.markProposed(client, number, nowMs);
    }
    if (executor.ended || executor.table.isSettled(client, number)) return;
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
      if (!executor.table.isSettled(client, number)) {
        this.#replyWith(request.request, 1, number % this.#core.n);
      }
    }
  }

  /** After the state was replaced: what the table knows waits no longer. */
  dropAnswered(): void {
    const { queue, executor } = this.#core;
    for (const { request } of [...queue.all()]) {
      const { client, number } = request.request;
      if (executor.table.isSettled(client, number)) queue.remove(client, number);
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
    this.handOnAgain(0);
  }

  /**
   * A backup tells the primary again of what it has handed on and sees in no batch.
   * @param sinceMs nothing that it told of within this time.
   */
  handOnAgain(sinceMs: number): void {
    const { queue, isPrimary, isActive, nowMs } = this.#core;
    if (isPrimary || !isActive) return;
    for (const waiting of queue.toHandOnAgain(nowMs - sinceMs, nowMs)) this.#forward(waiting);
  }
}

/** Whether two requests of one client under one number say the same. Either one's proof speaks for both. */
function isSame(a: OrderedRequest, b: OrderedRequest): boolean {
  return a.kind === b.kind && equalBytes(a.operation, b.operation);
}
