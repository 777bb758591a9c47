import { expect, test } from 'vitest';
import { NodeMetrics } from './metrics.ts';

test('counts, levels and distributions appear with the prefix', async () => {
  const metrics = new NodeMetrics();
  metrics.count('messages_total');
  metrics.count('messages_total', undefined, 2);
  metrics.count('drops_total', 'idle');
  metrics.gauge('queue_bytes', 5);
  metrics.gauge('queue_bytes', 3);
  metrics.observe('sync_ms', 0.3);
  const text = await metrics.text();
  expect(text).toContain('holdfast_messages_total 3\n');
  expect(text).toContain('holdfast_drops_total{label="idle"} 1\n');
  expect(text).toContain('holdfast_queue_bytes 3\n');
  expect(text).toContain('holdfast_sync_ms_bucket{le="0.5"} 1\n');
  expect(text).toContain('holdfast_sync_ms_sum 0.3\n');
});

test('two servers in one process count apart', async () => {
  const [one, two] = [new NodeMetrics(), new NodeMetrics()];
  one.count('messages_total');
  two.count('messages_total', undefined, 7);
  expect(await one.text()).toContain('holdfast_messages_total 1\n');
  expect(await two.text()).toContain('holdfast_messages_total 7\n');
});

test('labels without end share one', async () => {
  const metrics = new NodeMetrics();
  for (let i = 0; i < 10_000; i++) metrics.count('drops_total', `reason-${i}`);
  metrics.count('drops_total', 'reason-0');
  const text = await metrics.text();
  expect(text).toContain('holdfast_drops_total{label="reason-0"} 2\n');
  expect(text).toContain('holdfast_drops_total{label="other"} 9900\n');
  expect(text.length).toBeLessThan(20_000);
});
