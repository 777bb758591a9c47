// What can be set about the engine, and within which bounds.

import { HoldfastError } from '../../base/errors.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicaGroup } from '../contract.ts';
import { checkShape } from '../parameter-shape.ts';

export interface PbftParameters {
  /** K: a checkpoint is taken every so many batches. The same at all members. */
  readonly checkpointInterval: number;
  /** L: how far agreement may run ahead of the last stable checkpoint; at least 2K. The same at all members. */
  readonly window: number;
  /** W: batches in flight. */
  readonly batchesInFlight: number;
  /** Requests of one batch. */
  readonly batchRequests: number;
  /** How long a primary waits at most for a batch to fill while others are in flight: half of what batches take, if less. */
  readonly batchDelayMs: number;
  /** First time-out of a request at its primary, and of a view change; doubled with every view left. */
  readonly timeoutMs: number;
  readonly timeoutMsMax: number;
  /** While something is missing a replica says what it has at this interval. */
  readonly statusIntervalMs: number;
  /** And at this one while nothing seems to be. */
  readonly idleStatusIntervalMs: number;
  /** Execute when prepared, undo if the view changes. Needs one round of messages less. */
  readonly isTentative: boolean;
  /**
   * How often this member recovers proactively, staggered by index so that members do it one after the other; 0: only
   * when asked. The n-th part must be enough for one recovery, for which `recoveryIntervalMsMin` makes a guess; a member
   * whose recoveries take longer stretches its own interval.
   */
  readonly recoveryIntervalMs: number;
  /** Larger results are sent by one replica; the others send the digest. */
  readonly fullReplySizeBytesMax: number;
}

export const defaultPbftParameters: PbftParameters = {
  checkpointInterval: 128,
  window: 256,
  batchesInFlight: 8,
  batchRequests: 64,
  batchDelayMs: 20,
  timeoutMs: 1000,
  timeoutMsMax: 300_000,
  statusIntervalMs: 100,
  idleStatusIntervalMs: 1000,
  isTentative: false,
  recoveryIntervalMs: 0,
  fullReplySizeBytesMax: 256,
};

/** How long a batch takes at least where members have disks and a network between them. */
const batchMsMin = 5;

/**
 * The smallest interval at which members recover one after the other. One recovery lasts until a checkpoint is stable above
 * all that was ordered before it, up to twice the window and an interval away; while nobody asks for anything each batch of
 * these is ordered by itself.
 */
export function recoveryIntervalMsMin(
  n: number,
  { window, checkpointInterval }: Pick<PbftParameters, 'window' | 'checkpointInterval'>,
): number {
  return n * (2 * window + checkpointInterval) * batchMsMin;
}

/** The parameters with defaults filled in. Throws `bad-configuration` for what cannot work. */
export function checkedParameters(
  group: ReplicaGroup,
  given: Partial<PbftParameters> = {},
): PbftParameters {
  checkShape(given, defaultPbftParameters);
  const parameters = { ...defaultPbftParameters, ...given };
  const { checkpointInterval, window, batchesInFlight, batchRequests } = parameters;
  const n = group.members.length;
  const intervalMsMin = recoveryIntervalMsMin(n, parameters);
  const demands: readonly (readonly [boolean, string])[] = [
    [
      group.faults >= 1 && n === 3 * group.faults + 1,
      `a PBFT group has 3f+1 members, f at least 1; this one has ${n} and f = ${group.faults}`,
    ],
    [n <= limits.pbftMembersMax, `a PBFT group has at most ${limits.pbftMembersMax} members`],
    [checkpointInterval >= 1, 'the checkpoint interval is at least 1'],
    [
      window >= 2 * checkpointInterval,
      `the window is at least two checkpoint intervals, 2 × ${checkpointInterval}; this one is ${window}`,
    ],
    [window <= limits.pbftWindowMax, `the window is at most ${limits.pbftWindowMax}`],
    [
      batchesInFlight >= 1 && batchesInFlight <= window,
      `batchesInFlight is 1 … ${window}, the window`,
    ],
    [
      batchRequests >= 1 && batchRequests <= limits.batchRequestsMax,
      `a batch has 1 … ${limits.batchRequestsMax} requests`,
    ],
    [
      parameters.recoveryIntervalMs === 0 || parameters.recoveryIntervalMs >= intervalMsMin,
      `the interval of recoveries is at least ${intervalMsMin} ms for ${n} members, who take turns, with this window and checkpoint interval; or 0 for none`,
    ],
    [parameters.timeoutMs > 0, 'timeoutMs is above 0'],
    [parameters.timeoutMs <= parameters.timeoutMsMax, 'timeoutMs is at most timeoutMsMax'],
    [parameters.statusIntervalMs > 0, 'statusIntervalMs is above 0'],
  ];
  for (const [holds, demand] of demands) {
    if (!holds) {
      throw new HoldfastError('bad-configuration', demand, { cure: 'Correct the parameter.' });
    }
  }
  return parameters;
}
