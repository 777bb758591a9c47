// Scripts for PBFT about the sequences that primaries use, and how long primaries stay.

import type { Send } from '../../../src/replication/contract.ts';
import { altered, type LieMaker } from '../lies/lying-engine.ts';
import type { Script } from './scenario.ts';

/** Puts its third batch, and all that follow, further up, so that a gap is left which nothing fills. */
export function jumpingTo(sequenceFor: (sequence: number, window: number) => number): LieMaker {
  return ({ window }) => {
    const jumped = (send: Extract<Send, { name: 'prePrepare' | 'pbftCommit' }>): number =>
      sequenceFor(send.value.sequence, window);
    return {
      onSend: (send, to) => {
        if (send.name !== 'prePrepare' && send.name !== 'pbftCommit') return undefined;
        if (send.value.view > 0 || send.value.sequence < 3) return undefined;
        return [altered(send, to, { ...send.value, sequence: jumped(send) })];
      },
    };
  };
}

/** What is left out is filled with nothing by the next primary; what lies too far up is refused. */
export function gap(isTooFar: boolean): Script {
  return async (stage) => {
    const { group } = stage;
    const { session } = stage.client('c0');
    await stage.work([session], 12);
    await stage.together();
    let refused = 0;
    for (const { name, status, node } of group.correct) {
      stage.demand((status?.view ?? 0) > 0, `${name} stays with a primary that leaves gaps`);
      refused += node.metrics.counted('replication_events_total', 'outside-window');
    }
    stage.expect(!isTooFar || refused > 0, 'nobody refused what lies too far up');
  };
}

/** Clients always have something under way. A primary that serves them all is never left. */
export const steadyWork: Script = async (stage) => {
  const { group, simulation } = stage;
  const sessions = ['c0', 'c1', 'c2', 'c3'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, Number.MAX_SAFE_INTEGER);
  await simulation.runFor(1_500);
  stage.expect(
    group.replicas.every(({ status }) => status?.view === 0),
    'a primary that serves everyone is left',
  );
  workload.demandSuccess(1);
  await stage.finish(workload, sessions);
  await stage.together();
};
