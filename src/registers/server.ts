// The server half of the crash rule, in memory: keeps the highest tuple per object and acknowledges every valid write.

import type { Bytes } from '../base/bytes.ts';
import { emptyBytes, toHex } from '../base/bytes.ts';
import { encodeMessage, type Message, messageNumber } from '../wire/registry.ts';
import { compareTimestamps, type Timestamp, writerIdSizeBytes } from './timestamp.ts';

interface Stored {
  readonly timestamp: Timestamp;
  readonly data: Bytes;
}

export class CrashRegisterServer {
  readonly #stored = new Map<string, Stored>();
  readonly #digest: (data: Bytes) => Bytes;

  constructor(digest: (data: Bytes) => Bytes) {
    this.#digest = digest;
  }

  /** The reply to a message; undefined for one that is not a register request. */
  handle(message: Message): { type: number; payload: Bytes } | undefined {
    if (message.name === 'registerRead') {
      const { instance, epoch, nonce, object } = message.value;
      const stored = this.#stored.get(toHex(object)) ?? this.#initial();
      const { counter, writer } = stored.timestamp;
      const value = { instance, epoch, nonce, object, counter, writer, data: stored.data };
      return {
        type: messageNumber('registerValue'),
        payload: encodeMessage('registerValue', value),
      };
    }
    if (message.name === 'registerWrite') {
      const { instance, epoch, nonce, object, counter, writer, data } = message.value;
      this.#keep(toHex(object), {
        timestamp: { counter, writer, digest: this.#digest(data) },
        data,
      });
      const value = { instance, epoch, nonce, object };
      return {
        type: messageNumber('registerWritten'),
        payload: encodeMessage('registerWritten', value),
      };
    }
    return undefined;
  }

  #keep(key: string, offered: Stored): void {
    const stored = this.#stored.get(key);
    if (stored === undefined || compareTimestamps(offered.timestamp, stored.timestamp) > 0) {
      this.#stored.set(key, offered);
    }
  }

  #initial(): Stored {
    const writer = new Uint8Array(writerIdSizeBytes);
    return {
      timestamp: { counter: 0, writer, digest: this.#digest(emptyBytes) },
      data: emptyBytes,
    };
  }
}
