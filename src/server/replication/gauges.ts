// What a replica's metrics say of how it stands.

import type { Metrics } from '../../env/metrics.ts';
import type { ReplicaStatus } from '../../replication/contract.ts';

/** How the replica stands, for who is to be alarmed. */
export function gaugeStatus(metrics: Metrics, status: ReplicaStatus): void {
  const isDiverged = status.divergedAt !== undefined;
  const takesPart = status.status === 'normal' && status.waitsFor === undefined && !isDiverged;
  metrics.gauge('replication_takes_part', takesPart ? 1 : 0);
  // Neither normal nor broken: its instance has ended.
  metrics.gauge('replication_final', status.status === 'final' ? 1 : 0);
  metrics.gauge('replication_diverged', isDiverged ? 1 : 0);
  metrics.gauge('replication_view', status.view);
  metrics.gauge('replication_executed', status.executed);
  metrics.gauge('replication_committed', status.committed);
  metrics.gauge('replication_checkpoint', status.checkpoint);
  metrics.gauge('replication_damage', status.damage.length);
}
