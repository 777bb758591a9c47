// The client of a replicated group: bundles what is submitted in one turn under one signature, keeps a window of requests
// in flight, asks again when nobody answers, and believes replies by its engine's rule.

import { type Bytes, emptyBytes } from '../base/bytes.ts';
import type { HoldfastError } from '../base/errors.ts';
import type { Signer } from '../crypto/signature.ts';
import type { Timer } from '../env/clock.ts';
import type { Env } from '../env/env.ts';
import type { Address } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import type { SignedRequest } from '../wire/replication.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { Acceptance, Judgement } from './acceptance.ts';
import {
  enter,
  type InFlight,
  type Operation,
  outcomeOf,
  type Unanswered,
} from './client-operation.ts';
import { type ClientEnd, closedMeanwhile, isOver, tooLong, tooMany } from './client-refusals.ts';
import type { Outcome, ReplicaGroup, ReplicatedClient, SubmitOptions } from './contract.ts';
import { FullRepliers } from './full-repliers.ts';
import { GroupSilence } from './group-silence.ts';
import { MemberLinks } from './member-links.ts';
import { OperationDeadlines } from './operation-deadlines.ts';
import { ReplyBox } from './reply-box.ts';
import { RequestNumbers } from './request-numbers.ts';
import { bundle, requestKinds } from './requests.ts';
import { RetryDelay } from './retry-delay.ts';

export interface GroupClientOptions {
  readonly env: Env;
  /** The client's key: the one that its channels prove. */
  readonly signer: Signer;
  readonly group: ReplicaGroup;
  /** Where the members are, by index. */
  readonly addresses: readonly Address[];
  readonly acceptance: Acceptance;
  /**
   * Whether this key has never been used with the group. Otherwise the client first asks which numbers it has used.
   * Two clients never use one key at the same time.
   */
  readonly isFresh: boolean;
  /** With the same key in the instance before; `isFresh` does not matter then. */
  readonly follows?: Unanswered | undefined;
  /** How long an operation may wait for its outcome; undefined: as long as it takes. */
  readonly timeoutMs?: number | undefined;
  /** How many members the client is connected to, where that is known. */
  readonly connected?: () => number;
}

const noProof = { signature: new Uint8Array(64), count: 1, index: 0, path: [] };

export class GroupClient implements ReplicatedClient {
  readonly #options: GroupClientOptions;
  readonly #links: MemberLinks;
  readonly #delay = new RetryDelay();
  /** Operations that wait for a place in the window, oldest first. */
  #queue: Operation[] = [];
  /** By ascending number. */
  readonly #requests = new Map<number, InFlight>();
  readonly #queries = new Map<number, InFlight>();
  readonly #numbers: RequestNumbers;
  /** A number space of its own, begun anywhere, so that no answer to an earlier process is taken for one to this. */
  #nextQuery: number;
  #view = 0;
  readonly #fullRepliers: FullRepliers;
  readonly #silence: GroupSilence;
  readonly #deadlines: OperationDeadlines;
  #isScheduled = false;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  /** Undefined while it takes operations. */
  #end: ClientEnd | undefined;
  /** An operation was given up since this was looked at last. */
  #hasAbandoned = false;

  /** Takes the environment's network over. */
  constructor(options: GroupClientOptions) {
    const { env, group, addresses, isFresh } = options;
    this.#options = options;
    this.#links = new MemberLinks(env.network, group, addresses, {
      onReply: (from, value) => this.#onReply(from, value),
      onLastNumber: (from, value) => this.#onLastNumber(from, value),
      onLost: (member) => this.#onLost(member),
    });
    this.#fullRepliers = new FullRepliers(group.members.length);
    const { connected = () => undefined, timeoutMs } = options;
    this.#silence = new GroupSilence({ log: env.log, members: group.members.length, connected });
    this.#deadlines = new OperationDeadlines(timeoutMs);
    this.#numbers = new RequestNumbers({
      acceptance: options.acceptance,
      entropy: env.entropy,
      ask: (asked) => this.#askForNumber(asked),
      claim: (operation, number) => this.#sendNumbered([operation], number),
      onKnown: () => this.#schedule(),
    });
    const random = env.entropy.bytes(6);
    this.#nextQuery = random.reduce((number, byte) => number * 256 + byte, 0);
    if (options.follows !== undefined) this.#follow(options.follows);
    else this.#beginWith(isFresh ? 1 : undefined);
  }

  #beginWith(next: number | undefined): void {
    if (next !== undefined) this.#greet();
    this.#numbers.begin(next);
  }

  /** Requests keep their numbers: the table of clients, which the instance began with, has those that were executed. */
  #follow({ next, requests, waiting }: Unanswered): void {
    this.#beginWith(next);
    const nowMs = this.#options.env.clock.nowMs();
    for (const { operation } of requests) this.#deadlines.begin(operation, nowMs);
    for (const operation of waiting) this.#deadlines.begin(operation, nowMs);
    if (requests.length + waiting.length > 0) this.#silence.begin(nowMs);
    this.#wake(Math.min(this.#deadlines.nextMs, this.#silence.nextMs));
    for (const { number, operation } of requests) this.#sendNumbered([operation], number);
    this.#queue = [...waiting];
    this.#schedule();
  }

  submit(operation: Bytes, options: SubmitOptions = {}): Promise<Outcome> {
    return this.#enter(operation, 0, options);
  }

  query(operation: Bytes, options: SubmitOptions = {}): Promise<Outcome> {
    return this.#enter(operation, 1, options);
  }

  close(): void {
    // What another one has taken over is settled there.
    const { requests, waiting } = this.#leave('closed');
    for (const { operation } of requests) operation.finish(closedMeanwhile(operation.kind));
    for (const operation of waiting) operation.finish(closedMeanwhile(operation.kind));
  }

  /** Ends this client, but not what it has under way, with which another one goes on. */
  leave(): Unanswered {
    return this.#leave('followed');
  }

  #leave(end: ClientEnd): Unanswered {
    this.#end ??= end;
    this.#timer?.cancel();
    const requests = [...this.#requests.values()].filter(
      ({ operation }) => operation.kind !== requestKinds.claim,
    );
    const waiting = [...this.#queries.values()].map(({ operation }) => operation);
    const left = { next: this.#numbers.next, requests, waiting: [...waiting, ...this.#queue] };
    this.#queue = [];
    this.#requests.clear();
    this.#queries.clear();
    return left;
  }

  async #enter(operation: Bytes, kind: 0 | 1, { signal }: SubmitOptions): Promise<Outcome> {
    const refusal = this.#refusal(operation);
    if (refusal !== undefined) throw refusal;
    return enter(operation, kind, signal, {
      begin: (begun) => {
        const nowMs = this.#options.env.clock.nowMs();
        this.#queue.push(begun);
        this.#deadlines.begin(begun, nowMs);
        this.#silence.begin(nowMs);
        this.#wake(Math.min(this.#deadlines.nextMs, this.#silence.nextMs));
        this.#schedule();
      },
      abandon: (abandoned) => {
        this.#deadlines.settled(abandoned);
        this.#abandon(abandoned);
      },
    });
  }

  #refusal(operation: Bytes): HoldfastError | undefined {
    if (this.#end !== undefined) return isOver(this.#end);
    if (operation.length > limits.operationSizeBytesMax) return tooLong(operation.length);
    return this.#queue.length < limits.queuedOperationsMax ? undefined : tooMany();
  }

  /**
   * Nobody waits for it any more. A request that was sent keeps its place and is asked for until it is answered: numbers in use are then
   * never further above the answered ones than a window, which is what a restart relies on.
   */
  #abandon(operation: Operation): void {
    for (const [number, query] of this.#queries) {
      if (query.operation === operation) this.#queries.delete(number);
    }
    this.#hasAbandoned = true;
    this.#schedule();
  }

  /** Sends at the end of this turn, so that all that is submitted in it goes under one signature. */
  #schedule(): void {
    if (this.#isScheduled || this.#end !== undefined) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      if (this.#end === undefined) this.#sendQueued();
    });
  }

  #sendQueued(): void {
    if (this.#hasAbandoned) {
      this.#hasAbandoned = false;
      if (!this.#isAnyWaiting) this.#silence.rest(this.#options.env.clock.nowMs());
    }
    const ordered: Operation[] = [];
    let taken = 0;
    for (; taken < this.#queue.length; taken++) {
      const operation = this.#queue[taken] as Operation;
      if (operation.isOver) continue;
      if (!operation.mustOrder) {
        if (this.#queries.size >= limits.clientWindow) break;
        this.#sendQuery(operation);
      } else {
        if (!this.#hasRoom(ordered.length)) break;
        ordered.push(operation);
      }
    }
    this.#queue.splice(0, taken);
    if (ordered.length > 0) this.#sendOrdered(ordered);
  }

  /** A number is used only when all that are a window or more below it are answered. */
  #hasRoom(taken: number): boolean {
    const { next } = this.#numbers;
    if (next === undefined) return false;
    const [oldest] = this.#requests.keys();
    return next + taken < (oldest ?? next) + limits.clientWindow;
  }

  #sendOrdered(operations: readonly Operation[]): void {
    this.#sendNumbered(operations, this.#numbers.take(operations.length));
  }

  #sendNumbered(operations: readonly Operation[], first: number): void {
    const { signer, group, acceptance } = this.#options;
    const requests = operations.map(({ kind, bytes }, i) => ({
      client: signer.publicKey,
      number: first + i,
      kind,
      operation: bytes,
    }));
    const signed: SignedRequest[] =
      acceptance.isSigned !== false
        ? bundle(signer, group.instance, requests)
        : requests.map((request) => ({ request, proof: noProof }));
    signed.forEach((request, i) => {
      const inFlight = this.#begin(operations[i] as Operation, first + i, request);
      inFlight.operation.isSent = true;
      this.#requests.set(inFlight.number, inFlight);
      this.#send(inFlight, [this.#primary], inFlight.fullReplier);
    });
  }

  #sendQuery(operation: Operation): void {
    const number = this.#nextQuery;
    this.#nextQuery += 1;
    const inFlight = this.#begin(operation, number, undefined);
    this.#queries.set(number, inFlight);
    const { asksAll } = this.#options.acceptance;
    this.#send(inFlight, asksAll ? this.#links.everyone : [this.#primary], inFlight.fullReplier);
  }

  #begin(operation: Operation, number: number, signed: SignedRequest | undefined): InFlight {
    const nowMs = this.#options.env.clock.nowMs();
    const retryAtMs = nowMs + this.#delay.afterMs(0);
    this.#wake(retryAtMs);
    return {
      operation,
      number,
      signed,
      fullReplier: this.#fullRepliers.next(nowMs),
      box: new ReplyBox(this.#options.group.members.length),
      sentAtMs: nowMs,
      retries: 0,
      retryAtMs,
      lacksBody: false,
    };
  }

  get #primary(): number {
    const { acceptance, group } = this.#options;
    return this.#view % (acceptance.primaries ?? group.members.length);
  }

  #send({ signed, number, operation }: InFlight, to: readonly number[], fullReplier: number): void {
    const { instance } = this.#options.group;
    if (signed === undefined) {
      const value = { instance, number, fullReplier, operation: operation.bytes };
      this.#links.send(to, 'queryRequest', value);
    } else {
      this.#links.send(to, 'submitRequest', { instance, request: signed, fullReplier });
    }
  }

  #onReply(from: number, value: ReplicationMessageValue<'requestReply'>): void {
    this.#silence.heard(from);
    const isQuery = value.kind === 2;
    const inFlight = (isQuery ? this.#queries : this.#requests).get(value.number);
    if (inFlight?.box.take(from, value) === true) this.#judge(inFlight);
  }

  #judge(inFlight: InFlight): void {
    const { acceptance } = this.#options;
    const { box, signed } = inFlight;
    const judgement: Judgement =
      signed === undefined ? acceptance.query(box.replies) : acceptance.ordered(box.replies);
    if (judgement.kind === 'impossible') this.#orderQuery(inFlight);
    if (judgement.kind !== 'accepted') return;
    const { reply } = judgement;
    const body = reply.outcome === 0 ? box.bodyOf(reply) : emptyBytes;
    if (body !== undefined) this.#accept(inFlight, outcomeOf(reply.outcome, body));
    else if (!inFlight.lacksBody) {
      inFlight.lacksBody = true;
      this.#askForBody(inFlight);
    }
  }

  #accept(inFlight: InFlight, outcome: Outcome): void {
    const { number, signed, box, sentAtMs, operation } = inFlight;
    (signed === undefined ? this.#queries : this.#requests).delete(number);
    const nowMs = this.#options.env.clock.nowMs();
    if (inFlight.lacksBody) {
      this.#fullRepliers.passOver(inFlight.fullReplier, nowMs);
    } else {
      this.#delay.note(nowMs - sentAtMs);
    }
    this.#learnView(box);
    this.#deadlines.settled(operation);
    operation.finish(outcome);
    this.#silence.answered(nowMs, this.#isAnyWaiting);
    if (outcome.kind === 'too-old' && operation.kind === 0) this.#numbers.renew();
    if (this.#queue.length > 0) this.#schedule();
  }

  /** The highest view that more members than may lie have reached. A wrong guess costs time only. */
  #learnView(box: ReplyBox): void {
    const views = box.replies.map(({ view }) => view).sort((a, b) => b - a);
    this.#view = Math.max(this.#view, views[this.#options.acceptance.liars] ?? 0);
  }

  /** A read in one round that came to nothing is ordered like a write, before what waits. */
  #orderQuery({ number, operation }: InFlight): void {
    this.#queries.delete(number);
    if (operation.isOver) return;
    const { env } = this.#options;
    env.metrics.count('replication_queries_ordered_total');
    operation.mustOrder = true;
    this.#queue.unshift(operation);
    this.#schedule();
  }

  /** Each member is told that it is the one to send the whole result: whoever was asked before has not. */
  #askForBody(inFlight: InFlight): void {
    for (const member of this.#links.everyone) this.#send(inFlight, [member], member);
  }

  /** A member answers on the channel on which it has heard the client: all shall have, before the first reply. */
  #greet(): void {
    const { instance } = this.#options.group;
    const { nonce } = this.#numbers;
    this.#links.send(this.#links.everyone, 'lastNumber', { instance, nonce });
  }

  #askForNumber(asked: number): number {
    this.#greet();
    const nowMs = this.#options.env.clock.nowMs();
    const againAtMs = nowMs + this.#delay.afterMs(asked);
    this.#wake(againAtMs);
    return againAtMs;
  }

  #onLastNumber(from: number, { nonce, number }: ReplicationMessageValue<'lastNumberIs'>): void {
    this.#silence.heard(from);
    if (this.#end === undefined) this.#numbers.onAnswer(from, nonce, number);
  }

  #wake(atMs: number): void {
    if (atMs >= this.#timerAtMs || this.#end !== undefined) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    const { clock, timers } = this.#options.env;
    this.#timer = timers.after(Math.max(0, atMs - clock.nowMs()), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#options.env.clock.nowMs();
    const over = this.#deadlines.expire(nowMs, this.#silence);
    for (const operation of over) this.#abandon(operation);
    this.#silence.check(nowMs, () => [...this.#operations()].length);
    if (this.#numbers.askAgainAtMs <= nowMs) this.#numbers.ask();
    for (const query of [...this.#queries.values()]) {
      if (query.retryAtMs <= nowMs) this.#orderQuery(query);
    }
    const { askAgainAtMs } = this.#numbers;
    let earliestMs = Math.min(this.#silence.nextMs, this.#deadlines.nextMs, askAgainAtMs);
    for (const request of this.#requests.values()) {
      if (request.retryAtMs <= nowMs) this.#retry(request, nowMs);
      earliestMs = Math.min(earliestMs, request.retryAtMs);
    }
    for (const { retryAtMs } of this.#queries.values())
      earliestMs = Math.min(earliestMs, retryAtMs);
    if (Number.isFinite(earliestMs)) this.#wake(earliestMs);
  }

  /** What the application has asked for and still waits for. */
  *#operations(): Iterable<Operation> {
    const isWaiting = ({ isOver, kind }: Operation) => !isOver && kind !== requestKinds.claim;
    for (const sent of [this.#requests, this.#queries]) {
      for (const { operation } of sent.values()) if (isWaiting(operation)) yield operation;
    }
    for (const operation of this.#queue) if (isWaiting(operation)) yield operation;
  }

  get #isAnyWaiting(): boolean {
    for (const _ of this.#operations()) return true;
    return false;
  }

  /** The others time a primary that is gone from when they hear of a request: the sooner, the shorter the gap. */
  #onLost(member: number): void {
    this.#silence.lost(member);
    if (this.#end !== undefined || member !== this.#primary) return;
    const nowMs = this.#options.env.clock.nowMs();
    for (const request of this.#requests.values()) {
      if (request.retries === 0) this.#retry(request, nowMs);
    }
  }

  /** The primary may be dead or hostile: everyone hears of the request, and makes the primary order it. */
  #retry(request: InFlight, nowMs: number): void {
    request.retries += 1;
    request.retryAtMs = nowMs + this.#delay.afterMs(request.retries);
    if (request.lacksBody) this.#askForBody(request);
    else this.#send(request, this.#links.everyone, request.fullReplier);
  }
}
