// Timers by name. Engines move theirs with nearly every message, nearly always to a later time: a timer that runs out
// early looks again instead of being set anew each time.

import type { Timer } from '../env/clock.ts';
import type { Env } from '../env/env.ts';
import type { TimerChange } from './contract.ts';

interface Named {
  /** When the name is due; undefined when it was cancelled. */
  atMs: number | undefined;
  timer: Timer | undefined;
  /** When the timer runs out, at the earliest. */
  timerAtMs: number;
}

export class TimerSet {
  readonly #env: Pick<Env, 'clock' | 'timers'>;
  readonly #onDue: (name: string) => void;
  readonly #named = new Map<string, Named>();
  #isClosed = false;

  constructor(env: Pick<Env, 'clock' | 'timers'>, onDue: (name: string) => void) {
    this.#env = env;
    this.#onDue = onDue;
  }

  set({ name, atMs }: TimerChange): void {
    if (this.#isClosed) return;
    let named = this.#named.get(name);
    if (named === undefined) {
      if (atMs === undefined) return;
      named = { atMs, timer: undefined, timerAtMs: 0 };
      this.#named.set(name, named);
    }
    named.atMs = atMs;
    if (atMs === undefined) return;
    if (named.timer !== undefined && named.timerAtMs <= atMs) return;
    named.timer?.cancel();
    this.#arm(name, named, atMs);
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#named.values()) timer?.cancel();
    this.#named.clear();
  }

  #arm(name: string, named: Named, atMs: number): void {
    const delayMs = Math.max(0, atMs - this.#env.clock.nowMs());
    named.timerAtMs = atMs;
    named.timer = this.#env.timers.after(delayMs, () => {
      named.timer = undefined;
      this.#look(name, named);
    });
  }

  #look(name: string, named: Named): void {
    if (this.#isClosed || this.#named.get(name) !== named) return;
    const { atMs } = named;
    if (atMs === undefined) {
      this.#named.delete(name);
    } else if (this.#env.clock.nowMs() < atMs) {
      this.#arm(name, named, atMs);
    } else {
      this.#named.delete(name);
      this.#onDue(name);
    }
  }
}
