// What can be set about a group. All members need the same values of `mode`, `witnesses`, `threeMessageWrites` and the
// lease's; the rest is each replica's own business.

import { HoldfastError } from '../../base/errors.ts';
import { limits } from '../../wire/limits.ts';
import { checkShape } from '../parameter-shape.ts';

export interface VrParameters {
  /**
   * `full`: log and checkpoints are on disk; a restarted replica is a slow one. `view`: only the view is; a restarted
   * replica recovers from the others, and a group restarted as a whole stays where it is for ever.
   */
  readonly mode: 'full' | 'view';
  /** Requests of one batch, 1 … 512. */
  readonly batchRequestsMax: number;
  /** A batch that is not full waits so long for company while another one is in flight. */
  readonly batchDelayMs: number;
  /** Batches in flight. */
  readonly pipelineMax: number;
  /** Batches between two checkpoints. */
  readonly checkpointInterval: number;
  /** Batches below the newest checkpoint that stay in memory, in intervals: laggards get those instead of pages. */
  readonly intervalsKept: number;
  /**
   * With witnesses: how many intervals of batches that not all designated replicas hold stay in memory and journal, for
   * those that lack them. Beyond that a checkpoint takes their place, and a witness that stands in for long becomes a
   * full replica. At least 2.
   */
  readonly intervalsHeld: number;
  readonly heartbeatMs: number;
  /** Without a message of the primary for so long, a backup starts a view change. */
  readonly primaryTimeoutMs: number;
  /** A forwarded request must be executed within so long. */
  readonly requestTimeoutMs: number;
  /** A view change must end within so long; doubled with each that does not. */
  readonly viewChangeTimeoutMs: number;
  readonly viewChangeTimeoutMaxMs: number;
  /** Duration of a lease for reads in one round; 0: off. Clocks that stop (suspended machines) break leases. */
  readonly leaseMs: number;
  /** Bound on how much faster or slower a clock runs than another, in parts per million. */
  readonly clockDriftPpm: number;
  /** Backups acknowledge to the client too, and the primary executes before it knows an operation to be committed. */
  readonly threeMessageWrites: boolean;
  /** Members 0 … f keep the state; the others store logs only while one of those is out, and the state if that lasts. */
  readonly witnesses: boolean;
}

export const defaultVrParameters: VrParameters = {
  mode: 'full',
  batchRequestsMax: 64,
  batchDelayMs: 5,
  pipelineMax: 8,
  checkpointInterval: 128,
  intervalsKept: 2,
  intervalsHeld: 16,
  heartbeatMs: 50,
  primaryTimeoutMs: 500,
  requestTimeoutMs: 1000,
  viewChangeTimeoutMs: 2000,
  viewChangeTimeoutMaxMs: 300_000,
  leaseMs: 0,
  clockDriftPpm: 1000,
  threeMessageWrites: false,
  witnesses: false,
};

const positive = [
  'batchRequestsMax',
  'pipelineMax',
  'checkpointInterval',
  'intervalsKept',
  'intervalsHeld',
  'heartbeatMs',
  'primaryTimeoutMs',
  'requestTimeoutMs',
  'viewChangeTimeoutMs',
  'viewChangeTimeoutMaxMs',
] as const;
const notNegative = ['batchDelayMs', 'leaseMs', 'clockDriftPpm'] as const;

/** @throws HoldfastError `bad-configuration` if a value makes no sense. */
export function vrParameters(given: Partial<VrParameters>): VrParameters {
  checkShape(given, defaultVrParameters);
  const parameters = { ...defaultVrParameters, ...given };
  if (parameters.mode !== 'full' && parameters.mode !== 'view') {
    throw bad('mode', "is 'full' or 'view'");
  }
  for (const name of positive) {
    if (!Number.isInteger(parameters[name]) || parameters[name] < 1) {
      throw bad(name, 'is a whole number, 1 or more');
    }
  }
  for (const name of notNegative) {
    if (!Number.isInteger(parameters[name]) || parameters[name] < 0) {
      throw bad(name, 'is a whole number, 0 or more');
    }
  }
  if (parameters.batchRequestsMax > limits.batchRequestsMax) {
    throw bad('batchRequestsMax', `is at most ${limits.batchRequestsMax}`);
  }
  if (parameters.pipelineMax > limits.vrEntriesPerMessageMax) {
    throw bad('pipelineMax', `is at most ${limits.vrEntriesPerMessageMax}`);
  }
  // A witness must be able to fetch a checkpoint before its log is full.
  if (parameters.intervalsHeld < 2) throw bad('intervalsHeld', 'is at least 2');
  if (parameters.clockDriftPpm >= 1_000_000) throw bad('clockDriftPpm', 'is below 1000000');
  if (parameters.primaryTimeoutMs <= parameters.heartbeatMs) {
    throw bad('primaryTimeoutMs', 'is above heartbeatMs, or every primary is given up');
  }
  // A witness's log is all that may be left of what one designated replica did.
  if (parameters.witnesses && parameters.mode !== 'full') {
    throw bad('witnesses', "needs mode 'full'");
  }
  return parameters;
}

function bad(name: keyof VrParameters, demand: string): HoldfastError {
  return new HoldfastError('bad-configuration', `the parameter ${name} ${demand}`, {
    cure: 'Correct it, or leave it out for the default.',
    details: { name },
  });
}
