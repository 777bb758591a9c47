// One run: a safety phase with all faults, then everything heals but liars and lost disks, and the group must answer and
// come to stand at one point; then the checkers judge.

import { Prng } from '../../src/base/prng.ts';
import type { Failure } from '../harness/run-report.ts';
import { Simulation, SimulationFailed } from '../simulator/simulation.ts';
import { Trouble } from '../simulator/trouble.ts';
import { SimulatedGroup } from './group.ts';
import { checkKeys } from './key-history.ts';
import { Nemesis } from './nemesis.ts';
import { drawOptions, type RunOptions } from './options.ts';
import { correctParts, type Parts } from './parts.ts';
import type { RunName, RunReport } from './report.ts';
import { strictTimeoutMs, Workload } from './workload.ts';

export interface RunSettings {
  readonly name: RunName;
  readonly parts?: Parts;
  /** Changes what the seed draws. */
  readonly adjust?: (options: RunOptions) => RunOptions;
  readonly onTraceLine?: (line: string) => void;
}

const startMsMax = 10_000;
const strictOperations = 12;
const strictMsMax = 2 * strictTimeoutMs;
const convergenceMsMax = 240_000;

export function run(settings: RunSettings): Promise<RunReport> {
  const { name, parts = correctParts } = settings;
  const drawn = drawOptions(new Prng(name.seed).fork(), name.engine);
  const options = settings.adjust?.(drawn) ?? drawn;
  const simulation = simulationOf(settings);
  const group = new SimulatedGroup({ simulation, options, parts });
  return reportOn(settings, group, () => course(group));
}

export function simulationOf({ name, onTraceLine }: RunSettings): Simulation {
  return new Simulation({
    seed: name.seed,
    ...(onTraceLine === undefined ? {} : { onTraceLine }),
  });
}

/** Lets a course run to its end, or to the failure of the simulation. */
export async function reportOn(
  { name, parts = correctParts }: RunSettings,
  group: SimulatedGroup,
  run: () => Promise<Failure | undefined>,
): Promise<RunReport> {
  const mend = parts.patch();
  let failure: Failure | undefined;
  try {
    failure = await run();
  } catch (error) {
    if (!(error instanceof SimulationFailed)) throw error;
    failure = { kind: 'crash', message: describeCrash(error) };
  } finally {
    mend();
  }
  return reportOf(name, group, failure);
}

function reportOf(name: RunName, group: SimulatedGroup, failure: Failure | undefined): RunReport {
  const { simulation, options, history, agreement } = group;
  const codes = new Map<string, number>();
  let views = 0;
  for (const replica of group.replicas) {
    views = Math.max(views, replica.isCorrect ? (replica.status?.view ?? 0) : 0);
    for (const [code, count] of replica.node.metrics.labelled('replication_events_total')) {
      codes.set(code, (codes.get(code) ?? 0) + count);
    }
  }
  const { operations } = history;
  return {
    name,
    options: optionsLine(options),
    failure,
    traceHash: simulation.trace.hash(),
    events: simulation.eventsRun,
    virtualMs: simulation.nowMs,
    operations: operations.length,
    completed: operations.filter(({ end }) => end !== Number.POSITIVE_INFINITY).length,
    checkpoints: agreement.checkpoints,
    views,
    told: group.told,
    codes,
  };
}

function optionsLine(options: RunOptions): string {
  return JSON.stringify(options);
}

function describeCrash(error: SimulationFailed): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message}\n${cause.stack}` : error.message;
}

async function course(group: SimulatedGroup): Promise<Failure | undefined> {
  const { options, simulation } = group;
  const workload = new Workload(options, group.prng.fork());
  const clients = Array.from({ length: options.clients }, (_, i) =>
    group.addClient(`c${i}`, (session) => workload.drive(session)),
  );
  const failure = await startAll(group);
  if (failure !== undefined) return failure;
  for (const client of clients) client.start();
  const trouble = new Trouble({
    simulation,
    fabric: group.fabric,
    mix: options.faultMix,
    nodes: group.replicas.map(({ node }) => node),
    others: clients.map(({ node }) => node),
    unavailableMax: options.unavailableMax,
  });
  const nemesis = new Nemesis(group);
  for (const cut of group.permanentCuts) cut();
  const isIdle = (): boolean => clients.every(({ session }) => (session?.underWay ?? 0) === 0);
  await simulation.runUntil(
    () => group.complaint !== undefined || (workload.exhausted && isIdle()),
    options.safetyMs,
  );
  group.note('heal', '');
  nemesis.end();
  trouble.end();
  for (const cut of group.permanentCuts) cut();
  return (await demandProgress(group, workload, isIdle)) ?? judge(group);
}

/** Every member comes up for the first time. */
export async function startAll(group: SimulatedGroup): Promise<Failure | undefined> {
  for (const replica of group.replicas) replica.start();
  const isUp = await group.simulation.runUntil(
    () => group.replicas.every(({ host }) => host !== undefined),
    startMsMax,
  );
  return isUp ? undefined : { kind: 'liveness', message: 'the group does not come up' };
}

async function demandProgress(
  group: SimulatedGroup,
  workload: Workload,
  isIdle: () => boolean,
): Promise<Failure | undefined> {
  const { simulation } = group;
  workload.demandSuccess(strictOperations);
  await simulation.runUntil(
    () =>
      group.complaint !== undefined ||
      workload.disappointment !== undefined ||
      (workload.exhausted && isIdle()),
    strictMsMax,
  );
  if (group.complaint !== undefined) return judge(group);
  const { disappointment } = workload;
  if (disappointment !== undefined)
    return { kind: 'liveness', message: `${disappointment}\n${standing(group)}` };
  if (!workload.exhausted || !isIdle()) {
    return { kind: 'liveness', message: `the clients did not finish\n${standing(group)}` };
  }
  return converge(group);
}

/**
 * All correct members come to stand behind the same batch. One may still be on its way to another view: it follows when
 * there is something to do, and the others follow it when they need it.
 */
export async function converge(
  group: SimulatedGroup,
  withinMs = convergenceMsMax,
): Promise<Failure | undefined> {
  const isThere = (): boolean => {
    const statuses = executing(group).map(({ status }) => status);
    const [first] = statuses;
    return statuses.every(
      (status) =>
        status !== undefined &&
        status.status !== 'transferring' &&
        status.status !== 'recovering' &&
        status.executed === first?.executed,
    );
  };
  if (await group.simulation.runUntil(isThere, withinMs)) return undefined;
  return { kind: 'liveness', message: `the members do not come together\n${standing(group)}` };
}

/** Correct members that keep the state. */
function executing(group: SimulatedGroup): SimulatedGroup['correct'] {
  return group.correct.filter(({ isWitness }) => !isWitness);
}

function standing(group: SimulatedGroup): string {
  return group.replicas
    .map(({ name, status, isCorrect }) => {
      if (status === undefined) return `${name}: down`;
      const { view, executed, committed, checkpoint } = status;
      const who = isCorrect ? name : `${name} (faulty)`;
      return `${who}: ${status.status} in ${view}, executed ${executed}, committed ${committed}, checkpoint ${checkpoint}`;
    })
    .join('\n');
}

/** The first thing that is wrong. What a checker cannot decide counts as wrong. */
export function judge(group: SimulatedGroup): Failure | undefined {
  const { complaint } = group;
  if (complaint !== undefined) return { kind: 'safety', message: complaint };
  const verdict = checkKeys(group.history);
  if (verdict !== undefined) return { kind: 'safety', message: verdict.message };
  return undefined;
}
