// Tells whoever runs a member that its instance has ended for good: from then on it takes part in nothing, as a broken member does, and all
// is well.

import type { Timers } from '../../env/clock.ts';
import type { Log } from '../../env/log.ts';
import type { ReplicaStatus } from '../../replication/contract.ts';

const checkIntervalMs = 1_000;

export interface EndWatchOptions {
  readonly timers: Timers;
  readonly log: Log;
  readonly status: () => Pick<ReplicaStatus, 'status' | 'executed' | 'root'>;
}

/** Looks from now on until it is told, once. @returns what ends it before. */
export function watchEnd({ timers, log, status }: EndWatchOptions): () => void {
  const check = (): void => {
    const { status: now, executed, root } = status();
    if (now === 'final') {
      const message =
        'the instance has ended and nothing more is executed; another group can begin with its state';
      log.info('replica-final', { executed, root, message });
    } else timer = timers.after(checkIntervalMs, check);
  };
  let timer = timers.after(checkIntervalMs, check);
  return () => timer.cancel();
}
