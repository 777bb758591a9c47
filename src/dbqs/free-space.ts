// How much may still be promised. The disk tells its free space only now and then, and what was accepted since takes
// room in journal and table that it has not seen yet.

/** A byte accepted may stand in the journal and in the table, with pages of its own in each. */
const bytesPerAcceptedByte = 2;

export class FreeSpace {
  readonly #toldBytes: () => number;
  readonly #accepted: () => { readonly totalBytes: number; readonly undurableBytes: number };
  #lastToldBytes = Number.NaN;
  /** What had been accepted, and was durable, when the disk last told something new. */
  #baseBytes = 0;

  constructor(
    toldBytes: () => number,
    accepted: () => { readonly totalBytes: number; readonly undurableBytes: number },
  ) {
    this.#toldBytes = toldBytes;
    this.#accepted = accepted;
  }

  /** Bytes left, after all that has been accepted. Never more than the disk tells. */
  bytes(): number {
    const told = this.#toldBytes();
    const { totalBytes, undurableBytes } = this.#accepted();
    if (told !== this.#lastToldBytes) {
      this.#lastToldBytes = told;
      this.#baseBytes = totalBytes - undurableBytes;
    }
    return told - bytesPerAcceptedByte * (totalBytes - this.#baseBytes);
  }
}
