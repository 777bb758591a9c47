// The dissemination rule (3f+1, Byzantine members): every version is signed by the object's key, so one correct member
// of a quorum is enough to know the last finished write, and no member can make one up. Headers and data travel apart:
// a read asks all members for headers and one of them for the data (paper section 4.1).

import type { Bytes } from '../../base/bytes.ts';
import { equalBytes, mapKey } from '../../base/bytes.ts';
import type {
  Fetch,
  MessageContext,
  Outgoing,
  Quorum,
  Reply,
  Request,
  Verdict,
} from '../../quorum/calls/contract.ts';
import { limits } from '../../wire/limits.ts';
import { encodeMessage, type Message, messageNumber } from '../../wire/registry.ts';
import type { ObjectHeader } from '../../wire/types.ts';
import type { Chosen, Rule, Versioned } from '../contract.ts';
import { compareTimestamps } from '../timestamp.ts';

/** What a member has shown: nothing (the initial version), a header, or a header with its data. All verified. */
export interface Shown {
  readonly header: ObjectHeader | undefined;
  readonly data: Bytes | undefined;
}

export interface SignedTuple extends Versioned {
  readonly header: ObjectHeader;
}

/** Makes and checks headers; knows keys and hashes, so that the rule need not. */
export interface HeaderScheme {
  /** True if the header is signed by the key that `object` is the hash of. */
  verify(object: Bytes, header: ObjectHeader): boolean;
  /** True if `data` is what `header` names. */
  matches(header: ObjectHeader, data: Bytes): boolean;
  /** @throws HoldfastError if this process has no key for the object. */
  sign(counter: number, data: Bytes): ObjectHeader;
}

export class DisseminationRule implements Rule<SignedTuple, Shown> {
  readonly object: Bytes;
  readonly #scheme: HeaderScheme;

  constructor(object: Bytes, scheme: HeaderScheme) {
    this.object = object;
    this.#scheme = scheme;
  }

  /** Headers from all; small data inline from f+1 members, so that whichever quorum answers has it. */
  readRequest(): Request<Shown> {
    return {
      ...this.timestampRequest(),
      encodeEager: (context) => this.#encodeReadVersion(context, limits.inlineSizeBytesMax),
    };
  }

  timestampRequest(): Request<Shown> {
    return {
      encode: (context) => this.#encodeReadVersion(context, 0),
      accept: (message) => this.#acceptVersion(message),
      replaces: (later, earlier) => isHigher(later, earlier),
    };
  }

  writeRequest({ header, data }: SignedTuple): Request<true> {
    const fields = { object: this.object, header, data };
    return {
      encode: (context) => ({
        type: messageNumber('write'),
        payload: encodeMessage('write', { ...context, ...fields }),
      }),
      accept: (message) => {
        if (message.name !== 'written') return { invalid: 'unexpected-reply' };
        const { object, version } = message.value;
        const same =
          equalBytes(object, this.object) && compareTimestamps(version, header.version) === 0;
        return same ? { vote: true } : { invalid: 'other-version' };
      },
    };
  }

  /**
   * The counting rule: a reply that shows a version counts only once that version's data is here, from whomever.
   * Otherwise a liar could show the signed header of an unfinished write, withhold the data, and leave the reader with
   * nothing to return, or tempt it to return something older than a finished write.
   */
  readonly readJudge = (soFar: Quorum<Shown>): Verdict<Shown> => {
    if (soFar.replies.length < soFar.quorum) return 'more';
    const missing = soFar.replies.filter((reply) => !counts(reply.body, soFar));
    if (soFar.replies.length - missing.length >= soFar.quorum) return 'enough';
    const wanted = highestHeader(missing.map((reply) => reply.body));
    return wanted === undefined ? 'more' : { fetch: this.#fetch(soFar, wanted) };
  };

  choose(quorum: Quorum<Shown>): Chosen<SignedTuple> {
    const counted = countedOf(quorum);
    const header = highestHeader(counted);
    if (header === undefined) return 'initial';
    const data = counted.find((shown) => delivers(shown, header))?.data;
    return data === undefined ? 'abort' : { tuple: { header, data, timestamp: header.version } };
  }

  carries(reply: Shown, chosen: SignedTuple): boolean {
    return shows(reply, chosen.header);
  }

  counterMax(quorum: Quorum<Shown>): number {
    return highestHeader(quorum.replies.map((reply) => reply.body))?.version.counter ?? 0;
  }

  make(counter: number, data: Bytes): SignedTuple {
    const header = this.#scheme.sign(counter, data);
    return { header, data, timestamp: header.version };
  }

  #encodeReadVersion(context: MessageContext, inlineSizeBytesMax: number): Outgoing {
    const value = { ...context, object: this.object, inlineSizeBytesMax };
    return { type: messageNumber('readVersion'), payload: encodeMessage('readVersion', value) };
  }

  #acceptVersion(message: Message): Reply<Shown> {
    if (message.name !== 'version') return { invalid: 'unexpected-reply' };
    const { object, header: headers, data: datas } = message.value;
    if (!equalBytes(object, this.object)) return { invalid: 'other-object' };
    const [header] = headers;
    const [data] = datas;
    if (header === undefined) {
      return data === undefined ? { vote: { header, data } } : { invalid: 'data-without-header' };
    }
    return this.#shown(header, data);
  }

  #shown(header: ObjectHeader, data: Bytes | undefined): Reply<Shown> {
    if (!this.#scheme.verify(this.object, header)) return { invalid: 'bad-header' };
    if (data !== undefined && !this.#scheme.matches(header, data)) return { invalid: 'wrong-data' };
    return { vote: { header, data } };
  }

  #fetch(soFar: Quorum<Shown>, wanted: ObjectHeader): Fetch<Shown> {
    const { counter, writer, digest } = wanted.version;
    const key = `${counter} ${mapKey(writer)} ${mapKey(digest)}`;
    const reporters = soFar.replies.filter(({ body }) => shows(body, wanted));
    return { key, from: reporters.map((reply) => reply.from), request: this.fetchRequest(wanted) };
  }

  /** Answered with the version asked for or a later one, which then stands for what that member has shown. */
  fetchRequest(wanted: ObjectHeader): Request<Shown> {
    return {
      encode: (context) => ({
        type: messageNumber('fetch'),
        payload: encodeMessage('fetch', {
          ...context,
          object: this.object,
          version: wanted.version,
        }),
      }),
      accept: (message) => {
        if (message.name !== 'data') return { invalid: 'unexpected-reply' };
        const { object, header, data } = message.value;
        if (!equalBytes(object, this.object)) return { invalid: 'other-object' };
        if (compareTimestamps(header.version, wanted.version) < 0)
          return { invalid: 'older-version' };
        return this.#shown(header, data);
      },
    };
  }
}

function shows({ header }: Shown, wanted: ObjectHeader): boolean {
  return header !== undefined && compareTimestamps(header.version, wanted.version) === 0;
}

function delivers(shown: Shown, wanted: ObjectHeader): boolean {
  return shown.data !== undefined && shows(shown, wanted);
}

function counts({ header }: Shown, { replies }: Quorum<Shown>): boolean {
  return header === undefined || replies.some(({ body }) => delivers(body, header));
}

function countedOf(quorum: Quorum<Shown>): Shown[] {
  return quorum.replies.map((reply) => reply.body).filter((shown) => counts(shown, quorum));
}

function highestHeader(shown: readonly Shown[]): ObjectHeader | undefined {
  let highest: ObjectHeader | undefined;
  for (const { header } of shown) {
    if (header === undefined) continue;
    if (highest === undefined || compareTimestamps(header.version, highest.version) > 0)
      highest = header;
  }
  return highest;
}

function isHigher(later: Shown, earlier: Shown): boolean {
  if (later.header === undefined) return false;
  if (earlier.header === undefined) return true;
  const order = compareTimestamps(later.header.version, earlier.header.version);
  return order > 0 || (order === 0 && earlier.data === undefined && later.data !== undefined);
}
