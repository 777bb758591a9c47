// Watches named levels, such as the length of a queue or the number of rows in a table, against named limits while a
// system runs.

import { assert } from '../../src/base/assert.ts';
import { quote } from './verdict.ts';

export interface WatchedLevel {
  /** Who and what, such as `server-3 outbound queue`. One name may be watched again after the first watch stopped. */
  readonly name: string;
  /** Largest level allowed; at least 0. */
  readonly limit: number;
  /** The level now, at least 0. It must not change what it measures. */
  readonly measure: () => number;
}

export interface Excess {
  readonly name: string;
  readonly limit: number;
  readonly level: number;
  /** Time of the sample that showed it. */
  readonly time: number;
}

export type BoundsVerdict =
  | { readonly result: 'within'; readonly peaks: ReadonlyMap<string, Excess> }
  | { readonly result: 'violation'; readonly excesses: readonly Excess[] }
  /** Nothing was ever measured, so nothing was shown. */
  | { readonly result: 'unknown' };

/** Sampled by whoever drives the run, best after every event: an excess between two samples goes unseen. */
export class BoundsWatch {
  readonly #watched = new Set<WatchedLevel>();
  readonly #peaks = new Map<string, Excess>();
  readonly #excesses = new Map<string, Excess>();

  /** @returns stops this watch, for when what it measures is gone. */
  watch(level: WatchedLevel): () => void {
    assert(level.limit >= 0, `limit of ${quote(level.name)} is ${level.limit}`);
    this.#watched.add(level);
    return () => {
      this.#watched.delete(level);
    };
  }

  /** Measures everything. @param time in the run's unit, for the report. */
  sample(time: number): void {
    for (const { name, limit, measure } of this.#watched) {
      const level = measure();
      const isPeak = level > (this.#peaks.get(name)?.level ?? -1);
      if (isPeak) this.#peaks.set(name, { name, limit, level, time });
      // Written so that a level that is not a number counts as an excess. The first excess of a name is kept.
      const isWithin = level >= 0 && level <= limit;
      if (!isWithin && !this.#excesses.has(name)) {
        this.#excesses.set(name, { name, limit, level, time });
      }
    }
  }

  verdict(): BoundsVerdict {
    if (this.#excesses.size > 0) {
      return { result: 'violation', excesses: [...this.#excesses.values()] };
    }
    return this.#peaks.size === 0
      ? { result: 'unknown' }
      : { result: 'within', peaks: this.#peaks };
  }
}

/** The verdict in words: each level that was too high, or how near each came to its limit. */
export function explainBounds(verdict: BoundsVerdict): string {
  if (verdict.result === 'unknown') return 'no level was measured';
  if (verdict.result === 'violation') {
    return verdict.excesses
      .map(({ name, limit, level, time }) => `${name}: ${level} exceeds ${limit} at ${time}`)
      .join('\n');
  }
  return [...verdict.peaks.values()]
    .map(({ name, limit, level, time }) => `${name}: at most ${level} of ${limit}, at ${time}`)
    .join('\n');
}
