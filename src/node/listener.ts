import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, emptyBytes } from '../base/bytes.ts';
import type { Timer } from '../env/clock.ts';
import type { Address, Channel } from '../env/network.ts';
import { aliveFrameType } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import { Connection, OutputBudget } from './connection.ts';
import { HandshakeRates } from './handshake-rates.ts';
import type { Identity, Proof } from './identity.ts';
import { listen } from './listen.ts';
import type { NetworkContext } from './network.ts';
import { provenPeer, tlsOptions } from './tls.ts';

/** One accepted connection as the handlers see it. */
class IncomingChannel implements Channel {
  readonly #context: NetworkContext;
  readonly #connection: Connection;
  readonly proof: Proof;
  readonly #timer: Timer;
  #aliveTimer: Timer | undefined;

  constructor(context: NetworkContext, connection: Connection, proof: Proof, timer: Timer) {
    this.#context = context;
    this.#connection = connection;
    this.proof = proof;
    this.#timer = timer;
  }

  get peer(): PeerId {
    return this.#connection.peer;
  }

  send(type: number, payload: Bytes): boolean {
    return this.#connection.send(type, payload);
  }

  close(reason: string): void {
    this.#connection.destroy(reason);
  }

  inVain(): void {
    this.#connection.inVain();
  }

  end(): Promise<void> {
    return this.#connection.end();
  }

  /** The first message is here, so the time for it no longer runs. */
  greeted(): void {
    this.#timer.cancel();
  }

  /**
   * Something came. Replicas answer each other on connections of their own, so that without this word the other end would
   * take this one for dead, and dial anew for ever.
   */
  heard(): void {
    this.greeted();
    const { timers, silenceTimeoutMs } = this.#context;
    this.#aliveTimer ??= timers.after(silenceTimeoutMs / 3, () => {
      this.#aliveTimer = undefined;
      this.#connection.send(aliveFrameType, emptyBytes);
    });
  }

  ended(): void {
    this.greeted();
    this.#aliveTimer?.cancel();
  }
}

/**
 * Accepts connections, and decides which to keep. Strangers cannot crowd out peers: handshakes have a number and a time
 * of their own, and when all places are taken the peer that holds most of them gives one up.
 */
export class Listener {
  readonly #context: NetworkContext;
  /** Takes connections. The one below gets those whose turn it is, and never listens. */
  readonly #server: NetServer;
  readonly #tls: Server;
  readonly #rates: HandshakeRates;
  /** Sockets that have not proved a key yet, oldest first, with what bounds their time until the first message. */
  readonly #handshakes = new Map<string, { readonly socket: Socket; readonly timer: Timer }>();
  /** Connections in use, oldest first per peer. */
  readonly #channels = new Map<PeerId, Set<IncomingChannel>>();
  readonly #output = new OutputBudget(limits.sendQueuesBytesMax);
  #channelCount = 0;
  #port = 0;

  constructor(context: NetworkContext) {
    this.#context = context;
    this.#rates = new HandshakeRates(context.clock, context.countsLoopback);
    this.#tls = createServer({
      ...tlsOptions(context.identity()),
      // Our own timer covers the handshake too; this one only has to stay out of its way.
      handshakeTimeout: 2 * context.handshakeTimeoutMs,
    });
    this.#server = createNetServer((socket) => {
      if (this.#rates.take(addressOf(socket))) {
        this.#tls.emit('connection', socket);
        return;
      }
      this.#count('handshakes-too-many');
      socket.destroy();
    });
    this.#tls.on('connection', (socket: Socket) => this.#beginHandshake(socket));
    this.#tls.on('secureConnection', (socket) => this.#endHandshake(socket));
    this.#tls.on('tlsClientError', (error, socket) => {
      this.#count(refusalLabel(error));
      socket.destroy();
    });
  }

  /** @throws HoldfastError when the address cannot be had. */
  async start(address: Address): Promise<void> {
    this.#port = await listen(this.#server, address);
    // From here on accepting may fail for a moment (no file descriptor left); that must not end the process.
    this.#server.on('error', (error) => {
      this.#context.log.error('network.accept-failed', { error: error.message });
    });
  }

  get port(): number {
    return this.#port;
  }

  readmit(): void {
    const { admit } = this.#context;
    if (admit === undefined) return;
    for (const [peer, channels] of [...this.#channels]) {
      if (admit(peer)) continue;
      for (const channel of [...channels]) channel.close('not-admitted');
    }
  }

  /** From now on this node is known by these keys. */
  present(identity: Identity): void {
    this.#tls.setSecureContext(tlsOptions(identity));
  }

  /** Ends connections of a peer whose keys are taken no more. */
  closeOld(peer: PeerId): void {
    for (const channel of [...(this.#channels.get(peer) ?? [])]) {
      const refusal = this.#context.peerKeys.refusalOf(channel.proof);
      if (refusal !== undefined) channel.close(refusal);
    }
  }

  /** Accepts nobody any more; resolves when what was sent has left. */
  async end(): Promise<void> {
    this.#server.close();
    for (const { socket } of [...this.#handshakes.values()]) socket.destroy();
    await Promise.all(this.#all().map((channel) => channel.end()));
  }

  /** Handshakes under way too: their secrets are as old as the keys that they began with. */
  closeAll(reason: string): void {
    for (const { socket } of [...this.#handshakes.values()]) socket.destroy();
    for (const channel of this.#all()) channel.close(reason);
  }

  #all(): IncomingChannel[] {
    return [...this.#channels.values()].flatMap((channels) => [...channels]);
  }

  #count(reason: string): void {
    this.#context.metrics.count('network_connections_dropped_total', reason);
  }

  #beginHandshake(socket: Socket): void {
    const { timers, handshakeTimeoutMs, handshakesMax } = this.#context;
    const end = remoteEnd(socket);
    if (this.#handshakes.size >= handshakesMax) {
      // An honest handshake takes milliseconds, so the oldest one waits for nothing good.
      const [oldest] = this.#handshakes;
      if (oldest !== undefined) this.#handshakes.delete(oldest[0]);
      oldest?.[1].socket.destroy();
      this.#count('handshake-crowded-out');
    }
    const timer = timers.after(handshakeTimeoutMs, () => {
      this.#count('handshake-timeout');
      socket.destroy();
    });
    const handshake = { socket, timer };
    this.#handshakes.set(end, handshake);
    socket.once('close', () => {
      timer.cancel();
      if (this.#handshakes.get(end) === handshake) this.#handshakes.delete(end);
    });
  }

  #endHandshake(socket: TLSSocket): void {
    const handshake = this.#handshakes.get(remoteEnd(socket));
    this.#handshakes.delete(remoteEnd(socket));
    const refuse = (reason: string): void => {
      this.#count(reason);
      socket.on('error', () => {});
      socket.destroy();
    };
    if (handshake === undefined) return refuse('handshake-crowded-out');
    const proof = provenPeer(socket, this.#context.channelKeys?.system);
    if ('refusal' in proof) return refuse(proof.refusal);
    // It has other keys for its own channels: these are of before.
    if (proof.keys !== undefined && proof.peer === this.#context.identity().peer)
      return refuse('own-key');
    const refusal = this.#context.peerKeys.refusalOf(proof);
    if (refusal !== undefined) return refuse(refusal);
    if (this.#context.admit?.(proof.peer) === false) {
      this.#context.refusals.notAdmitted(proof.peer, addressOf(socket));
      return refuse('not-admitted');
    }
    if (this.#context.isKnown?.(proof.peer) ?? true) this.#rates.giveBack(addressOf(socket));
    if (!this.#makeRoom(proof.peer)) return refuse('too-many-connections');
    this.#accept(socket, proof, handshake.timer);
    if (this.#context.keepsPlace?.(proof.peer) !== true) return;
    this.#rates.know(proof.peer, addressOf(socket));
    if (this.#context.peerKeys.note(proof)) this.closeOld(proof.peer);
  }

  #accept(socket: TLSSocket, proof: Proof, timer: Timer): void {
    const context = this.#context;
    const { peer } = proof;
    const connection: Connection = new Connection({
      ...context,
      socket,
      peer,
      isKnown: () => context.isKnown?.(peer) ?? true,
      pausesReading: true,
      output: this.#output,
      outputSizeBytesMax: () =>
        context.isKnown?.(peer) === false
          ? limits.strangerSendQueueBytesMax
          : limits.sendQueueBytesMax,
      onFrame: (frame) => {
        channel.heard();
        context.deliver(channel, frame);
      },
      onClosed: (reason) => {
        channel.ended();
        this.#remove(channel);
        this.#count(reason);
        context.closed(channel);
      },
    });
    const channel = new IncomingChannel(context, connection, proof, timer);
    socket.setTimeout(context.idleTimeoutMs, () => connection.destroy('idle'));
    const channels = this.#channels.get(peer);
    if (channels === undefined) this.#channels.set(peer, new Set([channel]));
    else channels.add(channel);
    this.#channelCount++;
    context.metrics.count('network_connections_accepted_total');
    context.metrics.gauge('network_incoming_connections', this.#channelCount);
    context.arrived(peer);
  }

  #remove(channel: IncomingChannel): void {
    const channels = this.#channels.get(channel.peer);
    if (channels?.delete(channel) !== true) return;
    if (channels.size === 0) this.#channels.delete(channel.peer);
    this.#channelCount--;
    this.#context.metrics.gauge('network_incoming_connections', this.#channelCount);
  }

  /**
   * Finds a place for one more connection of `peer`. Its own oldest one goes first: a peer that lost its network comes
   * back while its dead connections still stand here. Else the peer with the most gives way, if it has more than one.
   */
  #makeRoom(peer: PeerId): boolean {
    const { connectionsMax, connectionsPerPeerMax } = this.#context;
    const own = this.#channels.get(peer);
    if (own !== undefined && own.size >= connectionsPerPeerMax) {
      oldestOf(own)?.close('too-many-of-one-peer');
    } else if (this.#channelCount >= connectionsMax) {
      const stranger = this.#spareFor(peer);
      if (stranger !== undefined) {
        stranger.close('stranger-crowded-out');
        return true;
      }
      let largest: ReadonlySet<IncomingChannel> = new Set();
      for (const [other, channels] of this.#channels) {
        if (channels.size > largest.size && this.#givesWay(other, peer)) largest = channels;
      }
      if (largest.size <= (own?.size ?? 0) + 1) return false;
      oldestOf(largest)?.close('too-many-connections');
    }
    return true;
  }

  /**
   * Anyone can make keys and hold a connection under each; that must not keep known peers out, nor known peers those few
   * that keep their places. Of those that give way the one with the most connections gives one up, since it loses least.
   */
  #spareFor(peer: PeerId): IncomingChannel | undefined {
    const { isKnown, keepsPlace = isKnown } = this.#context;
    if (isKnown === undefined) return undefined;
    const stranger = this.#oldestOfMost((other) => !isKnown(other));
    if (stranger !== undefined || keepsPlace?.(peer) !== true) return stranger;
    return this.#oldestOfMost((other) => !keepsPlace(other));
  }

  /** Whether the one is not worth more than the other: a second connection of a member's may be the one that it uses. */
  #givesWay(one: PeerId, other: PeerId): boolean {
    const { isKnown, keepsPlace = isKnown } = this.#context;
    if (keepsPlace?.(one) === true) return keepsPlace(other);
    return isKnown?.(one) !== true || isKnown(other);
  }

  #oldestOfMost(givesWay: (peer: PeerId) => boolean): IncomingChannel | undefined {
    let most: ReadonlySet<IncomingChannel> = new Set();
    for (const [peer, channels] of this.#channels) {
      if (channels.size > most.size && givesWay(peer)) most = channels;
    }
    return oldestOf(most);
  }
}

function oldestOf(channels: ReadonlySet<IncomingChannel>): IncomingChannel | undefined {
  return channels.values().next().value;
}

/** Nobody knows the address of a connection that is gone already. */
function addressOf(socket: Socket): string {
  return socket.remoteAddress ?? 'unknown';
}

/** Names a connection by its far end; the TLS socket and the plain one under it give the same. */
function remoteEnd(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

/** A counter's label for a failed handshake: the library's reason without what the peer could vary. */
function refusalLabel(error: NodeJS.ErrnoException): string {
  return `handshake-${(error.code ?? 'failed').replace(/^ERR_(SSL_|TLS_)?/, '').toLowerCase()}`;
}
