import { connect, type TLSSocket } from 'node:tls';
import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Timer } from '../env/clock.ts';
import type { Address, Channel } from '../env/network.ts';
import { aliveFrameType, type Frame, frameHeaderSizeBytes } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import { Connection } from './connection.ts';
import type { Proof } from './identity.ts';
import type { NetworkContext } from './network.ts';
import { provenPeer, tlsOptions } from './tls.ts';

const backOffMsMin = 50;
const backOffMsMax = 5_000;
/** A peer that has arrived is not dialled sooner than so long after the last attempt, unless its turn comes anyway. */
const dialledAgainMsMin = 1_000;
/** An attempt that hangs for longer, while the peer can connect to this node, was begun too early to come through soon. */
const dialHangsMs = 1_000;
/** Who does not want a key hangs up as soon as it is proved; what lasted for longer was wanted, though it brought no answer. */
const refusedWithinMs = 1_000;

export type LinkPhase = 'idle' | 'connecting' | 'connected' | 'backing-off';

export interface LinkState {
  readonly phase: LinkPhase;
  /** Why the last attempt or connection ended, for people; undefined while nothing went wrong. */
  readonly lastError: string | undefined;
}

interface QueuedMessage {
  readonly type: number;
  readonly payload: Bytes;
}

/**
 * The outgoing link to one peer. It dials when something is to be sent and nothing is connected, so an unused link
 * costs nothing; after a failure the next attempt waits for a back-off.
 */
export class Link implements Channel {
  readonly peer: PeerId;
  address: Address;
  readonly #context: NetworkContext;
  readonly #onClosed: () => void;
  #phase: LinkPhase = 'idle';
  #lastError: string | undefined;
  #socket: TLSSocket | undefined;
  #connection: Connection | undefined;
  #queue: QueuedMessage[] = [];
  #queueSizeBytes = 0;
  /** When the first message left after the last one came; undefined while none did. */
  #unansweredSinceMs: number | undefined;
  #failures = 0;
  /** While backing off: when the pause ends. */
  #dialDueMs = 0;
  #dialledMs = 0;
  #timer: Timer | undefined;
  #closed = false;
  /** It is being closed by this side: what happens to its connection now is nothing to tell of. */
  #isEnding = false;

  /** @param onClosed called when the link is closed for good. */
  constructor(context: NetworkContext, peer: PeerId, address: Address, onClosed: () => void) {
    this.#context = context;
    this.peer = peer;
    this.address = address;
    this.#onClosed = onClosed;
  }

  get state(): LinkState {
    return { phase: this.#phase, lastError: this.#lastError };
  }

  send(type: number, payload: Bytes): boolean {
    if (this.#closed) return false;
    this.#checkSilence();
    if (this.#connection !== undefined) return this.#connection.send(type, payload);
    const sizeBytes = frameHeaderSizeBytes + payload.length;
    if (this.#queueSizeBytes + sizeBytes > limits.sendQueueBytesMax) {
      this.#context.metrics.count('network_messages_dropped_total', 'dial-queue-full');
      return false;
    }
    this.#queue.push({ type, payload });
    this.#queueSizeBytes += sizeBytes;
    if (this.#phase === 'idle') this.#dial();
    return true;
  }

  /**
   * The peer has just connected to this node, so it can be reached: what waits for it waits no longer. A peer that has
   * been away would otherwise hear nothing for as long as the last attempts in vain had made the pauses, its own
   * system's between unanswered packets among them.
   */
  peerArrived(): void {
    const isHanging =
      this.#phase === 'connecting' && this.#context.clock.nowMs() - this.#dialledMs > dialHangsMs;
    if (this.#phase !== 'backing-off' && !isHanging) return;
    // Each attempt costs a handshake: a peer that comes and hangs up again and again gets no more of them by that.
    const dueMs = this.#dialledMs + dialledAgainMsMin;
    const delayMs = dueMs - this.#context.clock.nowMs();
    if (delayMs > 0) {
      if (dueMs < this.#dialDueMs) this.#dialAfter(delayMs);
      return;
    }
    this.#timer?.cancel();
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    this.#phase = 'idle';
    if (this.#queue.length > 0) this.#dial();
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#dropQueue();
    this.#phase = 'idle';
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.destroy();
    this.#connection?.destroy(reason);
    this.#onClosed();
  }

  inVain(): void {
    this.#connection?.inVain();
  }

  /** Resolves when what was sent has left, for the end of the process; `close` follows. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#connection?.end();
  }

  /**
   * A machine that lost its power closes nothing: the system would go on sending into the void for minutes. Whatever is
   * sent here is answered, or at least said to have arrived, so silence after it means that the connection is dead.
   */
  #checkSilence(): void {
    if (this.#connection === undefined) return;
    const nowMs = this.#context.clock.nowMs();
    this.#unansweredSinceMs ??= nowMs;
    if (nowMs - this.#unansweredSinceMs > this.#context.silenceTimeoutMs) {
      this.#connection.destroy('silent');
    }
  }

  #dial(): void {
    const context = this.#context;
    this.#phase = 'connecting';
    this.#dialledMs = context.clock.nowMs();
    context.metrics.count('network_dials_total');
    const socket = connect({
      ...tlsOptions(context.identity()),
      host: this.address.host,
      port: this.address.port,
      checkServerIdentity: () => undefined,
    });
    this.#socket = socket;
    const fail = (why: string): void => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      socket.destroy();
      this.#attemptFailed(why);
    };
    this.#timer = context.timers.after(context.handshakeTimeoutMs, () =>
      fail(`no TLS handshake within ${context.handshakeTimeoutMs} ms`),
    );
    const onError = (error: NodeJS.ErrnoException): void => fail(dialErrorText(error));
    const onClose = (): void => fail('closed during the TLS handshake');
    // Stays for good: an error of a socket that was given up must not become an uncaught exception.
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.once('secureConnect', () => {
      const proof = provenPeer(socket, context.channelKeys?.system);
      if ('refusal' in proof) return fail(refusalText(proof.refusal));
      if (proof.peer !== this.peer) return fail(`wrong key: the server there is ${proof.peer}`);
      const refusal = context.peerKeys.refusalOf(proof);
      if (refusal !== undefined) return fail(refusalText(refusal));
      if (context.peerKeys.note(proof)) context.superseded(this.peer);
      socket.off('close', onClose);
      this.#socket = undefined;
      this.#connected(socket, proof);
    });
  }

  #connected(socket: TLSSocket, proof: Proof): void {
    const context = this.#context;
    this.#timer?.cancel();
    this.#phase = 'connected';
    const sinceMs = context.clock.nowMs();
    let heard = false;
    let expiry: Timer | undefined;
    const connection: Connection = new Connection({
      ...context,
      socket,
      peer: this.peer,
      isKnown: () => true,
      pausesReading: false,
      sizeBytesMax: (type, peer) =>
        type === aliveFrameType ? 0 : context.sizeBytesMax(type, peer),
      onFrame: (frame: Frame) => {
        this.#unansweredSinceMs = undefined;
        if (!heard) {
          heard = true;
          this.#failures = 0;
          this.#lastError = undefined;
        }
        if (frame.type === aliveFrameType) connection.inVain();
        else context.deliver(this, frame);
      },
      onClosed: (reason) => {
        expiry?.cancel();
        context.metrics.count('network_links_lost_total', reason);
        this.#connection = undefined;
        this.#unansweredSinceMs = undefined;
        if (this.#closed) return;
        if (context.clock.nowMs() - sinceMs >= backOffMsMax) this.#failures = 0;
        const isShort = !heard && context.clock.nowMs() - sinceMs < refusedWithinMs;
        this.#attemptFailed(lossText(reason, isShort));
        context.lost(this);
      },
    });
    this.#connection = connection;
    const lastsMs = context.peerKeys.lastsMs(proof);
    if (lastsMs !== undefined) {
      expiry = context.timers.after(lastsMs, () => connection.destroy('channel-key-expired'));
    }
    const greeting = context.greeting;
    if (greeting !== undefined) connection.send(greeting.type, greeting.payload);
    const queue = this.#queue;
    this.#queue = [];
    this.#queueSizeBytes = 0;
    for (const { type, payload } of queue) connection.send(type, payload);
  }

  /** What waited is old by now, and every protocol here resends; a queue kept would only age. */
  #attemptFailed(why: string): void {
    const context = this.#context;
    this.#timer?.cancel();
    this.#dropQueue();
    if (why !== this.#lastError && !this.#isEnding) {
      context.log.info('network.link-down', {
        peer: this.peer,
        address: `${this.address.host}:${this.address.port}`,
        why,
      });
    }
    this.#lastError = why;
    this.#phase = 'backing-off';
    const delayMs = backOffMs(this.#failures, context.entropy.bytes(1)[0] ?? 0);
    this.#failures++;
    this.#dialAfter(delayMs);
  }

  #dialAfter(delayMs: number): void {
    const { clock, timers } = this.#context;
    this.#timer?.cancel();
    this.#dialDueMs = clock.nowMs() + delayMs;
    this.#timer = timers.after(delayMs, () => {
      this.#phase = 'idle';
      if (this.#queue.length > 0) this.#dial();
    });
  }

  #dropQueue(): void {
    if (this.#queue.length > 0) {
      this.#context.metrics.count(
        'network_messages_dropped_total',
        'unreachable',
        this.#queue.length,
      );
    }
    this.#queue = [];
    this.#queueSizeBytes = 0;
  }
}

/**
 * 50 ms doubled with every failure in a row up to 5 s, of which the upper half is random, so that all peers of a
 * restarted server do not dial at once.
 * @param random 0 … 255.
 */
export function backOffMs(failures: number, random: number): number {
  const fullMs = Math.min(backOffMsMin * 2 ** Math.min(failures, 16), backOffMsMax);
  return fullMs / 2 + (fullMs / 2) * (random / 255);
}

/** What usually goes wrong, for people; the rest as the system says it. */
const dialErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused: nothing listens there',
  ECONNRESET: 'connection reset during the TLS handshake',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to its network',
  ENOTFOUND: 'no host of that name',
  ETIMEDOUT: 'no answer to the connection attempt',
};

function dialErrorText(error: NodeJS.ErrnoException): string {
  const { code = '', message } = error;
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
    return `no TLS handshake: what listens there is not a server of this system (${code})`;
  }
  return dialErrors[code] ?? message;
}

/** Why a key is not taken, for people; the rest by the label of its counter. */
const keyRefusals: Readonly<Record<string, string>> = {
  'channel-key-not-signed':
    'the key there is one for another system, or vouched for by nobody: compare the descriptions of the group',
  'channel-key-old':
    'the key there is of before its last change of keys: stolen, or of a signing module with an older copy of its folder',
  'channel-key-expired':
    'the key there has expired: it was stolen, its signing module does not answer, or the clock here or there is wrong',
};

function refusalText(refusal: string): string {
  return keyRefusals[refusal] ?? `refused: ${refusal}`;
}

/** What usually ends a connection, for people; the rest by the label of its counter. */
const losses: Readonly<Record<string, string>> = {
  'ended-by-peer': 'the other end closed it',
  'socket-closed': 'the other end closed it',
  'socket-ECONNRESET': 'the other end reset it',
  'socket-EPIPE': 'the other end closed it',
  'socket-ETIMEDOUT': 'the other end cannot be reached any more',
  silent: 'the other end has fallen silent',
  'channel-key-expired': 'its key has expired',
};

/** @param isShort it ended right after the handshake, and brought nothing. Who does not want a key says no more than that. */
function lossText(reason: string, isShort: boolean): string {
  return isShort && reason in losses
    ? 'closed right after the handshake: the other end does not admit this key, or is just being stopped or renewing its keys'
    : `connection lost: ${losses[reason] ?? reason}`;
}
