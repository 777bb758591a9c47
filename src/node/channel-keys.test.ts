// Channels whose keys an identity vouches for: whose word counts, for what, and until when.

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import {
  alice,
  bob,
  ended,
  HandTimers,
  type Node,
  ping,
  rawClient,
  start,
  stopAll,
} from '../../testing/node/tls-nodes.ts';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { channelKeyBytes } from '../crypto/channel-key.ts';
import { type SignaturePurpose, signedBytes } from '../crypto/domains.ts';
import { ed25519 } from '../crypto/signature.ts';
import type { Channel } from '../env/network.ts';
import { encodeFrame } from '../wire/frame.ts';
import { type Credential, checkCredential, credentialUri } from './credential.ts';
import { createChannelIdentity, type Identity } from './identity.ts';
import { tlsOptions } from './tls.ts';

afterEach(stopAll);

const system = new Uint8Array(32).fill(9);
const seedOfAlice = new Uint8Array(32).fill(1);
const signerOfAlice = ed25519.signer(seedOfAlice);
const later = 2_000_000_000_000;

function credentialFor(
  key: Bytes,
  counter: number,
  notAfterMs = later,
  where = system,
): Credential {
  const claim = { counter, notAfterMs };
  const signature = signerOfAlice.sign(channelKeyBytes(where, claim, key));
  return { identity: signerOfAlice.publicKey, ...claim, signature };
}

let seeds = 100;

/** Alice, with a key for channels that nobody had before. */
function aliceWith(counter: number, notAfterMs = later, where = system): Promise<Identity> {
  seeds += 1;
  return createChannelIdentity(new Uint8Array(32).fill(seeds), async (key) =>
    credentialFor(key, counter, notAfterMs, where),
  );
}

describe('the word of an identity for a key', () => {
  const key = ed25519.signer(new Uint8Array(32).fill(77)).publicKey;
  const names = (credential: Credential): string => `URI:${credentialUri(credential)}`;

  test('proves who has the key, and since which change of keys', () => {
    const proven = checkCredential(names(credentialFor(key, 5)), key, system);
    expect(proven).toEqual({ peer: toHex(signerOfAlice.publicKey), counter: 5, notAfterMs: later });
  });

  test('is nothing for another key or system, altered, or written in another way', () => {
    const right = credentialFor(key, 5);
    const text = names(right);
    const otherKey = signerOfAlice.publicKey;
    expect(checkCredential(text, otherKey, system)).toBeUndefined();
    expect(checkCredential(text, key, new Uint8Array(32))).toBeUndefined();
    for (const wrong of [
      names({ ...right, counter: 6 }),
      names({ ...right, notAfterMs: later + 1 }),
      names({ ...right, identity: key }),
      names({ ...right, signature: new Uint8Array(64) }),
      text.replace(':5:', ':05:'),
      text.replace(':5:', ':5.0:'),
      text.replace(':5:', ':-5:'),
      text.replace(':5:', ':9999999999999999:'),
      `${text}, URI:x`,
      `${text} `,
      text.toUpperCase(),
      text.slice(0, -1),
      'URI:holdfast:channel-key:',
    ]) {
      expect(checkCredential(wrong, key, system), wrong).toBeUndefined();
    }
  });

  test('is nothing else that the identity signs', () => {
    const claim = { counter: 5, notAfterMs: later };
    const right = channelKeyBytes(system, claim, key);
    const prefix = signedBytes({
      purpose: 'channel-key',
      system,
      scope: 5,
      body: new Uint8Array(),
    });
    const body = right.subarray(prefix.length);
    const others: SignaturePurpose[] = ['new-key', 'checkpoint', 'client-bundle'];
    for (const purpose of others) {
      const signature = signerOfAlice.sign(signedBytes({ purpose, system, scope: 5, body }));
      const credential = { identity: signerOfAlice.publicKey, ...claim, signature };
      expect(checkCredential(names(credential), key, system)).toBeUndefined();
    }
  });
});

describe('a node that takes such keys', () => {
  const dropped = (reason: string): string => `network_connections_dropped_total/${reason}`;

  /** What Alice sends over a new connection of her own. */
  function say(to: Node, identity: Identity, word: string): void {
    const socket = rawClient(to, identity);
    socket.on('secureConnect', () => socket.write(encodeFrame(ping, utf8(word))));
  }

  test('takes their holder for the identity', async () => {
    const b = await start(bob, { channelKeys: { system } });
    say(b, await aliceWith(0), 'it is me');
    const { channel } = await b.inbox.next();
    expect(channel.peer).toBe(alice.peer);
  });

  test('refuses them for another system, and another node refuses them altogether', async () => {
    const b = await start(bob, { channelKeys: { system } });
    const socket = rawClient(b, await aliceWith(0, later, new Uint8Array(32)));
    await ended(socket);
    expect(b.counts.of(dropped('channel-key-not-signed'))).toBe(1);
    const plain = await start(bob);
    await ended(rawClient(plain, await aliceWith(0)));
    expect(plain.counts.of(dropped('channel-key-not-signed'))).toBe(1);
  });

  test('ends channels of before a change of keys that it hears of, silent ones too, and takes no more', async () => {
    const b = await start(bob, { channelKeys: { system } });
    const old = await aliceWith(4);
    const [spoke, silent] = [rawClient(b, old), rawClient(b, old)];
    await Promise.all([once(spoke, 'secureConnect'), once(silent, 'secureConnect')]);
    spoke.write(encodeFrame(ping, utf8('before')));
    await b.inbox.next();
    await b.counts.until('network_connections_accepted_total');
    const current = rawClient(b, await aliceWith(5));
    await once(current, 'secureConnect');
    current.write(encodeFrame(ping, utf8('current')));
    await b.inbox.next();
    b.network.demandKeys?.(alice.peer, 5);
    await Promise.all([ended(spoke), ended(silent)]);
    await ended(rawClient(b, old));
    expect(b.counts.of(dropped('channel-key-old'))).toBe(3);
    current.write(encodeFrame(ping, utf8('after')));
    expect((await b.inbox.next()).payload).toEqual(utf8('after'));
    say(b, await aliceWith(6), 'later');
    expect((await b.inbox.next()).payload).toEqual(utf8('later'));
    // Who ends channels with the identity key itself has no keys to change.
    say(b, alice, 'herself');
    expect((await b.inbox.next()).payload).toEqual(utf8('herself'));
  });

  test('demands no less after a later demand of less', async () => {
    const b = await start(bob, { channelKeys: { system } });
    b.network.demandKeys?.(alice.peer, 5);
    b.network.demandKeys?.(alice.peer, 3);
    await ended(rawClient(b, await aliceWith(4)));
    expect(b.counts.of(dropped('channel-key-old'))).toBe(1);
  });

  test('does not dial who has old keys', async () => {
    const a = await start(await aliceWith(1));
    const b = await start(bob, { channelKeys: { system }, dialOnly: true });
    b.network.demandKeys?.(alice.peer, 2);
    b.network.open(alice.peer, a.address).send(ping, utf8('hello?'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    expect(b.network.state(alice.peer)?.lastError).toContain('before its last change of keys');
    expect(a.counts.of('network_received_bytes_total')).toBe(0);
  });
});

describe('a node that hears of no changes of keys', () => {
  test('takes no key that has expired', async () => {
    const a = await start(await aliceWith(1, 5_000));
    const channelKeys = { system, timeOfDayMs: () => 5_000 };
    const b = await start(bob, { channelKeys, dialOnly: true });
    b.network.open(alice.peer, a.address).send(ping, utf8('hello?'));
    await b.counts.until('network_messages_dropped_total/unreachable');
    expect(b.network.state(alice.peer)?.lastError).toContain('has expired');
  });

  test('ends a connection when its key expires, and goes on with the next one', async () => {
    const a = await start(await aliceWith(1, 5_000), { channelKeys: { system } });
    const timers = new HandTimers();
    const channelKeys = { system, timeOfDayMs: () => 4_000 };
    const b = await start(bob, { channelKeys, timers, dialOnly: true });
    const link = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('first'));
    await a.inbox.next();
    a.network.present(await aliceWith(1, 9_000));
    const expiry = [...timers.waiting].find(({ delayMs }) => delayMs === 1_000);
    expect(expiry).toBeDefined();
    expiry?.action();
    expect(b.counts.of('network_links_lost_total/channel-key-expired')).toBe(1);
    link.send(ping, utf8('second'));
    timers.fireAll();
    expect((await a.inbox.next()).payload).toEqual(utf8('second'));
    expect([...timers.waiting].some(({ delayMs }) => delayMs === 5_000)).toBe(true);
  });
});

describe('a node that changes its keys', () => {
  test('ends what others had opened, and shows the new ones', async () => {
    let keys = await aliceWith(1);
    const renew = (): Identity => keys;
    const a = await start(keys, { channelKeys: { system, renew } });
    const b = await start(bob, { channelKeys: { system }, dialOnly: true });
    const link: Channel = b.network.open(alice.peer, a.address);
    link.send(ping, utf8('before'));
    await a.inbox.next();
    keys = await aliceWith(2);
    b.network.demandKeys?.(alice.peer, 2);
    a.network.renewKeys?.();
    await b.counts.until('network_links_lost_total/ended-by-peer');
    expect(a.counts.of('network_connections_dropped_total/new-key')).toBe(1);
    await reaches(link, a);
  });

  /** Sends until it comes through: what is sent while nothing is connected may be dropped. */
  async function reaches(link: Channel, node: Node): Promise<void> {
    const came = node.inbox.next();
    let isHere = false;
    void came.then(() => {
      isHere = true;
    });
    while (!isHere) {
      link.send(ping, utf8('after'));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await came).payload).toEqual(utf8('after'));
  }

  test('shows them to those that it dials too', async () => {
    let keys = await aliceWith(1);
    const renew = (): Identity => keys;
    const a = await start(keys, { channelKeys: { system, renew }, dialOnly: true });
    const b = await start(bob, { channelKeys: { system } });
    b.network.demandKeys?.(alice.peer, 2);
    keys = await aliceWith(2);
    a.network.renewKeys?.();
    a.network.open(bob.peer, b.address).send(ping, utf8('hello'));
    expect((await b.inbox.next()).channel.peer).toBe(alice.peer);
  });
});

test('a handshake under way when keys are renewed gives no channel', async () => {
  let keys = await aliceWith(1);
  const a = await start(keys, { channelKeys: { system, renew: () => keys } });
  // The network holds back what bob sends after his first flight.
  let release = (): void => {};
  let isHeld = (): void => {};
  const heldBack = new Promise<void>((resolve) => {
    isHeld = resolve;
  });
  const proxy = createServer((near: Socket) => {
    const far = connect(a.address);
    let seen = 0;
    const held: Buffer[] = [];
    let isOpen = false;
    release = () => {
      isOpen = true;
      for (const each of held.splice(0)) far.write(each);
    };
    near.on('data', (chunk: Buffer) => {
      seen += 1;
      if (seen === 1 || isOpen) far.write(chunk);
      else {
        held.push(chunk);
        isHeld();
      }
    });
    far.on('data', (chunk: Buffer) => near.write(chunk));
    near.on('error', () => {});
    far.on('error', () => {});
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const socket = connectTls({ ...tlsOptions(bob), host: '127.0.0.1', port });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  socket.write(encodeFrame(ping, utf8('forged in the name of bob')));
  await heldBack;
  // Alice recovers: who had been inside has the secrets of all sessions up to here, this one's too.
  keys = await aliceWith(2);
  a.network.renewKeys?.();
  release();
  const got = await Promise.race([
    a.inbox
      .next()
      .then(
        ({ channel, payload }) =>
          `${channel.peer === bob.peer ? 'bob' : '?'}: ${new TextDecoder().decode(payload)}`,
      ),
    ended(socket).then(() => 'closed'),
  ]);
  socket.destroy();
  proxy.close();
  expect(got).toBe('closed');
});

test('a proof of a later change of keys ends channels with keys of before', async () => {
  const b = await start(bob, { channelKeys: { system }, keepsPlace: () => true });
  const old = await aliceWith(4);
  const thief = rawClient(b, old);
  await once(thief, 'secureConnect');
  thief.write(encodeFrame(ping, utf8('old')));
  await b.inbox.next();
  const current = rawClient(b, await aliceWith(5));
  await once(current, 'secureConnect');
  current.write(encodeFrame(ping, utf8('new')));
  await b.inbox.next();
  const again = rawClient(b, old);
  await once(again, 'secureConnect');
  again.write(encodeFrame(ping, utf8('still here')));
  const got = await Promise.race([
    b.inbox.next().then(({ payload }) => new TextDecoder().decode(payload)),
    ended(again).then(() => 'closed'),
  ]);
  expect(got).toBe('closed');
});

test('a client that has met the newer key takes none of before', async () => {
  const [old, current] = [await aliceWith(4), await aliceWith(5)];
  const real = await start(current);
  const thief = await start(old);
  const b = await start(bob, { channelKeys: { system, timeOfDayMs: () => 1e12 }, dialOnly: true });
  b.network.open(alice.peer, real.address).send(ping, utf8('1'));
  await real.inbox.next();
  b.network.open(alice.peer, real.address).close('moves');
  b.network.open(alice.peer, thief.address).send(ping, utf8('2'));
  const got = await Promise.race([
    thief.inbox.next().then(() => 'took the old key'),
    b.counts.until('network_messages_dropped_total/unreachable').then(() => 'refused'),
  ]);
  expect(got).toBe('refused');
});

test('a member takes nobody for itself by a key of before', async () => {
  const keys = await aliceWith(5);
  const a = await start(keys, { channelKeys: { system, renew: () => keys } });
  const thief = rawClient(a, await aliceWith(4));
  await once(thief, 'secureConnect');
  thief.write(encodeFrame(ping, utf8('I am you')));
  const got = await Promise.race([
    a.inbox.next().then(({ payload }) => new TextDecoder().decode(payload)),
    ended(thief).then(() => 'closed'),
  ]);
  expect(got).toBe('closed');
});
