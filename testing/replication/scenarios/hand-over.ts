// An instance ends while clients work and do not hear of all that was executed; another group goes on with its state, and the
// clients follow it with what they have under way.

import type { Failure } from '../../harness/run-report.ts';
import { SimulatedGroup } from '../group.ts';
import type { EngineName, RunOptions } from '../options.ts';
import { correctParts } from '../parts.ts';
import type { ReplicaMachine } from '../replica-machine.ts';
import { converge, judge, startAll } from '../run.ts';
import { playOn, Stage } from '../stage.ts';
import { Workload } from '../workload.ts';
import type { Scenario, Script } from './scenario.ts';

const clients = ['c0', 'c1', 'c2'];
const operations = 5_000;
const operationsAfter = 30;

const handOver =
  (parts = correctParts): Script =>
  async (stage) => {
    const { group, simulation } = stage;
    const prng = group.prng.fork();
    const workload = new Workload({ ...group.options, operations }, prng.fork());
    const followers = clients.map((name) => stage.client(name));
    for (const { session } of followers) workload.drive(session);
    await simulation.runFor(prng.between(200, 1_500));
    for (const replica of prng.shuffled(group.correct).slice(0, prng.below(stage.faults + 1))) {
      replica.crash(prng.chance(1, 2));
    }
    const deaf = prng.shuffled(clients).slice(0, prng.between(1, clients.length));
    stage.lose(({ name }, _, to) => name === 'requestReply' && deaf.includes(to));
    // What those ask for from now on comes together with the STOP, and some of it behind it in one batch.
    const stopMs = simulation.nowMs + prng.between(0, 300);
    const punctual = stage.hold(stopMs, deaf, stage.names(0), 'submitRequest');
    await stage.reach(stopMs);
    punctual();
    const { session } = stage.client('admin');
    const stopped = await stage.ending(session, { kind: 'stop' });
    stage.expect(stopped === 'result', `the STOP ended: ${stopped}`);
    const heirs = await endedMembers(stage);
    const ending = prng.pick(heirs)?.engine?.ending();
    if (ending === undefined) return stage.expect(false, 'nobody has the last state');
    const left = followers.map(({ machine, session: one }) => {
      const unanswered = one.client.leave();
      machine.crash();
      return { name: `${machine.node.name}-after`, signer: machine.signer, unanswered };
    });
    if (prng.chance(1, 2)) for (const replica of group.replicas) replica.crash(true);
    const members = group.group.members.map((_, index) => index);
    const second = new SimulatedGroup({
      simulation,
      options: group.options,
      parts,
      past: group,
      inheritance: {
        genesis: ending.root,
        pages: [...ending.pages],
        heirs: new Set(
          prng
            .shuffled(members)
            .slice(0, prng.between(members.length - stage.faults, members.length)),
        ),
      },
    });
    await goOn(new Stage(second), stage, left);
  };

async function endedMembers(stage: Stage): Promise<ReplicaMachine[]> {
  const up = stage.group.correct.filter(({ host, isWitness }) => host !== undefined && !isWitness);
  await stage.until(
    () => up.every(({ status }) => status?.status === 'final'),
    'all members that run are at the end',
  );
  return up;
}

type Left = Required<Parameters<SimulatedGroup['addFollower']>[0]>;

/** Everything that was under way ends, and nothing was done twice or lost. */
async function goOn(second: Stage, first: Stage, left: readonly Left[]): Promise<void> {
  const { group, simulation } = second;
  const started = await startAll(group);
  if (started !== undefined) return first.expect(false, started.message);
  const workload = new Workload(group.options, group.prng.fork());
  workload.demandSuccess(operationsAfter);
  const clientsAfter = left.map((one) => {
    const machine = group.addFollower(one);
    machine.start();
    return machine;
  });
  for (const { session } of clientsAfter) if (session !== undefined) workload.drive(session);
  const waiting = left.flatMap(({ unanswered }) => [
    ...unanswered.requests.map(({ operation }) => operation),
    ...unanswered.waiting,
  ]);
  await second.until(
    () => waiting.every(({ isOver }) => isOver),
    'what was under way at the end is settled by the next group',
  );
  const sessions = clientsAfter.flatMap(({ session }) => session ?? []);
  await second.finish(workload, sessions);
  await simulation.runFor(1_000);
  const failure: Failure | undefined = second.verdict() ?? (await converge(group)) ?? judge(group);
  if (failure?.kind === 'safety') first.demand(false, failure.message);
  else if (failure !== undefined) first.expect(false, failure.message);
}

const scenario = (engine: EngineName, vr: RunOptions['vr'] = {}): Scenario => ({
  what: `an instance ends under the hands of its clients, who follow it (${engine})`,
  isTight: false,
  play: (settings, faults) =>
    playOn(
      settings,
      {
        engine,
        faults,
        options: {
          concurrency: 4,
          thinkMs: [0, 20],
          mix: { get: 1, orderedGet: 0, put: 6, delete: 0, swap: 2, scan: 0 },
          keys: 8,
          ...(engine === 'vr' && {
            vr: {
              checkpointInterval: 4,
              viewChangeTimeoutMs: 1_000,
              viewChangeTimeoutMaxMs: 8_000,
              ...vr,
            },
          }),
        },
      },
      (stage) => handOver(settings.parts)(stage, 0),
    ),
});

export const handOverScenarios: Readonly<Record<string, Scenario>> = {
  'hand-over': scenario('pbft'),
  'vr-hand-over': scenario('vr'),
  'vr-hand-over-three-messages': scenario('vr', { threeMessageWrites: true }),
};
