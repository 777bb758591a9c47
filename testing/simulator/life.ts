// One incarnation of a node, from start to crash. Whatever is to happen at the node goes through its life: nothing
// happens at a dead one, and at a paused one things wait until it is resumed.

import { ScheduledEvent } from './event-queue.ts';
import type { Simulation } from './simulation.ts';

/** An event that runs a node's own code. */
export abstract class NodeEvent extends ScheduledEvent {
  readonly life: Life;

  constructor(life: Life) {
    super();
    this.life = life;
  }

  override fire(): void {
    this.life.perform(this);
  }

  /** Runs the node's code. */
  abstract act(): void;

  /** The node is dead: called instead of `act`. */
  discard(): void {}
}

class LifeAction extends NodeEvent {
  readonly label: string;
  readonly #action: () => void;

  constructor(life: Life, label: string, action: () => void) {
    super(life);
    this.label = label;
    this.#action = action;
  }

  override act(): void {
    this.#action();
  }
}

export class Life {
  readonly simulation: Simulation;
  readonly nodeName: string;
  /** The node's number in the trace. */
  readonly subject: number;
  #alive = true;
  #paused = false;
  #waiting: NodeEvent[] = [];

  constructor(simulation: Simulation, nodeName: string, subject: number) {
    this.simulation = simulation;
    this.nodeName = nodeName;
    this.subject = subject;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#paused;
  }

  perform(event: NodeEvent): void {
    if (!this.#alive) {
      event.discard();
      return;
    }
    if (this.#paused) {
      this.#waiting.push(event);
      return;
    }
    try {
      event.act();
    } catch (error) {
      this.simulation.fail(`${this.nodeName} threw in ${event.label}`, error);
    }
  }

  /** Runs `action` at the node `delayUs` after now, or when it is resumed, or never if it is dead by then. */
  after(delayUs: number, label: string, action: () => void): NodeEvent {
    const event = new LifeAction(this, label, action);
    this.simulation.schedule(event, delayUs);
    return event;
  }

  pause(): void {
    this.#paused = true;
  }

  /** What waited happens now, in the order in which it would have happened. */
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) if (!event.cancelled) this.simulation.schedule(event, 0);
  }

  end(): void {
    this.#alive = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const event of waiting) event.discard();
  }
}
