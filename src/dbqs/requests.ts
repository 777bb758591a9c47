// Requests about blocks, listings and status, with the checks of their replies (protocols D.3, D.8).

import { type Bytes, compareBytes, equalBytes } from '../base/bytes.ts';
import type { Judge, Outgoing, Request } from '../quorum/calls/contract.ts';
import { limits } from '../wire/limits.ts';
import {
  encodeMessage,
  type MessageName,
  type MessageValue,
  messageNumber,
} from '../wire/registry.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { blockId } from './ids.ts';
import type { ItemKind } from './records.ts';

/** A holder that has not answered by then gets company. */
const getStaggerMs = 250;

function outgoing<Name extends MessageName>(name: Name, value: MessageValue<Name>): Outgoing {
  return { type: messageNumber(name), payload: encodeMessage(name, value) };
}

export function storeRequest(block: Bytes, data: Bytes): Request<true> {
  return {
    encode: (context) => outgoing('store', { ...context, block, data }),
    accept: (message) =>
      message.name === 'stored' && equalBytes(message.value.block, block)
        ? { vote: true }
        : { invalid: 'unexpected-reply' },
  };
}

/** A holder's answer: the block's bytes, or that it has none. */
export type Held = { readonly data: Bytes } | 'absent';

export function getRequest(block: Bytes): Request<Held> {
  return {
    staggerMs: getStaggerMs,
    encode: (context) => outgoing('get', { ...context, block }),
    accept(message) {
      if (message.name === 'absent' && equalBytes(message.value.block, block))
        return { vote: 'absent' };
      if (message.name !== 'block') return { invalid: 'unexpected-reply' };
      const { data } = message.value;
      return equalBytes(blockId(data), block) ? { vote: { data } } : { invalid: 'wrong-data' };
    },
  };
}

/** The first valid block wins; that it is absent takes a quorum. */
export const getJudge: Judge<Held> = ({ replies, quorum }) => {
  const found = replies.some(({ body }) => body !== 'absent');
  return found || replies.length >= quorum ? 'enough' : 'more';
};

/** @param proof what a holder answers. */
export function holdRequest(
  block: Bytes,
  challenge: Bytes,
  proof: Bytes,
): Request<'held' | 'absent'> {
  return {
    encode: (context) => outgoing('hold', { ...context, block, challenge }),
    accept(message) {
      if (message.name === 'absent' && equalBytes(message.value.block, block))
        return { vote: 'absent' };
      if (message.name !== 'held') return { invalid: 'unexpected-reply' };
      const right = equalBytes(message.value.proof, proof);
      return right ? { vote: 'held' } : { invalid: 'wrong-proof' };
    },
  };
}

export interface ListPage {
  readonly objects: readonly ObjectHeader[];
  readonly blocks: readonly Bytes[];
  /** Ids of the entries, ascending. */
  readonly ids: readonly Bytes[];
  /** True if the answerer holds nothing after this page. */
  readonly complete: boolean;
}

/** @param idOf the id of an object from its header. */
export function listRequest(
  kind: ItemKind,
  from: Bytes,
  idOf: (header: ObjectHeader) => Bytes,
): Request<ListPage> {
  const kindNumber = kind === 'object' ? 0 : 1;
  return {
    encode: (context) => outgoing('list', { ...context, kind: kindNumber, from }),
    accept(message) {
      if (message.name !== 'listed') return { invalid: 'unexpected-reply' };
      const { value } = message;
      if (value.kind !== kindNumber || !equalBytes(value.from, from))
        return { invalid: 'other-page' };
      const ids = kind === 'object' ? value.objects.map(idOf) : value.blocks;
      const other = kind === 'object' ? value.blocks.length : value.objects.length;
      const ascending = ids.every(
        (id, i) => compareBytes(i === 0 ? from : (ids[i - 1] as Bytes), id) < (i === 0 ? 1 : 0),
      );
      if (other > 0 || !ascending || value.complete > 1) return { invalid: 'malformed-page' };
      // A page that is not the last one is full, so that nobody can make a list of many small pages.
      if (ids.length < limits.listEntriesMax && value.complete === 0)
        return { invalid: 'short-page' };
      const { objects, blocks } = value;
      return { vote: { objects, blocks, ids, complete: value.complete === 1 } };
    },
  };
}

export function pingRequest(): Request<true> {
  return {
    encode: (context) => outgoing('ping', { ...context }),
    accept: (message) =>
      message.name === 'pong' ? { vote: true } : { invalid: 'unexpected-reply' },
  };
}

export type StatusReport = Omit<MessageValue<'serverStatus'>, 'instance' | 'nonce'>;

export function statusRequest(): Request<StatusReport> {
  return {
    encode: (context) => outgoing('status', { ...context }),
    accept: (message) =>
      message.name === 'serverStatus' ? { vote: message.value } : { invalid: 'unexpected-reply' },
  };
}
