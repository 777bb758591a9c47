// What can happen to a message on its way, as small rules. Each looks at one packet and returns a verdict. The network
// asks them stage by stage, whatever the order in which they were added: cut, lose, corrupt, duplicate, delay, replay.

import type { Bytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';

export interface Content {
  readonly type: number;
  readonly payload: Bytes;
}

/** A message between two nodes; `from` and `to` are names. */
export interface Packet extends Content {
  readonly from: string;
  readonly to: string;
  /** A step of setting a connection up, or its greeting: subject to cuts and delays, and a loss delays it by 1 s. */
  readonly setup: boolean;
}

export type Verdict =
  | { readonly kind: 'pass' }
  | { readonly kind: 'drop'; readonly reason: string }
  /** The message is lost and its connection breaks. */
  | { readonly kind: 'reset' }
  /** On top of the latency of the network and of other rules. */
  | { readonly kind: 'delay'; readonly delayUs: number }
  /** So many more of it, each with a delay of its own. */
  | { readonly kind: 'duplicate'; readonly copies: number }
  | { readonly kind: 'corrupt'; readonly bits: number; readonly delivered: boolean }
  /** The packet passes, and this old one between the same two nodes arrives once more. */
  | ({ readonly kind: 'replay' } & Content);

export const stages = ['cut', 'lose', 'corrupt', 'duplicate', 'delay', 'replay'] as const;
export type Stage = (typeof stages)[number];

export interface FaultRule {
  readonly stage: Stage;
  judge(packet: Packet, prng: Prng): Verdict;
}

/** A probability as a ratio, so that no floating point enters a run. */
export interface Ratio {
  readonly of: number;
  readonly in: number;
}

const pass: Verdict = { kind: 'pass' };
const cutOff: Verdict = { kind: 'drop', reason: 'cut' };
const lost: Verdict = { kind: 'drop', reason: 'lost' };
const broken: Verdict = { kind: 'reset' };

function hits(ratio: Ratio, prng: Prng): boolean {
  return prng.chance(ratio.of, ratio.in);
}

/** Nothing gets from any of `from` to any of `to`; the other direction stays open. */
export function cutOneWay(from: Iterable<string>, to: Iterable<string>): FaultRule {
  const senders = new Set(from);
  const receivers = new Set(to);
  return {
    stage: 'cut',
    judge: (packet) => (senders.has(packet.from) && receivers.has(packet.to) ? cutOff : pass),
  };
}

/** Nothing passes between the two sides, in either direction. */
export function cutBothWays(one: Iterable<string>, other: Iterable<string>): FaultRule {
  const ones = new Set(one);
  const others = new Set(other);
  return {
    stage: 'cut',
    judge: ({ from, to }) =>
      (ones.has(from) && others.has(to)) || (others.has(from) && ones.has(to)) ? cutOff : pass,
  };
}

export function lose(ratio: Ratio): FaultRule {
  return { stage: 'lose', judge: (_, prng) => (hits(ratio, prng) ? lost : pass) };
}

/** Breaks the connection that a message is sent on; the opener may connect anew. */
export function reset(ratio: Ratio): FaultRule {
  return { stage: 'lose', judge: (_, prng) => (hits(ratio, prng) ? broken : pass) };
}

export interface Corruption {
  /** Bits flipped in a packet that is hit: 1 … this. */
  readonly bitsMax: number;
  /**
   * False: the packet is dropped and counted, as an authenticated channel does. True: the receiver is given the
   * flipped payload; only for senders that count as faulty, or to see that decoders bear anything.
   */
  readonly delivered: boolean;
}

export function corrupt(ratio: Ratio, corruption: Corruption): FaultRule {
  return {
    stage: 'corrupt',
    judge: (_, prng) =>
      hits(ratio, prng)
        ? {
            kind: 'corrupt',
            bits: prng.between(1, corruption.bitsMax),
            delivered: corruption.delivered,
          }
        : pass,
  };
}

export function duplicate(ratio: Ratio, copiesMax: number): FaultRule {
  return {
    stage: 'duplicate',
    judge: (_, prng) =>
      hits(ratio, prng) ? { kind: 'duplicate', copies: prng.between(1, copiesMax) } : pass,
  };
}

export function delayConstant(delayUs: number): FaultRule {
  const verdict: Verdict = { kind: 'delay', delayUs };
  return { stage: 'delay', judge: () => verdict };
}

/** Uniform, drawn for each message alone: later messages overtake earlier ones. */
export function delayUniform(lowUs: number, highUs: number): FaultRule {
  return {
    stage: 'delay',
    judge: (_, prng) => ({ kind: 'delay', delayUs: prng.between(lowUs, highUs) }),
  };
}

/** Now and then a message takes very much longer. */
export function delayRarely(ratio: Ratio, lowUs: number, highUs: number): FaultRule {
  return {
    stage: 'delay',
    judge: (_, prng) =>
      hits(ratio, prng) ? { kind: 'delay', delayUs: prng.between(lowUs, highUs) } : pass,
  };
}

/**
 * Sends recorded packets again, to the same receiver from the same sender, at any later time. Keeps a fair sample of
 * at most `packetsMax` packets for each pair.
 */
export function replay(ratio: Ratio, packetsMax: number): FaultRule {
  const recordings = new Map<string, { packets: Content[]; seen: number }>();
  return {
    stage: 'replay',
    judge(packet, prng) {
      const pair = `${packet.from}>${packet.to}`;
      let recording = recordings.get(pair);
      if (recording === undefined) {
        recording = { packets: [], seen: 0 };
        recordings.set(pair, recording);
      }
      const old = hits(ratio, prng) ? prng.pick(recording.packets) : undefined;
      recording.seen++;
      const place =
        recording.packets.length < packetsMax
          ? recording.packets.length
          : prng.below(recording.seen);
      if (place < packetsMax)
        recording.packets[place] = { type: packet.type, payload: packet.payload };
      return old === undefined ? pass : { kind: 'replay', ...old };
    },
  };
}

/** The rule, for messages that `applies` picks only. */
export function only(applies: (packet: Packet) => boolean, rule: FaultRule): FaultRule {
  return {
    stage: rule.stage,
    judge: (packet, prng) => (applies(packet) ? rule.judge(packet, prng) : pass),
  };
}

/** A copy with some random bits flipped. */
export function flipBits(bytes: Bytes, bits: number, prng: Prng): Bytes {
  const flipped = new Uint8Array(bytes);
  if (flipped.length === 0) return flipped;
  for (let i = 0; i < bits; i++) {
    const place = prng.below(flipped.length);
    flipped[place] = (flipped[place] as number) ^ (1 << prng.below(8));
  }
  return flipped;
}
