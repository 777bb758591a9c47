/** Counts and levels that operators and tests read. Names are snake_case and end in their unit. */
export interface Metrics {
  /** Adds to a counter; `label` splits it by reason, message type or similar (few distinct values). */
  count(name: string, label?: string, amount?: number): void;
  gauge(name: string, value: number, label?: string): void;
  observe(name: string, value: number, label?: string): void;
}

export const noMetrics: Metrics = { count() {}, gauge() {}, observe() {} };
