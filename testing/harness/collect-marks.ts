// Turns what nodes have counted into marks.

import type { InspectableMetrics } from '../simulator/metrics.ts';
import type { MarkName } from './marks.ts';
import type { System } from './system.ts';

type Row = readonly [mark: MarkName, counter: string, label?: string];

const rows: readonly Row[] = [
  ['request resent', 'requests_resent_total'],
  ['data fetched to count a reply', 'fetches_started_total'],
  ['fetch exhausted', 'fetches_exhausted_total'],
  ['vote replaced by a newer one', 'votes_replaced_total'],
  ['reply rejected', 'replies_rejected_total'],
  ['reply of a closed conversation ignored', 'replies_ignored_total', 'unknown-nonce'],
  ['reply of another epoch ignored', 'replies_ignored_total', 'other-epoch'],
  ['reply of a foreign instance ignored', 'replies_ignored_total', 'foreign-instance'],
  ['request rejected by a server', 'requests_rejected_total'],
  ['damage found', 'damaged_items_found_total'],
  ['damage repaired', 'damaged_items_repaired_total'],
  ['missed items caught up', 'items_caught_up_total'],
];

export function collectMarks(system: System): void {
  const metrics: InspectableMetrics[] = [
    ...system.clients.map(({ node }) => node.metrics),
    ...system.correct.map(({ node }) => node.metrics),
  ];
  for (const [mark, counter, label] of rows) {
    for (const counters of metrics) system.marks.hit(mark, counters.counted(counter, label));
  }
}
