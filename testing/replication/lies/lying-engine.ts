// A liar: a correct engine with a lie between it and its host. The lie sees what the engine is told and what it wants to
// send, one receiver at a time, and may change, withhold, delay or add. It has its member's key, and no other.

import { equalBytes } from '../../../src/base/bytes.ts';
import type { Prng } from '../../../src/base/prng.ts';
import type { Signer } from '../../../src/crypto/signature.ts';
import type {
  Effects,
  Engine,
  EngineEnding,
  EngineEvent,
  Recipient,
  ReplicaGroup,
  Send,
  TimerChange,
} from '../../../src/replication/contract.ts';
import { Outbox } from '../../../src/replication/outbox.ts';
import type { SignedRequest } from '../../../src/wire/replication.ts';
import {
  encodeReplicationMessage,
  type ReplicationMessageName,
  type ReplicationMessageValue,
} from '../../../src/wire/replication-registry.ts';

export type To = Extract<Recipient, { kind: 'replica' | 'client' }>;

/** A send, perhaps after a while. */
export interface Utterance {
  readonly send: Send;
  readonly delayMs?: number;
}

export interface LieContext {
  readonly prng: Prng;
  readonly group: ReplicaGroup;
  readonly index: number;
  readonly signer: Signer;
  /** L and K, as far as lies need them. */
  readonly window: number;
  readonly checkpointInterval: number;
  /** Requests that this member has seen, the newest last; they are properly signed. */
  readonly requests: readonly SignedRequest[];
  readonly status: () => { readonly view: number; readonly executed: number };
}

/** One way to lie. What a method leaves out happens as at a correct member. */
export interface Lie {
  /** What the engine is told instead; undefined: nothing at all. */
  readonly onEvent?: (event: EngineEvent) => EngineEvent | undefined;
  /** What is said to one receiver instead; undefined: just that. */
  readonly onSend?: (send: Send, to: To) => readonly Utterance[] | undefined;
  /** What is said now and then without being asked. */
  readonly onTick?: () => readonly Utterance[];
}

export type LieMaker = (context: LieContext) => Lie;

/**
 * How a message was lied about: sent with other contents, kept from a receiver, sent late; sent without the engine; kept from
 * the engine, or shown to it with other contents.
 */
export type Deed = 'altered' | 'withheld' | 'delayed' | 'said' | 'unheard' | 'misheard';

export interface LyingEngineOptions extends Omit<LieContext, 'requests' | 'status'> {
  readonly engine: Engine;
  readonly makers: readonly LieMaker[];
  readonly tickMs: number;
  /** Once for each message and receiver that a lie made a difference to. */
  readonly onLie: (deed: Deed, message: ReplicationMessageName) => void;
}

const requestsMax = 200;
const tickTimer = 'lie-tick';
const delayTimer = 'lie-delay';

/** A message of one's own making. */
export function utter<Name extends ReplicationMessageName>(
  to: Recipient,
  name: Name,
  value: ReplicationMessageValue<Name>,
): Utterance {
  // Name and value belong together by the signature; the compiler cannot distribute them over the union.
  return { send: { to, name, value, view: undefined, isUrgent: true } as Send };
}

/** The same message to another receiver, or with another value. */
export function altered(send: Send, to: Recipient, value: Send['value'] = send.value): Utterance {
  return { send: { ...send, to, value } as Send };
}

export class LyingEngine implements Engine {
  readonly #options: LyingEngineOptions;
  readonly #lies: readonly Lie[];
  readonly #requests: SignedRequest[] = [];
  /** Sends that leave later, by due time. */
  #delayed: { readonly atMs: number; readonly send: Send }[] = [];

  /** Several lies take turns at random. */
  constructor(options: LyingEngineOptions) {
    this.#options = options;
    const context: LieContext = {
      ...options,
      requests: this.#requests,
      status: () => options.engine.status(),
    };
    this.#lies = options.makers.map((make) => make(context));
  }

  handle(event: EngineEvent, nowMs: number): Effects {
    const { engine } = this.#options;
    if (event.kind === 'timer' && event.name === tickTimer) return this.#onTick(nowMs);
    if (event.kind === 'timer' && event.name === delayTimer) return this.#onDelayOver(nowMs);
    this.#learn(event);
    const onEvent = event.kind === 'message' ? this.#lie()?.onEvent : undefined;
    const told = onEvent === undefined ? event : onEvent(event);
    if (told !== event && event.kind === 'message') {
      this.#options.onLie(told === undefined ? 'unheard' : 'misheard', event.message.name);
    }
    if (told === undefined) return nothing;
    const effects = engine.handle(told, nowMs);
    const timers: TimerChange[] = [...effects.timers];
    if (event.kind === 'start') timers.push({ name: tickTimer, atMs: nowMs });
    const sends = this.#falsified(effects.sends, nowMs, timers);
    return { ...effects, sends, timers };
  }

  ending(): EngineEnding | undefined {
    return this.#options.engine.ending();
  }

  isCurrent(view: number): boolean {
    return this.#options.engine.isCurrent(view);
  }

  status(): ReturnType<Engine['status']> {
    return this.#options.engine.status();
  }

  #onTick(nowMs: number): Effects {
    const timers: TimerChange[] = [{ name: tickTimer, atMs: nowMs + this.#options.tickMs }];
    const said = this.#lie()?.onTick?.() ?? [];
    for (const { send } of said) this.#options.onLie('said', send.name);
    return { ...nothing, sends: this.#now(said, nowMs, timers), timers };
  }

  #onDelayOver(nowMs: number): Effects {
    const due = this.#delayed.filter(({ atMs }) => atMs <= nowMs);
    this.#delayed = this.#delayed.filter(({ atMs }) => atMs > nowMs);
    return { ...nothing, sends: due.map(({ send }) => send), timers: this.#delayTimers() };
  }

  #falsified(sends: readonly Send[], nowMs: number, timers: TimerChange[]): Send[] {
    const result: Send[] = [];
    for (const send of sends) {
      for (const to of this.#receivers(send.to)) {
        const said = this.#lie()?.onSend?.(send, to);
        if (said === undefined) {
          result.push({ ...send, to } as Send);
          continue;
        }
        this.#count(send, said);
        result.push(...this.#now(said, nowMs, timers));
      }
    }
    return result;
  }

  /** What says the same is no lie. */
  #count(send: Send, said: readonly Utterance[]): void {
    const { onLie } = this.#options;
    if (said.length === 0) onLie('withheld', send.name);
    for (const one of said) {
      if (isOther(one.send, send)) onLie('altered', one.send.name);
      else if (one.delayMs !== undefined) onLie('delayed', send.name);
    }
  }

  #receivers(to: Recipient): readonly To[] {
    if (to.kind !== 'replicas') return [to];
    const { group, index } = this.#options;
    return group.members.flatMap((_, i) => (i === index ? [] : [{ kind: 'replica', index: i }]));
  }

  /** What leaves now; the rest is put by. */
  #now(said: readonly Utterance[], nowMs: number, timers: TimerChange[]): Send[] {
    const now: Send[] = [];
    for (const { send, delayMs } of said) {
      if (delayMs === undefined) now.push(send);
      else this.#delayed.push({ atMs: nowMs + delayMs, send });
    }
    timers.push(...this.#delayTimers());
    return now;
  }

  #delayTimers(): TimerChange[] {
    if (this.#delayed.length === 0) return [];
    return [{ name: delayTimer, atMs: Math.min(...this.#delayed.map(({ atMs }) => atMs)) }];
  }

  #lie(): Lie | undefined {
    return this.#options.prng.pick(this.#lies);
  }

  #learn(event: EngineEvent): void {
    if (event.kind !== 'message') return;
    const { message } = event;
    if (message.name === 'submitRequest') this.#requests.push(message.value.request);
    else if (message.name === 'prePrepare') this.#requests.push(...message.value.requests);
    if (this.#requests.length > requestsMax) {
      this.#requests.splice(0, this.#requests.length - requestsMax);
    }
  }
}

function isOther(one: Send, other: Send): boolean {
  if (one.name !== other.name) return true;
  return one.value !== other.value && !equalBytes(encoded(one), encoded(other));
}

function encoded({ name, value }: Send): Uint8Array {
  // Name and value belong together; the compiler does not follow that through the union.
  return encodeReplicationMessage(name, value as never);
}

const nothing = new Outbox().take();
