// The two kinds of channel: a link, which dials and reconnects, and an accepted connection, which does not.

import type { PeerId } from '../../src/base/brand.ts';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Address, Channel } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import { Delivery, End, type EndOwner } from './connection.ts';
import type { SimulatedNetwork } from './network.ts';
import { usPerMs } from './simulation.ts';

const dialTimeoutUs = limits.handshakeTimeoutMs * usPerMs;
const backOffUsMin = 50_000;
const backOffUsMax = 5_000_000;

export class Link implements Channel, EndOwner {
  readonly peer: PeerId;
  readonly channel: Channel = this;
  address: Address;
  readonly #network: SimulatedNetwork;
  #end: End | undefined;
  /** Dialling, or waiting before the next attempt. */
  #busy = false;
  #connectedUs = 0;
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
    if (!this.#busy) this.#dial();
    return true;
  }

  close(reason: string): void {
    if (this.#closed || !this.#network.life.alive) return;
    this.#closed = true;
    this.#note('hang-up', reason);
    this.#dropQueue();
    this.#network.forget(this);
    if (this.#end === undefined) return;
    this.#network.release(this.#end);
    this.#end.hangUp(this.#network.fabric.noticeDelayUs());
    this.#end = undefined;
  }

  gone(end: End): void {
    this.#network.release(end);
    if (this.#end !== end) return;
    this.#end = undefined;
    const { simulation } = this.#network.fabric;
    if (end.used || simulation.nowUs - this.#connectedUs >= backOffUsMax) this.#failures = 0;
    this.#failed('connection-lost', 0);
  }

  #note(kind: string, detail: string): void {
    const { life, fabric } = this.#network;
    fabric.simulation.trace.note(kind, life.subject, detail);
  }

  /** There and back once, then the greeting; each step may be cut off, and the other node may be down. */
  #dial(): void {
    this.#busy = true;
    const { fabric, host, life } = this.#network;
    const target = fabric.hostAt(this.address);
    if (target === undefined) return this.#failed('no-such-address', 0);
    const thereUs = fabric.setupDelayUs(host, target);
    if (thereUs === undefined) return this.#failed('no-answer', dialTimeoutUs);
    life.after(thereUs, 'dial', () => {
      const remote = target.network;
      if (remote === undefined || !remote.listening) return this.#failed('refused', thereUs);
      // A stopped process does not answer; the caller does not wait for it for ever.
      if (remote.life.paused) return this.#failed('no-answer', dialTimeoutUs);
      const backUs = fabric.setupDelayUs(target, host);
      if (backUs === undefined) return this.#failed('no-answer', dialTimeoutUs);
      if (target.peer !== this.peer) return this.#failed('wrong-key', backUs);
      life.after(backUs, 'dial', () => this.#connected(remote));
    });
  }

  /** What waits is dropped `afterUs` later, and the next attempt is put off, both as in the real link. */
  #failed(reason: string, afterUs: number): void {
    const { fabric, life } = this.#network;
    this.#busy = true;
    life.after(afterUs, 'dial-failed', () => {
      if (this.#closed) return;
      fabric.counters.count('dials_failed', reason);
      if (this.#queue.length > 0) {
        fabric.counters.count('messages_dropped', 'unreachable', this.#queue.length);
      }
      this.#note('dial-failed', `${this.address.host}:${this.address.port} ${reason}`);
      this.#dropQueue();
      const backOffUs = Math.min(backOffUsMin * 2 ** Math.min(this.#failures, 16), backOffUsMax);
      this.#failures++;
      life.after(backOffUs / 2 + fabric.jitter(backOffUs / 2), 'redial', () => this.#retry());
    });
  }

  #retry(): void {
    this.#busy = false;
    if (!this.#closed && this.#queue.length > 0) this.#dial();
  }

  #connected(remote: SimulatedNetwork): void {
    if (this.#closed) return;
    const { fabric, host, policy } = this.#network;
    if (!remote.listening) return this.#failed('refused', 0);
    if (!remote.policy.admit(host.peer)) return this.#failed('not-admitted', 0);
    const near = new End(this.#network, this, false);
    const far = remote.accept(host.peer);
    End.join(near, far);
    const hello = policy.greeting;
    if (hello === undefined) far.greeted();
    else if (!fabric.greet(new Delivery(near, far, hello.type, hello.payload, true))) {
      remote.release(far);
      return this.#failed('no-answer', dialTimeoutUs);
    }
    this.#end = near;
    this.#busy = false;
    this.#connectedUs = fabric.simulation.nowUs;
    this.#network.remember(near);
    const queue = this.#queue;
    this.#dropQueue();
    for (const { type, payload } of queue) near.send(type, payload);
  }

  #dropQueue(): void {
    this.#queue = [];
    this.#queuedBytes = 0;
  }
}

export class AcceptedChannel implements Channel, EndOwner {
  readonly peer: PeerId;
  readonly channel: Channel = this;
  readonly end: End;
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, peer: PeerId) {
    this.#network = network;
    this.peer = peer;
    this.end = new End(network, this, true);
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
    this.gone(this.end);
  }

  gone(end: End): void {
    this.#network.release(end);
    this.#network.closed(this);
  }
}
