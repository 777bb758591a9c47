// A liar: correct server code with a lie between it and the network. The lie sees every request and every reply, and
// may answer in the server's place, change what leaves, keep it back, or speak without being asked.

import type { PeerId } from '../../src/base/brand.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Configuration, Member } from '../../src/configuration/configuration.ts';
import type { SignatureScheme } from '../../src/crypto/signature.ts';
import type { Timers } from '../../src/env/clock.ts';
import type { Address, Channel, MessageHandler, Network } from '../../src/env/network.ts';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  messageNumber,
} from '../../src/wire/registry.ts';
import type { Notebook } from './notebook.ts';

/** What leaves: a message, or bytes that may be none. */
export type Utterance = (
  | { readonly message: Message }
  | { readonly type: number; readonly payload: Bytes }
) & { readonly delayMs?: number };

export interface LieContext {
  readonly prng: Prng;
  readonly timers: Timers;
  readonly network: Network;
  readonly configuration: Configuration;
  readonly instance: Bytes;
  readonly self: Member;
  readonly scheme: SignatureScheme;
  readonly notebook: Notebook;
  /** Says something on a channel without being asked. */
  readonly say: (channel: Channel, utterance: Utterance) => void;
  /** Accepted channels that somebody has spoken on. */
  readonly callers: ReadonlySet<Channel>;
}

/** One way to lie. What a method leaves out happens as at a correct server. */
export interface Lie {
  /** What is said instead of handling a request; undefined to handle it. */
  readonly onRequest?: (request: Message, from: Channel) => readonly Utterance[] | undefined;
  /** What is said instead of a reply; undefined to say it. */
  readonly onReply?: (reply: Message, to: Channel) => readonly Utterance[] | undefined;
  /** Once, at the start of each incarnation. */
  readonly onStart?: () => void;
}

export type LieMaker = (context: LieContext) => Lie;

export interface LiarOptions extends Omit<LieContext, 'say' | 'callers'> {
  readonly makers: readonly LieMaker[];
  readonly onLie: () => void;
}

/** Channels of callers that are remembered. */
const callersMax = 64;

export class LyingNetwork implements Network {
  readonly #options: LiarOptions;
  readonly #lies: readonly Lie[];
  readonly #callers = new Set<Channel>();
  readonly #wrapped = new WeakMap<Channel, LyingChannel>();

  /** Several lies take turns at random, message by message. */
  constructor(options: LiarOptions) {
    this.#options = options;
    const context: LieContext = {
      ...options,
      callers: this.#callers,
      say: (channel, utterance) => this.#say(channel, utterance),
    };
    this.#lies = options.makers.map((make) => make(context));
    for (const lie of this.#lies) lie.onStart?.();
  }

  open(peer: PeerId, address: Address): Channel {
    return this.#wrap(this.#options.network.open(peer, address));
  }

  onMessage(handler: MessageHandler): void {
    this.#options.network.onMessage((channel, type, payload) => {
      const message = decodeMessage(type, payload);
      const isRequest = message !== undefined && requestNames.has(message.name);
      if (!isRequest || message === undefined) return handler(this.#wrap(channel), type, payload);
      this.#remember(channel);
      this.#options.notebook.learn(channel.peer, message);
      const said = this.#lie()?.onRequest?.(message, channel);
      if (said === undefined) return handler(this.#wrap(channel), type, payload);
      this.#options.onLie();
      for (const utterance of said) this.#say(channel, utterance);
    });
  }

  onClosed(handler: (channel: Channel) => void): void {
    this.#options.network.onClosed((channel) => {
      this.#callers.delete(channel);
      handler(this.#wrap(channel));
    });
  }

  close(): Promise<void> {
    return this.#options.network.close();
  }

  /** Called when correct code sends something. */
  reply(channel: Channel, type: number, payload: Bytes): boolean {
    const message = decodeMessage(type, payload);
    if (message === undefined || !replyNames.has(message.name)) return channel.send(type, payload);
    this.#options.notebook.keepReply(message);
    const said = this.#lie()?.onReply?.(message, channel);
    if (said === undefined) return channel.send(type, payload);
    this.#options.onLie();
    for (const utterance of said) this.#say(channel, utterance);
    return true;
  }

  #lie(): Lie | undefined {
    return this.#options.prng.pick(this.#lies);
  }

  #remember(channel: Channel): void {
    this.#callers.add(channel);
    if (this.#callers.size <= callersMax) return;
    const [oldest] = this.#callers;
    if (oldest !== undefined) this.#callers.delete(oldest);
  }

  #wrap(channel: Channel): LyingChannel {
    let wrapped = this.#wrapped.get(channel);
    if (wrapped === undefined) {
      wrapped = new LyingChannel(this, channel);
      this.#wrapped.set(channel, wrapped);
    }
    return wrapped;
  }

  #say(channel: Channel, utterance: Utterance): void {
    const { type, payload } = 'message' in utterance ? encoded(utterance.message) : utterance;
    const { delayMs } = utterance;
    if (delayMs === undefined) channel.send(type, payload);
    else this.#options.timers.after(delayMs, () => channel.send(type, payload));
  }
}

class LyingChannel implements Channel {
  readonly #network: LyingNetwork;
  readonly #inner: Channel;

  constructor(network: LyingNetwork, inner: Channel) {
    this.#network = network;
    this.#inner = inner;
  }

  get peer(): PeerId {
    return this.#inner.peer;
  }

  send(type: number, payload: Bytes): boolean {
    return this.#network.reply(this.#inner, type, payload);
  }

  close(reason: string): void {
    this.#inner.close(reason);
  }
}

const requestNames: ReadonlySet<Message['name']> = new Set([
  'readVersion',
  'write',
  'fetch',
  'store',
  'get',
  'hold',
  'list',
] as const);

const replyNames: ReadonlySet<Message['name']> = new Set([
  'refused',
  'version',
  'written',
  'data',
  'stored',
  'block',
  'absent',
  'held',
  'listed',
] as const);

export function encoded({ name, value }: Message): { type: number; payload: Bytes } {
  // A message's name and value belong together; the compiler does not follow that through the union.
  return { type: messageNumber(name), payload: encodeMessage(name, value as never) };
}
