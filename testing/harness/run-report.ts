// What comes of one run, and what it is made from.

import { type Simulation, SimulationFailed } from '../simulator/simulation.ts';
import { collectMarks } from './collect-marks.ts';
import type { MarkName } from './marks.ts';
import { optionsLine, type RunOptions } from './options.ts';
import type { Parts } from './parts.ts';
import type { System } from './system.ts';

/** `unstable`: two runs of one seed were not the same. `vacuous`: a run did not do what it is for. */
export type FailureKind = 'crash' | 'safety' | 'liveness' | 'unstable' | 'vacuous';

export interface Failure {
  readonly kind: FailureKind;
  readonly message: string;
}

export interface RunSettings {
  readonly seed: number;
  /** Default: correct ones. */
  readonly parts?: Parts;
  readonly onTraceLine?: (line: string) => void;
}

export interface RunReport {
  readonly seed: number;
  /** One line. */
  readonly options: string;
  readonly failure: Failure | undefined;
  readonly traceHash: string;
  readonly events: number;
  readonly operations: number;
  readonly completed: number;
  readonly virtualMs: number;
  readonly marks: ReadonlyMap<MarkName, number>;
}

/** Lets `course` run to its end, or to the failure of the simulation. */
export async function reportOn(
  simulation: Simulation,
  system: System,
  options: RunOptions,
  course: () => Promise<Failure | undefined>,
): Promise<RunReport> {
  let failure: Failure | undefined;
  try {
    failure = await course();
  } catch (error) {
    if (!(error instanceof SimulationFailed)) throw error;
    failure = { kind: 'crash', message: describeCrash(error) };
  }
  collectMarks(system);
  const recorded = [...system.objects.operations, ...system.blocks.operations];
  return {
    seed: simulation.seed,
    options: optionsLine(options),
    failure,
    traceHash: simulation.trace.hash(),
    events: simulation.eventsRun,
    operations: recorded.length,
    completed: recorded.filter(({ outcome }) => outcome === 'completed').length,
    virtualMs: simulation.nowMs,
    marks: system.marks.hits,
  };
}

function describeCrash(error: SimulationFailed): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message}\n${cause.stack}` : error.message;
}
