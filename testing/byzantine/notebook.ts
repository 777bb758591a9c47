// What a liar remembers. Liars that collude share one.

import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { compareTimestamps } from '../../src/registers/timestamp.ts';
import type { Message } from '../../src/wire/registry.ts';
import type { ObjectHeader } from '../../src/wire/types.ts';

export interface Seen {
  readonly header: ObjectHeader;
  readonly data: Bytes;
}

const versionsKept = 32;
const repliesKept = 64;

export class Notebook {
  /** Genuine versions by object, in the order in which they were seen. */
  readonly #versions = new Map<string, Seen[]>();
  readonly #blocks = new Map<string, Bytes>();
  /** Replies that were given, for use at another time. */
  readonly replies: Message[] = [];
  /** The newest nonce of each peer. */
  readonly nonces = new Map<string, Bytes>();
  /** The newest request to read of each peer. */
  readonly questions = new Map<string, Message>();

  /** Reads a request of any peer. */
  learn(peer: string, message: Message): void {
    if ('nonce' in message.value) this.nonces.set(peer, message.value.nonce);
    if (message.name === 'readVersion' || message.name === 'get') this.questions.set(peer, message);
    if (message.name === 'write') {
      const { object, header, data } = message.value;
      const key = toHex(object);
      const seen = this.#versions.get(key) ?? [];
      const known = seen.some((old) => compareTimestamps(old.header.version, header.version) === 0);
      if (!known) this.#versions.set(key, [...seen, { header, data }].slice(-versionsKept));
    }
    if (message.name === 'store') this.#blocks.set(toHex(message.value.block), message.value.data);
  }

  keepReply(message: Message): void {
    this.replies.push(message);
    if (this.replies.length > repliesKept) this.replies.shift();
  }

  versionsOf(object: Bytes): readonly Seen[] {
    return this.#versions.get(toHex(object)) ?? [];
  }

  newestOf(object: Bytes): Seen | undefined {
    return this.versionsOf(object).reduce<Seen | undefined>(
      (best, next) =>
        best === undefined || compareTimestamps(next.header.version, best.header.version) > 0
          ? next
          : best,
      undefined,
    );
  }

  /** Every genuine header known, of whatever object. */
  allVersions(): Seen[] {
    return [...this.#versions.values()].flat();
  }

  blockData(block: Bytes): Bytes | undefined {
    return this.#blocks.get(toHex(block));
  }
}
