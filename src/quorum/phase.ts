// One running request to one group in one epoch: sends, resends, collects votes, fetches what the judge misses, and
// ends with a quorum or the reasons why there is none. Shared by all implementations of quorum calls.

import type { PeerId } from '../base/brand.ts';
import type { Cancellation } from '../base/cancellation.ts';
import type { Member } from '../configuration/configuration.ts';
import type { Timer } from '../env/clock.ts';
import { type Message, refusalCodeOf, refusalCodes } from '../wire/registry.ts';
import type { Thresholds } from './arithmetic.ts';
import {
  type Fetch,
  type Judge,
  type MessageContext,
  type Outgoing,
  type Quorum,
  QuorumUnavailable,
  type Request,
  type Unanswered,
} from './calls/contract.ts';
import { Collector } from './collector.ts';
import type { Conversation, Exchange } from './exchange.ts';

export interface PhaseGroup {
  readonly members: readonly Member[];
  readonly thresholds: Thresholds;
  readonly epoch: number;
}

const resendMsFirst = 1_000;
const resendMsMax = 8_000;
const fetchTimeoutMs = 1_000;

/** @throws QuorumUnavailable when `signal` aborts first or too many members refuse for good. */
export function runPhase<Body>(
  exchange: Exchange,
  group: PhaseGroup,
  request: Request<Body>,
  judge: Judge<Body> | undefined,
  signal: Cancellation,
): Promise<Quorum<Body>> {
  return new Promise((resolve, reject) => {
    new Phase(exchange, group, request, judge, signal, resolve, reject).start();
  });
}

interface RunningFetch<Body> {
  readonly fetch: Fetch<Body>;
  readonly conversation: Conversation;
  next: number;
  timer: Timer | undefined;
}

class Phase<Body> {
  readonly #exchange: Exchange;
  readonly #group: PhaseGroup;
  readonly #request: Request<Body>;
  readonly #judge: Judge<Body>;
  readonly #signal: Cancellation;
  readonly #resolve: (quorum: Quorum<Body>) => void;
  readonly #reject: (error: Error) => void;
  readonly #members: ReadonlyMap<PeerId, Member>;
  readonly #collector: Collector<Body>;
  readonly #conversation: Conversation;
  /** Members in the order in which they are asked, the fastest of late first. */
  readonly #order: readonly Member[];
  readonly #askedAtMs = new Map<PeerId, number>();
  #message: Outgoing | undefined;
  #eagerMessage: Outgoing | undefined;
  readonly #reasons = new Map<PeerId, Unanswered['why']>();
  #resendMs = resendMsFirst;
  #isResending = false;
  #timer: Timer | undefined;
  #fetch: RunningFetch<Body> | undefined;
  #ended = false;

  constructor(
    exchange: Exchange,
    group: PhaseGroup,
    request: Request<Body>,
    judge: Judge<Body> | undefined,
    signal: Cancellation,
    resolve: (quorum: Quorum<Body>) => void,
    reject: (error: Error) => void,
  ) {
    this.#exchange = exchange;
    this.#group = group;
    this.#request = request;
    this.#judge = judge ?? ((soFar) => (soFar.replies.length >= soFar.quorum ? 'enough' : 'more'));
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#members = new Map(group.members.map((member) => [member.peer, member]));
    this.#collector = new Collector(this.#members.keys(), group.thresholds.quorum);
    this.#order = exchange.ranked(group.members);
    this.#conversation = exchange.begin((from, message) => this.#onReply(from, message));
  }

  start(): void {
    if (this.#signal.aborted) return this.#fail('timeout');
    this.#signal.addEventListener('abort', this.#onAbort);
    if (this.#request.staggerMs === undefined) {
      for (const member of this.#order) this.#ask(member);
      this.#scheduleResend();
    } else {
      this.#askNext();
    }
  }

  readonly #onAbort = (): void => this.#fail('timeout');

  // ---- Asking ----

  #context(conversation: Conversation): MessageContext {
    const { epoch } = this.#group;
    return { instance: this.#exchange.instance, epoch, nonce: conversation.nonce };
  }

  #ask(member: Member): void {
    if (!this.#askedAtMs.has(member.peer)) {
      this.#askedAtMs.set(member.peer, this.#exchange.env.clock.nowMs());
    }
    const isEager = this.#order.indexOf(member) <= this.#group.thresholds.byzantine;
    this.#exchange.send(member, this.#messageTo(isEager));
  }

  /** Encoded once: a block is large, and the same bytes go to every member. */
  #messageTo(isEager: boolean): Outgoing {
    if (isEager && this.#request.encodeEager !== undefined) {
      this.#eagerMessage ??= this.#request.encodeEager(this.#context(this.#conversation));
      return this.#eagerMessage;
    }
    this.#message ??= this.#request.encode(this.#context(this.#conversation));
    return this.#message;
  }

  /** Staggered asking: the next member that was not asked yet; after the last one, ordinary resending. */
  #askNext(): void {
    // Once all have been asked, no answer puts resending off: a liar could do that for ever.
    if (this.#isResending) return;
    this.#timer?.cancel();
    const next = this.#order.find((member) => !this.#askedAtMs.has(member.peer));
    if (next === undefined) return this.#scheduleResend();
    this.#ask(next);
    const { staggerMs } = this.#request;
    this.#timer = this.#exchange.env.timers.after(staggerMs ?? resendMsFirst, () => {
      if (!this.#collector.has(next.peer)) this.#exchange.penalize(next.peer);
      this.#askNext();
    });
  }

  #scheduleResend(): void {
    this.#isResending = true;
    this.#timer?.cancel();
    this.#timer = this.#exchange.env.timers.after(this.#resendMs, () => {
      this.#resendMs = Math.min(2 * this.#resendMs, resendMsMax);
      for (const member of this.#order) {
        if (this.#collector.isOpen(member.peer)) {
          this.#exchange.env.metrics.count('requests_resent_total');
          this.#ask(member);
        }
      }
      this.#scheduleResend();
    });
  }

  // ---- Hearing ----

  #onReply(from: PeerId, message: Message): void {
    const member = this.#admit(from, message);
    if (member === undefined) return;
    const asked = this.#askedAtMs.get(from);
    if (asked !== undefined && !this.#collector.has(from)) {
      this.#exchange.answered(from, this.#exchange.env.clock.nowMs() - asked);
    }
    if (message.name === 'refused') return this.#onRefused(member, message.value.code);
    const reply = this.#request.accept(message, member);
    if ('invalid' in reply) return this.#onInvalid(member, reply.invalid);
    this.#count(member, reply.vote);
  }

  /** The sender's member record if it may vote here: a member of the group, answering for this epoch. */
  #admit(from: PeerId, message: Message): Member | undefined {
    const member = this.#members.get(from);
    if (member === undefined) {
      this.#ignore('not-a-member');
      return undefined;
    }
    // Phases never mix epochs. An epoch is only ever learnt from its certificate, not from such a claim.
    if (!('epoch' in message.value) || message.value.epoch !== this.#group.epoch) {
      this.#ignore('other-epoch');
      return undefined;
    }
    return member;
  }

  #count(member: Member, vote: Body): void {
    const { replaces } = this.#request;
    const outcome = this.#collector.vote(
      member.peer,
      vote,
      (earlier) => replaces?.(vote, earlier) ?? false,
    );
    if (outcome === 'repeated' || outcome === 'stranger') return this.#ignore(outcome);
    if (outcome === 'replaced') this.#exchange.env.metrics.count('votes_replaced_total');
    this.#reasons.delete(member.peer);
    this.#evaluate();
    if (!this.#ended && this.#request.staggerMs !== undefined) this.#askNext();
  }

  #onRefused(member: Member, number: number): void {
    const code = refusalCodeOf(number) ?? 'invalid';
    this.#reasons.set(member.peer, code);
    if (!refusalCodes[code].final) return;
    this.#giveUpOn(member);
  }

  #onInvalid(member: Member, reason: string): void {
    this.#accuse(member, reason);
    this.#reasons.set(member.peer, 'invalid');
    this.#giveUpOn(member);
  }

  /** Only a liar, or a server with a fault that it does not know of, answers like this. */
  #accuse(member: Member, reason: string): void {
    this.#exchange.env.metrics.count('replies_rejected_total', reason);
    this.#exchange.env.log.warn('reply-rejected', {
      server: member.peer.slice(0, 8),
      address: `${member.host}:${member.port}`,
      reason,
    });
    this.#exchange.penalize(member.peer);
  }

  #giveUpOn(member: Member): void {
    this.#collector.refuse(member.peer);
    if (this.#request.staggerMs === undefined) {
      if (this.#collector.tally === 'impossible') this.#fail('refused');
      return;
    }
    // One good answer may be enough here, so all are asked before this is hopeless.
    if (this.#group.members.some(({ peer }) => this.#collector.isOpen(peer))) this.#askNext();
    else if (this.#collector.tally === 'impossible') this.#fail('refused');
  }

  #evaluate(): void {
    const soFar = this.#soFar();
    const verdict = this.#judge(soFar);
    if (verdict === 'enough') return this.#finish(soFar);
    if (verdict !== 'more') this.#startFetch(verdict.fetch);
  }

  #soFar(): Quorum<Body> {
    const replies = [...this.#collector.votes].map(([peer, body]) => ({
      from: this.#members.get(peer) as Member,
      body,
    }));
    return { replies, ...this.#group.thresholds, context: { epoch: this.#group.epoch } };
  }

  // ---- Fetching ----

  #startFetch(fetch: Fetch<Body>): void {
    // One at a time: newer and newer headers without data must not end a fetch that would succeed.
    if (this.#fetch !== undefined) return;
    this.#exchange.env.metrics.count('fetches_started_total');
    const conversation = this.#exchange.begin((from, message) => this.#onFetched(from, message));
    this.#fetch = { fetch, conversation, next: 0, timer: undefined };
    this.#fetchFromNext(this.#fetch);
  }

  #fetchFromNext(running: RunningFetch<Body>): void {
    running.timer?.cancel();
    const member = running.fetch.from[running.next];
    if (member === undefined) return this.#onFetchExhausted(running);
    running.next += 1;
    this.#exchange.send(member, running.fetch.request.encode(this.#context(running.conversation)));
    running.timer = this.#exchange.env.timers.after(fetchTimeoutMs, () => {
      this.#exchange.penalize(member.peer);
      this.#fetchFromNext(running);
    });
  }

  #onFetched(from: PeerId, message: Message): void {
    const running = this.#fetch;
    const member = this.#members.get(from);
    if (running === undefined || member === undefined) return this.#ignore('not-a-member');
    if (!running.fetch.from.slice(0, running.next).includes(member))
      return this.#ignore('not-asked');
    // A correct member refuses, for instance, what it has meanwhile found damaged.
    if (message.name === 'refused') return this.#fetchFromNext(running);
    const reply = running.fetch.request.accept(message, member);
    if ('invalid' in reply) {
      this.#accuse(member, reply.invalid);
      return this.#fetchFromNext(running);
    }
    this.#stopFetch();
    this.#collector.retract(from);
    this.#collector.vote(from, reply.vote);
    this.#evaluate();
  }

  /**
   * Nobody who showed this version delivers it: a liar, or an unfinished write since replaced. Those votes are taken
   * back; the members are asked again with the next resend. (The amendment asks again under a fresh nonce; keeping the
   * nonce is as safe, since any reply under it was made after this phase began.)
   */
  #onFetchExhausted(running: RunningFetch<Body>): void {
    this.#exchange.env.metrics.count('fetches_exhausted_total');
    this.#stopFetch();
    for (const member of running.fetch.from) {
      this.#collector.retract(member.peer);
      this.#reasons.set(member.peer, 'incomplete');
    }
    this.#evaluate();
  }

  #stopFetch(): void {
    this.#fetch?.timer?.cancel();
    this.#fetch?.conversation.end();
    this.#fetch = undefined;
  }

  // ---- Ending ----

  #finish(quorum: Quorum<Body>): void {
    this.#end();
    this.#resolve(quorum);
  }

  #fail(kind: 'timeout' | 'refused'): void {
    const { quorum } = this.#group.thresholds;
    // When too many have refused, the others were not waited for: nothing can be said of them.
    const unanswered = this.#group.members
      .filter(({ peer }) => !this.#collector.has(peer))
      .filter(({ peer }) => kind === 'timeout' || this.#reasons.has(peer))
      .map((from) => ({ from, why: this.#reasons.get(from.peer) ?? ('silent' as const) }));
    this.#end();
    this.#reject(new QuorumUnavailable(kind, this.#collector.votes.size, quorum, unanswered));
  }

  #end(): void {
    this.#ended = true;
    this.#timer?.cancel();
    this.#stopFetch();
    this.#conversation.end();
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  #ignore(reason: string): void {
    this.#exchange.env.metrics.count('replies_ignored_total', reason);
  }
}
