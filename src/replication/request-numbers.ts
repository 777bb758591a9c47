// Which numbers a client's requests get. One that cannot know which its key has used before asks the members, and claims a
// first number before it uses any.

import { type Bytes, emptyBytes } from '../base/bytes.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Entropy } from '../env/entropy.ts';
import type { Acceptance } from './acceptance.ts';
import { Operation, type Settle } from './client-operation.ts';
import { FirstNumber } from './first-number.ts';
import { requestKinds } from './requests.ts';

export interface RequestNumbersOptions {
  readonly acceptance: Acceptance;
  readonly entropy: Entropy;
  /** Asks all members, with the nonce; `asked` questions have been in vain. @returns when it is time to ask again. */
  ask(asked: number): number;
  /** Sends a request that does nothing, and nothing else before that is settled. */
  claim(operation: Operation, number: number): void;
  /** A number can be used. */
  onKnown(): void;
}

/** Questions for used numbers before too few answers must do. */
const asksMax = 3;

export class RequestNumbers {
  readonly #options: RequestNumbersOptions;
  readonly #first: FirstNumber;
  #next: number | undefined;
  #hasClaimed = false;
  #asked = 0;
  #askAgainAtMs = 0;

  constructor(options: RequestNumbersOptions) {
    this.#options = options;
    this.#first = new FirstNumber(options.acceptance, options.entropy);
  }

  /** The next request's number; undefined until a first one is claimed. */
  get next(): number | undefined {
    return this.#next;
  }

  /** In questions and in the answers to them. */
  get nonce(): Bytes {
    return this.#first.nonce;
  }

  /** When to ask again; infinity while it is known which numbers were used before, or a claim is under way. */
  get askAgainAtMs(): number {
    return this.#isAsking ? this.#askAgainAtMs : Number.POSITIVE_INFINITY;
  }

  get #isAsking(): boolean {
    return this.#next === undefined && !this.#hasClaimed;
  }

  /** @param next undefined: it is to be found out. */
  begin(next: number | undefined): void {
    this.#next = next;
    if (next === undefined) this.ask();
  }

  /** So many numbers in a row. @returns the first of them. */
  take(count: number): number {
    const first = this.#next ?? 1;
    this.#next = first + count;
    return first;
  }

  ask(): void {
    const guess = this.#asked >= asksMax ? this.#first.guess() : undefined;
    if (guess !== undefined) return this.#claim(guess);
    this.#askAgainAtMs = this.#options.ask(this.#asked);
    this.#asked += 1;
  }

  onAnswer(from: number, nonce: Bytes, number: number): void {
    if (!this.#isAsking) return;
    const first = this.#first.note(from, nonce, number);
    if (first !== undefined) this.#claim(first);
  }

  /** The group has forgotten this client, and may take all numbers up to some higher one for used. */
  renew(): void {
    if (this.#next === undefined) return;
    this.#next = undefined;
    this.#hasClaimed = false;
    this.#first.reset();
    this.#asked = 0;
    this.ask();
  }

  /**
   * Uses a first number for a request that does nothing, and sends nothing else before that is executed: a process that
   * dies here leaves nothing behind that the next one, which may choose the same number, would contradict.
   */
  #claim(number: number): void {
    this.#hasClaimed = true;
    const settle: Settle = (outcome) => {
      if (outcome instanceof HoldfastError) return;
      if (outcome.kind === 'too-old') {
        // The members knew of more than they said when they were asked: some had not executed it yet.
        this.#next = number;
        return this.renew();
      }
      this.#next = number + 1;
      this.#options.onKnown();
    };
    this.#options.claim(new Operation(emptyBytes, requestKinds.claim, settle), number);
  }
}
