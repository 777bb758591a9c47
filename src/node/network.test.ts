import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
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
import { backOffMs } from './link.ts';
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
    if (socket.closed) resolve();
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

  test('that fell silent without closing anything is dialled anew', async () => {
    let nowMs = 0;
    const a = await start(alice);
    const greeting = { type: hello, payload: utf8('b') };
    const b = await start(bob, { dialOnly: true, greeting, clock: { nowMs: () => nowMs } });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('1'));
    expect((await a.inbox.next()).type).toBe(hello);
    (await a.inbox.next()).channel.send(ping, utf8('answer'));
    await b.inbox.next();
    nowMs += 10 * limits.silenceTimeoutMs;
    link.send(ping, utf8('2'));
    expect((await a.inbox.next()).type).toBe(ping);
    nowMs += limits.silenceTimeoutMs + 1;
    expect(link.send(ping, utf8('3'))).toBe(true);
    expect(b.network.state(alice.peer)).toMatchObject({
      phase: 'backing-off',
      lastError: 'connection lost: silent',
    });
    expect((await a.inbox.next()).type).toBe(hello);
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('3');
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

describe('a stranger or hostile client', () => {
  const dropped = (reason: string): string => `network_connections_dropped_total/${reason}`;

  /** The handshake as a peer of ours would do it; resolves when it is done on this side. */
  async function handshaken(to: Node, identity: Identity, extra: object = {}): Promise<TLSSocket> {
    const socket = rawClient(to, identity, extra);
    await once(socket, 'secureConnect');
    return socket;
  }

  test('does not get in with TLS 1.2, without a certificate, or with another protocol name', async () => {
    const a = await start(alice);
    const attempts = [
      { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' },
      { cert: undefined, key: undefined },
      { ALPNProtocols: ['http/1.1'] },
      { ALPNProtocols: undefined },
    ];
    for (const attempt of attempts) {
      const socket = rawClient(a, bob, attempt);
      socket.on('secureConnect', () => socket.write(encodeFrame(ping, utf8('hello?'))));
      await ended(socket);
    }
    expect(a.counts.of('network_received_bytes_total')).toBe(0);
    expect(a.counts.of('network_connections_accepted_total')).toBe(0);
  });

  test('never resumes a session', async () => {
    const a = await start(alice);
    const sessions: Buffer[] = [];
    const first = await handshaken(a, bob);
    first.on('session', (session) => sessions.push(session));
    first.write(encodeFrame(ping, utf8('x')));
    await a.inbox.next();
    first.destroy();
    const session = sessions[0] ?? first.getSession();
    const second = await handshaken(a, bob, session === undefined ? {} : { session });
    expect(second.isSessionReused()).toBe(false);
    expect(sessions).toEqual([]);
  });

  test.each([
    ['garbage', () => systemEntropy.bytes(1000).fill(255, 4, 6), 'unknown-type'],
    ['a type it must not send', () => encodeFrame(200, utf8('x')), 'unknown-type'],
    ['a length below the header', () => Uint8Array.of(1, 0, 0, 0, 7, 0), 'frame-too-short'],
    ['a length over the bound', () => Uint8Array.of(255, 255, 255, 255, 7, 0), 'frame-too-long'],
  ])('that sends %s is dropped, and nobody else notices', async (_, bytes, reason) => {
    const a = await start(alice);
    const honest = await start(carol, { dialOnly: true });
    honest.network.open(alice.peer, a.address).send(ping, utf8('1'));
    await a.inbox.next();
    const socket = await handshaken(a, bob);
    socket.write(encodeFrame(ping, utf8('still fine')));
    socket.write(bytes());
    await ended(socket);
    await a.counts.until(dropped(reason));
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('still fine');
    honest.network.open(alice.peer, a.address).send(ping, utf8('2'));
    expect((await a.inbox.next()).channel.peer).toBe(carol.peer);
  });

  test('that never finishes its handshake or its first message is dropped in time', async () => {
    const a = await start(alice, { bounds: { handshakeTimeoutMs: 50 } });
    const silent = connectTcp(a.address);
    sockets.push(silent);
    await ended(silent);
    const shy = await handshaken(a, bob);
    await ended(shy);
    const halting = await handshaken(a, bob);
    halting.write(encodeFrame(ping, utf8('half of this')).subarray(0, 9));
    await ended(halting);
    expect(a.counts.of(dropped('handshake-timeout'))).toBe(3);
    // Garbage instead of a handshake does not even need the time.
    const loud = connectTcp(a.address);
    sockets.push(loud);
    loud.write('GET / HTTP/1.1\r\n\r\n');
    await ended(loud);
  });

  test('that goes silent is dropped after the idle time, and that is told above', async () => {
    const a = await start(alice, { bounds: { idleTimeoutMs: 50 } });
    const closed = new Promise<Channel>((resolve) => a.network.onClosed(resolve));
    const socket = await handshaken(a, bob);
    socket.write(encodeFrame(ping, utf8('x')));
    const { channel } = await a.inbox.next();
    await ended(socket);
    expect(await closed).toBe(channel);
    expect(channel.send(ping, utf8('too late'))).toBe(false);
    expect(a.counts.of(dropped('idle'))).toBe(1);
  });

  test('that drips a message byte by byte is dropped', async () => {
    const a = await start(alice, { bounds: { frameTimeoutMs: 30 } });
    const socket = await handshaken(a, bob);
    socket.write(encodeFrame(ping, utf8('x')));
    await a.inbox.next();
    const frame = encodeFrame(ping, new Uint8Array(1000));
    let sent = 0;
    const drip = setInterval(() => socket.write(frame.subarray(sent, ++sent)), 5);
    await ended(socket);
    clearInterval(drip);
    expect(a.counts.of(dropped('slow-frame'))).toBe(1);
  });

  test('cannot crowd others out with handshakes that it does not finish', async () => {
    const a = await start(alice, { bounds: { handshakesMax: 5 } });
    for (let i = 0; i < 30; i++) {
      const socket = connectTcp(a.address);
      socket.on('error', () => {});
      sockets.push(socket);
      await once(socket, 'connect');
    }
    const honest = await start(carol, { dialOnly: true });
    honest.network.open(alice.peer, a.address).send(ping, utf8('in'));
    expect((await a.inbox.next()).channel.peer).toBe(carol.peer);
    expect(a.counts.of(dropped('handshake-crowded-out'))).toBeGreaterThanOrEqual(25);
  });

  test('keeps its newest connections only, and gives places up to others', async () => {
    const a = await start(alice, { bounds: { connectionsPerPeerMax: 4, connectionsMax: 5 } });
    const greeted = async (identity: Identity): Promise<TLSSocket> => {
      const socket = await handshaken(a, identity);
      socket.write(encodeFrame(ping, utf8('x')));
      await a.inbox.next();
      return socket;
    };
    const bobs: TLSSocket[] = [];
    for (let i = 0; i < 6; i++) bobs.push(await greeted(bob));
    await Promise.all(bobs.slice(0, 2).map(ended));
    expect(a.counts.of(dropped('too-many-of-one-peer'))).toBe(2);
    const carols = [await greeted(carol), await greeted(carol)];
    await ended(bobs[2] as TLSSocket);
    expect(a.counts.of(dropped('too-many-connections'))).toBe(1);
    const open = [...bobs.slice(3), ...carols];
    expect(open.every((socket) => !socket.destroyed)).toBe(true);
    // Three to two: nobody has two more than it would then have.
    const third = await handshaken(a, carol);
    await ended(third);
    expect(open.every((socket) => !socket.destroyed)).toBe(true);
  });

  test('loses its connections when it is no longer admitted', async () => {
    const admitted = new Set([bob.peer, carol.peer]);
    const a = await start(alice, { admit: (peer) => admitted.has(peer) });
    const bobs = await handshaken(a, bob);
    const carols = await handshaken(a, carol);
    for (const socket of [bobs, carols]) socket.write(encodeFrame(ping, utf8('x')));
    await a.inbox.next();
    await a.inbox.next();
    admitted.delete(bob.peer);
    a.network.readmit();
    await ended(bobs);
    expect(carols.destroyed).toBe(false);
  });

  test('that does not read holds bounded memory and is not read from, and others go on', async () => {
    const a = await start(alice);
    const socket = await handshaken(a, bob);
    socket.pause();
    socket.write(encodeFrame(ping, utf8('x')));
    const { channel } = await a.inbox.next();
    const large = new Uint8Array(limits.blockSizeBytesMax);
    let accepted = 0;
    while (channel.send(ping, large)) accepted++;
    expect(accepted).toBeLessThan(limits.sendQueueBytesMax / limits.blockSizeBytesMax + 10);
    expect(a.counts.of('network_messages_dropped_total/send-queue-full')).toBe(1);
    // What it asks now stays in its own buffers until it takes its answers.
    socket.write(encodeFrame(ping, utf8('more!')));
    const honest = await start(carol, { dialOnly: true });
    const link = honest.network.open(alice.peer, a.address);
    for (let i = 0; i < 50; i++) {
      link.send(ping, utf8('ping'));
      const asked = await a.inbox.next();
      expect(asked.channel.peer).toBe(carol.peer);
      asked.channel.send(ping, utf8('pong'));
      await honest.inbox.next();
    }
    socket.resume();
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('more!');
  });
});

describe('a node', () => {
  test('whose handler throws closes that connection and serves the others', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    const c = await start(carol, { dialOnly: true });
    a.network.onMessage((channel, type, payload) => {
      if (payload.length === 1) throw new TypeError('our bug');
      a.inbox.put({ channel, type, payload });
    });
    c.network.open(alice.peer, a.address).send(ping, utf8('fine'));
    await a.inbox.next();
    b.network.open(alice.peer, a.address).send(ping, utf8('x'));
    await a.counts.until('network_connections_dropped_total/handler-failed');
    expect(a.errors).toEqual(['network.handler-failed']);
    c.network.open(alice.peer, a.address).send(ping, utf8('still fine'));
    expect((await a.inbox.next()).channel.peer).toBe(carol.peer);
  });

  test('that finds its port taken says which, and what to do', async () => {
    const a = await start(alice);
    await expect(start(bob, { listen: a.address })).rejects.toMatchObject({
      code: 'port-in-use',
      message: expect.stringContaining(`127.0.0.1:${a.address.port}`),
      cure: expect.stringContaining('another port'),
    });
    await expect(start(bob, { listen: { host: '203.0.113.1', port: 0 } })).rejects.toMatchObject({
      code: 'bad-configuration',
    });
  });

  test('that closes sends what waits first, and nothing afterwards', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('warm'));
    await a.inbox.next();
    const last = new Uint8Array(limits.blockSizeBytesMax).fill(9);
    for (let i = 0; i < 4; i++) link.send(ping, last);
    await b.network.close();
    for (let i = 0; i < 4; i++) expect((await a.inbox.next()).payload).toHaveLength(last.length);
    expect(link.send(ping, last)).toBe(false);
    expect(b.network.open(carol.peer, a.address).send(ping, last)).toBe(false);
  });

  test('drops a link for good on request, and a new one can be opened', async () => {
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('x'));
    await a.inbox.next();
    link.close('provable-fault');
    expect(link.send(ping, utf8('y'))).toBe(false);
    expect(b.counts.of('network_links_lost_total/provable-fault')).toBe(1);
    const fresh = b.network.open(alice.peer, a.address);
    fresh.send(ping, utf8('z'));
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('z');
  });

  test('closed while it dials leaves nothing behind', async () => {
    const a = await start(alice);
    const timers = new HandTimers();
    const b = await start(bob, { dialOnly: true, timers });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('x'));
    link.close('not-needed');
    b.network.open(alice.peer, a.address).send(ping, utf8('y'));
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('y');
    expect(timers.waiting.size).toBe(0);
    expect(b.counts.of('network_links_lost_total/not-needed')).toBe(0);
  });

  test('gives up a dial that gets no handshake, and waits longer after each failure', async () => {
    const deaf = createTcpServer(() => {});
    await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
    const { port } = deaf.address() as AddressInfo;
    const b = await start(bob, { dialOnly: true, bounds: { handshakeTimeoutMs: 30 } });
    b.network.open(alice.peer, { host: '127.0.0.1', port }).send(ping, utf8('x'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    expect(b.network.state(alice.peer)?.lastError).toBe('no TLS handshake within 30 ms');
    deaf.close();
    expect([0, 1, 2, 6, 7, 1000].map((failures) => backOffMs(failures, 255))).toEqual([
      50, 100, 200, 3200, 5000, 5000,
    ]);
    expect(backOffMs(0, 0)).toBe(25);
  });
});
