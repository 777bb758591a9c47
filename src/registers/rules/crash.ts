// The crash rule (2f+1): members may stop but do not lie, so the highest timestamp of any quorum is believed.

import type { Bytes } from '../../base/bytes.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { Quorum, Reply, Request } from '../../quorum/calls/contract.ts';
import { encodeMessage, type Message, messageNumber } from '../../wire/registry.ts';
import type { Chosen, Rule, Versioned } from '../contract.ts';
import { compareTimestamps } from '../timestamp.ts';

export interface CrashRuleOptions {
  readonly object: Bytes;
  /** 20 bytes that no other writer uses. */
  readonly writer: Bytes;
  readonly digest: (data: Bytes) => Bytes;
}

export class CrashRule implements Rule<Versioned, Versioned> {
  readonly object: Bytes;
  readonly #writer: Bytes;
  readonly #digest: (data: Bytes) => Bytes;

  constructor({ object, writer, digest }: CrashRuleOptions) {
    this.object = object;
    this.#writer = writer;
    this.#digest = digest;
  }

  readRequest(): Request<Versioned> {
    return {
      encode: (context) => ({
        type: messageNumber('registerRead'),
        payload: encodeMessage('registerRead', { ...context, object: this.object }),
      }),
      accept: (message) => this.#accept(message),
    };
  }

  timestampRequest(): Request<Versioned> {
    return this.readRequest();
  }

  writeRequest(tuple: Versioned): Request<true> {
    const { counter, writer } = tuple.timestamp;
    const fields = { object: this.object, counter, writer, data: tuple.data };
    return {
      encode: (context) => ({
        type: messageNumber('registerWrite'),
        payload: encodeMessage('registerWrite', { ...context, ...fields }),
      }),
      accept: (message) =>
        message.name === 'registerWritten' && equalBytes(message.value.object, this.object)
          ? { vote: true }
          : { invalid: 'unexpected-reply' },
    };
  }

  choose(quorum: Quorum<Versioned>): Chosen<Versioned> {
    const highest = highestOf(quorum);
    return highest === undefined || highest.timestamp.counter === 0
      ? 'initial'
      : { tuple: highest };
  }

  carries(reply: Versioned, chosen: Versioned): boolean {
    return compareTimestamps(reply.timestamp, chosen.timestamp) === 0;
  }

  counterMax(quorum: Quorum<Versioned>): number {
    return highestOf(quorum)?.timestamp.counter ?? 0;
  }

  make(counter: number, data: Bytes): Versioned {
    return { timestamp: { counter, writer: this.#writer, digest: this.#digest(data) }, data };
  }

  #accept(message: Message): Reply<Versioned> {
    if (message.name !== 'registerValue') return { invalid: 'unexpected-reply' };
    const { object, counter, writer, data } = message.value;
    if (!equalBytes(object, this.object)) return { invalid: 'other-object' };
    return { vote: { timestamp: { counter, writer, digest: this.#digest(data) }, data } };
  }
}

function highestOf(quorum: Quorum<Versioned>): Versioned | undefined {
  return quorum.replies
    .map((reply) => reply.body)
    .reduce<Versioned | undefined>(
      (best, next) =>
        best === undefined || compareTimestamps(next.timestamp, best.timestamp) > 0 ? next : best,
      undefined,
    );
}
