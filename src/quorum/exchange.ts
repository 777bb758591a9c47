// Matches replies to requests: each conversation has a nonce of its own, and a reply counts only in the conversation
// whose nonce and instance it carries. Also keeps how fast each peer has answered lately.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { concatBytes, equalBytes, mapKey, uint64Bytes } from '../base/bytes.ts';
import type { Member } from '../configuration/configuration.ts';
import type { Env } from '../env/env.ts';
import type { Message } from '../wire/registry.ts';
import type { Outgoing } from './calls/contract.ts';

export type ReplyHandler = (from: PeerId, message: Message) => void;

export interface Conversation {
  readonly nonce: Bytes;
  end(): void;
}

/** Weight of the newest round trip in a peer's average: a quarter. */
const averagingShift = 4;
/** Assumed of a peer not heard yet: neither first choice nor last. */
const unknownLatencyMs = 20;
const penaltyFactor = 4;
const latencyMsMax = 60_000;

export class Exchange {
  readonly env: Env;
  readonly instance: Bytes;
  readonly #prefix: Bytes;
  #counter = 0;
  readonly #open = new Map<string, ReplyHandler>();
  readonly #latencyMs = new Map<PeerId, number>();

  constructor(env: Env, instance: Bytes) {
    this.env = env;
    this.instance = instance;
    this.#prefix = env.entropy.bytes(8);
  }

  /** Starts a conversation under a nonce never used before: a random part of this process and a counter. */
  begin(onReply: ReplyHandler): Conversation {
    this.#counter += 1;
    const nonce = concatBytes(this.#prefix, uint64Bytes(this.#counter));
    const key = mapKey(nonce);
    this.#open.set(key, onReply);
    return { nonce, end: () => this.#open.delete(key) };
  }

  send(to: Member, message: Outgoing): boolean {
    this.env.metrics.count('requests_sent_total');
    return this.env.network
      .open(to.peer, { host: to.host, port: to.port })
      .send(message.type, message.payload);
  }

  /** Takes a decoded message; replies that belong to no open conversation are counted and dropped. */
  handle(from: PeerId, message: Message): void {
    const { value } = message;
    if (!('nonce' in value)) return this.#ignore('not-a-reply');
    if ('instance' in value && !equalBytes(value.instance, this.instance)) {
      return this.#ignore('foreign-instance');
    }
    const onReply = this.#open.get(mapKey(value.nonce));
    if (onReply === undefined) return this.#ignore('unknown-nonce');
    onReply(from, message);
  }

  /** Members by how fast they have answered lately; equal ones keep their order. */
  ranked(members: readonly Member[]): Member[] {
    return [...members].sort((a, b) => this.#latencyOf(a.peer) - this.#latencyOf(b.peer));
  }

  answered(peer: PeerId, tookMs: number): void {
    const before = this.#latencyOf(peer);
    this.#latencyMs.set(peer, before + (tookMs - before) / averagingShift);
  }

  /** Ranks a peer lower that lied or kept us waiting, until it proves better again. */
  penalize(peer: PeerId): void {
    this.#latencyMs.set(peer, Math.min(latencyMsMax, this.#latencyOf(peer) * penaltyFactor));
  }

  get conversations(): number {
    return this.#open.size;
  }

  #latencyOf(peer: PeerId): number {
    return this.#latencyMs.get(peer) ?? unknownLatencyMs;
  }

  #ignore(reason: string): void {
    this.env.metrics.count('replies_ignored_total', reason);
  }
}
