// Scripts for PBFT groups whose views change at awkward moments.

import { utf8 } from '../../../src/base/bytes.ts';
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

/** The batch at a checkpoint's place reaches nobody, the one behind it does; the primary dies. */
export const nullAtCheckpoint: Script = async (stage) => {
  const { session } = stage.client('c0');
  const heal = stage.lose(({ name, value }) => name === 'prePrepare' && value.sequence === 4);
  const writes = Array.from({ length: 6 }, (_, i) =>
    session.perform({ kind: 'put', key: utf8(`k${i % 2}`), value: session.newValue(12) }, 60_000),
  );
  await stage.simulation.runFor(100);
  stage.replica(0).crash(true);
  heal();
  for (const write of writes) {
    stage.expect((await stage.simulation.complete(write, 120_000)) === 'result', 'a put was lost');
  }
  stage.replica(0).start();
  await stage.work([session], 10);
  await stage.together();
  stage.expect(stage.group.agreement.checkpoints > 0, 'a checkpoint is taken');
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
