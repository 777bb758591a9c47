// Lies by leaving out: silence, denial, acknowledging without storing, old answers.

import { type Bytes, toHex } from '../../../src/base/bytes.ts';
import type { Channel } from '../../../src/env/network.ts';
import type { Message } from '../../../src/wire/registry.ts';
import type { Lie, LieContext, LieMaker } from '../liar.ts';
import { Notebook, type Seen } from '../notebook.ts';
import { acknowledgement, denial, list, showing } from './context.ts';

/** Answers nothing. */
export const silent: LieMaker = () => ({ onRequest: () => [] });

/** Keeps and shows everything, but not to everybody. */
export const picky: LieMaker = () => ({
  onRequest: (_, from) => (isOddPeer(from) ? [] : undefined),
});

/** Acknowledges what it does not store. */
export const forgetful: LieMaker = (context) => ({
  onRequest: (request) => list(acknowledgement(request, context)),
});

/** Stores everything and shows nothing. */
export const denying: LieMaker = (context) => ({
  onRequest: (request) =>
    acknowledgement(request, context) === undefined ? list(denial(request, context)) : undefined,
});

/** Acknowledges what it does not store, and says that nothing is there. */
export const forgettingAll: LieMaker = (context) => ({
  onRequest: (request) => list(acknowledgement(request, context) ?? denial(request, context)),
});

/** Honest about objects, denies all blocks. */
export const blockDenying: LieMaker = (context) => ({
  onRequest: (request) =>
    request.name === 'get' || request.name === 'hold' ? list(denial(request, context)) : undefined,
});

/** Acknowledges everything, and shows what it first saw of each object for ever. */
export const stale: LieMaker = (context) => {
  const first = new Map<string, Seen | undefined>();
  return {
    onRequest(request) {
      if (request.name === 'list') return undefined;
      const object = objectOf(request);
      if (object === undefined) return undefined;
      const key = toHex(object);
      if (!first.has(key)) {
        // Now and then it begins with nothing.
        const begin = context.prng.chance(1, 2)
          ? context.notebook.versionsOf(object)[0]
          : undefined;
        first.set(key, begin);
      }
      return list(
        acknowledgement(request, context) ?? showing(request, context, first.get(key), true),
      );
    },
  };
};

/**
 * Shows the newest header it ever saw, of a write that may have reached nobody else, and withholds the data for ever.
 */
export const headersOnly: LieMaker = (context) => ({
  onRequest(request) {
    if (request.name === 'fetch') return [];
    if (request.name !== 'readVersion') return undefined;
    return list(showing(request, context, context.notebook.newestOf(request.value.object), false));
  },
});

/** As `headersOnly`, but delivers the data now and then, long after. */
export const grudging: LieMaker = (context) => ({
  onRequest(request) {
    if (request.name !== 'fetch' && request.name !== 'readVersion') return undefined;
    const newest = context.notebook.newestOf(request.value.object);
    const delivers = request.name === 'fetch' && context.prng.chance(1, 3);
    const said = showing(request, context, newest, delivers);
    if (request.name === 'fetch' && !delivers) return [];
    return said === undefined ? undefined : [{ ...said, delayMs: context.prng.below(2_000) }];
  },
});

/** Two servers under one key: each caller meets one of them, and they know nothing of each other. */
export const equivocating: LieMaker = (context) => {
  const other = new Notebook();
  return {
    onRequest(request, from) {
      if (!isOddPeer(from)) return undefined;
      other.learn(from.peer, request);
      const acknowledged = acknowledgement(request, context);
      if (acknowledged !== undefined) return [acknowledged];
      return list(answerFrom(other, request, context));
    },
  };
};

function answerFrom(notebook: Notebook, request: Message, context: LieContext) {
  if (request.name === 'get') {
    const data = notebook.blockData(request.value.block);
    if (data === undefined) return denial(request, context);
    const { block, instance, epoch, nonce } = request.value;
    return { message: { name: 'block', value: { instance, epoch, nonce, block, data } } } as const;
  }
  const object = objectOf(request);
  if (object === undefined) return denial(request, context);
  return showing(request, context, notebook.newestOf(object), true);
}

/** Says first one thing, then the other. */
export const wavering: LieMaker = (context): Lie => ({
  onReply(reply) {
    if (reply.name !== 'version') return undefined;
    const nothing = { ...reply.value, header: [], data: [] };
    const withoutData = { ...reply.value, data: [] };
    const said = [
      { message: { name: 'version' as const, value: nothing } },
      { message: { name: 'version' as const, value: withoutData } },
      { message: reply },
    ];
    return context.prng.shuffled(said);
  },
});

function objectOf(request: Message): Bytes | undefined {
  return 'object' in request.value ? request.value.object : undefined;
}

function isOddPeer(channel: Channel): boolean {
  return Number.parseInt(channel.peer.slice(-1), 16) % 2 === 1;
}
