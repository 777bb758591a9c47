// What the clients of a run do: a number of operations of a drawn mix, then some that must succeed.

import { textOf, utf8 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Asked, Session } from './client-machine.ts';
import { type RunOptions, unfinishedPerKeyMax } from './options.ts';

type Kind = keyof RunOptions['mix'];

/** Longer than any view change, all back-off included. */
export const strictTimeoutMs = 240_000;

export class Workload {
  /** Why an operation that had to succeed did not. */
  disappointment: string | undefined;
  completed = 0;
  readonly #options: RunOptions;
  readonly #prng: Prng;
  readonly #kinds: readonly Kind[];
  /** In use, each with the number of its writes that have begun and not ended. */
  readonly #keys = new Map<string, number>();
  /** Every key that was ever in use, which is what a scan may meet. */
  readonly #allKeys: string[] = [];
  #left: number;
  #isStrict = false;

  constructor(options: RunOptions, prng: Prng) {
    this.#options = options;
    this.#prng = prng;
    this.#left = options.operations;
    for (let i = 0; i < options.keys; i++) this.#takeKey();
    this.#kinds = (Object.entries(options.mix) as [Kind, number][]).flatMap(([kind, weight]) =>
      new Array<Kind>(weight).fill(kind),
    );
  }

  get exhausted(): boolean {
    return this.#left === 0;
  }

  /** So many more, each of which must succeed. */
  demandSuccess(operations: number): void {
    this.#isStrict = true;
    this.#left = operations;
  }

  /** Lets a session work until its machine dies. */
  drive(session: Session): void {
    for (let i = 0; i < this.#options.concurrency; i++) this.#next(session);
  }

  #next(session: Session): void {
    const delayMs = this.#prng.between(...this.#options.thinkMs);
    session.env.timers.after(delayMs, () => {
      if (this.#left === 0) return this.#rest(session);
      this.#left -= 1;
      this.#perform(session);
    });
  }

  /** Nothing to do now; perhaps later. */
  #rest(session: Session): void {
    session.env.timers.after(100, () => this.#next(session));
  }

  #perform(session: Session): void {
    const operation = this.#draw(session);
    const isStrict = this.#isStrict;
    const timeoutMs = isStrict ? strictTimeoutMs : this.#options.timeoutMs;
    const writtenKey = this.#writtenKey(operation);
    if (writtenKey !== undefined) this.#begun(writtenKey);
    session.perform(operation, timeoutMs, this.#allKeys).then((ending) => {
      if (writtenKey !== undefined && ending !== 'unknown') this.#ended(writtenKey);
      if (ending === 'result') this.completed += 1;
      else if (isStrict) {
        this.disappointment ??= `${session.name}: ${operation.kind} ended: ${ending}`;
      }
      this.#next(session);
    });
  }

  #takeKey(): void {
    const key = `k${this.#allKeys.length}`;
    this.#allKeys.push(key);
    this.#keys.set(key, 0);
  }

  #writtenKey(operation: Asked): string | undefined {
    if (operation.kind === 'get' || operation.kind === 'scan' || operation.kind === 'stop') return;
    return textOf(operation.key);
  }

  /** Of a client that dies in the middle no write ever ends. */
  #begun(key: string): void {
    const unfinished = (this.#keys.get(key) ?? 0) + 1;
    this.#keys.set(key, unfinished);
    if (unfinished < unfinishedPerKeyMax) return;
    this.#keys.delete(key);
    this.#takeKey();
  }

  #ended(key: string): void {
    const unfinished = this.#keys.get(key);
    if (unfinished !== undefined) this.#keys.set(key, unfinished - 1);
  }

  #draw(session: Session): Asked {
    const name = this.#prng.pick([...this.#keys.keys()]) ?? 'k0';
    const key = utf8(name);
    const value = session.newValue(this.#prng.between(...this.#options.valueBytes));
    switch (this.#prng.pick(this.#kinds)) {
      case 'put':
        return { kind: 'put', key, value };
      case 'delete':
        return { kind: 'delete', key };
      case 'swap':
        return { kind: 'compare-and-set', key, expected: session.seen(name), value };
      case 'scan':
        return { kind: 'scan', from: key, limit: this.#prng.between(1, 4) };
      case 'orderedGet':
        return { kind: 'get', key, isOrdered: true };
      default:
        return { kind: 'get', key };
    }
  }
}
