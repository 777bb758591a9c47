// How long a primary lets a batch fill while others are in flight. Every batch costs its messages and syncs, whatever is
// in it, so that under load larger ones are cheaper; what waits must not wait longer for company than that is worth.

/** Before anything was measured. */
const takesMsFirst = 10;

export class BatchDelay {
  /** The batch that is measured. */
  #probe: { readonly sequence: number; readonly atMs: number } | undefined;
  /** What batches have taken lately, from their proposal to their execution. */
  #takesMs = takesMsFirst;

  proposed(sequence: number, nowMs: number): void {
    this.#probe ??= { sequence, atMs: nowMs };
  }

  /** @param sequence the last batch that is executed. */
  executed(sequence: number, nowMs: number): void {
    if (this.#probe === undefined || sequence < this.#probe.sequence) return;
    this.#takesMs += (nowMs - this.#probe.atMs - this.#takesMs) / 4;
    this.#probe = undefined;
  }

  /** Another view: what is under way came about otherwise. */
  clear(): void {
    this.#probe = undefined;
  }

  /** Half of what batches take, at most `msMax`. */
  ms(msMax: number): number {
    return Math.min(msMax, this.#takesMs / 2);
  }
}
