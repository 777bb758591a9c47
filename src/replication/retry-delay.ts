// How long a client waits for an answer before it asks again: a multiple of what answers took lately, and twice as long
// each time in a row.

const firstMs = 250;
const delayMsMin = 50;
const delayMsMax = 2000;
const backedOffMsMax = 10_000;
const latencyFactor = 8;
/** Weight of a new measurement. */
const smoothing = 1 / 8;

export class RetryDelay {
  #latencyMs: number | undefined;

  /** What an answer took that came without asking again. */
  note(latencyMs: number): void {
    const before = this.#latencyMs ?? latencyMs;
    this.#latencyMs = before + (latencyMs - before) * smoothing;
  }

  /** @param retries how often it was asked again already. */
  afterMs(retries: number): number {
    const base = this.#latencyMs === undefined ? firstMs : this.#latencyMs * latencyFactor;
    const bounded = Math.min(Math.max(base, delayMsMin), delayMsMax);
    return Math.min(bounded * 2 ** Math.min(retries, 10), backedOffMsMax);
  }
}
