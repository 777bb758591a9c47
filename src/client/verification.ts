// Verifies one thing: asks every replica of every part what it has, and adds the answers up by server.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import { toHex } from '../base/bytes.ts';
import type { Cancellation } from '../base/cancellation.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Member } from '../configuration/configuration.ts';
import type { BlockFindings, Findings, StorageClient } from '../dbqs/client.ts';
import type { Timers } from '../env/clock.ts';
import { QuorumUnavailable } from '../quorum/calls/contract.ts';
import { Patience } from '../quorum/patience.ts';
import type { BlockStore } from './content/store.ts';
import { type Part, walkContent } from './content/walk.ts';
import type { ReplicaFinding, TransferOptions, VerifyReport } from './contract.ts';
import { deadline } from './deadline.ts';
import { interruption } from './interruption.ts';
import { byAddress, nameOf } from './report.ts';
import { decodeValue } from './value.ts';

/** No server needs longer for one answer. */
const answerTimeoutMsMax = 5_000;
/** A server is waited for at most this part of the whole time: the others' answers are wanted as well. */
const answerTimeoutShare = 3;
const examplesMax = 3;

export interface VerificationOptions {
  readonly storage: StorageClient;
  readonly timers: Timers;
  readonly blocks: BlockStore;
  /** For an object as a whole, and for each part of a content. */
  readonly timeoutMs: number;
  /** Aborted by the caller, and when the client is closed. */
  readonly ended: AbortSignal;
  readonly onProgress: TransferOptions['onProgress'];
}

interface Tally {
  readonly member: Member;
  readonly findings: Partial<Record<ReplicaFinding, number>>;
  readonly examples: string[];
}

export class Verification {
  readonly #options: VerificationOptions;
  readonly #answerTimeoutMs: number;
  readonly #patience: Patience;
  readonly #servers = new Map<PeerId, Tally>();
  #items = 0;

  constructor(options: VerificationOptions) {
    this.#options = options;
    this.#answerTimeoutMs = Math.min(answerTimeoutMsMax, options.timeoutMs / answerTimeoutShare);
    this.#patience = new Patience(this.#answerTimeoutMs);
  }

  /** What the object is, and its value if that is kept as content. Undefined for an object that was never written. */
  async object(object: Bytes): Promise<{ readonly readable: boolean } | undefined> {
    const { storage, timers, timeoutMs, ended } = this.#options;
    const limit = deadline(timers, timeoutMs, ended);
    try {
      const inspected = await storage.inspectObject(object, this.#patience, limit.signal);
      this.#throwIfEnded();
      const found = await this.#read(object, limit.signal);
      if (found === undefined && inspected.newest === undefined && !anyTrouble(inspected)) return;
      this.#add(`object ${toHex(object).slice(0, 8)}`, inspected);
      const stored =
        found === undefined || found === 'unavailable' ? undefined : decodeValue(found.data);
      if (stored === undefined) return { readable: false };
      return { readable: 'inline' in stored || (await this.content(stored.root)) };
    } finally {
      limit.end();
    }
  }

  /**
   * Every block of a tree. False if the content cannot be read to its end.
   * @throws HoldfastError `not-found` if there is none.
   */
  async content(root: Bytes): Promise<boolean> {
    const { blocks, ended, onProgress } = this.#options;
    let readable = true;
    let lengthBytes: number | undefined;
    const onLength = (bytes: number): void => {
      lengthBytes = bytes;
    };
    try {
      for await (const part of walkContent(root, blocks, { signal: ended, onLength })) {
        const { content } = await this.#block(part);
        // Nothing more is to be learnt from servers that do not answer.
        if (content === 'unknown') return false;
        if (content === 'absent') readable = false;
        // What lies below a node has not been looked at yet.
        onProgress?.(part.offset + (part.kind === 'data' ? part.lengthBytes : 0), lengthBytes);
      }
    } catch (error) {
      const code = error instanceof HoldfastError ? error.code : undefined;
      if (code === 'unavailable' || (code === 'not-found' && this.#items > 1)) return false;
      throw error;
    }
    return readable;
  }

  report(address: string, kind: VerifyReport['kind'], readable: boolean): VerifyReport {
    const servers = [...this.#servers.values()]
      .map(({ member, findings, examples }) => ({
        name: nameOf(member),
        id: toHex(member.id),
        host: member.host,
        port: member.port,
        findings,
        examples,
      }))
      .sort(byAddress);
    const intact =
      readable &&
      servers.every(({ findings }) => Object.keys(findings).every((key) => key === 'holds'));
    return { address, kind, intact, readable, items: this.#items, servers };
  }

  async #read(object: Bytes, signal: Cancellation) {
    try {
      return await this.#options.storage.readObject(object, signal);
    } catch (error) {
      this.#throwIfEnded();
      if (error instanceof QuorumUnavailable) return 'unavailable';
      throw error;
    }
  }

  async #block(part: Part): Promise<BlockFindings> {
    const { storage, timers, timeoutMs, ended } = this.#options;
    const limit = deadline(timers, timeoutMs - this.#answerTimeoutMs, ended);
    try {
      const limits = { fetching: limit.signal, ended, patience: this.#patience };
      const found = await storage.inspectBlock(part.id, limits);
      this.#throwIfEnded();
      this.#add(`block ${toHex(part.id).slice(0, 8)} at ${part.offset}`, found);
      return found;
    } finally {
      limit.end();
    }
  }

  #throwIfEnded(): void {
    const { ended } = this.#options;
    if (ended.aborted) throw interruption(ended, 'verifying');
  }

  #add(what: string, { byServer }: Findings): void {
    this.#items += 1;
    for (const [member, { finding, detail }] of byServer) {
      const entry = this.#servers.get(member.peer) ?? { member, findings: {}, examples: [] };
      this.#servers.set(member.peer, entry);
      entry.findings[finding] = (entry.findings[finding] ?? 0) + 1;
      if (finding !== 'holds' && entry.examples.length < examplesMax) {
        entry.examples.push(`${what}: ${finding}${detail === undefined ? '' : ` (${detail})`}`);
      }
    }
  }
}

function anyTrouble({ byServer }: Findings): boolean {
  return [...byServer.values()].some(
    ({ finding }) => finding !== 'missing' && finding !== 'silent',
  );
}
