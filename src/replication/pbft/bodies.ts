// Fetches batches of which only the digest is known: those that a NEW-VIEW names and those that were committed while
// this member did not hear the primary. The digest says whether an answer is right, so anyone may give it.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { requestDigest } from '../requests.ts';
import { batchDigest, batchSizeBytes } from './batch.ts';
import type { Core } from './core.ts';

interface Wanted {
  readonly digest: Bytes;
  sequence: number;
}

export class BodyFetcher {
  readonly #core: Core;
  readonly #wanted = new Map<string, Wanted>();
  /** Whom to ask next, in turn. */
  #next: number;

  constructor(core: Core) {
    this.#core = core;
    this.#next = core.index;
  }

  get isWaiting(): boolean {
    return this.#wanted.size > 0;
  }

  want(digest: Bytes, sequence: number): void {
    const key = mapKey(digest);
    const known = this.#wanted.get(key);
    if (known !== undefined) {
      known.sequence = Math.max(known.sequence, sequence);
      return;
    }
    if (this.#wanted.size >= 2 * limits.pbftWindowMax) return;
    const wanted = { digest, sequence };
    this.#wanted.set(key, wanted);
    this.#ask(wanted);
  }

  /** Nobody has answered for a while: asks others. */
  onTick(): void {
    const { height } = this.#core.log;
    for (const [key, wanted] of this.#wanted) {
      if (wanted.sequence <= height) this.#wanted.delete(key);
      else this.#ask(wanted);
    }
  }

  /** f+1 members at a time: of those that accepted a batch which may be needed, that many are correct. */
  #ask({ digest }: Wanted): void {
    const { n, index, faults, out, instance } = this.#core;
    for (let asked = 0; asked <= faults; ) {
      this.#next = (this.#next + 1) % n;
      if (this.#next === index) continue;
      out.sendUrgently(this.#core.replica(this.#next), 'fetchBody', { instance, digest });
      asked += 1;
    }
  }

  onFetch(from: number, { digest }: ReplicationMessageValue<'fetchBody'>): void {
    const { log, out, instance } = this.#core;
    const batch = log.batch(digest);
    if (batch === undefined) return out.count('body-not-held');
    const { statusExchange } = this.#core.parts;
    if (!statusExchange.maySpend(from, 'fetchBody') || !statusExchange.maySend(from, 'body')) {
      return out.count('peer-too-eager');
    }
    const { requests, agreed } = batch;
    statusExchange.noteSent(from, 'body', batchSizeBytes(requests));
    const value = { instance, requests: requests as SignedRequest[], agreed };
    out.sendUrgently(this.#core.replica(from), 'body', value);
  }

  /** Requests that are fetched are not authenticated again: enough members did before the batch came this far. */
  onBody({ requests, agreed }: ReplicationMessageValue<'body'>): void {
    const { instance, out, parts } = this.#core;
    if (this.#wanted.size === 0) return out.count('body-not-wanted');
    const digests = requests.map(({ request }) => requestDigest(instance, request));
    const digest = batchDigest(digests, agreed);
    const key = mapKey(digest);
    const wanted = this.#wanted.get(key);
    if (wanted === undefined) return out.count('body-not-wanted');
    this.#wanted.delete(key);
    if (wanted.sequence <= this.#core.log.height) return;
    parts.normalCase.keepBody(wanted.sequence, digest, { requests, digests, agreed });
    parts.viewChanges.resume();
    parts.newViews.onBody();
    parts.execution.run();
  }
}
