// How long a client waits for an answer before it asks again: what answers took lately and four times how much they
// differed, as TCP does it, and twice as long each time in a row.

const firstMs = 250;
const delayMsMin = 50;
const delayMsMax = 2000;
const backedOffMsMax = 10_000;
const deviationFactor = 4;
/** Weights of a new measurement. */
const smoothing = 1 / 8;
const deviationSmoothing = 1 / 4;

export class RetryDelay {
  #latencyMs: number | undefined;
  #deviationMs = 0;

  /**
   * What an answer took since it was first asked for. Those that were asked for again count too: if only quick ones did, a
   * group that has become slower would be asked everything twice for ever. One answer that was lost on the way, or waited
   * for a new primary, counts for no more than twice the present delay.
   */
  note(sinceAskedMs: number): void {
    const latencyMs = Math.min(sinceAskedMs, 2 * this.afterMs(0));
    if (this.#latencyMs === undefined) {
      this.#latencyMs = latencyMs;
      this.#deviationMs = latencyMs / 2;
      return;
    }
    const difference = latencyMs - this.#latencyMs;
    this.#deviationMs += (Math.abs(difference) - this.#deviationMs) * deviationSmoothing;
    this.#latencyMs += difference * smoothing;
  }

  /** @param retries how often it was asked again already. */
  afterMs(retries: number): number {
    const base =
      this.#latencyMs === undefined
        ? firstMs
        : this.#latencyMs + deviationFactor * this.#deviationMs;
    const bounded = Math.min(Math.max(base, delayMsMin), delayMsMax);
    return Math.min(bounded * 2 ** Math.min(retries, 10), backedOffMsMax);
  }
}
