// The reads and writes of every register protocol (framework paper, figure of the register code). What differs between
// protocols is in their rules; how a quorum is found is in the quorum calls.

import { counterMax } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Cancellation } from '../base/cancellation.ts';
import { isHalted, type QuorumCalls } from '../quorum/calls/contract.ts';
import type { Outcome, Register, Rule, Versioned } from './contract.ts';
import type { Timestamp } from './timestamp.ts';

/** The counters of an object are used up: a writer with its key has set one near 2^53. Nothing can be written any more. */
export class CounterExhausted extends Error {
  override readonly name = 'CounterExhausted';
}

export class QuorumRegister<Tuple extends Versioned, Body> implements Register {
  readonly #calls: QuorumCalls;
  readonly #rule: Rule<Tuple, Body>;

  constructor(calls: QuorumCalls, rule: Rule<Tuple, Body>) {
    this.#calls = calls;
    this.#rule = rule;
  }

  async read(signal: Cancellation): Promise<Outcome<Versioned | undefined>> {
    const { object, readJudge } = this.#rule;
    const quorum = await this.#calls.call(
      'read',
      object,
      this.#rule.readRequest(),
      readJudge,
      signal,
    );
    if (isHalted(quorum)) return quorum;
    const chosen = this.#rule.choose(quorum);
    if (chosen === 'abort') return { aborted: true };
    if (chosen === 'initial') return { value: undefined };
    const { tuple } = chosen;
    const carrying = quorum.replies.filter((reply) => this.#rule.carries(reply.body, tuple));
    if (carrying.length >= quorum.quorum) return { value: tuple };
    // A write is under way or was left unfinished: finish it, so that no later read can miss what this one returns.
    const written = await this.#put(tuple, signal);
    return 'value' in written ? { value: tuple } : written;
  }

  /** @throws CounterExhausted */
  async write(data: Bytes, signal: Cancellation): Promise<Outcome<Timestamp>> {
    const counter = await this.nextCounter(signal);
    return 'value' in counter ? this.writeAt(counter.value, data, signal) : counter;
  }

  /** The first half of a write alone: a counter higher than that of any finished write. */
  async nextCounter(signal: Cancellation): Promise<Outcome<number>> {
    const { object } = this.#rule;
    const request = this.#rule.timestampRequest();
    const quorum = await this.#calls.call('timestamp', object, request, undefined, signal);
    return isHalted(quorum) ? quorum : { value: this.#rule.counterMax(quorum) + 1 };
  }

  /**
   * The second half of a write alone, for an object's only writer (paper section 4.1).
   * @param counter higher than any this writer has used, and durable as used before the call.
   * @throws CounterExhausted
   */
  async writeAt(counter: number, data: Bytes, signal: Cancellation): Promise<Outcome<Timestamp>> {
    if (counter > counterMax) throw new CounterExhausted('no counter is left for a new version');
    return this.#put(this.#rule.make(counter, data), signal);
  }

  async #put(tuple: Tuple, signal: Cancellation): Promise<Outcome<Timestamp>> {
    const { object } = this.#rule;
    const request = this.#rule.writeRequest(tuple);
    const quorum = await this.#calls.call('write', object, request, undefined, signal);
    return isHalted(quorum) ? quorum : { value: tuple.timestamp };
  }
}
