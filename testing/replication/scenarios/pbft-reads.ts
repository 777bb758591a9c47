// The known attack on reads in one round (Berger, Reiser and Bessani, Making Reads in BFT State Machine Replication Fast,
// Linearizable, and Live, 2021, 3): the primary keeps f correct members from executing anything, and liars answer nobody.
// Then a read finds no 2f+1 equal answers. Where ordered operations need as many, so that reads may be answered at once,
// they never end either, and nobody changes the view, since all but those f are served. Here they need f+1.

import type { ReplicationMessageName } from '../../../src/wire/replication-registry.ts';
import type { LieMaker } from '../lies/lying-engine.ts';
import type { Stage } from '../stage.ts';

/** What a primary keeps from the members that it starves. */
const food: ReadonlySet<ReplicationMessageName> = new Set<ReplicationMessageName>([
  'prePrepare',
  'pbftPrepare',
  'pbftCommit',
  'committed',
  'body',
  'checkpoint',
  'stableCheckpoint',
  'statePart',
]);

/** The last f members get nothing by which they could execute, and no client is ever answered. */
export const starving: LieMaker = ({ group }) => {
  const firstStarved = group.members.length - group.faults;
  return {
    onSend: (send, to) => {
      if (send.name === 'requestReply') return [];
      return to.kind === 'replica' && to.index >= firstStarved && food.has(send.name)
        ? []
        : undefined;
    },
  };
};

export async function starvedReads(stage: Stage): Promise<void> {
  const { faults, group, simulation } = stage;
  const n = group.group.members.length;
  const starved = group.replicas.slice(n - faults);
  const { machine, session } = stage.client('c0');
  const orderedReads = (): number =>
    machine.node.metrics.counted('replication_queries_ordered_total');
  // Correct members would feed them, were the network not as slow as the attacker wants it to be.
  const heal = stage.cut(
    stage.names(faults, n - faults),
    stage.names(n - faults),
    'committed',
    'body',
    'checkpoint',
    'stableCheckpoint',
    'statePart',
  );
  const values: string[] = [];
  for (let i = 0; i < 6; i++) {
    values.push(await stage.put(session, 'k'));
    stage.demand((await stage.get(session, 'k')) === values.at(-1), 'a read gave an old value');
    stage.expect(orderedReads() === i + 1, 'no read finds enough answers, and each is ordered');
  }
  stage.expect(
    starved.every(({ status }) => status?.executed === 0),
    'the last members execute nothing',
  );
  stage.expect(
    group.correct.every(({ status }) => status?.view === 0),
    'nobody has a reason to leave the view',
  );
  // The primary goes on starving them, but the others can be heard.
  heal();
  await stage.together();
  await simulation.runFor(2_000);
  await stage.get(session, 'k');
  stage.expect(orderedReads() === values.length, 'all correct members answer reads again');
}
