import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  alice,
  bob,
  carol,
  ended,
  type Node,
  ping,
  rawClient,
  sockets,
  start,
  stopAll,
} from '../../testing/node/tls-nodes.ts';
import { utf8 } from '../base/bytes.ts';
import type { Channel } from '../env/network.ts';
import { encodeFrame } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import { systemEntropy } from './entropy.ts';
import { createIdentity, type Identity } from './identity.ts';
import { tlsOptions } from './tls.ts';

afterEach(stopAll);

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
    ['a word that only who accepts may say', () => encodeFrame(0, utf8('')), 'unknown-type'],
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
    const a = await start(alice, { bounds: { handshakeTimeoutMs: 400 } });
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
    const a = await start(alice, { bounds: { idleTimeoutMs: 300 } });
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

  test('gives way to everybody when all places are taken', async () => {
    const a = await start(alice, {
      bounds: { connectionsMax: 2 },
      isKnown: (peer) => peer === carol.peer,
    });
    const strangers = [await handshaken(a, bob), await handshaken(a, bob)];
    const known = await handshaken(a, carol);
    known.write(encodeFrame(ping, utf8('x')));
    await a.inbox.next();
    await ended(strangers[0] as TLSSocket);
    expect(a.counts.of(dropped('stranger-crowded-out'))).toBe(1);
    // A newer stranger takes an older one's place, never a known peer's.
    const newer = await handshaken(a, bob);
    await ended(strangers[1] as TLSSocket);
    expect([known.destroyed, newer.destroyed]).toEqual([false, false]);
  });

  test('keeps nobody of the few out whose places nobody else gets, though it is known', async () => {
    const a = await start(alice, {
      bounds: { connectionsMax: 2 },
      isKnown: () => true,
      keepsPlace: (peer) => peer === carol.peer,
    });
    const first = await handshaken(a, bob);
    await handshaken(a, alice);
    const member = await handshaken(a, carol);
    member.write(encodeFrame(ping, utf8('x')));
    expect((await a.inbox.next()).channel.peer).toBe(carol.peer);
    await ended(first);
  });

  test('is not handshaken with more often than an address may ask for it', async () => {
    let nowMs = 0;
    const bounds = { countsLoopback: true };
    const a = await start(alice, { bounds, clock: { nowMs: () => nowMs } });
    for (let i = 0; i < limits.handshakesAtOnceMax; i++) {
      const socket = connectTcp(a.address);
      sockets.push(socket);
      await once(socket, 'connect');
    }
    await ended(rawClient(a, bob));
    expect(a.counts.of(dropped('handshakes-too-many'))).toBe(1);
    nowMs += 1000 / limits.handshakesPerSecondMax;
    await handshaken(a, bob);
    await a.counts.until('network_connections_accepted_total');
  });

  test('that holds most connections gives way, not the one that came first', async () => {
    const a = await start(alice, {
      bounds: { connectionsMax: 3 },
      isKnown: (peer) => peer === alice.peer,
    });
    const modest = await handshaken(a, carol);
    const greedy = [await handshaken(a, bob), await handshaken(a, bob)];
    // The one that wants a place is known.
    await handshaken(a, alice);
    await ended(greedy[0] as TLSSocket);
    expect(a.counts.of(dropped('stranger-crowded-out'))).toBe(1);
    expect([modest.destroyed, greedy[1]?.destroyed]).toEqual([false, false]);
  });

  test('is asked for again with each message, since a greeting may have made it known', async () => {
    let asked = 0;
    const a = await start(alice, { isKnown: () => ++asked > 0 });
    const socket = await handshaken(a, bob);
    for (let i = 0; i < 3; i++) {
      const before = asked;
      socket.write(encodeFrame(ping, utf8('x')));
      await a.inbox.next();
      expect(asked).toBeGreaterThan(before);
    }
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

  test('that says without end that it is alive is made to wait', async () => {
    const words = Buffer.concat(new Array<Uint8Array>(10_000).fill(encodeFrame(0, utf8(''))));
    const liar = createTlsServer(tlsOptions(alice), (socket) => {
      sockets.push(socket);
      const talk = (): void => void socket.write(words, (error) => error ?? talk());
      talk();
    });
    await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
    const { port } = liar.address() as AddressInfo;
    const b = await start(bob, { dialOnly: true });
    b.network.open(alice.peer, { host: '127.0.0.1', port }).send(ping, utf8('x'));
    await b.counts.until('network_peers_held_total');
    liar.close();
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

test('a stranger takes no place of a client that is known, while other strangers have some', async () => {
  const member = await createIdentity(new Uint8Array(32).fill(9));
  const dave = await createIdentity(new Uint8Array(32).fill(4));
  const a = await start(alice, {
    bounds: { connectionsMax: 2 },
    isKnown: (peer) => peer === bob.peer || peer === member.peer,
    keepsPlace: (peer) => peer === member.peer,
  });
  const known = rawClient(a, bob);
  await once(known, 'secureConnect');
  known.write(encodeFrame(ping, utf8('known')));
  await a.inbox.next();
  const stranger = rawClient(a, carol);
  await once(stranger, 'secureConnect');
  stranger.write(encodeFrame(ping, utf8('stranger')));
  await a.inbox.next();
  const other = rawClient(a, dave);
  await once(other, 'secureConnect');
  const first = await Promise.race([
    ended(known).then(() => 'the known client'),
    ended(stranger).then(() => 'a stranger'),
    ended(other).then(() => 'the new stranger'),
  ]);
  expect(first).not.toBe('the known client');
});

test.each(['stranger', 'client'])(
  'a %s takes no place of a member that has two connections',
  async (who) => {
    const dave = await createIdentity(new Uint8Array(32).fill(4));
    const a = await start(alice, {
      bounds: { connectionsMax: 3 },
      isKnown: (peer) =>
        peer === bob.peer || peer === carol.peer || (who === 'client' && peer === dave.peer),
      keepsPlace: (peer) => peer === bob.peer || peer === carol.peer,
    });
    const held = [];
    for (const identity of [bob, bob, carol]) {
      const socket = rawClient(a, identity);
      await once(socket, 'secureConnect');
      socket.write(encodeFrame(ping, utf8('member')));
      await a.inbox.next();
      held.push(socket);
    }
    const other = rawClient(a, dave);
    await once(other, 'secureConnect');
    const first = await Promise.race([
      ...held.map((socket, i) => ended(socket).then(() => `connection ${i} of a member`)),
      ended(other).then(() => 'the newcomer'),
    ]);
    expect(first).toBe('the newcomer');
  },
);
