// Which member sends a whole result, where the others send its digest: they take turns, and one that did not send when it
// was its turn gets no other turn for a while.

const passedOverMs = 10_000;

export class FullRepliers {
  readonly #members: number;
  /** Until when a member is passed over. */
  readonly #untilMs = new Map<number, number>();
  #turn = 0;

  constructor(members: number) {
    this.#members = members;
  }

  next(nowMs: number): number {
    for (let i = 0; i < this.#members; i++) {
      this.#turn = (this.#turn + 1) % this.#members;
      const untilMs = this.#untilMs.get(this.#turn);
      if (untilMs === undefined || untilMs <= nowMs) break;
    }
    return this.#turn;
  }

  passOver(member: number, nowMs: number): void {
    this.#untilMs.set(member, nowMs + passedOverMs);
  }
}
