// Where a restarted client may begin to number its requests: above all that its earlier processes have used, of which
// the members know those that were executed.

import { type Bytes, equalBytes } from '../base/bytes.ts';
import type { Entropy } from '../env/entropy.ts';
import { limits } from '../wire/limits.ts';
import type { Acceptance } from './acceptance.ts';

/** More requests than one client ever makes while a member that answers is behind the others. */
const farAbove = 2 ** 36;

export class FirstNumber {
  readonly #acceptance: Acceptance;
  readonly #entropy: Entropy;
  /** In the question and in answers to it. */
  readonly nonce: Bytes;
  /** The first answer of each member. */
  readonly #answers = new Map<number, number>();

  constructor(acceptance: Acceptance, entropy: Entropy) {
    this.#acceptance = acceptance;
    this.#entropy = entropy;
    this.nonce = entropy.bytes(16);
  }

  /**
   * Takes a member's answer.
   * @returns the number to claim, once enough have answered. Requests that nobody has executed yet lie up to a window
   *   above what was known when their process began, and that may have been more than is known now: members forget what
   *   was never committed. So the number is drawn, from so many that it meets none of an earlier process.
   */
  note(from: number, nonce: Bytes, number: number): number | undefined {
    if (!equalBytes(nonce, this.nonce)) return undefined;
    if (!this.#answers.has(from)) this.#answers.set(from, number);
    const last = this.#acceptance.lastNumber([...this.#answers.values()]);
    return last === undefined ? undefined : last + limits.clientWindow + 1 + this.#drawn(4);
  }

  /**
   * A number to claim although too few have answered, if at least one correct member has. The claim is then what makes
   * the others move: a question that they hold back, because they are between views, does not. So far up, and drawn, it
   * is above all earlier ones; one of 65,536 such claims that a key's numbers allow is spent.
   */
  guess(): number | undefined {
    const descending = [...this.#answers.values()].sort((a, b) => b - a);
    const vouched = descending[this.#acceptance.liars];
    if (vouched === undefined) return undefined;
    return vouched + farAbove + (this.#drawn(5) % farAbove);
  }

  #drawn(bytes: number): number {
    return this.#entropy.bytes(bytes).reduce((drawn, byte) => drawn * 256 + byte, 0);
  }

  /** Forgets the answers: they were of too little use. */
  reset(): void {
    this.#answers.clear();
  }
}
