// The two kinds of channel: a link, which dials and reconnects, and an accepted connection, which does not.

import type { PeerId } from '../../src/base/brand.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Address, Channel } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import { Delivery, End, type EndOwner } from './connection.ts';
import type { SimulatedNetwork } from './network.ts';

const dialTimeoutUs = 5_000_000;
const backOffUsMin = 50_000;
const backOffUsMax = 5_000_000;

export class Link implements Channel, EndOwner {
  readonly peer: PeerId;
  readonly channel: Channel = this;
  address: Address;
  readonly #network: SimulatedNetwork;
  #end: End | undefined;
  #dialing = false;
  #closed = false;
  #failures = 0;
  #queue: { type: number; payload: Bytes }[] = [];
  #queuedBytes = 0;

  constructor(network: SimulatedNetwork, peer: PeerId, address: Address) {
    this.#network = network;
    this.peer = peer;
    this.address = address;
  }

  send(type: number, payload: Bytes): boolean {
    if (this.#closed || !this.#network.life.alive) return false;
    if (this.#end !== undefined) return this.#end.send(type, payload);
    if (this.#queuedBytes + payload.length > limits.sendQueueBytesMax) {
      this.#network.fabric.counters.count('messages_refused', 'queue-full');
      return false;
    }
    this.#queue.push({ type, payload });
    this.#queuedBytes += payload.length;
    if (!this.#dialing) this.#dial();
    return true;
  }

  close(reason: string): void {
    if (this.#closed || !this.#network.life.alive) return;
    this.#closed = true;
    this.#note('hang-up', reason);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#network.forget(this);
    if (this.#end === undefined) return;
    this.#network.release(this.#end);
    this.#end.hangUp(this.#network.fabric.noticeDelayUs());
    this.#end = undefined;
  }

  gone(end: End): void {
    this.#network.release(end);
    if (this.#end === end) this.#end = undefined;
  }

  #note(kind: string, detail: string): void {
    const { life, fabric } = this.#network;
    fabric.simulation.trace.note(kind, life.subject, detail);
  }

  /** There and back once, then the greeting; each step may get lost, and the other node may be down. */
  #dial(): void {
    this.#dialing = true;
    const { fabric, host, life } = this.#network;
    const target = fabric.hostAt(this.address);
    if (target === undefined) return this.#failed('no-such-address', backOffUsMin);
    const thereUs = fabric.setupDelayUs(host, target);
    if (thereUs === undefined) return this.#failed('no-answer', dialTimeoutUs);
    life.after(thereUs, 'dial', () => {
      const remote = target.network;
      if (target.peer !== this.peer) return this.#failed('wrong-peer', backOffUsMin);
      if (remote === undefined || !remote.listening) return this.#failed('refused', thereUs);
      // A stopped process does not answer; the caller does not wait for it for ever.
      if (remote.life.paused) return this.#failed('no-answer', dialTimeoutUs);
      const backUs = fabric.setupDelayUs(target, host);
      if (backUs === undefined) return this.#failed('no-answer', dialTimeoutUs);
      life.after(backUs, 'dial', () => this.#connected(remote));
    });
  }

  #failed(reason: string, afterUs: number): void {
    const { fabric, life } = this.#network;
    fabric.counters.count('dials_failed', reason);
    this.#note('dial-failed', `${this.address.host}:${this.address.port} ${reason}`);
    const backOffUs = Math.min(backOffUsMin * 2 ** Math.min(this.#failures, 20), backOffUsMax);
    this.#failures++;
    life.after(afterUs + backOffUs + fabric.jitter(backOffUs), 'redial', () => this.#retry());
  }

  #retry(): void {
    this.#dialing = false;
    if (!this.#closed && this.#queue.length > 0) this.#dial();
  }

  #connected(remote: SimulatedNetwork): void {
    if (this.#closed) return;
    if (!remote.listening) return this.#failed('refused', 0);
    const { fabric, greeting } = this.#network;
    const hello = greeting();
    const near = new End(this.#network, this, false);
    const far = remote.accept(this.#network.host.peer, hello !== undefined);
    End.join(near, far);
    if (hello !== undefined) {
      const delivery = new Delivery(near, far, hello.type, hello.payload, true);
      if (!fabric.greet(delivery)) {
        remote.release(far);
        return this.#failed('no-answer', dialTimeoutUs);
      }
    }
    this.#end = near;
    this.#dialing = false;
    this.#failures = 0;
    this.#network.remember(near);
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const { type, payload } of queue) near.send(type, payload);
  }
}

export class AcceptedChannel implements Channel, EndOwner {
  readonly peer: PeerId;
  readonly channel: Channel = this;
  readonly end: End;
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, peer: PeerId, awaitsGreeting: boolean) {
    this.#network = network;
    this.peer = peer;
    this.end = new End(network, this, awaitsGreeting);
    network.remember(this.end);
  }

  send(type: number, payload: Bytes): boolean {
    return this.end.send(type, payload);
  }

  close(reason: string): void {
    if (!this.end.open) return;
    const { fabric, life } = this.#network;
    fabric.simulation.trace.note('hang-up', life.subject, reason);
    this.end.hangUp(fabric.noticeDelayUs());
    life.after(0, 'hang-up', () => this.gone(this.end));
  }

  gone(end: End): void {
    this.#network.release(end);
    if (end.used) this.#network.closed(this);
  }
}
