// What a campaign adds up to.

import type { RunName } from './failure.ts';
import { failureText } from './failure.ts';
import { type MarkName, markNames } from './marks.ts';
import type { FailureKind, RunReport } from './run-report.ts';

/** Options that are worth a histogram, by where they stand in the options of a run. */
const histogramOptions = ['faults', 'servers', 'clients', 'concurrency', 'operations', 'liars'];
const failuresShownMax = 20;

export class Summary {
  runs = 0;
  operations = 0;
  completed = 0;
  events = 0;
  virtualMs = 0;
  readonly failures: { readonly name: RunName; readonly report: RunReport }[] = [];
  readonly #runsByMark = new Map<MarkName, number>();
  readonly #histograms = new Map<string, Map<string, number>>();

  add(name: RunName, report: RunReport): void {
    this.runs++;
    this.operations += report.operations;
    this.completed += report.completed;
    this.events += report.events;
    this.virtualMs += report.virtualMs;
    for (const mark of report.marks.keys())
      this.#runsByMark.set(mark, (this.#runsByMark.get(mark) ?? 0) + 1);
    this.#addOptions(report.options);
    if (report.failure !== undefined) this.failures.push({ name, report });
  }

  get failureKinds(): FailureKind[] {
    return this.failures.flatMap(({ report }) => report.failure?.kind ?? []);
  }

  get marksHit(): number {
    return this.#runsByMark.size;
  }

  text(tookMs: number): string {
    const perSecond = ((1000 * this.runs) / Math.max(1, tookMs)).toFixed(1);
    const missed = markNames.filter((mark) => !this.#runsByMark.has(mark));
    return [
      ...this.failures
        .slice(0, failuresShownMax)
        .map(({ name, report }) => failureText(name, report)),
      `${this.runs} runs, ${this.failures.length} failed; ${perSecond} runs/s`,
      `${this.operations} operations, ${this.completed} completed; ${this.events} events; ${Math.round(this.virtualMs / 3_600_000)} h of virtual time`,
      'options:',
      ...[...this.#histograms].map(([option, counts]) => `  ${option}: ${histogram(counts)}`),
      'runs that hit a mark:',
      ...markNames
        .filter((mark) => this.#runsByMark.has(mark))
        .map((mark) => `  ${String(this.#runsByMark.get(mark)).padStart(7)}  ${mark}`),
      missed.length === 0 ? 'every mark was hit' : `marks never hit: ${missed.join(', ')}`,
    ].join('\n');
  }

  #addOptions(line: string): void {
    const options: Readonly<Record<string, unknown>> = JSON.parse(line);
    for (const option of histogramOptions) {
      const value = options[option];
      if (value === undefined) continue;
      for (const one of Array.isArray(value) ? new Set(value.flat()) : [value])
        this.#tally(option, `${one}`);
    }
    const { faultMix, diskFaults } = options;
    for (const [title, features] of Object.entries({ faultMix, diskFaults })) {
      if (typeof features !== 'object' || features === null) continue;
      for (const feature of Object.keys(features)) this.#tally(title, feature);
    }
  }

  #tally(option: string, value: string): void {
    const counts = this.#histograms.get(option) ?? new Map<string, number>();
    counts.set(value, (counts.get(value) ?? 0) + 1);
    this.#histograms.set(option, counts);
  }
}

function histogram(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([value, count]) => `${value}=${count}`)
    .join(' ');
}
