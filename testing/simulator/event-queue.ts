// Pending events in the order (time, number of scheduling). That order is total, so a run has no ties to break.

/** Something that happens at an instant of virtual time. */
export abstract class ScheduledEvent {
  /** Set by the simulation when it takes the event in. */
  timeUs = 0;
  sequence = 0;
  /** Set and cleared by the queue. */
  queued = false;
  cancelled = false;

  /** Names this sort of event in the message of a watchdog. */
  abstract readonly label: string;
  abstract fire(): void;
}

function before(a: ScheduledEvent, b: ScheduledEvent): boolean {
  return a.timeUs < b.timeUs || (a.timeUs === b.timeUs && a.sequence < b.sequence);
}

/** Below this size a queue of mostly cancelled events is left alone. */
const compactionSizeMin = 1024;

export class EventQueue {
  #heap: ScheduledEvent[] = [];
  #cancelled = 0;

  push(event: ScheduledEvent): void {
    event.queued = true;
    this.#heap.push(event);
    this.#up(this.#heap.length - 1);
  }

  /** The event will not come out of the queue; nothing happens if it has already. */
  cancel(event: ScheduledEvent): void {
    if (event.cancelled) return;
    event.cancelled = true;
    if (!event.queued) return;
    this.#cancelled++;
    if (this.#heap.length >= compactionSizeMin && 2 * this.#cancelled > this.#heap.length) {
      this.#compact();
    }
  }

  /** Time of the first event; undefined when there is none. */
  nextTimeUs(): number | undefined {
    while (this.#heap[0]?.cancelled === true) {
      this.#cancelled--;
      this.pop();
    }
    return this.#heap[0]?.timeUs;
  }

  /** Takes the first event out, unless there is none. */
  pop(): ScheduledEvent | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#down(0);
    }
    first.queued = false;
    return first;
  }

  #compact(): void {
    this.#heap = this.#heap.filter((event) => !event.cancelled);
    this.#cancelled = 0;
    for (let i = (this.#heap.length >>> 1) - 1; i >= 0; i--) this.#down(i);
  }

  #up(start: number): void {
    const heap = this.#heap;
    const moving = heap[start] as ScheduledEvent;
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = heap[parentIndex] as ScheduledEvent;
      if (before(parent, moving)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = moving;
  }

  #down(start: number): void {
    const heap = this.#heap;
    const size = heap.length;
    const moving = heap[start] as ScheduledEvent;
    let index = start;
    for (;;) {
      let childIndex = 2 * index + 1;
      if (childIndex >= size) break;
      let child = heap[childIndex] as ScheduledEvent;
      const right = heap[childIndex + 1];
      if (right !== undefined && before(right, child)) {
        child = right;
        childIndex++;
      }
      if (before(moving, child)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = moving;
  }
}
