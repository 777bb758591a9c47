import type { PeerId } from '../base/brand.ts';
import type { Clock, Timers } from '../env/clock.ts';
import type { Entropy } from '../env/entropy.ts';
import type { Log } from '../env/log.ts';
import type { Metrics } from '../env/metrics.ts';
import type { Address, Channel, Greeting, MessageHandler, Network } from '../env/network.ts';
import type { Frame } from '../wire/frame.ts';
import { limits } from '../wire/limits.ts';
import type { Identity } from './identity.ts';
import { Link, type LinkState } from './link.ts';
import { Listener } from './listener.ts';
import { type ChannelKeyOptions, PeerKeys } from './peer-keys.ts';
import { RefusalLog } from './refusal-log.ts';
import { Turns } from './turns.ts';

export interface TlsNetworkOptions {
  readonly identity: Identity;
  /** Unless given, peers are their identity keys, and this node too. */
  readonly channelKeys?: ChannelKeyOptions;
  /** Where to accept connections; port 0 takes a free one. Without it the node only dials. */
  readonly listen?: Address;
  /** First message on each connection that this node opens. */
  readonly greeting?: Greeting;
  /** Payload bound of a message type from a peer; undefined for a type that this peer must not send. */
  readonly sizeBytesMax: (type: number, peer: PeerId) => number | undefined;
  /** Whether a peer that proved this key may stay connected; everyone unless given. */
  readonly admit?: (peer: PeerId) => boolean;
  /** Peers that keep their places when all are taken; strangers give way to everybody. All count alike unless given. */
  readonly isKnown?: (peer: PeerId) => boolean;
  /** Of those, whose place nobody else ever gets: few enough to have a place each. All of them unless given. */
  readonly keepsPlace?: (peer: PeerId) => boolean;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly entropy: Entropy;
  /** Narrower bounds than those of `limits`, for tests and small machines. */
  readonly bounds?: Partial<NetworkBounds>;
}

export interface NetworkBounds {
  readonly connectionsMax: number;
  readonly connectionsPerPeerMax: number;
  readonly handshakesMax: number;
  readonly handshakeTimeoutMs: number;
  /** Whether connections from this machine too may come only so often. */
  readonly countsLoopback: boolean;
  readonly idleTimeoutMs: number;
  readonly frameTimeoutMs: number;
  readonly silenceTimeoutMs: number;
}

/** What the parts of one network share. */
export interface NetworkContext
  extends NetworkBounds,
    Omit<TlsNetworkOptions, 'bounds' | 'identity'> {
  /** With the newest keys. */
  readonly identity: () => Identity;
  readonly peerKeys: PeerKeys;
  readonly deliver: (channel: Channel, frame: Frame) => void;
  readonly closed: (channel: Channel) => void;
  /** The connection of a link is gone, and nobody here has closed it. */
  readonly lost: (link: Channel) => void;
  /** A peer has shown newer keys than it was known to have: connections with those of before end. */
  readonly superseded: (peer: PeerId) => void;
  /** A peer has connected to this node, and proved its key. */
  readonly arrived: (peer: PeerId) => void;
  readonly turns: Turns;
  readonly refusals: RefusalLog;
}

/** `Network` over TLS, plus what an operator wants to know of it. */
export interface TlsNetwork extends Network {
  /** The port that was bound; undefined for a node that only dials. */
  readonly port: number | undefined;
  /** How the outgoing link to `peer` stands; undefined when none was opened. */
  state(peer: PeerId): LinkState | undefined;
  /** Asks `admit` again about everyone connected, after the answer may have changed, and drops who is not wanted. */
  readmit(): void;
  /** Other keys for channels to come, before those in use expire. What is open stays. */
  present(keys: Identity): void;
}

/** How long `close` waits for what was sent to leave. */
const closeTimeoutMs = 1_000;

/**
 * Starts a network; resolves when the port is bound.
 * @throws HoldfastError 'port-in-use' when another process has the port, 'bad-configuration' when the address is not ours.
 */
export async function createTlsNetwork(options: TlsNetworkOptions): Promise<TlsNetwork> {
  const network = new NodeNetwork(options);
  await network.start();
  return network;
}

class NodeNetwork implements TlsNetwork {
  readonly #context: NetworkContext;
  #identity: Identity;
  readonly #links = new Map<PeerId, Link>();
  #listener: Listener | undefined;
  #handler: MessageHandler = () => {};
  #closedHandler: (channel: Channel) => void = () => {};
  #lostHandler: (link: Channel) => void = () => {};
  #ending = false;

  constructor(options: TlsNetworkOptions) {
    const { bounds, identity, ...rest } = options;
    this.#identity = identity;
    this.#context = {
      identity: () => this.#identity,
      peerKeys: new PeerKeys(options.channelKeys),
      connectionsMax: limits.connectionsMax,
      connectionsPerPeerMax: limits.connectionsPerPeerMax,
      handshakesMax: limits.handshakesMax,
      handshakeTimeoutMs: limits.handshakeTimeoutMs,
      countsLoopback: false,
      idleTimeoutMs: limits.idleTimeoutMs,
      frameTimeoutMs: limits.frameTimeoutMs,
      silenceTimeoutMs: limits.silenceTimeoutMs,
      ...rest,
      ...bounds,
      deliver: (channel, frame) => this.#handler(channel, frame.type, frame.payload),
      closed: (channel) => this.#closedHandler(channel),
      lost: (link) => this.#lostHandler(link),
      arrived: (peer) => this.#links.get(peer)?.peerArrived(),
      superseded: (peer) => this.#listener?.closeOld(peer),
      turns: new Turns(() => options.metrics.count('network_peers_held_total')),
      refusals: new RefusalLog(options.log, options.clock),
    };
  }

  async start(): Promise<void> {
    if (this.#context.listen === undefined) return;
    this.#listener = new Listener(this.#context);
    await this.#listener.start(this.#context.listen);
  }

  get port(): number | undefined {
    return this.#listener?.port;
  }

  open(peer: PeerId, address: Address): Channel {
    const known = this.#links.get(peer);
    if (known !== undefined) {
      known.address = address;
      return known;
    }
    const link = new Link(this.#context, peer, address, () => {
      if (this.#links.get(peer) === link) this.#links.delete(peer);
    });
    // After `close` a late caller gets a link that sends nothing, instead of an exception in its face.
    if (this.#ending) link.close('network-closed');
    else this.#links.set(peer, link);
    return link;
  }

  onMessage(handler: MessageHandler): void {
    this.#handler = handler;
  }

  onClosed(handler: (channel: Channel) => void): void {
    this.#closedHandler = handler;
  }

  onLost(handler: (link: Channel) => void): void {
    this.#lostHandler = handler;
  }

  state(peer: PeerId): LinkState | undefined {
    return this.#links.get(peer)?.state;
  }

  readmit(): void {
    this.#listener?.readmit();
  }

  present(keys: Identity): void {
    this.#identity = keys;
    this.#listener?.present(keys);
  }

  renewKeys(): void {
    const renewed = this.#context.channelKeys?.renew?.();
    if (renewed !== undefined) this.present(renewed);
    this.#listener?.closeAll('new-key');
  }

  demandKeys(peer: PeerId, counter: number): void {
    this.#context.peerKeys.demand(peer, counter);
    this.#listener?.closeOld(peer);
  }

  async close(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    const links = [...this.#links.values()];
    const flushed = [...links.map((link) => link.end()), this.#listener?.end()];
    await within(closeTimeoutMs, Promise.all(flushed));
    for (const link of links) link.close('network-closed');
    this.#listener?.closeAll('network-closed');
  }
}

/** Resolves with `work`, or after `timeoutMs` without it. */
async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
