// A script for both engines: f members' tables rot in every way there is.

import { PageRot, rotKinds } from '../page-rot.ts';
import type { Stage } from '../stage.ts';

/**
 * One kind of rot after the other on f members at a time. Before the next one they are back among the rest, and the group
 * goes on with them while f others are down.
 */
export async function rottenPages(stage: Stage): Promise<void> {
  const { faults, group, simulation } = stage;
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const keepers = group.replicas.filter(({ isWitness }) => !isWitness);
  const victims = keepers.slice(1, 1 + faults);
  const others = group.replicas.filter((replica) => !victims.includes(replica));
  const rots = victims.map((victim) => new PageRot(victim, group.group.instance, group.prng));
  await stage.work(sessions, 20);
  await simulation.runFor(500);
  for (const rot of rots) rot.remember();
  for (const kind of rotKinds) {
    await stage.work(sessions, 12);
    await simulation.runFor(500);
    for (const rot of rots) stage.expect(rot.play(kind), `there is something to rot: ${kind}`);
    await stage.together();
    const absent = others.slice(0, faults);
    for (const replica of absent) replica.crash();
    await stage.work(sessions, 4);
    for (const replica of absent) replica.start();
    await stage.together();
  }
  for (const { name, status } of victims) {
    stage.expect(status?.damage.length === 0, `${name} has put its disk right`);
  }
}
