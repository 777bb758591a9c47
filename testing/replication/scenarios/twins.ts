// Scripts for PBFT groups in which f members run twice, each with one key in two processes that know nothing of each other,
// or no more than what is said to either. Each demands that correct members were shown what contradicts itself.

import type { TwinPlan } from '../group.ts';
import { altered, type LieMaker } from '../lies/lying-engine.ts';
import { membersOf, type RunOptions } from '../options.ts';
import type { ShowingKind } from '../showings.ts';
import { playOn } from '../stage.ts';
import { fallBehind } from './falling-behind.ts';
import { crash, endless, hush, leaveView, type Trouble } from './leaving.ts';
import type { Scenario, Script } from './scenario.ts';

const options: Partial<RunOptions> = {
  pbft: { checkpointInterval: 4, window: 8, timeoutMs: 200, timeoutMsMax: 4_000, batchRequests: 2 },
  hasInput: true,
  concurrency: 2,
  thinkMs: [5, 40],
};

function scenario(
  what: string,
  twins: (faults: number) => TwinPlan,
  script: Script,
  changed: Partial<RunOptions> = {},
): Scenario {
  return {
    what,
    isTight: false,
    play: (settings, faults, extra) =>
      playOn(
        settings,
        { engine: 'pbft', faults, twins: twins(faults), options: { ...options, ...changed } },
        (stage) => script(stage, extra),
      ),
  };
}

function indexes(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

/** Clients work until correct members were shown a contradiction, and views were left. */
function untilShown(kind: ShowingKind, trouble: Trouble, viewsLeftMin: number): Script {
  return async (stage) => {
    const { group, simulation } = stage;
    const isShown = (): boolean => group.showings.contradictions(kind) > 0;
    const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
    const workload = stage.begin(sessions, endless);
    const roundsMax = 2 * group.group.members.length;
    for (let round = 0; round < roundsMax && !stage.isBroken; round++) {
      if (stage.view >= viewsLeftMin && isShown()) break;
      await simulation.runFor(40 + group.prng.below(60));
      await leaveView(stage, trouble);
    }
    workload.demandSuccess(20);
    await stage.finish(workload, sessions);
    await stage.together();
    stage.require(stage.view >= viewsLeftMin, `only ${stage.view} views were left`);
    stage.require(isShown(), `no contradiction was shown: ${kind}`);
  };
}

/** Each process proposes to its half what its own client asks for; one member hears no proposal, so that no half is enough. */
const ownClients: Script = async (stage) => {
  const { faults, group } = stage;
  const n = membersOf('pbft', faults);
  const undecided = stage.names(n - 1, n);
  const proposers = group.replicas.filter(({ index }) => index < faults).map(({ name }) => name);
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const heal = stage.cut(proposers, undecided, 'prePrepare');
  const workload = stage.begin(sessions, 40);
  await stage.until(() => stage.view >= faults, 'the views of the twins are left');
  heal();
  await stage.finish(workload, sessions);
  await stage.together();
  stage.require(group.showings.contradictions('vote') > 0, 'nothing was proposed twice');
};

/** The two halves go on by themselves, as far as they can. */
const halves: Script = async (stage) => {
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  await stage.work(sessions, 60);
  await stage.together();
  const { showings } = stage.group;
  stage.require(showings.contradictions('vote') > 0, 'nothing was proposed twice');
};

/** Everything of a state is something else, where it was asked for. */
const falsifying: LieMaker = ({ prng }) => ({
  onSend: (send, to) => {
    if (send.name !== 'statePart') return undefined;
    const { value } = send;
    const pages = value.pages.map((page) => ({ ...page, bytes: [prng.bytes(20)] }));
    const nodes = value.nodes.map(({ index, children }) => ({
      index,
      children: children.map(() => prng.bytes(32)),
    }));
    return [altered(send, to, { ...value, pages, nodes })];
  },
});

/** A member that is far behind asks twins alone, of which one says what is and the other something else. */
const source: Script = async (stage) => {
  const { showings } = stage.group;
  const sessions = ['c0', 'c1'].map((name) => stage.client(name).session);
  const workload = stage.begin(sessions, endless);
  await stage.simulation.runFor(100);
  const isShown = await fallBehind(stage, workload, () => showings.contradictions('state') > 0);
  workload.demandSuccess(20);
  await stage.finish(workload, sessions);
  await stage.together();
  stage.require(isShown, 'nobody was told two things of one state');
};

export const twinScenarios: Readonly<Record<string, Scenario>> = {
  'twin-primary': scenario(
    'the primary runs twice, with one key, and proposes to each half of the others what it was asked for there',
    (faults) => ({
      members: indexes(0, faults),
      others: indexes(2 * faults, faults),
      clients: ['c1'],
      isApart: true,
    }),
    halves,
  ),
  'twin-clients': scenario(
    'a primary that runs twice has other clients in each half, and no half is enough',
    (faults) => ({
      members: indexes(0, faults),
      others: indexes(2 * faults, faults),
      clients: ['c1'],
      isApart: true,
    }),
    ownClients,
  ),
  'twin-backups': scenario(
    'f backups run twice, and leave views with two stories',
    (faults) => ({
      members: indexes(2 * faults + 1, faults),
      others: indexes(faults + 1, faults),
      isApart: true,
    }),
    untilShown('viewChange', crash, 2),
  ),
  'twin-next-primary': scenario(
    'the next primaries run twice, and each opens its view for one half',
    (faults) => ({
      members: indexes(1, faults),
      others: indexes(2 * faults + 1, faults),
      isApart: true,
      // Without them one process alone would hear of enough.
      shared: ['viewChange'],
    }),
    untilShown('newView', hush, 2),
  ),
  'twin-source': scenario(
    'a member fetches its state from members that run twice and answer twice',
    (faults) => ({
      members: indexes(2 * faults + 1, faults),
      isApart: false,
      shared: 'all',
      lies: [falsifying],
    }),
    source,
  ),
};
