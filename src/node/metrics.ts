import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../env/metrics.ts';

/** Distinct labels kept per name: a label that a peer can vary must not fill memory. */
const labelsMax = 100;
const labelOfTheRest = 'other';

/** What one process counts, in a registry of its own, so that several servers may share a process. */
export class NodeMetrics implements Metrics {
  readonly #registry = new Registry();
  /** By name and label. Messages are counted several times each, so this is a plain sum until someone asks for it. */
  readonly #counts = new Map<string, Map<string | undefined, number>>();
  readonly #gauges = new Map<string, Gauge<'label'>>();
  readonly #histograms = new Map<string, Histogram<'label'>>();
  readonly #labels = new Map<string, Set<string>>();

  /** @param options.process also report memory, CPU and event loop lag of the process. */
  constructor(options: { readonly process?: boolean } = {}) {
    if (options.process === true) collectDefaultMetrics({ register: this.#registry });
  }

  count(name: string, label?: string, amount = 1): void {
    const counts = this.#counts.get(name) ?? this.#newCounter(name);
    const known = label === undefined || counts.has(label) ? label : this.#bounded(name, label);
    counts.set(known, (counts.get(known) ?? 0) + amount);
  }

  #newCounter(name: string): Map<string | undefined, number> {
    const counts = new Map<string | undefined, number>();
    this.#counts.set(name, counts);
    new Counter({
      ...this.#options(name),
      labelNames: ['label'],
      collect() {
        this.reset();
        for (const [label, count] of counts) {
          if (label === undefined) this.inc(count);
          else this.inc({ label }, count);
        }
      },
    });
    return counts;
  }

  gauge(name: string, value: number, label?: string): void {
    let gauge = this.#gauges.get(name);
    if (gauge === undefined) {
      gauge = new Gauge({ ...this.#options(name), labelNames: ['label'] });
      this.#gauges.set(name, gauge);
    }
    if (label === undefined) gauge.set(value);
    else gauge.set({ label: this.#bounded(name, label) }, value);
  }

  observe(name: string, value: number, label?: string): void {
    let histogram = this.#histograms.get(name);
    if (histogram === undefined) {
      histogram = new Histogram({
        ...this.#options(name),
        labelNames: ['label'],
        buckets: bucketsOf(name),
      });
      this.#histograms.set(name, histogram);
    }
    if (label === undefined) histogram.observe(value);
    else histogram.observe({ label: this.#bounded(name, label) }, value);
  }

  /** Everything in the Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #options(name: string) {
    return {
      name: `holdfast_${name}`,
      help: name.replaceAll('_', ' '),
      registers: [this.#registry],
    };
  }

  #bounded(name: string, label: string): string {
    let known = this.#labels.get(name);
    if (known === undefined) {
      known = new Set();
      this.#labels.set(name, known);
    }
    if (known.has(label)) return label;
    if (known.size >= labelsMax) return labelOfTheRest;
    known.add(label);
    return label;
  }
}

/** Buckets for the unit in which the name ends. */
function bucketsOf(name: string): number[] {
  if (name.endsWith('_ms')) {
    return [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
  }
  if (name.endsWith('_bytes')) return Array.from({ length: 10 }, (_, i) => 64 * 4 ** i);
  return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
}
