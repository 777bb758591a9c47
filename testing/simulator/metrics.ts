import type { Metrics } from '../../src/env/metrics.ts';

export interface Observations {
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

/** Metrics that a test can read back. */
export class InspectableMetrics implements Metrics {
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #gauges = new Map<string, number>();
  readonly #observations = new Map<string, Observations>();

  count(name: string, label = '', amount = 1): void {
    let labels = this.#counts.get(name);
    if (labels === undefined) {
      labels = new Map();
      this.#counts.set(name, labels);
    }
    labels.set(label, (labels.get(label) ?? 0) + amount);
  }

  gauge(name: string, value: number, label = ''): void {
    this.#gauges.set(`${name} ${label}`, value);
  }

  observe(name: string, value: number, label = ''): void {
    const key = `${name} ${label}`;
    const old = this.#observations.get(key);
    this.#observations.set(key, {
      count: (old?.count ?? 0) + 1,
      sum: (old?.sum ?? 0) + value,
      min: Math.min(old?.min ?? value, value),
      max: Math.max(old?.max ?? value, value),
    });
  }

  /** The count of one label, or of all labels together when none is named. */
  counted(name: string, label?: string): number {
    const labels = this.#counts.get(name);
    if (labels === undefined) return 0;
    if (label !== undefined) return labels.get(label) ?? 0;
    let sum = 0;
    for (const count of labels.values()) sum += count;
    return sum;
  }

  /** Counts by label. */
  labelled(name: string): ReadonlyMap<string, number> {
    return this.#counts.get(name) ?? new Map();
  }

  level(name: string, label = ''): number | undefined {
    return this.#gauges.get(`${name} ${label}`);
  }

  observed(name: string, label = ''): Observations | undefined {
    return this.#observations.get(`${name} ${label}`);
  }
}
