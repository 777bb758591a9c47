// What befalls a system now and then until a run ends.

import type { Prng } from '../../src/base/prng.ts';
import type { Span, Spells } from './fault-mix.ts';
import type { Simulation } from './simulation.ts';

export class Recurring {
  readonly #simulation: Simulation;
  readonly #prng: Prng;
  readonly #name: string;
  #hasEnded = false;

  /** @param name names its timers in the trace. */
  constructor(simulation: Simulation, prng: Prng, name: string) {
    this.#simulation = simulation;
    this.#prng = prng;
    this.#name = name;
  }

  /** Begins a spell now and then; `begin` gives what ends it, or undefined when there is none to be had. */
  repeat(spells: Spells | undefined, begin: () => (() => void) | undefined): void {
    if (spells === undefined || this.#hasEnded) return;
    this.#after(spells.gapMs, () => {
      const finish = begin();
      this.#after(spells.lastMs, () => {
        finish?.();
        this.repeat(spells, begin);
      });
    });
  }

  /** Nothing begins any more, and nothing that has begun is ended: whoever ends a run makes all of it well. */
  end(): void {
    this.#hasEnded = true;
  }

  #after([low, high]: Span, action: () => void): void {
    this.#simulation.after(
      this.#prng.between(Math.floor(low), Math.floor(high)),
      () => {
        if (!this.#hasEnded) action();
      },
      this.#name,
    );
  }
}
