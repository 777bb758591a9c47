// What is planned in a test's own time.

interface Timed {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A binary heap: events in order of time, then of being planned. */
export class Agenda {
  readonly #heap: Timed[] = [];

  get size(): number {
    return this.#heap.length;
  }

  push(timed: Timed): void {
    const heap = this.#heap;
    let at = heap.push(timed) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(timed, heap[above] as Timed)) break;
      heap[at] = heap[above] as Timed;
      at = above;
    }
    heap[at] = timed;
  }

  pop(): Timed | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Timed, heap[below] as Timed))
        below += 1;
      if (!isBefore(heap[below] as Timed, last)) break;
      heap[at] = heap[below] as Timed;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Timed, b: Timed): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
