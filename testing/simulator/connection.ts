// A connection is two ends. An end is open until its node closes it, dies, or learns that the other end is gone; what
// arrives at an end that is not open is lost.

import type { Bytes } from '../../src/base/bytes.ts';
import type { Channel } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import type { Packet } from './faults.ts';
import { type Life, NodeEvent } from './life.ts';
import type { Fabric, Host, SimulatedNetwork } from './network.ts';
import { quickHash } from './trace.ts';

/** What a frame and its encryption add to a payload, about. */
const overheadSizeBytes = 32;

/** Who owns an end, and hears when the other one is gone. */
export interface EndOwner {
  readonly channel: Channel;
  gone(end: End): void;
}

export class End {
  readonly fabric: Fabric;
  readonly network: SimulatedNetwork;
  readonly owner: EndOwner;
  readonly life: Life;
  readonly host: Host;
  /** False for the end of the node that dialled. */
  readonly accepted: boolean;
  /** Sent from here and not yet arrived or lost. */
  inFlightBytes = 0;
  /** When the last message from here arrives, for links that keep their order. */
  lastArrivalUs = 0;
  /** What arrived before the greeting; undefined once that is here. */
  held: Delivery[] | undefined;
  /** A message has been handled here. */
  used = false;
  #other: End | undefined;
  #open = true;

  constructor(network: SimulatedNetwork, owner: EndOwner, accepted: boolean) {
    this.network = network;
    this.fabric = network.fabric;
    this.owner = owner;
    this.life = network.life;
    this.host = network.host;
    this.accepted = accepted;
    this.held = accepted ? [] : undefined;
  }

  static join(one: End, other: End): void {
    one.#other = other;
    other.#other = one;
  }

  get open(): boolean {
    return this.#open && this.life.alive;
  }

  get other(): End | undefined {
    return this.#other;
  }

  send(type: number, payload: Bytes): boolean {
    if (!this.open || this.#other === undefined) return false;
    if (this.inFlightBytes + payload.length > limits.sendQueueBytesMax) {
      this.fabric.counters.count('messages_refused', 'queue-full');
      return false;
    }
    this.fabric.carry(new Delivery(this, this.#other, type, payload));
    return true;
  }

  /** Closes this end; the other one hears of it `noticeDelayUs` later. */
  hangUp(noticeDelayUs: number): void {
    if (!this.#open) return;
    this.#open = false;
    this.#release();
    this.#other?.noticeIn(noticeDelayUs);
  }

  /** Tells this end, after a while, that the other one is gone. */
  noticeIn(delayUs: number): void {
    this.life.after(delayUs, 'hang-up', () => {
      if (!this.#open) return;
      this.#open = false;
      this.#release();
      this.owner.gone(this);
    });
  }

  /** Closes this end because of what arrived at it. */
  refuse(): void {
    this.hangUp(this.fabric.noticeDelayUs());
    this.owner.gone(this);
  }

  /** The connection breaks: both ends hear of it after a while. */
  break(): void {
    this.noticeIn(this.fabric.noticeDelayUs());
    this.#other?.noticeIn(this.fabric.noticeDelayUs());
  }

  /** The greeting is here: what came before it can be handled. */
  greeted(): void {
    const waiting = this.held ?? [];
    this.held = undefined;
    for (const delivery of waiting) this.life.simulation.schedule(delivery, 0);
  }

  #release(): void {
    for (const delivery of this.held ?? []) delivery.discard();
    this.held = undefined;
  }
}

/** One message on its way. */
export class Delivery extends NodeEvent implements Packet {
  readonly label = 'delivery';
  readonly source: End;
  readonly target: End;
  readonly type: number;
  readonly payload: Bytes;
  readonly setup: boolean;
  readonly payloadHash: number;

  constructor(source: End, target: End, type: number, payload: Bytes, setup = false) {
    super(target.life);
    this.source = source;
    this.target = target;
    this.type = type;
    this.payload = payload;
    this.setup = setup;
    this.payloadHash = quickHash(payload);
  }

  get from(): string {
    return this.source.host.name;
  }

  get to(): string {
    return this.target.host.name;
  }

  get sizeBytes(): number {
    return this.payload.length + overheadSizeBytes;
  }

  override act(): void {
    const { target } = this;
    if (!target.open) {
      this.discard();
      return;
    }
    if (!this.setup && target.held !== undefined) {
      target.held.push(this);
      return;
    }
    this.source.inFlightBytes -= this.sizeBytes;
    if (!target.fabric.arrived(this)) {
      target.refuse();
      return;
    }
    if (this.setup) target.greeted();
    target.used = true;
    target.network.deliver(target.owner.channel, this.type, this.payload);
  }

  override discard(): void {
    this.source.inFlightBytes -= this.sizeBytes;
    this.source.fabric.lost(this, 'closed');
    // The node is up again and knows nothing of this connection.
    const { fabric } = this.source;
    if (!this.target.open && this.target.host.network !== undefined) {
      this.source.noticeIn(fabric.noticeDelayUs());
    }
  }
}
