// The client library's operations: files as content, names as objects, and what the servers say of them.

import { setMaxListeners } from 'node:events';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { type Cancellation, Canceller } from '../base/cancellation.ts';
import { HoldfastError } from '../base/errors.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import type { StorageClient } from '../dbqs/client.ts';
import { objectId } from '../dbqs/ids.ts';
import type { Env } from '../env/env.ts';
import {
  addressIn,
  contentIdOf,
  objectAddressIn,
  requireBytes,
  requireTimeoutMs,
  requireWritable,
} from './arguments.ts';
import { formatAddress } from './content/address.ts';
import { openContent } from './content/reader.ts';
import type { BlockStore } from './content/store.ts';
import { writeContent } from './content/writer.ts';
import type {
  Client,
  Content,
  ObjectName,
  OperationOptions,
  PutResult,
  ReadResult,
  SystemStatus,
  TransferOptions,
  VerifyReport,
  WriteOptions,
  WriteResult,
} from './contract.ts';
import { deadline } from './deadline.ts';
import { failureOf, type LinkTrouble, uncertainWrite } from './failures.ts';
import { closedError, interruption } from './interruption.ts';
import { statusReport } from './report.ts';
import { splitAt } from './split.ts';
import { decodeValue, encodeValue, inlineValueSizeBytesMax, type StoredValue } from './value.ts';
import { Verification } from './verification.ts';

export interface HoldfastClientOptions {
  readonly env: Env;
  readonly storage: StorageClient;
  readonly scheme: SignatureScheme;
  /** Seed of the key that the client's objects are written under. */
  readonly objectSeed: Bytes;
  readonly timeoutMs: number;
  readonly trouble: LinkTrouble;
  readonly close: () => Promise<void>;
}

/** A status request that takes longer is as good as none. */
const statusTimeoutMs = 5_000;
const signersMax = 4096;

export class HoldfastClient implements Client {
  readonly #options: HoldfastClientOptions;
  readonly #closed = new AbortController();
  /** Ends with it; what an operation listens to itself. */
  readonly #ending = new Canceller();
  /** By name: deriving a key takes as long as a signature. */
  readonly #signers = new Map<string, Signer>();

  constructor(options: HoldfastClientOptions) {
    this.#options = options;
    // Every operation under way listens; there may be many.
    setMaxListeners(0, this.#closed.signal);
  }

  get system(): string {
    return toHex(this.#options.storage.configuration.system);
  }

  async put(
    source: Bytes | AsyncIterable<Bytes>,
    options: TransferOptions = {},
  ): Promise<PutResult> {
    requireBytes('source', source);
    const { id, bytes } = await writeContent(
      source,
      this.#blocks(options),
      this.#transfer(options),
    );
    return { address: formatAddress('content', id), bytes };
  }

  async get(address: string, options: TransferOptions = {}): Promise<Content> {
    const id = contentIdOf(address);
    return openContent(id, this.#blocks(options), this.#transfer(options));
  }

  async write(
    name: ObjectName,
    value: Bytes | AsyncIterable<Bytes>,
    options: WriteOptions = {},
  ): Promise<WriteResult> {
    const signer = this.#signerOf(name);
    requireBytes('value', value);
    const { stored, bytes } = await this.#storeValue(value, options);
    const data = encodeValue(stored);
    const { storage } = this.#options;
    this.#requireOpen();
    const timestamp = await this.#within(options, `writing "${name}"`, (signal) =>
      options.singleWriter === true
        ? storage.writeObjectAlone(signer, data, signal)
        : storage.writeObject(signer, data, signal),
    ).catch((error: unknown) => {
      throw uncertainWrite(error);
    });
    const address = formatAddress('object', objectId(signer.publicKey));
    return { address, version: timestamp.counter, bytes };
  }

  async read(name: ObjectName, options: TransferOptions = {}): Promise<ReadResult> {
    const object = this.#objectOf(name);
    const found = await this.#within(options, `reading "${name}"`, (signal) =>
      this.#options.storage.readObject(object, signal),
    );
    if (found === undefined) throw neverWritten(name);
    const stored = decodeValue(found.data);
    if (stored === undefined) {
      throw new HoldfastError(
        'verification-failed',
        `the value of "${name}" has a form that this version cannot read`,
        {
          cure: 'Use the version of Holdfast that wrote it, or a newer one.',
        },
      );
    }
    const about = { address: formatAddress('object', object), version: found.timestamp.counter };
    if ('inline' in stored)
      return { ...about, bytes: stored.inline.length, chunks: only(stored.inline, options) };
    const content = await openContent(stored.root, this.#blocks(options), this.#transfer(options));
    return { ...about, ...content };
  }

  async status(options: OperationOptions = {}): Promise<SystemStatus> {
    this.#requireOpen();
    const { env, storage, trouble } = this.#options;
    const within = Math.min(statusTimeoutMs, this.#timeoutMs(options));
    const { signal: ended } = this.#transfer(options);
    const limit = deadline(env.timers, within, ended);
    try {
      const answers = await storage.status(limit.signal);
      if (ended.aborted) throw interruption(ended, 'asking for the status');
      return statusReport(storage.configuration, answers, trouble);
    } finally {
      limit.end();
    }
  }

  async verify(name: ObjectName, options: TransferOptions = {}): Promise<VerifyReport> {
    const address = addressIn(name);
    this.#requireOpen();
    const verification = new Verification({
      storage: this.#options.storage,
      timers: this.#options.env.timers,
      blocks: this.#blocks(options),
      timeoutMs: this.#timeoutMs(options),
      ended: this.#transfer(options).signal,
      onProgress: options.onProgress,
    });
    if (address?.kind === 'content') {
      return verification.report(name, 'content', await verification.content(address.id));
    }
    const object = this.#objectOf(name);
    const found = await verification.object(object);
    if (found === undefined) throw neverWritten(name);
    return verification.report(formatAddress('object', object), 'object', found.readable);
  }

  addressOf(name: string): string {
    return formatAddress('object', this.#objectOf(name));
  }

  async close(): Promise<void> {
    this.#closed.abort(closedError());
    this.#ending.abort();
    await this.#options.close();
  }

  // ---- Names ----

  #signerOf(name: ObjectName): Signer {
    requireWritable(name);
    const known = this.#signers.get(name);
    if (known !== undefined) return known;
    const { scheme, objectSeed } = this.#options;
    const signer = scheme.signer(taggedHash('object-key', objectSeed, utf8(name)));
    if (this.#signers.size >= signersMax) this.#signers.clear();
    this.#signers.set(name, signer);
    return signer;
  }

  #objectOf(name: ObjectName): Bytes {
    return objectAddressIn(name)?.id ?? objectId(this.#signerOf(name).publicKey);
  }

  // ---- Storing values ----

  async #storeValue(
    value: Bytes | AsyncIterable<Bytes>,
    options: WriteOptions,
  ): Promise<{ stored: StoredValue; bytes: number }> {
    const { head, rest } = await splitAt(value, inlineValueSizeBytesMax);
    if (rest === undefined) {
      options.onProgress?.(head.length, head.length);
      return { stored: { inline: head }, bytes: head.length };
    }
    const { id, bytes } = await writeContent(rest, this.#blocks(options), this.#transfer(options));
    return { stored: { root: id, lengthBytes: bytes }, bytes };
  }

  // ---- Running operations ----

  #blocks(options: OperationOptions): BlockStore {
    const { storage } = this.#options;
    return {
      put: (data, signal) =>
        this.#within({ ...options, signal }, 'storing a block', (inner) =>
          storage.putBlock(data, inner),
        ),
      get: async (id, signal) => {
        const data = await this.#within({ ...options, signal }, 'fetching a block', (inner) =>
          storage.getBlock(id, inner),
        );
        if (data !== undefined) return data;
        throw new HoldfastError(
          'not-found',
          `nothing is stored under ${formatAddress('content', id)}`,
          {
            cure: 'Check the address, and that it belongs to this system (`holdfast status`).',
          },
        );
      },
    };
  }

  #transfer({ signal, onProgress }: TransferOptions) {
    const ended =
      signal === undefined ? this.#closed.signal : AbortSignal.any([signal, this.#closed.signal]);
    return { signal: ended, onProgress };
  }

  #requireOpen(): void {
    if (this.#closed.signal.aborted) throw closedError();
  }

  /** @throws HoldfastError `usage`. */
  #timeoutMs({ timeoutMs }: OperationOptions): number {
    if (timeoutMs === undefined) return this.#options.timeoutMs;
    requireTimeoutMs(timeoutMs);
    return timeoutMs;
  }

  async #within<T>(
    options: OperationOptions,
    action: string,
    run: (signal: Cancellation) => Promise<T>,
  ): Promise<T> {
    this.#requireOpen();
    const { env, trouble } = this.#options;
    const timeoutMs = this.#timeoutMs(options);
    const limit = deadline(env.timers, timeoutMs, options.signal, this.#ending);
    try {
      return await run(limit.signal);
    } catch (error) {
      const ended = [this.#closed.signal, options.signal].find((signal) => signal?.aborted);
      throw failureOf(error, { action, timeoutMs, trouble, ended });
    } finally {
      limit.end();
    }
  }
}

function neverWritten(name: string): HoldfastError {
  return new HoldfastError('not-found', `"${name}" was never written`, {
    cure: 'Check the name and the key it was written under (`holdfast key list`).',
  });
}

async function* only(bytes: Bytes, { onProgress }: TransferOptions): AsyncGenerator<Bytes> {
  onProgress?.(bytes.length, bytes.length);
  if (bytes.length > 0) yield bytes;
}
