// Raw ends of connections that say what no correct program would, for tests of what servers bear.

import { randomBytes, webcrypto } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { X509CertificateGenerator } from '@peculiar/x509';
import { type Bytes, equalBytes } from '../../src/base/bytes.ts';
import { type ClientFile, loadClientFile } from '../../src/client/client-file.ts';
import { storageInstance } from '../../src/configuration/certificates.ts';
import { createIdentity, type Identity } from '../../src/node/identity.ts';
import { tlsOptions } from '../../src/node/tls.ts';
import { encodeFrame, FrameDecoder } from '../../src/wire/frame.ts';
import {
  decodeMessage,
  encodeMessage,
  type Message,
  type MessageName,
  type MessageValue,
  messageNumber,
  payloadSizeBytesMax,
} from '../../src/wire/registry.ts';
import { until } from './until.ts';

export interface Target {
  readonly name: string;
  readonly port: number;
}

const host = '127.0.0.1';
const open = new Set<Socket>();

function kept<Kind extends Socket>(socket: Kind): Kind {
  open.add(socket);
  socket.setMaxListeners(0);
  socket.on('error', () => undefined);
  socket.once('close', () => open.delete(socket));
  return socket;
}

/** Closes every connection that this file has opened. */
export function hangUp(): void {
  for (const socket of open) socket.destroy();
}

/** Waits until the server has closed the connection. @throws NeverHappened */
export async function droppedBy(target: Target, socket: Socket): Promise<void> {
  socket.resume();
  await until(`server ${target.name} hangs up`, () => socket.closed);
}

/** A TCP connection on which nothing has been said. */
export async function tcp({ port }: Target): Promise<Socket> {
  const socket = kept(connectTcp({ host, port }));
  await once(socket, 'connect');
  return socket;
}

/** Begins a TLS handshake that may fail; says `bytes` should it not. */
export function tryTls({ port }: Target, options: ConnectionOptions, bytes: Bytes): Socket {
  const socket = kept(connectTls({ host, port, rejectUnauthorized: false, ...options }));
  socket.once('secureConnect', () => socket.write(bytes));
  return socket;
}

export const newIdentity = (): Promise<Identity> => createIdentity(new Uint8Array(randomBytes(32)));

/** A certificate and key as half the world has them, but none of ours. */
export async function ellipticIdentity(): Promise<{ readonly cert: string; readonly key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    { serialNumber: '01', name: 'CN=stranger', signingAlgorithm: algorithm, keys },
    webcrypto,
  );
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return { cert: certificate.toString('pem'), key };
}

export interface Certified {
  readonly identity: Identity;
  readonly file: ClientFile;
}

/** What the client of this file is to servers. */
export async function certified(file: string): Promise<Certified> {
  const loaded = await loadClientFile(file);
  return { identity: await createIdentity(loaded.identitySeed), file: loaded };
}

/** The frame of a message. */
export function frameOf<Name extends MessageName>(name: Name, value: MessageValue<Name>): Bytes {
  return encodeFrame(messageNumber(name), encodeMessage(name, value));
}

/** The head of a frame whose payload never comes. */
export function headOf(name: MessageName, payloadSizeBytes: number): Bytes {
  const head = new Uint8Array(6);
  const view = new DataView(head.buffer);
  view.setUint32(0, payloadSizeBytes + 2, true);
  view.setUint16(4, messageNumber(name), true);
  return head;
}

export const newNonce = (): Bytes => new Uint8Array(randomBytes(16));

/** One TLS connection that keeps to the handshake and to nothing else. */
export class Intruder {
  readonly target: Target;
  readonly identity: Identity;
  readonly socket: TLSSocket;
  /** The first answers, in the order in which they came. */
  readonly heard: Message[] = [];
  /** All that was answered. */
  frames = 0;
  readonly #ears = new EventEmitter();

  private constructor(target: Target, identity: Identity, socket: TLSSocket) {
    this.target = target;
    this.identity = identity;
    this.socket = socket;
  }

  /** Under a key that nobody knows, unless one is given. */
  static async enter(target: Target, identity?: Identity): Promise<Intruder> {
    const known = identity ?? (await newIdentity());
    const socket = kept(connectTls({ ...tlsOptions(known), host, port: target.port }));
    await once(socket, 'secureConnect');
    return new Intruder(target, known, socket);
  }

  /** As a certified client, which has greeted and begins to listen. */
  static async asClient(target: Target, { identity, file }: Certified): Promise<Intruder> {
    const intruder = await Intruder.enter(target, identity);
    intruder.send(frameOf('hello', { system: file.system.id, certificate: [file.certificate] }));
    return intruder;
  }

  /** Reads what the server says from now on. */
  listen(): this {
    const decoder = new FrameDecoder((type) => payloadSizeBytesMax(type));
    this.socket.on('data', (chunk: Buffer) => {
      decoder.push(chunk, ({ type, payload }) => {
        this.frames += 1;
        const message = decodeMessage(type, payload);
        if (message !== undefined && this.heard.length < heardMax) this.heard.push(message);
      });
      this.#ears.emit('heard');
    });
    return this;
  }

  send(bytes: Bytes): boolean {
    return this.socket.write(bytes);
  }

  /** Sends this many times as fast as the server takes it, or until it hangs up. */
  async flood(times: number, bytes: (time: number) => Bytes): Promise<void> {
    for (let time = 0; time < times && !this.socket.destroyed; time++) {
      if (this.socket.write(bytes(time))) continue;
      await new Promise<void>((resolve) => {
        this.socket.once('drain', resolve);
        this.socket.once('close', resolve);
      });
    }
  }

  /** The answer with this nonce. @throws AbortError if it does not come. */
  async answerTo(nonce: Bytes): Promise<Message> {
    const signal = AbortSignal.timeout(answerTimeoutMs);
    for (;;) {
      const answer = this.heard.find(
        ({ value }) => 'nonce' in value && equalBytes(value.nonce, nonce),
      );
      if (answer !== undefined) return answer;
      await once(this.#ears, 'heard', { signal });
    }
  }

  async dropped(): Promise<void> {
    await droppedBy(this.target, this.socket);
  }
}

const heardMax = 1_000;
const answerTimeoutMs = 30_000;

/** Names the storage service of the client's system and one question. */
export function contextFor({ file }: Certified, nonce = newNonce()) {
  return { instance: storageInstance(file.system.id), epoch: 0, nonce };
}
