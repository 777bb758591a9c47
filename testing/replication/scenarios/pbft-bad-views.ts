// A script for PBFT whose next primaries open their views wrongly.

import { nullDigest } from '../../../src/replication/pbft/batch.ts';
import type { NewViewStatement } from '../../../src/wire/pbft.ts';
import { altered, type LieMaker } from '../lies/lying-engine.ts';
import { signedNewView } from '../lies/view-changes.ts';
import type { Script } from './scenario.ts';

export const firstTimeoutMs = 300;

/** Leaves out what is prepared, or ends before it, or rests on 2f VIEW-CHANGEs; the same for all. */
export const misopening: LieMaker = (context) => {
  const { prng, group, index } = context;
  const kind = prng.below(3);
  const wrong = (statement: NewViewStatement): NewViewStatement => {
    const { batches, viewChanges } = statement;
    switch (kind) {
      case 0:
        return { ...statement, batches: batches.map(() => nullDigest) };
      case 1:
        return { ...statement, batches: batches.slice(0, -1) };
      default:
        return { ...statement, viewChanges: viewChanges.slice(0, 2 * group.faults) };
    }
  };
  return {
    onSend: (send, to) => {
      if (send.name !== 'newView') return undefined;
      const { statement } = send.value;
      if (statement.view % group.members.length !== index) return undefined;
      return [altered(send, to, signedNewView(context, wrong(statement)))];
    },
  };
};

/** Nobody enters those views, and the wait for each next one is twice as long, until a primary opens its view rightly. */
export const badNewViews: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  await stage.simulation.runFor(500);
  const leftMs = new Map<number, number>();
  const opened = new Set<number>();
  const liars = stage.names(1, 1 + faults);
  stage.lose(({ name, value }, from) => {
    if (name === 'newView' && liars.includes(from)) opened.add(value.statement.view);
    if (name !== 'viewChange' || liars.includes(from)) return false;
    const { view } = value.statement;
    if (!leftMs.has(view)) leftMs.set(view, simulation.nowMs);
    return false;
  });
  // Something is prepared that the next views must begin with.
  const heal = stage.lose(({ name, value }) => name === 'pbftCommit' && value.view === 0);
  const value = await stage.put(session, 'k');
  heal();
  stage.demand((await stage.get(session, 'k')) === value, 'what was prepared is gone');
  for (let view = 1; view <= faults; view++) {
    stage.expect(opened.has(view), `the primary of view ${view} never opened it`);
    const waitedMs = (leftMs.get(view + 1) ?? 0) - (leftMs.get(view) ?? 0);
    const patienceMs = firstTimeoutMs * 2 ** view;
    stage.expect(
      waitedMs >= 0.9 * patienceMs && waitedMs <= 1.5 * patienceMs,
      `view ${view} was waited for ${Math.round(waitedMs)} ms, and ${patienceMs} are due`,
    );
  }
  for (const { name, status, node } of group.correct) {
    const entered = node.metrics.counted('replication_events_total', 'view-entered');
    stage.demand(entered === 1 && status?.view === 1 + faults, `${name} entered a wrong view`);
  }
  await stage.work([session], 6);
  await stage.together();
};
