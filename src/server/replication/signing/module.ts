// A process of its own, best of another user or machine part, that has a member's identity key and signs with it. What breaks
// into the member's process can have it sign, as long as it is there, but does not get the key.

import { existsSync } from 'node:fs';
import { chmod, lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { type Bytes, toHex, utf8 } from '../../../base/bytes.ts';
import { HoldfastError } from '../../../base/errors.ts';
import { ed25519 } from '../../../crypto/signature.ts';
import { type Log, silentLog } from '../../../env/log.ts';
import { systemClock } from '../../../node/clock.ts';
import type { Frame } from '../../../wire/frame.ts';
import { limits } from '../../../wire/limits.ts';
import {
  decodeSigning,
  encodeSigning,
  signingDecoder,
  signingVersion,
} from '../../../wire/signing.ts';
import { reasonOf } from '../../local-errors.ts';
import { openSigningFolder } from './folder.ts';
import { SigningRules } from './rules.ts';

export interface SigningModuleOptions {
  /** Made by `createSigningFolder`. Nobody but the module's user should be able to read it. */
  readonly folder: string;
  /** Path of the local socket on which replicas reach it. Its user and its group may connect. */
  readonly socket: string;
  /**
   * How long clients take keys of channels that it has vouched for; the replica asks for new ones in time. Members hear when
   * keys change, and take no old ones anyway. From a minute on; an hour unless given.
   */
  readonly channelKeyLifetimeMs?: number;
  readonly log?: Log;
}

export interface SigningModule {
  /** Of the member for which it signs. */
  readonly publicKey: Bytes;
  /** Harmless when done twice. */
  stop(): Promise<void>;
}

const lifetimeMsDefault = 3_600_000;
const lifetimeMsMin = 60_000;
const lifetimeMsMax = 30 * 24 * lifetimeMsDefault;

/**
 * Starts the module of a PBFT member.
 * @throws HoldfastError `data-folder` when the folder is missing, damaged or in use, `port-in-use` when something else listens on the
 * socket, `bad-configuration` when there can be none, or others may read the key.
 */
export async function startSigningModule(options: SigningModuleOptions): Promise<SigningModule> {
  const { socket: path, log = silentLog } = options;
  const channelKeyLifetimeMs = lifetimeOf(options);
  checkSocketPath(path);
  const folder = await openSigningFolder(options.folder);
  const signer = ed25519.signer(folder.seed);
  const rules = new SigningRules({
    ...folder,
    signer,
    clock: systemClock,
    timeOfDayMs: () => Date.now(),
    channelKeyLifetimeMs,
  });
  const counter = { member: toHex(signer.publicKey), keyChanges: rules.counter };
  const answering = new Answering(
    rules,
    { publicKey: signer.publicKey, instance: folder.instance },
    log,
  );
  try {
    const server = await listen(path, (socket) => answering.serve(socket));
    const served = resolve(path);
    servedHere.add(served);
    log.info('signing-started', counter);
    const stop = async (): Promise<void> => {
      servedHere.delete(served);
      await new Promise((resolve) => {
        server.close(resolve);
        answering.close();
      });
      await answering.settled();
      await folder.release();
      log.info('signing-stopped', { member: counter.member });
    };
    let stopping: Promise<void> | undefined;
    return {
      publicKey: signer.publicKey,
      stop() {
        stopping ??= stop();
        return stopping;
      },
    };
  } catch (error) {
    await folder.release();
    throw error;
  }
}

function lifetimeOf({
  channelKeyLifetimeMs: givenMs = lifetimeMsDefault,
}: SigningModuleOptions): number {
  if (Number.isInteger(givenMs) && givenMs >= lifetimeMsMin && givenMs <= lifetimeMsMax) {
    return givenMs;
  }
  throw new HoldfastError(
    'bad-configuration',
    `channelKeyLifetimeMs is a whole number, ${lifetimeMsMin} … ${lifetimeMsMax}, not ${String(givenMs)}`,
    { cure: 'Leave it out for an hour.' },
  );
}

/** Sockets of modules in this process. */
const servedHere = new Set<string>();

/** @param path absolute. */
export function isServedHere(path: string): boolean {
  return servedHere.has(path);
}

/** The system cuts longer ones short. */
const socketPathSizeBytesMax = 100;

export function checkSocketPath(path: string): void {
  if (typeof path === 'string' && path !== '' && utf8(path).length <= socketPathSizeBytesMax)
    return;
  throw new HoldfastError(
    'bad-configuration',
    `the socket of a signing module is a path of 1 to ${socketPathSizeBytesMax} bytes`,
    { cure: 'Give one such as /run/holdfast/member-0.sock.' },
  );
}

async function listen(path: string, serve: (socket: Socket) => void): Promise<Server> {
  if (await isListening(path)) {
    throw new HoldfastError('port-in-use', `another process listens on ${path}`, {
      cure: 'Stop it, or give each module a socket of its own.',
    });
  }
  const server = createServer(serve);
  try {
    const found = await lstat(path).catch(() => undefined);
    // Left by a process that was killed; whose it was holds no lock any more.
    if (found?.isSocket() === true) await unlink(path);
    else if (found !== undefined) throw new TypeError('what is there is no socket');
    if (!existsSync(dirname(path))) throw new TypeError(`there is no folder ${dirname(path)}`);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    await chmod(path, 0o660);
    // From here on accepting may fail for a moment (no file descriptor left); that must not end the process.
    server.on('error', () => {});
    return server;
  } catch (cause) {
    server.close();
    throw new HoldfastError('bad-configuration', `cannot listen on ${path}: ${reasonOf(cause)}`, {
      cure: 'Name a path where nothing is yet, in a folder that is there and that this user may write to.',
      cause,
    });
  }
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Only a refusal shows that nobody listens; any other failure leaves it open.
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT' && error.code !== 'ENOTSOCK',
      );
    });
  });
}

/** Answers that wait for who asked; more than all that may be asked for at a time. */
const unreadSizeBytesMax = 64 * 1024;

/** A replica asks at once: who does not must not take its place. */
const idleTimeoutMs = 10_000;

/** Answers one question after the other, whoever asks. */
class Answering {
  readonly #rules: SigningRules;
  readonly #whose: { readonly publicKey: Bytes; readonly instance: Bytes };
  readonly #log: Log;
  readonly #sockets = new Set<Socket>();
  #last: Promise<void> = Promise.resolve();

  constructor(rules: SigningRules, whose: { publicKey: Bytes; instance: Bytes }, log: Log) {
    this.#rules = rules;
    this.#whose = whose;
    this.#log = log;
  }

  /** Once nothing is written to the folder any more. */
  settled(): Promise<void> {
    return this.#last;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  serve(socket: Socket): void {
    const decoder = signingDecoder();
    let waiting = 0;
    // Who is idle does not keep the replica out.
    const [oldest] = this.#sockets;
    if (this.#sockets.size >= limits.signingConnectionsMax) {
      oldest?.destroy();
      if (oldest !== undefined) this.#sockets.delete(oldest);
    }
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(idleTimeoutMs, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      const error = decoder.push(chunk, (frame) => {
        waiting += 1;
        if (waiting > limits.signingQuestionsMax) socket.destroy();
        this.#last = this.#last.then(async () => {
          if (socket.destroyed) return;
          const answer = await this.#answer(frame);
          waiting -= 1;
          if (answer === undefined) socket.destroy();
          else socket.write(answer);
          if (socket.writableLength > unreadSizeBytesMax) socket.destroy();
        });
      });
      if (error !== undefined) socket.destroy();
    });
  }

  /** Undefined for no question. */
  async #answer(frame: Frame): Promise<Bytes | undefined> {
    const message = decodeSigning(frame);
    if (message?.name === 'describe') {
      if (message.value.version !== signingVersion) return undefined;
      return encodeSigning('described', { ...this.#whose, counter: this.#rules.counter });
    }
    if (message?.name === 'vouch') {
      return encodeSigning('vouched', this.#rules.vouch(message.value.channelKey));
    }
    if (message?.name !== 'sign') return undefined;
    const { counter } = this.#rules;
    const member = toHex(this.#whose.publicKey);
    let hasFailed = false;
    const answer = await this.#rules.sign(message.value.statement).catch((error: unknown) => {
      const reason = reasonOf(error);
      hasFailed = true;
      this.#log.error('signing-failed', { member, reason });
      return `its folder cannot be written: ${reason}`;
    });
    if (this.#rules.counter > counter) {
      this.#log.info('signing-keys-changed', { member, keyChanges: this.#rules.counter });
    }
    if (typeof answer !== 'string') return encodeSigning('signed', { signature: answer });
    if (!hasFailed) this.#log.warn('signing-refused', { member, reason: answer });
    return encodeSigning('refused', { reason: reasonBytes(answer) });
  }
}

/** As much of it as there is room for. */
function reasonBytes(reason: string): Bytes {
  return utf8(reason).subarray(0, limits.signingRefusalSizeBytesMax);
}
