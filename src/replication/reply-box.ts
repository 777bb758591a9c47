// What members have said about one request of a client: one reply of each, and the result once somebody sent it whole.

import { type Bytes, equalBytes } from '../base/bytes.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { Reply } from './acceptance.ts';
import { resultDigest } from './requests.ts';

interface Kept extends Reply {
  /** The whole result, checked against the digest. */
  body: Bytes | undefined;
}

export class ReplyBox {
  readonly #kept: (Kept | undefined)[];

  /** @param members how many there are. */
  constructor(members: number) {
    this.#kept = new Array<Kept | undefined>(members).fill(undefined);
  }

  /** @returns whether this says anything new. */
  take(from: number, value: ReplicationMessageValue<'requestReply'>): boolean {
    const { view, sequence, outcome, digest, kind } = value;
    const isTentative = kind === 1;
    const [result] = value.result;
    const known = this.#kept[from];
    if (known !== undefined && !supersedes(known, view, isTentative)) {
      // A member has one say; all it may add is the bytes that belong to it.
      if (known.body !== undefined || result === undefined) return false;
      if (!equalBytes(resultDigest(known.outcome, result), known.digest)) return false;
      known.body = result;
      return true;
    }
    const isBody = result !== undefined && equalBytes(resultDigest(outcome, result), digest);
    const body = isBody ? result : undefined;
    this.#kept[from] = { from, view, sequence, isTentative, outcome, digest, body };
    return true;
  }

  get replies(): readonly Reply[] {
    return this.#kept.filter((reply) => reply !== undefined);
  }

  /** The result that an accepted reply names, whoever sent it. */
  bodyOf({ outcome, digest }: Reply): Bytes | undefined {
    for (const kept of this.#kept) {
      if (kept?.body === undefined || kept.outcome !== outcome) continue;
      if (equalBytes(kept.digest, digest)) return kept.body;
    }
    return undefined;
  }
}

/** A reply for good takes the place of a tentative one, and what a later view says that of an earlier one. */
function supersedes(known: Reply, view: number, isTentative: boolean): boolean {
  if (!known.isTentative) return false;
  return !isTentative || view > known.view;
}
