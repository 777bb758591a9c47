// The client library's operations: files as content, names as objects, and what the servers say of them.

import { setMaxListeners } from 'node:events';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Member } from '../configuration/configuration.ts';
import { taggedHash } from '../crypto/hash.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import type { Findings, StorageClient } from '../dbqs/client.ts';
import { objectId } from '../dbqs/ids.ts';
import type { Env } from '../env/env.ts';
import { formatAddress, looksLikeAddress, parseAddress } from './content/address.ts';
import { openContent } from './content/reader.ts';
import type { BlockStore } from './content/store.ts';
import { walkContent } from './content/walk.ts';
import { writeContent } from './content/writer.ts';
import type {
  Client,
  Content,
  ObjectName,
  OperationOptions,
  PutResult,
  ReadResult,
  ReplicaFinding,
  SystemStatus,
  TransferOptions,
  VerifyReport,
  WriteOptions,
  WriteResult,
} from './contract.ts';
import { deadline } from './deadline.ts';
import { failureOf, type LinkTrouble } from './failures.ts';
import { nameOf, statusReport } from './report.ts';
import { splitAt } from './split.ts';
import { decodeValue, encodeValue, inlineValueSizeBytesMax, type StoredValue } from './value.ts';

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
const examplesMax = 3;
const signersMax = 4096;

export class HoldfastClient implements Client {
  readonly #options: HoldfastClientOptions;
  readonly #closed = new AbortController();
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
    const { id, bytes } = await writeContent(
      source,
      this.#blocks(options),
      this.#transfer(options),
    );
    return { address: formatAddress('content', id), bytes };
  }

  async get(address: string, options: TransferOptions = {}): Promise<Content> {
    const parsed = parsedAddress(address);
    if (parsed.kind === 'object') {
      throw new HoldfastError('usage', `${address} is the address of an object, which can change`, {
        cure: 'Read it with `holdfast read`.',
      });
    }
    return openContent(parsed.id, this.#blocks(options), this.#transfer(options));
  }

  async write(
    name: ObjectName,
    value: Bytes | AsyncIterable<Bytes>,
    options: WriteOptions = {},
  ): Promise<WriteResult> {
    const signer = this.#signerOf(name);
    const { stored, bytes } = await this.#storeValue(value, options);
    const data = encodeValue(stored);
    const { storage } = this.#options;
    const timestamp = await this.#within(options, `writing "${name}"`, (signal) =>
      options.singleWriter === true
        ? storage.writeObjectAlone(signer, data, signal)
        : storage.writeObject(signer, data, signal),
    );
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
    const { env, storage, trouble, timeoutMs } = this.#options;
    const within = Math.min(statusTimeoutMs, options.timeoutMs ?? timeoutMs);
    const limit = deadline(env.timers, within, options.signal, this.#closed.signal);
    try {
      return statusReport(storage.configuration, await storage.status(limit.signal), trouble);
    } finally {
      limit.end();
    }
  }

  async verify(name: ObjectName, options: TransferOptions = {}): Promise<VerifyReport> {
    const tally = new Tally();
    if (looksLikeAddress(name) && parsedAddress(name).kind === 'content') {
      const { id } = parsedAddress(name);
      const readable = await this.#verifyContent(id, tally, options);
      return tally.report(name, 'content', readable);
    }
    const object = this.#objectOf(name);
    const { storage } = this.#options;
    const inspected = await this.#within(options, `verifying "${name}"`, (signal) =>
      storage.inspectObject(object, (ask) => this.#briefly(signal, ask)),
    );
    if (inspected.newest === undefined && !tally.anyTrouble(inspected)) throw neverWritten(name);
    tally.add(`object ${toHex(object).slice(0, 8)}`, inspected);
    const readable = await this.#verifyValue(object, tally, options);
    return tally.report(formatAddress('object', object), 'object', readable);
  }

  addressOf(name: string): string {
    return formatAddress('object', this.#objectOf(name));
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#options.close();
  }

  // ---- Names ----

  #signerOf(name: ObjectName): Signer {
    if (looksLikeAddress(name)) {
      throw new HoldfastError('usage', `${name} is an address; objects are written by name`, {
        cure: 'Use the name that it was first written under, with the same key (`holdfast key list`).',
      });
    }
    const known = this.#signers.get(name);
    if (known !== undefined) return known;
    requireName(name);
    const { scheme, objectSeed } = this.#options;
    const signer = scheme.signer(taggedHash('object-key', objectSeed, utf8(name)));
    if (this.#signers.size >= signersMax) this.#signers.clear();
    this.#signers.set(name, signer);
    return signer;
  }

  #objectOf(name: ObjectName): Bytes {
    if (!looksLikeAddress(name)) return objectId(this.#signerOf(name).publicKey);
    const { kind, id } = parsedAddress(name);
    if (kind === 'object') return id;
    throw new HoldfastError('usage', `${name} is the address of content that never changes`, {
      cure: 'Get it with `holdfast get`.',
    });
  }

  // ---- Storing and verifying values ----

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

  async #verifyValue(object: Bytes, tally: Tally, options: TransferOptions): Promise<boolean> {
    try {
      const found = await this.#within(options, 'reading', (signal) =>
        this.#options.storage.readObject(object, signal),
      );
      const stored = found === undefined ? undefined : decodeValue(found.data);
      if (stored === undefined) return false;
      return 'inline' in stored || (await this.#verifyContent(stored.root, tally, options));
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'unavailable') return false;
      throw error;
    }
  }

  /** Asks every replica about every block of a tree. False if the tree cannot be walked to its end. */
  async #verifyContent(root: Bytes, tally: Tally, options: TransferOptions): Promise<boolean> {
    const { storage } = this.#options;
    let readable = true;
    try {
      for await (const part of walkContent(root, this.#blocks(options), this.#transfer(options))) {
        const found = await this.#within(options, 'verifying a block', (signal) =>
          this.#briefly(signal, (brief) => storage.inspectBlock(part.id, brief)),
        );
        tally.add(`block ${toHex(part.id).slice(0, 8)} at ${part.offset}`, found);
        options.onProgress?.(part.offset + part.lengthBytes, undefined);
        if (![...found.byServer.values()].some(({ finding }) => finding === 'holds'))
          readable = false;
      }
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'not-found' && tally.items > 1)
        return false;
      if (error instanceof HoldfastError && error.code === 'unavailable') return false;
      throw error;
    }
    return readable;
  }

  /** Servers that do not answer one question of a verification in this time count as silent. */
  async #briefly<T>(signal: AbortSignal, run: (brief: AbortSignal) => Promise<T>): Promise<T> {
    const limit = deadline(this.#options.env.timers, statusTimeoutMs, signal);
    try {
      return await run(limit.signal);
    } finally {
      limit.end();
    }
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

  async #within<T>(
    options: OperationOptions,
    action: string,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { env, trouble } = this.#options;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs;
    const limit = deadline(env.timers, timeoutMs, options.signal, this.#closed.signal);
    try {
      return await run(limit.signal);
    } catch (error) {
      throw failureOf(error, { action, timeoutMs, trouble, signal: options.signal });
    } finally {
      limit.end();
    }
  }
}

/** Adds up what each server was found to have. */
class Tally {
  items = 0;
  readonly #servers = new Map<
    string,
    { member: Member; findings: Partial<Record<ReplicaFinding, number>>; examples: string[] }
  >();

  add(what: string, { byServer }: Findings): void {
    this.items += 1;
    for (const [member, { finding, detail }] of byServer) {
      const entry = this.#servers.get(member.peer) ?? { member, findings: {}, examples: [] };
      this.#servers.set(member.peer, entry);
      entry.findings[finding] = (entry.findings[finding] ?? 0) + 1;
      if (finding !== 'holds' && entry.examples.length < examplesMax) {
        entry.examples.push(`${what}: ${finding}${detail === undefined ? '' : ` (${detail})`}`);
      }
    }
  }

  anyTrouble({ byServer }: Findings): boolean {
    return [...byServer.values()].some(
      ({ finding }) => finding !== 'missing' && finding !== 'silent',
    );
  }

  report(address: string, kind: VerifyReport['kind'], readable: boolean): VerifyReport {
    const servers = [...this.#servers.values()].map(({ member, findings, examples }) => ({
      server: nameOf(member),
      host: member.host,
      port: member.port,
      findings,
      examples,
    }));
    const intact =
      readable &&
      servers.every(({ findings }) => Object.keys(findings).every((key) => key === 'holds'));
    return { address, kind, intact, readable, items: this.items, servers };
  }
}

const nameLengthMax = 1024;

function requireName(name: string): void {
  if (name.length === 0 || name.length > nameLengthMax) {
    throw new HoldfastError('usage', `a name has 1 to ${nameLengthMax} characters`, {
      cure: 'Give another name.',
    });
  }
}

function parsedAddress(text: string) {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  throw new HoldfastError(
    'usage',
    `${text} is not an address: it is incomplete or has a typing error`,
    {
      cure: 'Copy it again as `put` or `write` printed it.',
    },
  );
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
