import { expect, it } from 'vitest';
import type { Metrics } from '../../env/metrics.ts';
import type { ReplicaStatus } from '../../replication/contract.ts';
import { gaugeStatus } from './gauges.ts';

const sound: ReplicaStatus = {
  view: 1,
  status: 'normal',
  primary: 1,
  executed: 9,
  committed: 9,
  checkpoint: 8,
  transferred: undefined,
  root: '',
  damage: [],
};

it.each<[string, object, number, number, number?]>([
  ['that takes part', {}, 1, 0],
  ['whose instance has ended', { status: 'final' }, 0, 0, 1],
  ['that waits', { waitsFor: 'state' }, 0, 0],
  ['that is not normal', { status: 'transferring' }, 0, 0],
  ['that has failed', { status: 'failed' }, 0, 0],
  ['whose group has diverged, though its status is normal', { divergedAt: 12 }, 0, 1],
])('a replica %s', (_, changed, takesPart, isDiverged, isFinal = 0) => {
  const values = new Map<string, number>();
  const metrics: Metrics = {
    count() {},
    observe() {},
    gauge: (name, value) => values.set(name, value),
  };
  gaugeStatus(metrics, { ...sound, ...changed });
  expect(values.get('replication_takes_part')).toBe(takesPart);
  expect(values.get('replication_diverged')).toBe(isDiverged);
  expect(values.get('replication_final')).toBe(isFinal);
  expect(values.get('replication_executed')).toBe(9);
});
