// A node's own clock: it runs a little too fast or too slow, and its origin means nothing. Integers throughout.

import type { Clock, Timer, Timers } from '../../src/env/clock.ts';
import { type Life, NodeEvent } from './life.ts';
import { type Simulation, usPerMs } from './simulation.ts';

const partsPerMillion = 1_000_000;
/** A year: beyond any run. */
const delayMsMax = 365 * 24 * 3_600_000;

/** floor(value · ppm / 1,000,000) without leaving the exact integers. */
function share(value: number, ppm: number): number {
  const whole = Math.floor(value / partsPerMillion);
  const rest = value - whole * partsPerMillion;
  return whole * ppm + Math.floor((rest * ppm) / partsPerMillion);
}

export interface ClockOptions {
  /** How much faster than true time, in millionths; negative is slower. In -500,000 … 500,000. */
  readonly ratePpm: number;
  /** Reading at the moment of making. */
  readonly originUs: number;
}

export class SimulatedClock implements Clock {
  readonly #simulation: Simulation;
  readonly #ratePpm: number;
  readonly #originUs: number;
  readonly #startUs: number;
  #suspendedUs = 0;
  #suspendedSinceUs: number | undefined;

  constructor(simulation: Simulation, options: ClockOptions) {
    this.#simulation = simulation;
    this.#ratePpm = options.ratePpm;
    this.#originUs = options.originUs;
    this.#startUs = simulation.nowUs;
  }

  nowMs(): number {
    return this.nowUs() / usPerMs;
  }

  nowUs(): number {
    const nowUs = this.#suspendedSinceUs ?? this.#simulation.nowUs;
    const elapsedUs = nowUs - this.#startUs - this.#suspendedUs;
    return this.#originUs + elapsedUs + share(elapsedUs, this.#ratePpm);
  }

  /** True microseconds from now until this clock shows `localUs` or more, if it is not suspended on the way. */
  trueDelayUs(localUs: number): number {
    const localDelayUs = localUs - this.#originUs;
    const elapsedNowUs =
      (this.#suspendedSinceUs ?? this.#simulation.nowUs) - this.#startUs - this.#suspendedUs;
    const scale = partsPerMillion + this.#ratePpm;
    let elapsedUs = Math.floor(localDelayUs / scale) * partsPerMillion;
    elapsedUs += Math.floor(((localDelayUs % scale) * partsPerMillion) / scale);
    while (elapsedUs + share(elapsedUs, this.#ratePpm) < localDelayUs) elapsedUs++;
    return Math.max(0, elapsedUs - elapsedNowUs);
  }

  /** Stops the clock, as the sleep of a machine does with a monotonic clock. */
  suspend(): void {
    this.#suspendedSinceUs ??= this.#simulation.nowUs;
  }

  /** Lets it go on from where it stopped. */
  resume(): void {
    if (this.#suspendedSinceUs === undefined) return;
    this.#suspendedUs += this.#simulation.nowUs - this.#suspendedSinceUs;
    this.#suspendedSinceUs = undefined;
  }
}

class TimerEvent extends NodeEvent implements Timer {
  readonly label = 'timer';
  readonly number: number;
  readonly #clock: SimulatedClock;
  readonly #dueUs: number;
  readonly #action: () => void;

  constructor(
    life: Life,
    clock: SimulatedClock,
    number: number,
    dueUs: number,
    action: () => void,
  ) {
    super(life);
    this.number = number;
    this.#clock = clock;
    this.#dueUs = dueUs;
    this.#action = action;
  }

  override act(): void {
    const { simulation } = this.life;
    // The clock was suspended meanwhile.
    if (this.#clock.nowUs() < this.#dueUs) {
      simulation.schedule(this, this.#clock.trueDelayUs(this.#dueUs));
      return;
    }
    simulation.trace.timer(this.life.subject, this.number);
    this.#action();
  }

  cancel(): void {
    this.life.simulation.cancel(this);
  }
}

const deadTimer: Timer = { cancel() {} };

/** Timers in a node's own time; they die with its life. */
export class SimulatedTimers implements Timers {
  readonly #life: Life;
  readonly #clock: SimulatedClock;
  #number = 0;

  constructor(life: Life, clock: SimulatedClock) {
    this.#life = life;
    this.#clock = clock;
  }

  after(delayMs: number, action: () => void): Timer {
    if (!this.#life.alive) return deadTimer;
    // What is negative or not a number counts as no delay.
    const waitMs = delayMs > 0 ? Math.min(delayMs, delayMsMax) : 0;
    const dueMs = this.#clock.nowMs() + waitMs;
    // Code that compares the clock with a sum of its own must find that the time has come, rounding included.
    const nearestUs = Math.round(dueMs * usPerMs);
    const dueUs = nearestUs / usPerMs >= dueMs ? nearestUs : nearestUs + 1;
    const event = new TimerEvent(this.#life, this.#clock, ++this.#number, dueUs, action);
    this.#life.simulation.schedule(event, this.#clock.trueDelayUs(dueUs));
    return event;
  }
}
