// What benchmarks print.

import { table } from '../src/cli/output.ts';
import type { Summary } from './measure.ts';

/** One benchmark's outcome: `values` for programs, `words` for people. */
export interface Report {
  readonly title: string;
  readonly values: unknown;
  readonly words: string;
}

export function formatMs(ms: number): string {
  return ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

export function formatSpread({ p10, p90 }: Pick<Summary, 'p10' | 'p90'>): string {
  return `${formatMs(p10)} … ${formatMs(p90)}`;
}

export { table };
