// Lies to clients, lies in answers that others asked for, and saying too little or too much.

import type { Bytes } from '../../../src/base/bytes.ts';
import type { Send } from '../../../src/replication/contract.ts';
import { resultDigest } from '../../../src/replication/requests.ts';
import { altered, type LieMaker, type To, type Utterance, utter } from './lying-engine.ts';

/** Says nothing, from some moment on or to some receivers only. */
const silent: LieMaker = () => ({ onSend: () => [] });

const picky: LieMaker = ({ prng }) => {
  const heard = new Map<string, boolean>();
  let isAnyUnheard = false;
  const isHeard = (to: To): boolean => {
    const name = to.kind === 'replica' ? `${to.index}` : `c${to.key[0]}`;
    let known = heard.get(name);
    if (known === undefined) {
      // One member at least hears nothing.
      known = prng.chance(1, 2) && (to.kind === 'client' || isAnyUnheard);
      if (to.kind === 'replica') isAnyUnheard ||= !known;
      heard.set(name, known);
    }
    return known;
  };
  return { onSend: (_, to) => (isHeard(to) ? undefined : []) };
};

/** Results that nobody computed: of reads and of writes, tentative and not. */
const falsifying: LieMaker = ({ prng }) => {
  const results: Bytes[] = [];
  return {
    onSend: (send, to) => {
      if (send.name !== 'requestReply') return undefined;
      const { value } = send;
      const [own] = value.result;
      if (own !== undefined && results.length < 50) results.push(own);
      const result = prng.pick(results) ?? prng.bytes(3);
      const digest = resultDigest(value.outcome, result);
      const wrong =
        prng.pick([
          { ...value, result: [result], digest },
          { ...value, result: [prng.bytes(4)] },
          { ...value, kind: 0, result: [result], digest },
          { ...value, sequence: value.sequence + 1 },
          { ...value, view: value.view + 10 ** 6 },
          { ...value, outcome: prng.between(1, 2), result: [new Uint8Array(0)] },
          { ...value, result: [] },
        ]) ?? value;
      return [altered(send, to, wrong)];
    },
  };
};

/** To a read the answer that was right at first, for ever. */
const stale: LieMaker = () => {
  const first = new Map<number, Send['value']>();
  return {
    onSend: (send, to) => {
      if (send.name !== 'requestReply' || send.value.kind !== 2) return undefined;
      const known = first.get(0);
      if (known === undefined || !('digest' in known) || !('result' in known)) {
        first.set(0, send.value);
        return undefined;
      }
      return [altered(send, to, { ...send.value, digest: known.digest, result: known.result })];
    },
  };
};

/** Wrong pages and nodes, others than were asked for, or none. */
const misfeeding: LieMaker = ({ prng }) => ({
  onSend: (send, to) => {
    if (send.name !== 'statePart') return undefined;
    const { value } = send;
    const pages = value.pages.map((page) => ({ ...page, bytes: [prng.bytes(20)] }));
    const nodes = value.nodes.map((node) => ({
      ...node,
      children: node.children.map((child) => (prng.chance(1, 3) ? prng.bytes(32) : child)),
    }));
    switch (prng.below(5)) {
      case 0:
        return [];
      case 1:
        return [altered(send, to, { ...value, pages, nodes })];
      case 2:
        return [altered(send, to, { ...value, pages: [], nodes: [] })];
      case 3:
        return [altered(send, to, { ...value, sequence: value.sequence + 1 })];
      default: {
        const moved = value.pages.map((page) => ({ ...page, index: page.index + 1 }));
        return [altered(send, to, { ...value, pages: moved })];
      }
    }
  },
});

/** Hands on requests that no client has signed, in the clients' names. */
const junk: LieMaker = ({ prng, group, index, requests }) => ({
  onTick: () => {
    const known = prng.pick(requests);
    if (known === undefined) return [];
    const request = {
      request: { ...known.request, number: known.request.number + 1, operation: prng.bytes(20) },
      proof: { ...known.proof, signature: prng.bytes(64) },
    };
    const value = { instance: group.instance, request, fullReplier: index };
    return everyoneBut(index, group.members.length, (to) => utter(to, 'submitRequest', value));
  },
});

/** Says again what it said before, to anyone and at any time. */
const replaying: LieMaker = ({ prng, group, index }) => {
  const said: Send[] = [];
  return {
    onSend: (send, to) => {
      if (to.kind !== 'replica') return undefined;
      if (said.length < 300) said.push(send);
      else said[prng.below(300)] = send;
      return undefined;
    },
    onTick: () => {
      const old = prng.pick(said);
      if (old === undefined) return [];
      return everyoneBut(index, group.members.length, (to) => altered(old, to));
    },
  };
};

function everyoneBut(index: number, count: number, say: (to: To) => Utterance): Utterance[] {
  const said: Utterance[] = [];
  for (let i = 0; i < count; i++) if (i !== index) said.push(say({ kind: 'replica', index: i }));
  return said;
}

export const replyingLies = {
  silent,
  picky,
  falsifying,
  stale,
  misfeeding,
  junk,
  replaying,
} as const satisfies Record<string, LieMaker>;
