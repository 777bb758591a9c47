import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import {
  alice,
  bob,
  carol,
  HandTimers,
  hello,
  ping,
  start,
  stopAll,
} from '../../testing/node/tls-nodes.ts';
import { utf8 } from '../base/bytes.ts';
import { type Log, silentLog } from '../env/log.ts';
import type { Channel } from '../env/network.ts';
import { limits } from '../wire/limits.ts';
import { backOffMs, Link } from './link.ts';

afterEach(stopAll);

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

  test('are judged by what the greeting before them said, though both came at once', async () => {
    const known = new Set<string>();
    const a = await start(alice, {
      isKnown: (peer) => known.has(peer),
      sizeBytesMax: (_, peer) => (known.has(peer) ? limits.messageSizeBytesMax : 10),
    });
    const received: number[] = [];
    const whole = new Promise<void>((resolve) => {
      a.network.onMessage(({ peer }, type, { length }) => {
        received.push(length);
        if (type === hello) known.add(peer);
        else if (received.length === 4) resolve();
      });
    });
    const greeting = { type: hello, payload: utf8('b') };
    const b = await start(bob, { dialOnly: true, greeting });
    const link = b.network.open(alice.peer, a.address);
    const sizes = [3, limits.messageSizeBytesMax, 100_000];
    for (const size of sizes) link.send(ping, new Uint8Array(size));
    await whole;
    expect(received).toEqual([1, ...sizes]);
    // Who says nothing of himself, or says it too late, is still a stranger.
    const c = await start(carol, { dialOnly: true });
    const stranger = c.network.open(alice.peer, a.address);
    for (const [type, size] of [
      [ping, 3],
      [ping, 11],
      [hello, 1],
    ] as const) {
      stranger.send(type, new Uint8Array(size));
    }
    await a.counts.until('network_connections_dropped_total/frame-too-long');
    expect(received.slice(4)).toEqual([3]);
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

    const lost: Channel[] = [];
    b.network.onLost?.((each) => lost.push(each));
    await first.network.close();
    await b.counts.until('network_links_lost_total/ended-by-peer');
    expect(lost).toEqual([link]);
    expect(b.network.state(alice.peer)).toEqual({
      phase: 'backing-off',
      lastError: 'connection lost: the other end closed it',
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
    expect(b.network.state(alice.peer)?.lastError).toMatch(/^connection refused/);
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
      lastError: 'connection lost: the other end has fallen silent',
    });
    expect((await a.inbox.next()).type).toBe(hello);
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('3');
  });

  test('that answers elsewhere says that it is alive, to the transport alone', async () => {
    let nowMs = 0;
    const timers = new HandTimers();
    const a = await start(alice, { timers });
    const b = await start(bob, { dialOnly: true, clock: { nowMs: () => nowMs } });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('1'));
    await a.inbox.next();
    link.send(ping, utf8('2'));
    await a.inbox.next();
    // One word for whatever came until then.
    expect(timers.waiting.size).toBe(1);
    timers.fireAll();
    await b.counts.until('network_received_bytes_total');
    nowMs += limits.silenceTimeoutMs + 1;
    link.send(ping, utf8('3'));
    const { channel } = await a.inbox.next();
    nowMs += limits.silenceTimeoutMs - 1;
    link.send(ping, utf8('4'));
    await a.inbox.next();
    expect(b.network.state(alice.peer)?.phase).toBe('connected');
    channel.send(ping, utf8('a message'));
    expect((await b.inbox.next()).type).toBe(ping);
    expect(b.counts.of('network_dials_total')).toBe(1);
    // A closed connection owes no word.
    expect(timers.waiting.size).toBe(1);
    link.close('test');
    await a.counts.until('network_connections_dropped_total/ended-by-peer');
    expect(timers.waiting.size).toBe(0);
  });

  test('that connects is dialled at once, however long the pause, but once a second at most', async () => {
    let nowMs = 0;
    const gone = await start(alice);
    await gone.network.close();
    const timers = new HandTimers();
    const b = await start(bob, { timers, clock: { nowMs: () => nowMs } });
    const waiting = b.network.open(alice.peer, gone.address);
    waiting.send(ping, utf8('lost'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    waiting.send(ping, utf8('waits'));
    const back = await start(alice, { listen: gone.address });
    expect(b.network.state(alice.peer)?.phase).toBe('backing-off');
    const link = back.network.open(bob.peer, b.address);
    nowMs = 999;
    link.send(ping, utf8('here I am'));
    await b.inbox.next();
    expect(b.counts.of('network_dials_total')).toBe(1);
    link.close('test');
    nowMs = 1000;
    back.network.open(bob.peer, b.address).send(ping, utf8('here I am again'));
    expect(Buffer.from((await back.inbox.next()).payload).toString()).toBe('waits');
  });

  test('that connects is dialled anew when an attempt hangs', async () => {
    let nowMs = 0;
    // Takes connections and says nothing, as a machine does whose packets are lost.
    const held: Socket[] = [];
    const mute = createTcpServer((socket) => held.push(socket));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const timers = new HandTimers();
    const b = await start(bob, { timers, clock: { nowMs: () => nowMs } });
    b.network.open(alice.peer, { host: '127.0.0.1', port }).send(ping, utf8('waits'));
    const a = await start(alice);
    const link = b.network.open(alice.peer, a.address);
    a.network.open(bob.peer, b.address).send(ping, utf8('here I am'));
    await b.inbox.next();
    expect(b.counts.of('network_dials_total')).toBe(1);
    a.network.open(bob.peer, b.address).close('test');
    nowMs += 1001;
    a.network.open(bob.peer, b.address).send(ping, utf8('again'));
    expect(Buffer.from((await a.inbox.next()).payload).toString()).toBe('waits');
    expect(b.network.state(alice.peer)?.phase).toBe('connected');
    expect(link.send(ping, utf8('more'))).toBe(true);
    for (const socket of held) socket.destroy();
    await new Promise((resolve) => mute.close(resolve));
  });

  test('that hangs up after the handshake is told from one that is down', async () => {
    const told: unknown[] = [];
    const log: Log = { ...silentLog, info: (...line) => told.push(line) };
    const a = await start(alice, { admit: () => false, log });
    const b = await start(bob, { dialOnly: true });
    b.network.open(alice.peer, a.address).send(ping, utf8('let me in'));
    await a.counts.until('network_connections_dropped_total/not-admitted');
    while (b.network.state(alice.peer)?.phase !== 'backing-off') await new Promise(setImmediate);
    expect(b.network.state(alice.peer)?.lastError).toMatch(
      /^closed right after the handshake: the other end does not admit this key/,
    );
    expect(a.counts.of('network_received_bytes_total')).toBe(0);
    expect(told).toEqual([['network.not-admitted', { peer: bob.peer, address: '127.0.0.1' }]]);
  });

  test('that closes a connection which lasted, though it never said a word on it, has not refused', async () => {
    let nowMs = 0;
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true, clock: { nowMs: () => nowMs } });
    b.network.open(alice.peer, a.address).send(ping, utf8('a replica answers elsewhere'));
    const { channel } = await a.inbox.next();
    nowMs += 1_000;
    channel.close('new-key');
    await b.counts.until('network_links_lost_total/ended-by-peer');
    expect(b.network.state(alice.peer)?.lastError).toBe('connection lost: the other end closed it');
  });
});

describe('a node', () => {
  test.each([
    ['tells of a connection that another one ends', 0, 1],
    ['does not tell of one that it ends itself', 1, 0],
  ])('%s', async (_, ending, told) => {
    const events: string[] = [];
    const log: Log = { ...silentLog, info: (event) => events.push(event) };
    const a = await start(alice);
    const b = await start(bob, { dialOnly: true, log });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('x'));
    await a.inbox.next();
    // As the first step of closing a network, while the links to others are still being emptied.
    if (ending === 1 && link instanceof Link) await link.end();
    else await a.network.close();
    await b.counts.until('network_links_lost_total/ended-by-peer');
    expect(events).toEqual(Array(told).fill('network.link-down'));
  });

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

  test('that speaks another protocol is told from one that is out', async () => {
    const web = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
    const { port } = web.address() as AddressInfo;
    const b = await start(bob, { dialOnly: true });
    b.network.open(alice.peer, { host: '127.0.0.1', port }).send(ping, utf8('x'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    web.close();
    expect(b.network.state(alice.peer)?.lastError).toMatch(
      /^no TLS handshake: what listens there is not a server of this system \(E/,
    );
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
