/** Monotonic time of one node. Rates may differ a little between nodes; origins mean nothing. */
export interface Clock {
  /** Milliseconds, possibly with a fraction, never decreasing. */
  nowMs(): number;
}

export interface Timer {
  cancel(): void;
}

export interface Timers {
  /** Runs `action` once, `delayMs` or more after now, unless cancelled. */
  after(delayMs: number, action: () => void): Timer;
}
