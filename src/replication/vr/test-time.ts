// The clock of a test cluster: things happen in the order of their times, and of their making where those are equal.

interface Happening {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class TestTime {
  nowMs = 0;
  /** A heap, the next one first. */
  readonly #heap: Happening[] = [];
  #order = 0;

  at(atMs: number, run: () => void): void {
    this.#order += 1;
    const item = { atMs, order: this.#order, run };
    const heap = this.#heap;
    heap.push(item);
    for (let i = heap.length - 1; i > 0; ) {
      const above = (i - 1) >>> 1;
      if (!isBefore(item, heap[above] as Happening)) break;
      heap[i] = heap[above] as Happening;
      heap[above] = item;
      i = above;
    }
  }

  /** Lets time pass; ends early when `isDone`. @returns whether it was. */
  run(forMs: number, isDone: () => boolean): boolean {
    const endMs = this.nowMs + forMs;
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > endMs) {
        this.nowMs = endMs;
        return isDone();
      }
      this.#takeNext();
      this.nowMs = next.atMs;
      next.run();
    }
    return true;
  }

  #takeNext(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        const there = heap[child];
        if (there !== undefined && isBefore(there, heap[least] as Happening)) least = child;
      }
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least] as Happening, heap[i] as Happening];
      i = least;
    }
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
