// The network between all nodes of a simulation, and each node's side of it. It keeps the promises of env/network.ts
// about identity, greetings and lost connections, but by default not the one about order, and a fault rule may repeat
// messages: a protocol that bears that bears the real one.

import type { PeerId } from '../../src/base/brand.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Address, Channel, Greeting, MessageHandler, Network } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import { Delivery, type End } from './connection.ts';
import {
  delayUniform,
  type FaultRule,
  flipBits,
  type Packet,
  type Stage,
  stages,
  type Verdict,
} from './faults.ts';
import type { Life } from './life.ts';
import { AcceptedChannel, Link } from './links.ts';
import { InspectableMetrics } from './metrics.ts';
import type { Simulation } from './simulation.ts';
import { quickHash } from './trace.ts';

/** What the fabric knows of a node. */
export interface Host {
  readonly name: string;
  readonly peer: PeerId;
  readonly address: Address;
  /** Its side of the network while it is up. */
  readonly network: SimulatedNetwork | undefined;
}

export interface FabricOptions {
  /** A rule of stage `delay` that every message is subject to, healed or not. Default: 50 … 500 µs. */
  readonly latency?: FaultRule;
  /** True: messages of one connection arrive in the order in which they were sent. Default false. */
  readonly inOrder?: boolean;
}

export class Fabric {
  readonly simulation: Simulation;
  /** messages_refused, messages_dropped, messages_repeated, messages_corrupted, dials_failed: each by reason. */
  readonly counters = new InspectableMetrics();
  messagesSent = 0;
  messagesDelivered = 0;
  readonly inOrder: boolean;
  readonly #prng: Prng;
  readonly #latency: FaultRule;
  readonly #hosts = new Map<string, Host>();
  #rules: Record<Stage, FaultRule[]>;

  constructor(simulation: Simulation, options: FabricOptions = {}) {
    this.simulation = simulation;
    this.#prng = simulation.prng.fork();
    this.#latency = options.latency ?? delayUniform(50, 500);
    this.inOrder = options.inOrder ?? false;
    this.#rules = noRules();
  }

  /** @throws SimulationFailed in the next run if the address is taken. */
  register(host: Host): void {
    const key = addressKey(host.address);
    if (this.#hosts.has(key)) this.simulation.fail(`two nodes at ${key}`);
    this.#hosts.set(key, host);
  }

  hostAt(address: Address): Host | undefined {
    return this.#hosts.get(addressKey(address));
  }

  /** Puts a rule in force; call the result to take it away again. */
  add(rule: FaultRule): () => void {
    this.#rules[rule.stage].push(rule);
    return () => {
      this.#rules[rule.stage] = this.#rules[rule.stage].filter((other) => other !== rule);
    };
  }

  /** Takes all rules away. Messages under way arrive as was drawn for them. */
  heal(): void {
    this.#rules = noRules();
  }

  /** How long a connection's other end takes to hear that it is gone. */
  noticeDelayUs(): number {
    return this.#prng.between(50, 1000);
  }

  jitter(bound: number): number {
    return this.#prng.below(bound);
  }

  /** Delay of a step of setting a connection up; undefined when it is cut off. */
  setupDelayUs(from: Host, to: Host): number | undefined {
    const packet: Packet = {
      from: from.name,
      to: to.name,
      type: 0,
      payload: noPayload,
      setup: true,
    };
    if (this.#verdictOf('cut', packet) !== undefined) return undefined;
    const repeated = this.#verdictOf('lose', packet)?.kind === 'drop';
    return this.#delayUs(packet) + (repeated ? retransmissionUs : 0);
  }

  /** Decides what becomes of a message, and schedules that. */
  carry(delivery: Delivery): void {
    this.messagesSent++;
    const loss = this.#verdictOf('cut', delivery) ?? this.#verdictOf('lose', delivery);
    if (loss !== undefined) {
      this.lost(delivery, loss.kind === 'drop' ? loss.reason : loss.kind);
      if (loss.kind === 'reset') delivery.source.break();
      return;
    }
    const carried = this.#corrupted(delivery);
    if (carried === undefined) return;
    this.#launch(carried);
    for (const rule of this.#rules.duplicate) {
      const verdict = rule.judge(carried, this.#prng);
      if (verdict.kind !== 'duplicate') continue;
      for (let i = 0; i < verdict.copies; i++) {
        this.#note('duplicate', carried);
        this.#launch(copyOf(carried));
      }
    }
    for (const rule of this.#rules.replay) {
      const verdict = rule.judge(delivery, this.#prng);
      if (verdict.kind !== 'replay') continue;
      const { source, target } = delivery;
      const again = new Delivery(source, target, verdict.type, verdict.payload);
      this.#note('replay', again);
      this.#launch(again);
    }
  }

  /** Sends a greeting on a connection that is set up; false when it is cut off. */
  greet(delivery: Delivery): boolean {
    const delayUs = this.setupDelayUs(delivery.source.host, delivery.target.host);
    if (delayUs === undefined) return false;
    this.messagesSent++;
    this.#launch(delivery, delayUs);
    return true;
  }

  /** Called when a message is about to be handled. False when the receiver's frame decoder would refuse it. */
  arrived(delivery: Delivery): boolean {
    const { source, target, type, payload } = delivery;
    const bound = target.network.policy.sizeBytesMax(type, source.host.peer);
    if (bound === undefined || payload.length > bound) {
      this.lost(delivery, 'bad-frame');
      return false;
    }
    if (payload.length <= checkedSizeBytesMax && quickHash(payload) !== delivery.payloadHash) {
      this.simulation.fail(`${source.host.name} or a receiver changed the bytes of a sent message`);
    }
    this.messagesDelivered++;
    this.simulation.trace.message(
      'deliver',
      source.life.subject,
      target.life.subject,
      type,
      payload.length,
      delivery.payloadHash,
    );
    return true;
  }

  lost(delivery: Delivery, reason: string): void {
    this.counters.count('messages_dropped', reason);
    this.#note('drop', delivery, reason);
  }

  #note(kind: 'drop' | 'duplicate' | 'corrupt' | 'replay', of: Delivery, reason = ''): void {
    if (kind === 'duplicate' || kind === 'replay') this.counters.count('messages_repeated', kind);
    if (kind === 'corrupt') this.counters.count('messages_corrupted');
    this.simulation.trace.message(
      kind,
      of.source.life.subject,
      of.target.life.subject,
      of.type,
      of.payload.length,
      of.payloadHash,
      reason,
    );
  }

  #launch(delivery: Delivery, delayUs = this.#delayUs(delivery)): void {
    const { source } = delivery;
    source.inFlightBytes += delivery.sizeBytes;
    let arrivalUs = this.simulation.nowUs + delayUs;
    if (this.inOrder) arrivalUs = Math.max(arrivalUs, source.lastArrivalUs);
    source.lastArrivalUs = arrivalUs;
    this.simulation.scheduleAt(delivery, arrivalUs);
  }

  /** The first verdict of the stage that does not let the packet pass. */
  #verdictOf(stage: Stage, packet: Packet): Verdict | undefined {
    for (const rule of this.#rules[stage]) {
      const verdict = rule.judge(packet, this.#prng);
      if (verdict.kind !== 'pass') return verdict;
    }
    return undefined;
  }

  /** The delivery, or what is left of it; undefined when that is nothing. */
  #corrupted(delivery: Delivery): Delivery | undefined {
    for (const rule of this.#rules.corrupt) {
      const verdict = rule.judge(delivery, this.#prng);
      if (verdict.kind !== 'corrupt') continue;
      if (!verdict.delivered || delivery.payload.length === 0) {
        this.lost(delivery, 'corrupted');
        return undefined;
      }
      const { source, target, type, payload } = delivery;
      const flipped = flipBits(payload, verdict.bits, this.#prng);
      const corrupted = new Delivery(source, target, type, flipped);
      this.#note('corrupt', corrupted);
      return corrupted;
    }
    return delivery;
  }

  #delayUs(packet: Packet): number {
    const latency = this.#latency.judge(packet, this.#prng);
    let delayUs = latency.kind === 'delay' ? latency.delayUs : 0;
    for (const rule of this.#rules.delay) {
      const verdict = rule.judge(packet, this.#prng);
      if (verdict.kind === 'delay') delayUs += verdict.delayUs;
    }
    return delayUs;
  }
}

/** Payloads up to this size are compared with what was sent: nobody may change bytes that were handed on. */
const checkedSizeBytesMax = 4096;
/** After which a lost step of setting a connection up is repeated. */
const retransmissionUs = 1_000_000;
const noPayload = new Uint8Array(0);

function noRules(): Record<Stage, FaultRule[]> {
  const rules: Partial<Record<Stage, FaultRule[]>> = {};
  for (const stage of stages) rules[stage] = [];
  return rules as Record<Stage, FaultRule[]>;
}

function addressKey(address: Address): string {
  return `${address.host}:${address.port}`;
}

function copyOf(delivery: Delivery): Delivery {
  return new Delivery(delivery.source, delivery.target, delivery.type, delivery.payload);
}

/** What a node decides about its connections; named as for the real network. */
export interface NetworkPolicy {
  /** First message on each connection that this node opens. */
  readonly greeting: Greeting | undefined;
  /** Payload bound of a message type from a peer; undefined for a type that this peer must not send. */
  readonly sizeBytesMax: (type: number, peer: PeerId) => number | undefined;
  /** Whether a peer that proved this key may stay connected. */
  readonly admit: (peer: PeerId) => boolean;
}

/** One incarnation's side of the network. */
export class SimulatedNetwork implements Network {
  readonly fabric: Fabric;
  readonly host: Host;
  readonly life: Life;
  #policy: NetworkPolicy = {
    greeting: undefined,
    sizeBytesMax: () => limits.configurationSizeBytesMax,
    admit: () => true,
  };
  readonly #links = new Map<PeerId, Link>();
  readonly #ends = new Set<End>();
  #onMessage: MessageHandler = () => {};
  #onClosed: (channel: Channel) => void = () => {};
  #closed = false;

  constructor(fabric: Fabric, host: Host, life: Life) {
    this.fabric = fabric;
    this.host = host;
    this.life = life;
  }

  get policy(): NetworkPolicy {
    return this.#policy;
  }

  /** Sets what the real network takes when it is made; what is not named stays. */
  configure(policy: Partial<NetworkPolicy>): void {
    this.#policy = { ...this.#policy, ...policy };
  }

  /** Asks `admit` again about everyone connected, and drops who is not wanted. */
  readmit(): void {
    for (const end of [...this.#ends]) {
      if (end.accepted && !this.#policy.admit(end.owner.channel.peer)) {
        end.owner.channel.close('not-admitted');
      }
    }
  }

  /** Whether others can connect. */
  get listening(): boolean {
    return this.life.alive && !this.#closed;
  }

  open(peer: PeerId, address: Address): Channel {
    const known = this.#links.get(peer);
    if (known !== undefined) {
      known.address = address;
      return known;
    }
    const link = new Link(this, peer, address);
    if (this.#closed) link.close('network-closed');
    else this.#links.set(peer, link);
    return link;
  }

  onMessage(handler: MessageHandler): void {
    this.#onMessage = handler;
  }

  onClosed(handler: (channel: Channel) => void): void {
    this.#onClosed = handler;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const link of [...this.#links.values()]) link.close('network-closed');
    for (const end of [...this.#ends]) end.owner.channel.close('network-closed');
  }

  /** Accepts a connection of `peer`; its end is returned. */
  accept(peer: PeerId): End {
    return new AcceptedChannel(this, peer).end;
  }

  deliver(channel: Channel, type: number, payload: Bytes): void {
    if (this.life.alive) this.#onMessage(channel, type, payload);
  }

  closed(channel: Channel): void {
    if (this.life.alive) this.#onClosed(channel);
  }

  forget(link: Link): void {
    if (this.#links.get(link.peer) === link) this.#links.delete(link.peer);
  }

  remember(end: End): void {
    this.#ends.add(end);
  }

  release(end: End): void {
    this.#ends.delete(end);
  }

  /** Ends all connections, as the death of the process does. */
  hangUpAll(noticeDelayUs: () => number): void {
    for (const end of this.#ends) end.hangUp(noticeDelayUs());
    this.#ends.clear();
  }
}
