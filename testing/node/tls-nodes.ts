// Nodes on real sockets for the tests of the TLS network.
import type { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Bytes } from '../../src/base/bytes.ts';
import type { Timer, Timers } from '../../src/env/clock.ts';
import type { Log } from '../../src/env/log.ts';
import type { Metrics } from '../../src/env/metrics.ts';
import type { Channel } from '../../src/env/network.ts';
import { systemClock, systemTimers } from '../../src/node/clock.ts';
import { systemEntropy } from '../../src/node/entropy.ts';
import { createIdentity, type Identity } from '../../src/node/identity.ts';
import {
  createTlsNetwork,
  type TlsNetwork,
  type TlsNetworkOptions,
} from '../../src/node/network.ts';
import { tlsOptions } from '../../src/node/tls.ts';
import { limits } from '../../src/wire/limits.ts';

export const [alice, bob, carol] = (await Promise.all(
  [1, 2, 3].map((n) => createIdentity(new Uint8Array(32).fill(n))),
)) as [Identity, Identity, Identity];

export const ping = 7;
export const hello = 1;

/** Counts as `name/label`, and lets a test wait for one. */
export class Counts implements Metrics {
  readonly #counts = new Map<string, number>();
  #waiters: { readonly key: string; readonly resolve: () => void }[] = [];

  count(name: string, label?: string, amount = 1): void {
    const key = label === undefined ? name : `${name}/${label}`;
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + amount);
    for (const waiter of this.#waiters.filter((waiter) => waiter.key === key)) waiter.resolve();
    this.#waiters = this.#waiters.filter((waiter) => waiter.key !== key);
  }
  gauge(): void {}
  observe(): void {}

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }
  until(key: string): Promise<void> {
    if (this.of(key) > 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ key, resolve }));
  }
}

/** Messages as they come; a test takes the next one, waiting if need be. */
export class Inbox {
  readonly #messages: Message[] = [];
  readonly #takers: ((message: Message) => void)[] = [];

  put(message: Message): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#messages.push(message);
    else taker(message);
  }
  next(): Promise<Message> {
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}

export interface Message {
  readonly channel: Channel;
  readonly type: number;
  readonly payload: Bytes;
}

export interface Node {
  readonly identity: Identity;
  readonly network: TlsNetwork;
  readonly counts: Counts;
  readonly inbox: Inbox;
  readonly errors: string[];
  readonly address: { host: string; port: number };
}

const running: TlsNetwork[] = [];
export const sockets: Socket[] = [];

/** Ends everything that a test started; call it after each test. */
export async function stopAll(): Promise<void> {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(running.splice(0).map((network) => network.close()));
}

/** A network with its own counts and inbox, listening on loopback unless told to dial only. */
export async function start(
  identity: Identity,
  options: Partial<TlsNetworkOptions> & { readonly dialOnly?: boolean } = {},
): Promise<Node> {
  const { dialOnly, ...overrides } = options;
  const counts = new Counts();
  const errors: string[] = [];
  const log: Log = {
    debug() {},
    info() {},
    warn() {},
    error: (event) => errors.push(event),
  };
  const network = await createTlsNetwork({
    identity,
    ...(dialOnly === true ? {} : { listen: { host: '127.0.0.1', port: 0 } }),
    sizeBytesMax: (type) => (type > 0 && type < 100 ? limits.messageSizeBytesMax : undefined),
    clock: systemClock,
    timers: systemTimers,
    entropy: systemEntropy,
    log,
    metrics: counts,
    ...overrides,
  });
  running.push(network);
  const inbox = new Inbox();
  network.onMessage((channel, type, payload) => inbox.put({ channel, type, payload }));
  const address = { host: '127.0.0.1', port: network.port ?? 0 };
  return { identity, network, counts, inbox, errors, address };
}

/** Timers that fire only when the test says so. */
export class HandTimers implements Timers {
  readonly waiting = new Set<{ readonly delayMs: number; readonly action: () => void }>();
  after(delayMs: number, action: () => void): Timer {
    const entry = { delayMs, action };
    this.waiting.add(entry);
    return { cancel: () => this.waiting.delete(entry) };
  }
  fireAll(): void {
    for (const entry of [...this.waiting]) {
      this.waiting.delete(entry);
      entry.action();
    }
  }
}

/** A TLS client made by hand, for what our own client never does. */
export function rawClient(to: Node, identity: Identity, extra: object = {}): TLSSocket {
  const socket = connectTls({ ...tlsOptions(identity), ...to.address, ...extra });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}

export function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    socket.on('close', () => resolve());
    socket.resume();
  });
}
