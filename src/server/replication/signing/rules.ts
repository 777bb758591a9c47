// What the module with a member's identity key signs. It does not know whether a statement is true, but of which kind it
// is, and it counts the changes of keys, so that a member that is trusted again gets above all that an intruder had signed.

import { type Bytes, equalBytes } from '../../../base/bytes.ts';
import { channelKeyBytes } from '../../../crypto/channel-key.ts';
import { type SignaturePurpose, statementOf } from '../../../crypto/domains.ts';
import type { Signer } from '../../../crypto/signature.ts';
import type { Clock } from '../../../env/clock.ts';
import { limits } from '../../../wire/limits.ts';

/** What a member of PBFT has to sign; `client-bundle` for what its recovery has ordered. */
const purposesSigned: ReadonlySet<SignaturePurpose> = new Set<SignaturePurpose>([
  'checkpoint',
  'view-change',
  'new-view',
  'new-key',
  'client-bundle',
]);

export interface SigningRulesOptions {
  readonly signer: Signer;
  /** The only one that it signs for. */
  readonly instance: Bytes;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly timeOfDayMs: () => number;
  /** How long a channel key that it vouches for is good for clients. */
  readonly channelKeyLifetimeMs: number;
  /** The last change of keys that it signed. */
  readonly counter: number;
  /** Makes a later one durable, before anything is signed under it. */
  readonly keepCounter: (counter: number) => Promise<void>;
}

export interface Vouched {
  readonly counter: number;
  readonly notAfterMs: number;
  readonly signature: Bytes;
}

/** One question at a time. */
export class SigningRules {
  readonly #options: SigningRulesOptions;
  #counter: number;
  /** Changes of keys that may be signed at once, as of `#sinceMs`. */
  #left: number = limits.signingKeyChangesMax;
  #sinceMs: number;

  constructor(options: SigningRulesOptions) {
    this.#options = options;
    this.#counter = options.counter;
    this.#sinceMs = options.clock.nowMs();
  }

  get counter(): number {
    return this.#counter;
  }

  /** The signature, or why there is none, as a sentence. */
  async sign(bytes: Bytes): Promise<Bytes | string> {
    const statement = statementOf(bytes);
    if (statement === undefined || !purposesSigned.has(statement.purpose)) {
      return 'that is nothing that a member of a group signs';
    }
    if (!equalBytes(statement.system, this.#options.instance)) {
      return 'that is for another instance than the one that this module is for';
    }
    const refusal =
      statement.purpose === 'new-key' ? await this.#raiseTo(statement.scope) : undefined;
    return refusal ?? this.#options.signer.sign(bytes);
  }

  /** Numbers follow each other: else an intruder could use up all that there are. */
  async #raiseTo(counter: number): Promise<string | undefined> {
    if (counter === this.#counter) return undefined;
    if (counter < this.#counter) return `keys were changed ${this.#counter} times already`;
    if (counter > this.#counter + 1) {
      return `of ${counter} changes of keys it knows ${this.#counter}: its folder is an older copy`;
    }
    const waitMs = this.#waitMs();
    if (waitMs > 0) {
      return `keys were changed too often; the next time in ${Math.ceil(waitMs / 1000)} s`;
    }
    await this.#options.keepCounter(counter);
    this.#left -= 1;
    this.#counter = counter;
    return undefined;
  }

  #waitMs(): number {
    const { signingKeyChangesMax: most, signingKeyChangeIntervalMs: intervalMs } = limits;
    const nowMs = this.#options.clock.nowMs();
    const intervals = Math.floor((nowMs - this.#sinceMs) / intervalMs);
    this.#left = Math.min(most, this.#left + intervals);
    this.#sinceMs += intervals * intervalMs;
    return this.#left > 0 ? 0 : this.#sinceMs + intervalMs - nowMs;
  }

  vouch(channelKey: Bytes): Vouched {
    const { instance, signer, timeOfDayMs, channelKeyLifetimeMs } = this.#options;
    const notAfterMs = Math.floor(timeOfDayMs() + channelKeyLifetimeMs);
    const claim = { counter: this.#counter, notAfterMs };
    return { ...claim, signature: signer.sign(channelKeyBytes(instance, claim, channelKey)) };
  }
}
