// The lifetime of one transfer. It ends once, by the first failure or by the caller's signal; all that is under way is
// told through the scope's own signal, all that waits inside it rejects with that one error.

import { HoldfastError } from '../../base/errors.ts';
import { interruption } from '../interruption.ts';

export class Scope {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #onOuterAbort = (): void => this.fail(interruption(this.#outer));
  // A set instead of one promise to race with: each race would leave a reaction on that promise until the end.
  readonly #waiting = new Set<(error: unknown) => void>();
  #failure: { readonly error: unknown } | undefined;

  constructor(outer: AbortSignal) {
    this.#outer = outer;
    if (outer.aborted) this.#onOuterAbort();
    else outer.addEventListener('abort', this.#onOuterAbort, { once: true });
  }

  /** Aborts when the scope fails. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The first call counts. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#controller.abort(error);
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  /** Ends what is under way because nobody wants it any more. */
  stop(): void {
    this.fail(new HoldfastError('interrupted', 'the transfer was stopped'));
    this.close();
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** As `work`, unless the scope has failed or fails first. What becomes of `work` then is of no consequence. */
  until<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure === undefined) this.#waiting.add(reject);
      else reject(this.#failure.error);
      work.then(
        (value) => {
          this.#waiting.delete(reject);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(reject);
          reject(error);
        },
      );
    });
  }

  /** Lets go of the caller's signal. */
  close(): void {
    this.#outer.removeEventListener('abort', this.#onOuterAbort);
  }
}

/** One waiter's bell: everything that may let it go on rings. A ring while nobody waits is lost. */
export class Bell {
  #wake: (() => void) | undefined;

  ring(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Waits for the next ring. The caller looks at its condition before and after. */
  wait(scope: Scope): Promise<void> {
    return scope.until(
      new Promise((resolve) => {
        this.#wake = resolve;
      }),
    );
  }
}
