// Levels that must stay low while a run goes on: what a node keeps for its peers may not grow with what they do.

import { limits } from '../../src/wire/limits.ts';
import { BoundsWatch, explainBounds } from '../checkers/bounds.ts';
import type { RunOptions } from './options.ts';
import type { Failure } from './run-report.ts';
import type { System } from './system.ts';

const samplingMs = 50;
/** A call has a conversation of its own and at times one more to fetch data. */
const conversationsPerCall = 2;
const journalSizeBytesMax = 8 * 2 ** 20;

/** Watches from now on. @returns what was exceeded, if anything was. */
export function watchBounds(system: System, options: RunOptions): () => Failure | undefined {
  const watch = new BoundsWatch();
  for (const client of system.clients) {
    watch.watch({
      name: `${client.node.name} conversations`,
      limit: conversationsPerCall * options.concurrency,
      measure: () => client.session?.exchange.conversations ?? 0,
    });
  }
  const { correct, world } = system;
  for (const server of correct) {
    const { name } = server.node;
    watch.watch({
      name: `${name} conversations`,
      // Repairs, items brought in by a walk through lists, and one list for each other member.
      limit: 2 * conversationsPerCall * limits.repairsInFlightMax + options.servers,
      measure: () => server.server?.exchange.conversations ?? 0,
    });
    watch.watch({
      name: `${name} journal bytes`,
      limit: journalSizeBytesMax,
      measure: () => server.server?.status().journalSizeBytes ?? 0,
    });
    watch.watch({
      name: `${name} repairs waiting`,
      limit: limits.repairsQueuedMax,
      measure: () => server.server?.repair.waiting ?? 0,
    });
  }
  const sample = (): void => {
    watch.sample(world.simulation.nowMs);
    world.simulation.after(samplingMs, sample, 'sample');
  };
  sample();
  return () => {
    const verdict = watch.verdict();
    if (verdict.result === 'within') return undefined;
    return { kind: 'safety', message: explainBounds(verdict) };
  };
}
