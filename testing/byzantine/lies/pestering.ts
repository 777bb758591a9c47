// Lies that cost the others time and memory: late answers, floods, lists without end.

import { type Bytes, compareBytes, concatBytes, uint64Bytes } from '../../../src/base/bytes.ts';
import type { Channel } from '../../../src/env/network.ts';
import { limits } from '../../../src/wire/limits.ts';
import { type Message, messageNumber } from '../../../src/wire/registry.ts';
import type { ObjectHeader } from '../../../src/wire/types.ts';
import type { LieContext, LieMaker, Utterance } from '../liar.ts';
import { contextOf, denial, list, ownVersion } from './context.ts';

/** Right answers, just before or just after everybody has given up on them. */
export const slow: LieMaker = (context) => ({
  onReply(reply) {
    const aboutMs = context.prng.pick([250, 1_000, 1_000, 5_000, 15_000]) ?? 1_000;
    return [{ message: reply, delayMs: aboutMs + context.prng.between(-10, 10) }];
  },
});

/** Speaks without being asked: garbage, requests, and answers to questions that are yet to come. */
export const flooding: LieMaker = (context) => {
  const { prng, timers, network, configuration, self, callers, say } = context;
  const others = configuration.members.filter(({ peer }) => peer !== self.peer);
  const pester = (): void => {
    const member = prng.pick(others);
    const channels: Channel[] = [...callers];
    if (member !== undefined) channels.push(network.open(member.peer, member));
    const victim = prng.pick(channels);
    if (victim !== undefined) {
      for (let i = prng.below(20); i >= 0; i--) say(victim, noise(context, victim));
    }
    timers.after(prng.between(5, 200), pester);
  };
  return { onStart: pester };
};

/** Answers, with a denial, questions that were put to others and that a colluding liar has told of. */
export const impersonating: LieMaker = (context) => {
  const { timers, callers, say, notebook, prng } = context;
  const answered = new WeakMap<Message, number>();
  const answer = (): void => {
    for (const channel of callers) {
      const question = notebook.questions.get(channel.peer);
      const times = question === undefined ? timesMax : (answered.get(question) ?? 0);
      if (question === undefined || times >= timesMax) continue;
      answered.set(question, times + 1);
      const said = denial(question, context);
      if (said !== undefined) say(channel, said);
    }
    timers.after(prng.between(1, 10), answer);
  };
  return { onStart: answer };
};

/** So often one question is answered. */
const timesMax = 4;

function noise(context: LieContext, victim: Channel): Utterance {
  const { prng, notebook } = context;
  const nonce = notebook.nonces.get(victim.peer) ?? prng.bytes(16);
  const request: Message = {
    name: 'readVersion',
    value: {
      instance: context.instance,
      epoch: prng.pick([0, 0, 1, 2 ** 53 - 1]) ?? 0,
      nonce: prng.bytes(16),
      object: prng.bytes(32),
      inlineSizeBytesMax: 2 ** 32 - 1,
    },
  };
  switch (prng.below(6)) {
    case 0:
      return { type: prng.below(60), payload: prng.bytes(prng.below(300)) };
    case 1:
      return { type: messageNumber('write'), payload: new Uint8Array(100_000) };
    case 2:
      return { message: request };
    case 3:
      return {
        message: {
          name: 'store',
          value: { ...request.value, block: prng.bytes(32), data: prng.bytes(50) },
        },
      };
    case 4:
      return {
        message: {
          name: 'absent',
          value: {
            ...request.value,
            nonce: laterNonce(nonce, prng.below(4)),
            block: prng.bytes(32),
          },
        },
      };
    default: {
      const old = prng.pick(notebook.replies);
      const value = { ...request.value, nonce: laterNonce(nonce, prng.below(4)) };
      if (old === undefined)
        return { message: { name: 'absent', value: { ...value, block: prng.bytes(32) } } };
      return {
        message: { name: old.name, value: { ...old.value, nonce: value.nonce } } as Message,
      };
    }
  }
}

/** Nonces end in a counter: whoever has seen one can guess the next ones. */
function laterNonce(nonce: Bytes, steps: number): Bytes {
  const counter = new DataView(nonce.buffer, nonce.byteOffset).getUint32(12);
  return concatBytes(nonce.subarray(0, 8), uint64Bytes(counter + steps));
}

/** Lists of what is stored that leave out, make up, and never end. */
export const listLying: LieMaker = (context) => ({
  onRequest(request) {
    if (request.name === 'get') return context.prng.chance(1, 2) ? [] : undefined;
    if (request.name !== 'list') return undefined;
    return list(falseList(request, context));
  },
});

function falseList(
  request: Extract<Message, { name: 'list' }>,
  context: LieContext,
): Utterance | undefined {
  const { prng } = context;
  const { kind, from } = request.value;
  const answer = { ...contextOf(request, context), kind, from };
  const page = (objects: ObjectHeader[], blocks: Bytes[], complete: number): Utterance => ({
    message: { name: 'listed', value: { ...answer, objects, blocks, complete } },
  });
  switch (prng.below(6)) {
    case 0:
      return denial(request, context);
    case 1:
      return undefined;
    case 2:
      return kind === 0
        ? page(ownHeaders(context, from), [], prng.below(2))
        : page([], idsAfter(from, prng.between(1, limits.listEntriesMax)), 0);
    case 3:
      // One made-up entry after the other, for ever.
      return kind === 0 ? page(ownHeaders(context, from).slice(0, 1), [], 0) : page([], [from], 0);
    case 4:
      return kind === 0
        ? page(ownHeaders(context, from).reverse(), [], 0)
        : page([], idsAfter(from, 5).reverse(), 0);
    default: {
      const genuine = context.notebook.allVersions().map(({ header }) => header);
      return kind === 0 ? page(genuine.slice(0, 3), [], 1) : page([], [], 0);
    }
  }
}

/** Valid objects of the liar's own, ascending from `from`. */
function ownHeaders(context: LieContext, from: Bytes): ObjectHeader[] {
  return Array.from({ length: 12 }, (_, seed) =>
    ownVersion(context, seed, 3, new Uint8Array(10).fill(seed)),
  )
    .filter(({ id }) => compareBytes(id, from) >= 0)
    .sort((a, b) => compareBytes(a.id, b.id))
    .map(({ seen }) => seen.header);
}

/** So many ids, each one more than the last. */
function idsAfter(from: Bytes, count: number): Bytes[] {
  const ids: Bytes[] = [];
  let id = Uint8Array.from(from);
  for (let i = 0; i < count; i++) {
    ids.push(id);
    id = Uint8Array.from(id);
    for (let place = id.length - 1; place >= 0; place--) {
      id[place] = ((id[place] as number) + 1) & 0xff;
      if (id[place] !== 0) break;
    }
  }
  return ids;
}
