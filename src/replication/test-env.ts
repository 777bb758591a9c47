// An environment for the tests of this folder: time stands until the test moves it, and messages end in a list.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import type { Env } from '../env/env.ts';
import { silentLog } from '../env/log.ts';
import type { Channel, MessageHandler } from '../env/network.ts';

export interface Sent {
  readonly channel: Channel;
  readonly peer: PeerId;
  readonly type: number;
  readonly payload: Bytes;
}

interface Due {
  readonly atMs: number;
  readonly action: () => void;
  isOver: boolean;
}

export class TestEnv {
  nowMs = 0;
  readonly sent: Sent[] = [];
  /** Labels of counted events. */
  readonly counts: string[] = [];
  readonly closedChannels: Channel[] = [];
  /** New keys of its own, and those that it demands of others. */
  readonly keyChanges: string[] = [];
  /** Channels of messages that were of no use. */
  readonly inVain: Channel[] = [];
  /** Warnings and notes, with their fields. */
  readonly logged: string[] = [];
  #due: Due[] = [];
  #handler: MessageHandler = () => {};
  #lostHandler: (link: Channel) => void = () => {};
  readonly #links = new Map<PeerId, Channel>();
  readonly env: Env;

  constructor(seed = 1) {
    const prng = new Prng(seed);
    this.env = {
      clock: { nowMs: () => this.nowMs },
      timers: { after: (delayMs, action) => this.#after(delayMs, action) },
      network: {
        open: (peer) => this.link(peer),
        onMessage: (handler) => {
          this.#handler = handler;
        },
        onClosed: () => {},
        onLost: (handler) => {
          this.#lostHandler = handler;
        },
        renewKeys: () => this.keyChanges.push('renewed'),
        demandKeys: (peer, counter) => this.keyChanges.push(`${peer} ${counter}`),
        close: async () => {},
      },
      entropy: { bytes: (length) => prng.bytes(length) },
      log: {
        ...silentLog,
        error: (event, fields) => this.logged.push(`${event} ${JSON.stringify(fields)}`),
        warn: (event, fields) => this.logged.push(`${event} ${JSON.stringify(fields)}`),
        info: (event, fields) => this.logged.push(`${event} ${JSON.stringify(fields)}`),
      },
      metrics: {
        count: (name, label) => this.counts.push(label ?? name),
        gauge: () => {},
        observe: () => {},
      },
    };
  }

  /** The link that this node opened to a peer. */
  link(peer: PeerId): Channel {
    const known = this.#links.get(peer);
    if (known !== undefined) return known;
    const link = this.incoming(peer);
    this.#links.set(peer, link);
    return link;
  }

  /** A channel that a peer opened to this node. */
  incoming(peer: PeerId): Channel {
    const channel: Channel = {
      peer,
      inVain: () => this.inVain.push(channel),
      send: (type, payload) => {
        this.sent.push({ channel, peer, type, payload });
        return true;
      },
      close: () => {
        this.closedChannels.push(channel);
        if (this.#links.get(peer) === channel) this.#links.delete(peer);
      },
    };
    return channel;
  }

  deliver(channel: Channel, type: number, payload: Bytes): void {
    this.#handler(channel, type, payload);
  }

  /** The connection behind a link is gone. */
  lose(link: Channel): void {
    this.#lostHandler(link);
  }

  #after(delayMs: number, action: () => void) {
    const due: Due = { atMs: this.nowMs + delayMs, action, isOver: false };
    this.#due.push(due);
    return {
      cancel: () => {
        due.isOver = true;
      },
    };
  }

  /** Lets time pass; timers run out in order. */
  advance(byMs: number): void {
    const untilMs = this.nowMs + byMs;
    for (;;) {
      this.#due = this.#due.filter(({ isOver }) => !isOver);
      const [next] = this.#due
        .filter(({ atMs }) => atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      next.isOver = true;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.action();
    }
    this.nowMs = untilMs;
  }
}
