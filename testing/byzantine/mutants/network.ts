// Broken ears: what a client takes from the network for a reply.

import type { PeerId } from '../../../src/base/brand.ts';
import type { Configuration } from '../../../src/configuration/configuration.ts';
import type { Env } from '../../../src/env/env.ts';
import type { Channel, Network } from '../../../src/env/network.ts';
import { type Conversation, Exchange, type ReplyHandler } from '../../../src/quorum/exchange.ts';
import { decodeMessage, type Message } from '../../../src/wire/registry.ts';
import { correctParts, type Parts } from '../../harness/parts.ts';
import { encoded } from '../liar.ts';
import { under } from '../lies/falsifying.ts';

/** What is heard for a message that arrives: from whom, and what. */
type Ear = (from: PeerId, message: Message) => readonly (readonly [PeerId, Message])[];

function hearing(env: Env, ear: Ear): Env {
  const { network } = env;
  const wrapped: Network = {
    open: (peer, address) => network.open(peer, address),
    onClosed: (handler) => network.onClosed(handler),
    close: () => network.close(),
    onMessage: (handler) =>
      network.onMessage((channel, type, payload) => {
        const message = decodeMessage(type, payload);
        if (message === undefined) return handler(channel, type, payload);
        for (const [from, heard] of ear(channel.peer, message)) {
          const bytes = encoded(heard);
          handler(as(from, channel), bytes.type, bytes.payload);
        }
      }),
  };
  return { ...env, network: wrapped };
}

function as(peer: PeerId, channel: Channel): Channel {
  return {
    peer,
    send: (type, payload) => channel.send(type, payload),
    close: (reason) => channel.close(reason),
  };
}

/** Replies of every epoch count. */
export const epochUnchecked: Parts = {
  ...correctParts,
  clientEnv: (env, { epoch }) =>
    hearing(env, (from, message) => [
      [from, 'epoch' in message.value ? under(message, { epoch }) : message],
    ]),
};

/** A reply counts for the member that sent it and for the next one too. */
export const countedTwice: Parts = {
  ...correctParts,
  clientEnv: (env, configuration) =>
    hearing(env, (from, message) => [
      [from, message],
      [nextMember(configuration, from, message), message],
    ]),
};

/** Whoever answers is taken for a member of the group. */
export const memberUnchecked: Parts = {
  ...correctParts,
  clientEnv: (env, configuration) =>
    hearing(env, (from, message) => {
      const group = groupOf(configuration, message);
      const isMember = group === undefined || group.includes(from);
      return [[isMember ? from : someMember(group, message), message]];
    }),
};

/** A refusal to read is taken for "nothing there". */
export const refusalIsNothing: Parts = {
  ...correctParts,
  clientEnv: (env) => {
    const asked = new Map<string, Uint8Array>();
    const { network } = env;
    const listening: Network = {
      onMessage: (handler) => network.onMessage(handler),
      onClosed: (handler) => network.onClosed(handler),
      close: () => network.close(),
      open: (peer, address) => {
        const channel = network.open(peer, address);
        return {
          peer,
          close: (reason) => channel.close(reason),
          send(type, payload) {
            const message = decodeMessage(type, payload);
            if (message?.name === 'readVersion') asked.set(nonceKey(message), message.value.object);
            return channel.send(type, payload);
          },
        };
      },
    };
    return hearing({ ...env, network: listening }, (from, message) => {
      const object = message.name === 'refused' ? asked.get(nonceKey(message)) : undefined;
      if (message.name !== 'refused' || object === undefined) return [[from, message]];
      const { instance, epoch, nonce } = message.value;
      const value = { instance, epoch, nonce, object, header: [], data: [] };
      return [[from, { name: 'version', value }]];
    });
  },
};

/** Replies to questions of the past count for the question of now. */
class NoncelessExchange extends Exchange {
  readonly #handlers = new Set<ReplyHandler>();

  override begin(onReply: ReplyHandler): Conversation {
    const { nonce, end } = super.begin(onReply);
    this.#handlers.add(onReply);
    return {
      nonce,
      end: () => {
        this.#handlers.delete(onReply);
        end();
      },
    };
  }

  override handle(from: PeerId, message: Message): void {
    for (const handler of [...this.#handlers]) handler(from, message);
  }
}

export const nonceUnchecked: Parts = {
  ...correctParts,
  exchange: (env, instance) => new NoncelessExchange(env, instance),
};

function nonceKey(message: Message): string {
  return 'nonce' in message.value ? Buffer.from(message.value.nonce).toString('hex') : '';
}

function idOf({ value }: Message): Uint8Array | undefined {
  if ('object' in value) return value.object;
  return 'block' in value ? value.block : undefined;
}

function groupOf(configuration: Configuration, message: Message): PeerId[] | undefined {
  const id = idOf(message);
  return id === undefined ? undefined : configuration.groupOf(id).members.map(({ peer }) => peer);
}

/** A different one for each question. */
function someMember(group: readonly PeerId[], message: Message): PeerId {
  const number = Number.parseInt(nonceKey(message).slice(-2), 16);
  return group[number % group.length] as PeerId;
}

/** The member after `from` in the group that the message is about. */
function nextMember(configuration: Configuration, from: PeerId, message: Message): PeerId {
  const group = groupOf(configuration, message) ?? [];
  return group[(group.indexOf(from) + 1) % Math.max(1, group.length)] ?? from;
}
