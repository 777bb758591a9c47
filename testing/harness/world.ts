// What all machines of one run share.

import type { Fabric } from '../simulator/network.ts';
import type { Simulation } from '../simulator/simulation.ts';
import type { Marks } from './marks.ts';

export class World {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly marks: Marks;
  readonly #subject: number;

  constructor(simulation: Simulation, fabric: Fabric, marks: Marks) {
    this.simulation = simulation;
    this.fabric = fabric;
    this.marks = marks;
    this.#subject = simulation.trace.subject('harness');
  }

  /** Puts into the trace what is done to the system from outside. */
  note(what: string, detail: string): void {
    this.simulation.trace.note(what, this.#subject, detail);
  }
}
