import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, utf8 } from '../base/bytes.ts';
import type { Timer, Timers } from '../env/clock.ts';
import type { Log } from '../env/log.ts';
import type { Metrics } from '../env/metrics.ts';
import type { Channel } from '../env/network.ts';
import { encodeFrame } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import { systemClock, systemTimers } from './clock.ts';
import { systemEntropy } from './entropy.ts';
import { createIdentity, type Identity } from './identity.ts';
import { createTlsNetwork, type TlsNetwork, type TlsNetworkOptions } from './network.ts';
import { tlsOptions } from './tls.ts';

const [alice, bob, carol] = (await Promise.all(
  [1, 2, 3].map((n) => createIdentity(new Uint8Array(32).fill(n))),
)) as [Identity, Identity, Identity];

const ping = 7;
const hello = 1;

/** Counts as `name/label`, and lets a test wait for one. */
class Counts implements Metrics {
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
class Inbox {
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

interface Message {
  readonly channel: Channel;
  readonly type: number;
  readonly payload: Bytes;
}

interface Node {
  readonly identity: Identity;
  readonly network: TlsNetwork;
  readonly counts: Counts;
  readonly inbox: Inbox;
  readonly errors: string[];
  readonly address: { host: string; port: number };
}

const running: TlsNetwork[] = [];
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(running.splice(0).map((network) => network.close()));
});

async function start(
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
    sizeBytesMax: (type) => (type < 100 ? limits.messageSizeBytesMax : undefined),
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
class HandTimers implements Timers {
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
function rawClient(to: Node, identity: Identity, extra: object = {}): TLSSocket {
  const socket = connectTls({ ...tlsOptions(identity), ...to.address, ...extra });
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('close', () => resolve());
    socket.resume();
  });
}

describe('messages', () => {
  test('go both ways over one link, each end knowing the key of the other', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    const link = b.network.open(alice.peer, a.address);
    expect(b.network.state(alice.peer)).toEqual({ phase: 'idle', lastError: undefined });
    expect(link.send(ping, utf8('ping'))).toBe(true);
    const asked = await a.inbox.next();
    expect(asked.channel.peer).toBe(bob.peer);
    expect(asked.type).toBe(ping);
    expect(asked.channel.send(ping, utf8('pong'))).toBe(true);
    const answered = await b.inbox.next();
    expect(answered.channel).toBe(link);
    expect(Buffer.from(answered.payload).toString()).toBe('pong');
    expect(b.network.state(alice.peer)?.phase).toBe('connected');
    expect(b.network.open(alice.peer, a.address)).toBe(link);
  });

  test('arrive whole and in order whatever their sizes', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    const link = b.network.open(alice.peer, a.address);
    const sizes = [0, 1, 16_384, 16_385, limits.messageSizeBytesMax, 3, 100_000, 0];
    for (const [i, size] of sizes.entries()) link.send(ping, new Uint8Array(size).fill(i));
    for (const [i, size] of sizes.entries()) {
      const { payload } = await a.inbox.next();
      expect(payload.length).toBe(size);
      expect(payload.every((byte) => byte === i)).toBe(true);
    }
  });

  test('begin with the greeting on every new connection', async () => {
    const timers = new HandTimers();
    const first = await start(alice);
    const b = await start(bob, {
      dialOnly: true,
      greeting: { type: hello, payload: utf8('b') },
      timers,
    });
    const link = b.network.open(alice.peer, first.address);
    link.send(ping, utf8('one'));
    expect((await first.inbox.next()).type).toBe(hello);
    const one = await first.inbox.next();
    one.channel.send(ping, utf8('heard'));
    await b.inbox.next();

    await first.network.close();
    await b.counts.until('network_links_lost_total/ended-by-peer');
    expect(b.network.state(alice.peer)).toEqual({
      phase: 'backing-off',
      lastError: 'connection lost: ended-by-peer',
    });
    const second = await start(alice, { listen: first.address });
    link.send(ping, utf8('two'));
    timers.fireAll();
    expect((await second.inbox.next()).type).toBe(hello);
    expect(Buffer.from((await second.inbox.next()).payload).toString()).toBe('two');
  });
});

describe('an unreachable peer', () => {
  test('is named with the reason, and what waited for it is dropped', async () => {
    const gone = await start(alice);
    await gone.network.close();
    const timers = new HandTimers();
    const b = await start(bob, { dialOnly: true, timers });
    const link = b.network.open(alice.peer, gone.address);
    expect(link.send(ping, utf8('lost'))).toBe(true);
    expect(b.network.state(alice.peer)?.phase).toBe('connecting');
    await b.counts.until('network_messages_dropped_total/unreachable');
    expect(b.network.state(alice.peer)?.lastError).toMatch(/^ECONNREFUSED/);
    expect(b.network.state(alice.peer)?.phase).toBe('backing-off');
    // During the back-off messages wait up to the bound.
    const large = new Uint8Array(limits.blockSizeBytesMax);
    for (let i = 0; i < 15; i++) expect(link.send(ping, large)).toBe(true);
    expect(link.send(ping, large)).toBe(false);
    // Nothing sent, nothing dialled.
    const dials = b.counts.of('network_dials_total');
    timers.fireAll();
    expect(b.counts.of('network_dials_total')).toBe(dials + 1);
  });

  test('with another key than the pinned one gets no byte and delivers none', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    b.network.open(carol.peer, a.address).send(ping, utf8('for carol only'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    expect(b.network.state(carol.peer)?.lastError).toBe(
      `wrong key: the server there is ${alice.peer}`,
    );
    expect(a.counts.of('network_received_bytes_total')).toBe(0);
  });

  test('that hangs up after the handshake is told from one that is down', async () => {
    const a = await start(alice, { admit: () => false });
    const b = await start(bob, { dialOnly: true });
    b.network.open(alice.peer, a.address).send(ping, utf8('let me in'));
    await a.counts.until('network_connections_dropped_total/not-admitted');
    while (b.network.state(alice.peer)?.phase !== 'backing-off') await new Promise(setImmediate);
    expect(b.network.state(alice.peer)?.lastError).toMatch(/^refused or lost before any answer/);
    expect(a.counts.of('network_received_bytes_total')).toBe(0);
  });
});
