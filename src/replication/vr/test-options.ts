// What a test cluster is made of.

import type { EngineEnding } from '../contract.ts';
import type { VrParameters } from './parameters.ts';
import type { VrRules } from './rules.ts';

export interface ClusterOptions {
  readonly seed: number;
  readonly faults?: number;
  readonly clients?: number;
  readonly parameters?: Partial<VrParameters>;
  /** By member, what it has set otherwise. */
  readonly ownParameters?: readonly Partial<VrParameters>[];
  readonly rules?: Partial<VrRules>;
  /** Chance of a message to be lost, and to come twice, of 1000. */
  readonly lossPerMille?: number;
  readonly doublePerMille?: number;
  readonly delayMsMax?: number;
  readonly syncMsMax?: number;
  /** How fast each member's clock runs, in parts per million more than the common one. */
  readonly driftPpm?: readonly number[];
  /** Messages go through their encoding. */
  readonly isEncoded?: boolean;
  /** What the instance begins with, and which members have it from the start. */
  readonly genesis?: EngineEnding;
  readonly heirs?: readonly number[];
}

/** Short times, so that short runs see everything. */
export const quickParameters: Partial<VrParameters> = {
  batchRequestsMax: 4,
  batchDelayMs: 3,
  pipelineMax: 4,
  checkpointInterval: 8,
  intervalsKept: 3,
  heartbeatMs: 10,
  primaryTimeoutMs: 60,
  requestTimeoutMs: 120,
  viewChangeTimeoutMs: 100,
  viewChangeTimeoutMaxMs: 800,
};
