// Scripts for PBFT groups whose members crash and whose disks lose, forget or rot.

import { membersOf } from '../options.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import type { Script } from './scenario.ts';

/**
 * Something rots on one member's disk: it finds that out, says so, and mends it from the others. With a rotten format
 * record it does not start.
 */
export const rottenPage: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.work([session], 20);
  await stage.simulation.runFor(500);
  const victim = stage.replica(1);
  victim.damage();
  victim.crash();
  stage.expect(victim.node.disk.damageTableValue(), 'there is nothing to rot');
  victim.start();
  await stage.work([session], 20);
  if (!victim.node.up) return;
  const [other] = stage.group.correct;
  await stage.until(
    () => victim.status?.status === 'normal' && victim.status.executed === other?.status?.executed,
    'the damaged member is back among the others',
  );
  const { metrics } = victim.node;
  const found = ['disk-pages-differ', 'disk-checkpoint-damaged'].some(
    (code) => metrics.counted('replication_events_total', code) > 0,
  );
  stage.demand(found, 'nobody is told of the damage');
  await stage.until(() => victim.status?.damage.length === 0, 'the disk is put right');
};

/** f members forget what they had said was on their disks; they count as faulty, and no more than that may. */
export const forgottenFlush: Script = async (stage, extra) => {
  const { session } = stage.client('c0');
  const n = membersOf('pbft', stage.faults);
  await stage.put(session, 'k');
  await stage.simulation.runFor(500);
  const forgetful = stage.group.replicas.slice(1, 1 + stage.faults + extra);
  const before = forgetful.map(({ node }) => node.disk.snapshot());
  // The last f never hear of it.
  const away = stage.names(n - stage.faults, n);
  const heal = stage.cut(stage.names(0, n - stage.faults), away);
  const value = await stage.put(session, 'k');
  await stage.simulation.runFor(200);
  const first = stage.replica(0);
  const others = stage.group.replicas
    .slice(1, n - stage.faults)
    .filter((one) => !forgetful.includes(one));
  for (const replica of [first, ...others]) replica.crash(true);
  forgetful.forEach((replica, i) => {
    forget(replica, before[i]);
  });
  heal();
  // Those that remember come back when a view has begun without them, if that is possible.
  await stage.simulation.runFor(3_000);
  const { session: writer } = stage.client('c1');
  await stage.tryPut(writer, 'other', 5_000);
  for (const replica of [first, ...others]) replica.start();
  const { session: reader } = stage.client('c2');
  const read = await stage.get(reader, 'k', true);
  stage.demand(read === value, 'what was done is gone');
  await stage.work([session], 6);
};

function forget(
  replica: ReplicaMachine,
  snapshot: Parameters<ReplicaMachine['node']['disk']['restore']>[0] | undefined,
): void {
  replica.damage();
  replica.crash();
  if (snapshot !== undefined) replica.node.disk.restore(snapshot);
  replica.start();
}

/**
 * A batch is prepared by f+1 members, f of which deny it afterwards, and its primary dies. Whoever took that for enough
 * has told a client what is then lost.
 */
export const preparedByFew: Script = async (stage) => {
  const { faults } = stage;
  const n = membersOf('pbft', faults);
  const { session } = stage.client('c0');
  await stage.put(session, 'other');
  await stage.simulation.runFor(500);
  const few = stage.names(0, faults + 1);
  const others = stage.names(faults + 1, n);
  const all = stage.names(0, n);
  const cuts = [
    // Some never hear of it, and the rest not that others prepare it.
    stage.cut(all, stage.names(2 * faults + 1, n), 'prePrepare'),
    stage.cut(all, others, 'pbftPrepare'),
    stage.cut(all, others, 'pbftCommit'),
    stage.cut(all, all, 'pbftStatus', 'committed'),
  ];
  const [value, ending] = await stage.tryPut(session, 'k', 150);
  stage.replica(0).crash(true);
  // The liars keep to themselves what they had said and heard.
  const kept = stage.cut(few, others, 'pbftPrepare', 'pbftCommit', 'committed', 'submitRequest');
  // Who has only heard of the batch remembers that, but not the request.
  for (const replica of stage.group.replicas.slice(faults + 1)) {
    replica.crash();
    replica.start();
  }
  for (const heal of cuts) heal();
  stage.expect(few.length === faults + 1, 'so many have it prepared');
  const { session: writer } = stage.client('c1');
  await stage.tryPut(writer, 'other', 5_000);
  kept();
  stage.replica(0).start();
  const read = await stage.get(writer, 'k', true);
  stage.demand(ending !== 'result' || read === value, 'what a client was told is gone');
  await stage.work([writer], 4);
};

/** Power fails everywhere at the moment of an answer. */
export const blackout: Script = async (stage) => {
  const { session } = stage.client('c0');
  for (let round = 0; round < 4; round++) {
    const value = await stage.put(session, 'k');
    for (const replica of stage.group.replicas) replica.crash(true);
    await stage.simulation.runFor(200);
    for (const replica of stage.group.replicas) replica.start();
    const { session: reader } = stage.client(`reader${round}`);
    stage.demand((await stage.get(reader, 'k')) === value, 'an acknowledged value is gone');
  }
  await stage.together();
};

/** A disk is replaced by an empty one: its member does not start, and the others go on. */
export const wipedDisk: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.work([session], 10);
  const victim = stage.replica(1);
  victim.damage();
  victim.crash();
  victim.node.disk.create();
  victim.start();
  await stage.simulation.runFor(100);
  stage.demand(!victim.node.up, 'a member that has forgotten its promises runs');
  await stage.work([session], 10);
};
