import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * A two-way link to one authenticated peer. `peer` is the key that the other end has proved to hold, never a field
 * that it filled in. A message arrives whole, at most once, in order per connection, or not at all.
 */
export interface Channel {
  readonly peer: PeerId;
  /**
   * Queues one message. False when the bounded queue is full or the link is closed for good: the message is dropped,
   * which every protocol here must survive anyway.
   */
  send(type: number, payload: Bytes): boolean;
  /** Drops the link, for instance after a provable fault of the peer. `reason` is a counter's label. */
  close(reason: string): void;
  /**
   * The message that is being handled is of no use. A peer may have some time spent on such ones, beyond it what it sends
   * waits; not every network minds.
   */
  inVain?(): void;
}

export type MessageHandler = (channel: Channel, type: number, payload: Bytes) => void;

/** How one node reaches others. Channels are authenticated at both ends and confidential. */
export interface Network {
  /**
   * The link to `peer` at `address`; dials when first used, reconnects with back-off, and sends this node's greeting
   * first on each new connection. The same peer gives the same link.
   */
  open(peer: PeerId, address: Address): Channel;
  /** Messages from links we opened and from links that others opened to us. One handler per network. */
  onMessage(handler: MessageHandler): void;
  /** An accepted (incoming) connection is gone; its channel will never deliver again. */
  onClosed(handler: (channel: Channel) => void): void;
  /**
   * The connection behind a link that this node opened is gone, and with it perhaps what was sent last. A hint: a peer
   * that vanishes without a word is noticed much later, and not every network tells.
   */
  onLost?(handler: (link: Channel) => void): void;
  /**
   * New keys for this node's end of all channels that are opened from now on, and an end to those that others opened. Nothing
   * changes where the identity key itself ends the channels.
   * @throws HoldfastError `not-permitted` or `unavailable` when what keeps the identity key vouches for none.
   */
  renewKeys?(): void;
  /** Keys that a peer had before its change of keys number `counter` are taken no more, on channels that others opened either. */
  demandKeys?(peer: PeerId, counter: number): void;
  close(): Promise<void>;
}

/** The first message on each connection that a node opens: says who it is beyond its key. */
export interface Greeting {
  readonly type: number;
  readonly payload: Bytes;
}
