// Scripts for PBFT groups whose members crash in the middle of what they say.

import type {
  ReplicationMessage,
  ReplicationMessageName,
} from '../../../src/wire/replication-registry.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import type { Stage } from '../stage.ts';
import type { Script } from './scenario.ts';

/** What a member has just said when it crashes. */
interface Moment {
  readonly what: string;
  readonly name: ReplicationMessageName;
  /** Comes up only when the view is left while batches of it are prepared and not committed. */
  readonly isOfViewChange: boolean;
  isIt(message: ReplicationMessage, view: number): boolean;
}

const anywhere = (): boolean => true;

const moments: readonly Moment[] = [
  { what: 'PRE-PREPARE', name: 'prePrepare', isOfViewChange: false, isIt: anywhere },
  { what: 'PREPARE', name: 'pbftPrepare', isOfViewChange: false, isIt: anywhere },
  { what: 'COMMIT', name: 'pbftCommit', isOfViewChange: false, isIt: anywhere },
  { what: 'CHECKPOINT', name: 'checkpoint', isOfViewChange: false, isIt: anywhere },
  { what: 'VIEW-CHANGE', name: 'viewChange', isOfViewChange: true, isIt: anywhere },
  { what: 'NEW-VIEW', name: 'newView', isOfViewChange: true, isIt: anywhere },
  {
    what: 'a PREPARE of what the NEW-VIEW names',
    name: 'pbftPrepare',
    isOfViewChange: true,
    isIt: ({ name, value }, view) => name === 'pbftPrepare' && value.view > view,
  },
];

/** What only a view's primary says, and what only the others do. */
const ofPrimaries: readonly ReplicationMessageName[] = ['prePrepare', 'newView'];
const ofBackups: readonly ReplicationMessageName[] = ['pbftPrepare'];

/**
 * Everyone crashes in turn at every moment of the protocol, while clients work. What a member says last reaches some of
 * the others and not all.
 */
export const rollingCrashes: Script = async (stage) => {
  const { group } = stage;
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, Number.MAX_SAFE_INTEGER);
  const n = group.group.members.length;
  for (const moment of moments) {
    const left = new Set(group.replicas);
    for (let round = 0; round < 4 * n && left.size > 0; round++) {
      // In a view change it is the next primary's turn.
      const primary = stage.replica((viewOf(stage) + (moment.isOfViewChange ? 1 : 0)) % n);
      const victim = [...left].find((one) => mayCome(moment, one === primary));
      if (victim === undefined) await leaveView(stage);
      else if (await crashAt(stage, moment, victim)) left.delete(victim);
      const { completed } = workload;
      await stage.until(() => workload.completed > completed, 'operations go on');
    }
    stage.expect(left.size === 0, `${left.size} members never crashed behind ${moment.what}`);
  }
  workload.demandSuccess(1);
  await stage.finish(workload, sessions);
  await stage.together();
};

/** Whether a member can come to a moment, as primary or not. */
function mayCome({ name }: Moment, isPrimary: boolean): boolean {
  return !(isPrimary ? ofBackups : ofPrimaries).includes(name);
}

/** Keeps what is prepared in the newest view from being committed, until the view is left. */
function block(stage: Stage): () => void {
  const view = viewOf(stage);
  return stage.lose(
    ({ name, value }) => name === 'committed' || (name === 'pbftCommit' && value.view <= view),
  );
}

function viewOf({ group }: Stage): number {
  return Math.max(...group.replicas.map(({ status }) => status?.view ?? 0));
}

async function leaveView(stage: Stage): Promise<void> {
  const view = viewOf(stage);
  const heal = block(stage);
  await stage.until(() => viewOf(stage) > view, 'the view is left');
  heal();
}

/** @returns whether the member came to the moment. */
async function crashAt(stage: Stage, moment: Moment, victim: ReplicaMachine): Promise<boolean> {
  const { simulation } = stage;
  const { prng } = stage.group;
  const view = viewOf(stage);
  const isSilent = prng.chance(1, 2);
  const lostOneIn = prng.between(1, 3);
  let isDown = false;
  const heal = moment.isOfViewChange ? block(stage) : () => {};
  const stop = stage.lose((message, from) => {
    if (from !== victim.name || message.name !== moment.name) return false;
    if (!moment.isIt(message, view)) return false;
    if (!isDown) simulation.after(0, () => victim.crash(isSilent), 'crash');
    isDown = true;
    return prng.chance(1, lostOneIn);
  });
  const isThere = await simulation.runUntil(() => isDown, 20_000);
  await simulation.runFor(prng.between(1, 12));
  stop();
  victim.start();
  await simulation.runFor(prng.between(1, 12));
  heal();
  return isThere;
}
