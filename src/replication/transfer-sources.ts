// What a state transfer knows of the members it asks: whom to ask next, how long to wait, who rests. All of it is kept for
// each source by itself, so that what one does decides nothing about the others.

import { Prng } from '../base/prng.ts';

/** Patience and rests grow to as many time-outs: after a long outage a source is asked again within that time. */
const timeoutsMax = 16;

export class TransferSources {
  readonly #timeoutMs: number;
  /** Asked longest ago first. */
  #order: number[];
  readonly #patienceMs = new Map<number, number>();
  /** What the last answer took. */
  readonly #tookMs = new Map<number, number>();
  /** Until when a source is not asked. */
  readonly #restsUntilMs = new Map<number, number>();
  readonly #restMs = new Map<number, number>();

  /** @param seed decides whom to ask first, so that not all ask the same one. */
  constructor(sources: readonly number[], timeoutMs: number, seed: number) {
    this.#timeoutMs = timeoutMs;
    this.#order = new Prng(seed).shuffled(sources);
  }

  /** Those not at rest, the one asked longest ago first. */
  awake(nowMs: number): readonly number[] {
    return this.#order.filter((source) => (this.#restsUntilMs.get(source) ?? nowMs) <= nowMs);
  }

  /** When the first of those at rest may be asked again. */
  wakesAtMs(nowMs: number): number {
    let atMs = Number.POSITIVE_INFINITY;
    for (const untilMs of this.#restsUntilMs.values()) {
      if (untilMs > nowMs) atMs = Math.min(atMs, untilMs);
    }
    return atMs;
  }

  /** How long it may take before it counts as silent. */
  patienceMs(source: number): number {
    return this.#patienceMs.get(source) ?? this.#timeoutMs;
  }

  /**
   * After how long what one source was asked for is asked of idle ones too: twice what the last answers of a third of all, the
   * quickest, and of one more took. Of a third and one at least one is correct, and there are that many correct ones: so no
   * liar makes this longer than twice what correct ones take, nor shorter than the quickest of them is. Before as many have answered, and
   * at most, a quarter of the time-out.
   */
  get impatienceMs(): number {
    const times = [...this.#tookMs.values()].sort((a, b) => a - b);
    const tookMs = times[Math.floor(this.#order.length / 3)] ?? Number.POSITIVE_INFINITY;
    return Math.min(2 * tookMs, this.#timeoutMs / 4);
  }

  onAsked(source: number): void {
    this.#order = [...this.#order.filter((other) => other !== source), source];
  }

  onAnswer(source: number, tookMs: number): void {
    this.#tookMs.set(source, tookMs);
    this.#patienceMs.set(source, this.#bounded(2 * tookMs));
    this.#restsUntilMs.delete(source);
    this.#restMs.delete(source);
  }

  onSilence(source: number): void {
    this.#patienceMs.set(source, this.#bounded(2 * this.patienceMs(source)));
  }

  /** It rests, twice as long each time in a row. */
  onUseless(source: number, nowMs: number): void {
    const restMs = this.#restMs.get(source) ?? this.#timeoutMs;
    this.#restsUntilMs.set(source, nowMs + restMs);
    this.#restMs.set(source, this.#bounded(2 * restMs));
  }

  /** That it did not answer was perhaps for want of a channel. */
  onReached(source: number): void {
    this.#patienceMs.delete(source);
    this.#restsUntilMs.delete(source);
    this.#restMs.delete(source);
  }

  #bounded(ms: number): number {
    return Math.min(Math.max(ms, this.#timeoutMs), timeoutsMax * this.#timeoutMs);
  }
}
