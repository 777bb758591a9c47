// Lies by saying what is not so: wrong bytes, forged headers, answers from other times, places and epochs.

import { emptyBytes, equalBytes } from '../../../src/base/bytes.ts';
import { type Message, type RefusalCode, refusalCodes } from '../../../src/wire/registry.ts';
import { flipBits } from '../../simulator/faults.ts';
import { encoded, type LieContext, type LieMaker, type Utterance } from '../liar.ts';
import type { Seen } from '../notebook.ts';
import { contextOf, forgedFrom, list, ownVersion, refusal } from './context.ts';

/** Data that is not what its header or id names: of the right length or another. */
export const wrongBytes: LieMaker = (context) => {
  const spoil = (data: Uint8Array): Uint8Array => {
    const { prng } = context;
    const kind = prng.below(4);
    if (kind === 0) return emptyBytes;
    if (kind === 1) return new Uint8Array(data.length + 1);
    if (kind === 2) return data.subarray(0, data.length >> 1);
    return data.length === 0 ? new Uint8Array(1) : flipBits(data, 1, prng);
  };
  return {
    onReply(reply) {
      if (reply.name === 'version' && reply.value.header.length > 0) {
        const data =
          reply.value.data.length > 0 ? reply.value.data.map(spoil) : [spoil(emptyBytes)];
        return [{ message: { name: 'version', value: { ...reply.value, data } } }];
      }
      if (reply.name === 'data') {
        const value = { ...reply.value, data: spoil(reply.value.data) };
        return [{ message: { name: 'data', value } }];
      }
      if (reply.name === 'block') {
        const value = { ...reply.value, data: spoil(reply.value.data) };
        return [{ message: { name: 'block', value } }];
      }
      if (reply.name === 'held') {
        return [
          { message: { name: 'held', value: { ...reply.value, proof: new Uint8Array(32) } } },
        ];
      }
      return undefined;
    },
  };
};

/** Headers that nobody signed, or that were signed for another object or by another key. */
export const forging: LieMaker = (context) => ({
  onRequest(request) {
    if (request.name !== 'readVersion' && request.name !== 'fetch') return undefined;
    const { prng, notebook } = context;
    const answer = contextOf(request, context);
    const { object } = request.value;
    const genuine = notebook.newestOf(object);
    const counter = (genuine?.header.version.counter ?? 0) + prng.between(1, 3);
    const own = ownVersion(context, prng.below(8), counter, new Uint8Array(20).fill(66)).seen;
    const other = prng.pick(notebook.allVersions());
    const forged: Seen | undefined = prng.pick([
      own,
      other ?? own,
      // Another key's signature under this object's key, twice as often: it looks most like a genuine one.
      ...(genuine === undefined ? [] : [underKeyOf(own, genuine), underKeyOf(own, genuine)]),
      ...(genuine === undefined
        ? []
        : [{ ...genuine, header: forgedFrom(genuine.header, context) }]),
    ]);
    if (forged === undefined) return undefined;
    const { header, data } = forged;
    if (request.name === 'fetch') {
      return [{ message: { name: 'data', value: { ...answer, object, header, data } } }];
    }
    const shown = prng.chance(1, 2) ? [data] : [];
    return [
      { message: { name: 'version', value: { ...answer, object, header: [header], data: shown } } },
    ];
  },
});

function underKeyOf(own: Seen, { header: { publicKey } }: Seen): Seen {
  return { ...own, header: { ...own.header, publicKey } };
}

/** Answers of the past under this nonce, and this answer under nonces, epochs and instances that are not this one's. */
export const replaying: LieMaker = (context) => ({
  onReply(reply) {
    const { prng, notebook } = context;
    const old = prng.pick(notebook.replies.filter(({ name }) => name === reply.name)) ?? reply;
    switch (prng.below(5)) {
      case 0:
        return [{ message: old }];
      case 1:
        return [{ message: under(old, { nonce: nonceOf(reply) }) }];
      case 2:
        return [{ message: under(reply, { epoch: prng.chance(1, 2) ? 1 : 2 ** 53 - 1 }) }];
      case 3:
        return [{ message: under(reply, { instance: new Uint8Array(32).fill(3) }) }];
      default: {
        const nonce = prng.pick([...notebook.nonces.values()]);
        return [{ message: under(old, nonce === undefined ? {} : { nonce }) }, { message: reply }];
      }
    }
  },
});

/** Claims another epoch, with certificates that nobody signed. */
export const epochClaiming: LieMaker = (context) => ({
  onRequest(request) {
    const answer = contextOf(request, context);
    const { certificate } = context.configuration;
    const later = { ...certificate, statement: { ...certificate.statement, epoch: 7 } };
    const epoch = context.prng.pick([answer.epoch, 7, 2 ** 53 - 1]) ?? 7;
    const claims: (Utterance | undefined)[] = [
      { message: { name: 'stale', value: { ...answer, epoch, certificate: later } } },
      { message: { name: 'needConfiguration', value: { ...answer, epoch } } },
      undefined,
    ];
    return list(context.prng.pick(claims));
  },
});

/** Refuses, with each code there is, once or again and again. */
export const refusing: LieMaker = (context) => {
  const codes = Object.keys(refusalCodes) as RefusalCode[];
  return {
    onRequest(request) {
      const { prng } = context;
      const once = refusal(request, context, prng.pick(codes) ?? 'invalid');
      if (prng.chance(1, 2)) return [once];
      return Array.from({ length: 30 }, (_, index) => ({ ...once, delayMs: index * 400 }));
    },
  };
};

/** Replies with the right name and nonsense inside, or with a name that does not answer the question. */
export const confusing: LieMaker = (context) => ({
  onReply(reply) {
    const { prng, notebook } = context;
    const { type, payload } = encoded(reply);
    switch (prng.below(4)) {
      case 0:
        return [{ type, payload: flipBits(payload, prng.between(1, 16), prng) }];
      case 1:
        return [{ type, payload: payload.subarray(0, prng.below(payload.length + 1)) }];
      case 2:
        return [{ type, payload: new Uint8Array([...payload, 0]) }];
      default: {
        const other = prng.pick(notebook.replies.filter(({ name }) => name !== reply.name));
        return list(
          other === undefined ? undefined : { message: under(other, { nonce: nonceOf(reply) }) },
        );
      }
    }
  },
});

function nonceOf(reply: Message): Uint8Array {
  return 'nonce' in reply.value ? reply.value.nonce : new Uint8Array(16);
}

/** The same message with other fields of its context. */
export function under(
  reply: Message,
  fields: { nonce?: Uint8Array; epoch?: number; instance?: Uint8Array },
): Message {
  // Only fields that every reply has are replaced by ones of the same type.
  return { name: reply.name, value: { ...reply.value, ...fields } } as Message;
}

export type { LieContext };

/** Sends back what it is sent; once, lest two of them play ball. */
export const reflecting: LieMaker = () => {
  let last: Uint8Array | undefined;
  return {
    onRequest(request) {
      const nonce = nonceOf(request);
      if (last !== undefined && equalBytes(last, nonce)) return [];
      last = nonce;
      return [{ message: request }];
    },
  };
};
