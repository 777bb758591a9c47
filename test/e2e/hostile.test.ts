// Whatever strangers, certified clients and one server of four do on the wire: honest clients go on and are answered
// correctly, no server ends, and none grows without bound.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { certifyClient } from '../../src/configuration/certificates.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import { blockId } from '../../src/dbqs/ids.ts';
import { tlsOptions } from '../../src/node/tls.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { limits } from '../../src/wire/limits.ts';
import {
  type Message,
  type MessageName,
  messageNames,
  messageNumber,
  payloadSizeBytesMax,
  type RefusalCode,
  refusalCodes,
} from '../../src/wire/registry.ts';
import type { ClientCertificate } from '../../src/wire/types.ts';
import {
  type Certified,
  certified,
  contextFor,
  droppedBy,
  ellipticIdentity,
  frameOf,
  hangUp,
  headOf,
  Intruder,
  newIdentity,
  newNonce,
  tcp,
  tryTls,
} from './attacks.ts';
import { endAll } from './processes.ts';
import { type Server, System } from './system.ts';
import { until } from './until.ts';
import {
  encodedExample,
  exampleFrameFor,
  falseBlock,
  replyNames,
  requestNames,
  unsignedWrite,
} from './utterances.ts';
import { Witness } from './witness.ts';
import { bytesOf } from './workload.ts';

const droppedTotal = 'holdfast_network_connections_dropped_total';
const rejectedTotal = 'holdfast_requests_rejected_total';
const pausedTotal = 'holdfast_network_reading_paused_total';
/** What any one attack may add to the resident memory of a server. */
const growthBytesMax = 150 * 1024 * 1024;
/** What a server may have in the end, over a fresh one's hundred. */
const residentBytesMax = 400 * 1024 * 1024;

let system: System;
let witness: Witness;
/** A client that the authority has certified and that has turned. */
let insider: Certified;
const beforeBytes = new Map<Server, number>();

beforeAll(async () => {
  system = await System.make();
  await system.start();
  insider = await certified(await system.newClient('insider'));
  witness = await Witness.start(system);
});

beforeEach(() => {
  for (const server of system.servers) {
    forgetPeak(server);
    beforeBytes.set(server, server.process.memory().nowBytes);
  }
});

afterEach(async () => {
  // The attack still stands: its connections are closed only after that.
  await witness.goesOn();
  hangUp();
  for (const server of system.servers) expectWell(server);
});

afterAll(async () => {
  await witness?.stop();
  await system?.end();
  await endAll();
});

/** From now on the kernel counts the highest resident memory anew. */
function forgetPeak(server: Server): void {
  writeFileSync(`/proc/${server.process.pid}/clear_refs`, '5');
}

function expectWell(server: Server): void {
  expect(server.process.result, server.process.stderr).toBeUndefined();
  const { peakBytes } = server.process.memory();
  expect(peakBytes - (beforeBytes.get(server) ?? 0)).toBeLessThan(growthBytesMax);
  expect(peakBytes).toBeLessThan(residentBytesMax);
}

type Counter = readonly [name: string, label: string | undefined, atLeast: number];

/** Does this to all servers at once, and waits until each has counted so much more under this name and label. */
async function onEach(
  attack: (server: Server) => Promise<unknown>,
  counter?: Counter,
): Promise<void> {
  await Promise.all(
    system.servers.map(async (server) => {
      if (counter === undefined) return void (await attack(server));
      const [name, label, atLeast] = counter;
      const before = await server.metric(name, label);
      await attack(server);
      await until(`${server.name} counts ${atLeast} of ${name} ${label}`, async () => {
        return (await server.metric(name, label)) - before >= atLeast;
      });
    }),
  );
}

/** The example of a message, but of this system and under this nonce. */
const exampleFrame = (name: MessageName, nonce: Bytes = newNonce()): Bytes =>
  exampleFrameFor(insider, name, nonce);

const getConfiguration = (nonce: Bytes): Bytes =>
  frameOf('getConfiguration', { system: insider.file.system.id, nonce });

/** A stranger that has made itself heard, so that it may stay. */
async function greetedStranger(server: Server): Promise<Intruder> {
  const stranger = (await Intruder.enter(server)).listen();
  const nonce = newNonce();
  stranger.send(getConfiguration(nonce));
  expect((await stranger.answerTo(nonce)).name).toBe('configuration');
  return stranger;
}

/** The insider on a connection of its own, which answers are read from. */
async function welcomedClient(server: Server): Promise<Intruder> {
  const client = (await Intruder.asClient(server, insider)).listen();
  const nonce = newNonce();
  client.send(exampleFrame('ping', nonce));
  expect((await client.answerTo(nonce)).name).toBe('pong');
  return client;
}

const enter = {
  stranger: async (server: Server) => (await Intruder.enter(server)).listen(),
  client: welcomedClient,
} as const;

function expectRefused(message: Message, code: RefusalCode): void {
  expect(message).toMatchObject({ name: 'refused', value: { code: refusalCodes[code].number } });
}

/** A client that never was here before connects, and every server serves it. */
async function expectWelcome(name: string): Promise<void> {
  const client = await system.connect({ client: await system.newClient(name) });
  const value = randomBytes(100);
  await client.write(name, value);
  const { chunks } = await client.read(name);
  expect((await bytesOf(chunks)).equals(value)).toBe(true);
  const { moreFailures } = await client.status();
  expect(moreFailures).toBe(1);
  await client.close();
}

const elliptic = await ellipticIdentity();
const prng = new Prng(1);

describe('no way in for', () => {
  test.each([
    ['garbage', prng.bytes(4_000), 'wrong_version_number'],
    ['plain HTTP', utf8('GET /metrics HTTP/1.1\r\nHost: server\r\n\r\n'), 'http_request'],
    ['an endless TLS record', Buffer.from('160301ffff', 'hex'), 'packet_length_too_long'],
  ])('%s', async (_, bytes, label) => {
    await onEach(
      async (server) => {
        const socket = await tcp(server);
        socket.write(bytes);
        await droppedBy(server, socket);
      },
      [droppedTotal, `handshake-${label}`, 1],
    );
  });

  test.each([
    ['without a certificate', { cert: undefined, key: undefined }, 'no-ed25519-certificate'],
    // Its client finds that the server takes no such certificate, and shows none.
    ['with an ECDSA certificate', { ...elliptic, sigalgs: undefined }, 'no-ed25519-certificate'],
    [
      'of version 1.2',
      { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ecdhCurve: 'auto' } as const,
      'handshake-unsupported_protocol',
    ],
    [
      'for another protocol',
      { ALPNProtocols: ['h2', 'http/1.1'] },
      'handshake-no_application_protocol',
    ],
    ['for no protocol', { ALPNProtocols: undefined }, 'wrong-protocol'],
  ])('TLS %s', async (_, options, label) => {
    await onEach(
      async (server) => {
        const all = { ...tlsOptions(await newIdentity()), ...options };
        await droppedBy(server, tryTls(server, all, exampleFrame('ping')));
      },
      [droppedTotal, label, 1],
    );
  });

  test('who says nothing, nothing after the handshake, or a byte at a time', async () => {
    await onEach(
      async (server) => {
        const silent = await tcp(server);
        const shy = await Intruder.enter(server);
        const slow = await Intruder.enter(server);
        const frame = exampleFrame('ping');
        let sent = 0;
        const drip = setInterval(() => slow.send(frame.subarray(sent, ++sent)), 500);
        await Promise.all([droppedBy(server, silent), shy.dropped(), slow.dropped()]);
        clearInterval(drip);
        expect(sent).toBeLessThan(frame.length);
      },
      [droppedTotal, 'handshake-timeout', 3],
    );
  });
});

describe('others still come in beside', () => {
  test('500 connections that begin nothing', async () => {
    await onEach(
      (server) => Promise.all(Array.from({ length: 500 }, () => tcp(server))),
      [droppedTotal, 'handshake-crowded-out', 500 - limits.handshakesMax],
    );
    await expectWelcome('beside-half-open');
  });

  test('300 strangers who stay', async () => {
    const [crowded] = system.servers;
    await onEach(async (server) => {
      const strangers = server === crowded ? 300 : 20;
      for (let here = 0; here < strangers; here += 20) {
        await Promise.all(Array.from({ length: 20 }, () => greetedStranger(server)));
      }
      const incoming = await server.metric('holdfast_network_incoming_connections');
      expect(incoming).toBeGreaterThan(strangers);
    });
    await expectWelcome('beside-the-crowd');
  });

  test('clients who drip what they send', async () => {
    await onEach(async (server) => {
      const clients = await Promise.all(Array.from({ length: 20 }, () => welcomedClient(server)));
      for (const client of clients) client.send(headOf('store', limits.blockSizeBytesMax));
      await witness.goesOn();
      for (const client of clients) {
        client.send(randomBytes(1));
        expect(client.socket.destroyed).toBe(false);
      }
    });
    await expectWelcome('beside-the-slow');
  });
});

describe('what is no frame ends the connection:', () => {
  const above = (name: MessageName): Bytes =>
    headOf(name, (payloadSizeBytesMax(messageNumber(name)) ?? 0) + 1);

  test.each([
    ['no known type', encodeFrame(999, randomBytes(20)), 'unknown-type'],
    ['the reserved type', encodeFrame(0, randomBytes(20)), 'unknown-type'],
    ['a length below its own', Uint8Array.of(1, 0, 0, 0, 42, 0), 'frame-too-short'],
    ['the largest length there is', Buffer.from('ffffffff1400', 'hex'), 'frame-too-long'],
    ['a ping above its bound', above('ping'), 'frame-too-long'],
    ['a block above its bound', above('store'), 'frame-too-long'],
  ])('%s', async (_, bytes, label) => {
    await onEach(
      async (server) => {
        for (const one of [await greetedStranger(server), await welcomedClient(server)]) {
          one.send(bytes);
          await one.dropped();
        }
      },
      [droppedTotal, label, 2],
    );
  });

  test('from a stranger, what only clients may begin', async () => {
    const head = headOf('store', limits.strangerMessageSizeBytesMax + 1);
    await onEach(
      async (server) => {
        const client = await welcomedClient(server);
        client.send(head);
        const stranger = await greetedStranger(server);
        stranger.send(head);
        await stranger.dropped();
        expect(client.socket.destroyed).toBe(false);
      },
      [droppedTotal, 'frame-too-long', 1],
    );
  });
});

describe.each(['stranger', 'client'] as const)('a %s', (who) => {
  test('that sends random payloads under every type is soon sent away', async () => {
    const numbers = messageNames.map(messageNumber);
    const noise = (time: number): Bytes => {
      const number = numbers[time % numbers.length] ?? 0;
      const sizeBytes = prng.below(Math.min(2_000, payloadSizeBytesMax(number) ?? 0));
      return encodeFrame(number, prng.bytes(sizeBytes));
    };
    await onEach(
      async (server) => {
        const before = await server.metric(rejectedTotal, 'malformed-message');
        const one = await enter[who](server);
        await one.flood(3 * limits.badMessagesPerChannelMax, noise);
        await one.dropped();
        const malformed = (await server.metric(rejectedTotal, 'malformed-message')) - before;
        // The rest decoded by chance, and was bad in another way.
        expect(malformed).toBeGreaterThan(limits.badMessagesPerChannelMax / 2);
        expect(malformed).toBeLessThanOrEqual(limits.badMessagesPerChannelMax);
      },
      [droppedTotal, 'too-many-bad-messages', 1],
    );
  });

  test('that sends answers to nothing is not heard', async () => {
    await onEach(
      async (server) => {
        const one = await enter[who](server);
        const before = one.frames;
        for (const name of replyNames) one.send(exampleFrame(name));
        const nonce = newNonce();
        one.send(getConfiguration(nonce));
        expect((await one.answerTo(nonce)).name).toBe('configuration');
        expect(one.frames).toBe(before + 1);
      },
      ['holdfast_replies_ignored_total', 'unknown-nonce', replyNames.length],
    );
  });

  test('that speaks of another system is soon sent away', async () => {
    const foreign = encodeFrame(messageNumber('get'), encodedExample('get'));
    await onEach(
      async (server) => {
        const one = await enter[who](server);
        const before = one.frames;
        await one.flood(2 * limits.badMessagesPerChannelMax, () => foreign);
        await one.dropped();
        expect(one.frames).toBe(before);
      },
      [rejectedTotal, 'foreign-instance', limits.badMessagesPerChannelMax],
    );
  });
});

describe('a stranger', () => {
  test('is refused whatever it asks for, and given the configuration', async () => {
    await onEach(async (server) => {
      const stranger = await greetedStranger(server);
      for (const name of requestNames) {
        const nonce = newNonce();
        stranger.send(exampleFrame(name, nonce));
        expectRefused(await stranger.answerTo(nonce), 'not-certified');
      }
    });
  });

  test('that asks as fast as it can costs others nothing', async () => {
    const questions = 5_000;
    const received = 'holdfast_requests_received_total';
    await onEach(async (server) => {
      const before = await server.metric(received);
      const stranger = (await Intruder.enter(server)).listen();
      await stranger.flood(questions, (time) =>
        exampleFrame(requestNames[time % requestNames.length] ?? 'ping'),
      );
      await until('all have been looked at', async () => {
        return (await server.metric(received)) - before >= questions;
      });
      const codes = stranger.heard.map(({ value }) => ('code' in value ? value.code : undefined));
      const { 'not-certified': stays, overloaded } = refusalCodes;
      expect([stays.number, overloaded.number]).toEqual(
        expect.arrayContaining([...new Set(codes)]),
      );
    });
  });

  test('that takes no answer soon gets none', async () => {
    await onEach(
      async (server) => {
        const stranger = await Intruder.enter(server);
        const asked = getConfiguration(newNonce());
        for (let time = 0; time < 20; time++) {
          stranger.send(Buffer.concat(Array.from({ length: 1_000 }, () => asked)));
        }
      },
      ['holdfast_network_messages_dropped_total', 'send-queue-full', 1],
    );
  });
});

describe('a greeting', () => {
  const own = (): ClientCertificate => insider.file.certificate;
  const hello = (certificate: ClientCertificate, id = insider.file.system.id): Bytes =>
    frameOf('hello', { system: id, certificate: [certificate] });
  const richer = (): ClientCertificate => {
    const { statement, signature } = own();
    return { statement: { ...statement, quotaBytes: 2 ** 50 }, signature };
  };
  const ofOther = (): ClientCertificate =>
    certifyClient(ed25519.signer(randomBytes(32)), new Uint8Array(32), own().statement);

  test.each([
    ['with the certificate of another key', () => hello(own()), 'bad-client-certificate'],
    ['to another system', () => hello(own(), new Uint8Array(32)), 'wrong-system'],
    ['with a certificate of another system', () => hello(ofOther()), 'bad-client-certificate'],
    ['with more quota than was signed', () => hello(richer()), 'bad-client-certificate'],
  ])('%s opens nothing', async (name, greeting, label) => {
    await onEach(
      async (server) => {
        const identity = name.includes('another key') ? await newIdentity() : insider.identity;
        const one = (await Intruder.enter(server, identity)).listen();
        one.send(greeting());
        const nonce = newNonce();
        one.send(exampleFrame('ping', nonce));
        expectRefused(await one.answerTo(nonce), 'not-certified');
        await one.flood(limits.badMessagesPerChannelMax - 1, greeting);
        await one.dropped();
      },
      [rejectedTotal, label, limits.badMessagesPerChannelMax],
    );
  });
});

describe('a certified client', () => {
  test.each([
    ['blocks that are not what their names say', 'invalid-store', falseBlock] as const,
    ['writes that nobody signed', 'invalid-write', unsignedWrite] as const,
  ])('that sends %s is refused, and then sent away', async (_, label, bad) => {
    const most = limits.badMessagesPerChannelMax;
    await onEach(
      async (server) => {
        const client = (await Intruder.asClient(server, insider)).listen();
        await client.flood(3 * most, () => bad(insider));
        await client.dropped();
        // The connection may go before the last refusals are out.
        for (const heard of client.heard) expectRefused(heard, 'invalid');
        await welcomedClient(server);
      },
      [rejectedTotal, label, most],
    );
  });

  test('that takes none of its blocks is not read from', async () => {
    const data = randomBytes(limits.blockSizeBytesMax);
    const block = blockId(data);
    await onEach(
      async (server) => {
        const client = await welcomedClient(server);
        const nonce = newNonce();
        client.send(frameOf('store', { ...contextFor(insider, nonce), block, data }));
        expect((await client.answerTo(nonce)).name).toBe('stored');
        const deaf = await Intruder.asClient(server, insider);
        const asked = frameOf('get', { ...contextFor(insider), block });
        deaf.send(Buffer.concat(Array.from({ length: 3_000 }, () => asked)));
      },
      [pausedTotal, undefined, 1],
    );
  });
});

test('in the end every operation was answered, and rightly', async () => {
  await witness.judge();
  const { moreFailures } = await system.status();
  expect(moreFailures).toBe(1);
});
