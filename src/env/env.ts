import type { Clock, Timers } from './clock.ts';
import type { Entropy } from './entropy.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Network } from './network.ts';

/** All that code above has of the machine it runs on, real or simulated; disks are handed over apart. */
export interface Env {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly network: Network;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}
