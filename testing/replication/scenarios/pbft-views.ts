// Scripts for PBFT groups whose views change at awkward moments.

import { utf8 } from '../../../src/base/bytes.ts';
import { isNull } from '../../../src/replication/pbft/batch.ts';
import { membersOf } from '../options.ts';
import type { Script } from './scenario.ts';

/** A NEW-VIEW names a VIEW-CHANGE that some members never got: they fetch it. */
export const hiddenViewChange: Script = async (stage) => {
  const { session } = stage.client('c0');
  await stage.put(session, 'k');
  const n = membersOf('pbft', stage.faults);
  const heal = stage.cut([`r${n - 2}`], [`r${n - 1}`], 'viewChange');
  // The last one alone: others would hand it on when asked for its status.
  stage.replica(0).crash();
  await stage.put(session, 'k');
  await stage.until(
    () => stage.group.correct.every(({ status }) => status === undefined || status.view > 0),
    'all that are up enter a later view',
  );
  heal();
  stage.replica(0).start();
  await stage.work([session], 6);
  await stage.together();
};

/**
 * The batch at a checkpoint's place reaches nobody, the one behind it does; the primary dies. The next view puts nothing
 * there, which is prepared and not committed; the one after that does so again.
 */
export const nullAtCheckpoint: Script = async (stage) => {
  const { group, simulation } = stage;
  const place = 4;
  const { session } = stage.client('c0');
  const empty = new Set<number>();
  stage.lose(({ name, value }) => {
    if (name !== 'newView') return false;
    const { view, height, batches } = value.statement;
    const digest = batches[place - height - 1];
    if (digest !== undefined && isNull(digest)) empty.add(view);
    return false;
  });
  const heal = stage.lose(({ name, value }) => name === 'prePrepare' && value.sequence === place);
  const undecided = stage.lose(
    ({ name, value }) => name === 'pbftCommit' && value.view <= 1 && value.sequence >= place,
  );
  const writes = Array.from({ length: 6 }, (_, i) =>
    session.perform({ kind: 'put', key: utf8(`k${i % 2}`), value: session.newValue(12) }, 100_000),
  );
  await simulation.runFor(100);
  stage.replica(0).crash(true);
  heal();
  await stage.until(
    () => group.replicas.slice(1).every(({ status }) => (status?.view ?? 0) > 1),
    'all that are up leave the view in which nothing is prepared at the place',
  );
  undecided();
  for (const write of writes) {
    stage.expect((await simulation.complete(write, 120_000)) === 'result', 'a put was lost');
  }
  stage.expect(empty.has(1), 'the first new view orders something at the place');
  stage.expect(
    [...empty].some((view) => view > 1),
    'a later view orders something where nothing was prepared',
  );
  stage.replica(0).start();
  await stage.work([session], 10);
  await stage.together();
  stage.demand(group.agreement.hasRoot(place), 'no checkpoint is taken at the place');
};

/** The first batch is accepted and not prepared, another one is done in its place; liars say it was prepared first. */
export const olderClaim: Script = async (stage) => {
  const { faults, group, simulation } = stage;
  const { machine, session } = stage.client('c0');
  stage.lose(({ name, value }) => name === 'pbftPrepare' && value.view === 0);
  await stage.tryPut(session, 'k', 50);
  machine.crash();
  // They remember that they accepted it, and order it together with what is asked for next.
  for (const replica of group.replicas) replica.crash(true);
  await simulation.runFor(100);
  const ignorant = [stage.replica(0), ...group.replicas.slice(2 * faults + 2)];
  for (const replica of group.replicas) if (!ignorant.includes(replica)) replica.start();
  const { session: writer } = stage.client('c1');
  const value = await stage.put(writer, 'k');
  await simulation.runFor(100);
  stage.expect(stage.replica(1).status?.executed === 1, 'it is not where the first batch was');
  // One correct member knows of it, and liars deny it: too few to vouch for it.
  const away = [stage.replica(1), ...group.replicas.slice(faults + 2, 2 * faults + 1)];
  for (const replica of away) replica.crash(true);
  const untold = stage.lose(
    ({ name }, _, to) => name === 'committed' && ignorant.some((one) => one.name === to),
  );
  for (const replica of ignorant) replica.start();
  await stage.tryPut(writer, 'other', 8_000);
  untold();
  for (const replica of away) replica.start();
  stage.demand((await stage.get(writer, 'k', true)) === value, 'what was done is gone');
  await stage.work([writer], 4);
  await stage.together();
};

/** What everyone needs for a view has been done; the primary dies; f liars say something else of it. */
export function afterCommit(deadMembers: (faults: number) => number): Script {
  return async (stage) => {
    const { faults, group } = stage;
    const n = membersOf('pbft', faults);
    const { session } = stage.client('c0');
    for (let i = 0; i < 3; i++) await stage.put(session, 'other');
    await stage.simulation.runFor(500);
    // The last f are behind: what they do next they do by the new view's word.
    const heal = stage.cut(stage.names(0, n), stage.names(n - faults, n));
    const value = await stage.put(session, 'k');
    await stage.simulation.runFor(100);
    const dead = group.replicas.slice(0, deadMembers(faults));
    for (const replica of dead) replica.crash(true);
    heal();
    const kept = stage.cut(
      stage.names(0, n),
      stage.names(n - faults, n),
      'committed',
      'pbftStatus',
    );
    const { session: writer } = stage.client('c1');
    await stage.tryPut(writer, 'other', 8_000);
    await stage.tryPut(writer, 'other', 8_000);
    kept();
    for (const replica of dead) replica.start();
    stage.demand((await stage.get(writer, 'k', true)) === value, 'what was done is gone');
    await stage.work([writer], 4);
    await stage.together();
  };
}

/**
 * A checkpoint is known to be stable to liars alone, who are the next primaries; they order something else where its
 * batches are, and f members are behind.
 */
export const oldPlaces: Script = async (stage) => {
  const { faults } = stage;
  const n = membersOf('pbft', faults);
  const { session } = stage.client('c0');
  const liars = stage.names(1, 1 + faults);
  const all = stage.names(0, n);
  const honest = all.filter((name) => !liars.includes(name));
  await stage.put(session, 'k');
  await stage.simulation.runFor(300);
  const keep = stage.cut(all, honest, 'checkpoint', 'stableCheckpoint');
  const keepStatus = stage.cut(all, honest, 'pbftStatus', 'committed', 'statePart');
  const heal = stage.cut(all, stage.names(n - faults, n));
  for (let i = 0; i < 4; i++) await stage.put(session, `k${i % 2}`);
  await stage.simulation.runFor(100);
  stage.replica(0).crash(true);
  heal();
  await stage.tryPut(session, 'k', 1_500);
  stage.replica(0).start();
  await stage.simulation.runFor(3_000);
  keep();
  keepStatus();
  await stage.work([session], 6);
  await stage.together();
};
