// A stage for directed scenarios: a calm group on which a script does things one after the other.

import { type Bytes, textOf, utf8 } from '../../src/base/bytes.ts';
import {
  decodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageName,
  replicationMessageNumber,
} from '../../src/wire/replication-registry.ts';
import type { Failure } from '../harness/run-report.ts';
import { cutOneWay, type FaultRule, only, type Packet } from '../simulator/faults.ts';
import type { Simulation } from '../simulator/simulation.ts';
import type { Asked, ClientMachine, Ending, Session } from './client-machine.ts';
import { SimulatedGroup, type TwinPlan } from './group.ts';
import type { LieMaker } from './lies/lying-engine.ts';
import { calmOptions, type EngineName, type RunOptions } from './options.ts';
import { correctParts } from './parts.ts';
import type { ReplicaMachine } from './replica-machine.ts';
import type { RunReport } from './report.ts';
import { converge, judge, type RunSettings, reportOn, simulationOf, startAll } from './run.ts';
import { Workload } from './workload.ts';

export interface StageShape {
  readonly engine: EngineName;
  readonly faults: number;
  readonly lies?: ReadonlyMap<number, readonly LieMaker[]>;
  readonly twins?: TwinPlan;
  /** By member, how much faster than true time its clock runs, in millionths, instead of what is drawn. */
  readonly clockRatesPpm?: readonly number[];
  readonly options?: Partial<RunOptions>;
}

/** An operation that must succeed has this long. */
const operationMsMax = 120_000;

export class Stage {
  readonly group: SimulatedGroup;
  readonly simulation: Simulation;
  #broken: Failure | undefined;

  constructor(group: SimulatedGroup) {
    this.group = group;
    this.simulation = group.simulation;
  }

  get faults(): number {
    return this.group.options.faults;
  }

  /** Whether something is known to be wrong already. */
  get isBroken(): boolean {
    return this.#broken !== undefined || this.group.complaint !== undefined;
  }

  /** The newest view that a correct member is in or on its way to. */
  get view(): number {
    return Math.max(0, ...this.group.correct.map(({ status }) => status?.view ?? 0));
  }

  replica(index: number): ReplicaMachine {
    return this.group.replica(index);
  }

  /** Names of the members `from` to before `to`. */
  names(from: number, to = this.group.group.members.length): string[] {
    return this.group.replicas.slice(from, to).map(({ name }) => name);
  }

  /** A client that is up. */
  client(name: string): { readonly machine: ClientMachine; readonly session: Session } {
    const machine = this.group.addClient(name, () => {});
    machine.start();
    return { machine, session: machine.session as Session };
  }

  /** Lets an operation end, however it does. */
  ending(session: Session, operation: Asked, timeoutMs = operationMsMax): Promise<Ending> {
    return this.simulation.complete(session.perform(operation, timeoutMs), 2 * operationMsMax);
  }

  /** Writes a new value, which must succeed. @returns its name. */
  async put(session: Session, key: string): Promise<string> {
    const value = session.newValue(20);
    const ending = await this.ending(session, { kind: 'put', key: utf8(key), value });
    this.expect(ending === 'result', `${session.name}: a put ended: ${ending}`);
    return nameOfValue(value) ?? '';
  }

  /** Writes a new value and does not wait for long. @returns its name and how that ended. */
  async tryPut(session: Session, key: string, timeoutMs = 300): Promise<readonly [string, Ending]> {
    const value = session.newValue(20);
    const ending = await this.ending(session, { kind: 'put', key: utf8(key), value }, timeoutMs);
    return [nameOfValue(value) ?? '', ending];
  }

  /** Reads, which must succeed. @returns the value's name. */
  async get(session: Session, key: string, isOrdered = false): Promise<string | undefined> {
    const ending = await this.ending(session, { kind: 'get', key: utf8(key), isOrdered });
    this.expect(ending === 'result', `${session.name}: a get ended: ${ending}`);
    return nameOfValue(session.seen(key));
  }

  /** Lets some clients do so many operations in all, each of which must succeed. */
  async work(sessions: readonly Session[], operations: number): Promise<void> {
    const workload = this.begin(sessions, operations);
    await this.finish(workload, sessions);
  }

  begin(sessions: readonly Session[], operations: number): Workload {
    const workload = new Workload(this.group.options, this.group.prng.fork());
    workload.demandSuccess(operations);
    for (const session of sessions) workload.drive(session);
    return workload;
  }

  async finish(workload: Workload, sessions: readonly Session[]): Promise<void> {
    const isOver = await this.simulation.runUntil(
      () =>
        this.group.complaint !== undefined ||
        (workload.exhausted && sessions.every(({ underWay }) => underWay === 0)),
      2 * operationMsMax,
    );
    const { disappointment } = workload;
    this.expect(disappointment === undefined, disappointment ?? '');
    this.expect(isOver, 'the clients did not finish');
  }

  /** Nothing of these kinds, or nothing at all, gets from some to others. Call the result to heal it. */
  cut(
    from: readonly string[],
    to: readonly string[],
    ...kinds: readonly ReplicationMessageName[]
  ): () => void {
    const rule = cutOneWay(from, to);
    const numbers = new Set(kinds.map(replicationMessageNumber));
    return this.group.fabric.add(
      kinds.length === 0 ? rule : only(({ type }) => numbers.has(type), rule),
    );
  }

  /**
   * Messages of these kinds arrive at this time at the earliest; those of a sender whose power has failed meanwhile too.
   * Call the result to let those pass that are sent from then on.
   */
  hold(
    atMs: number,
    from: readonly string[],
    to: readonly string[],
    ...kinds: readonly ReplicationMessageName[]
  ): () => void {
    return this.group.fabric.add(only(picking(from, to, kinds), this.#delayUntil(atMs)));
  }

  /** Messages of these kinds arrive as ever, and a copy of each at this time. */
  repeat(
    atMs: number,
    from: readonly string[],
    to: readonly string[],
    ...kinds: readonly ReplicationMessageName[]
  ): () => void {
    const picks = picking(from, to, kinds);
    const late = this.#delayUntil(atMs);
    let seen = 0;
    // A copy is sent right behind its original.
    const isCopy = (packet: Packet): boolean => picks(packet) && seen++ % 2 === 1;
    const undo = [
      this.group.fabric.add(
        only(picks, { stage: 'duplicate', judge: () => ({ kind: 'duplicate', copies: 1 }) }),
      ),
      this.group.fabric.add(only(isCopy, late)),
    ];
    return () => {
      for (const each of undo) each();
    };
  }

  #delayUntil(atMs: number): FaultRule {
    return {
      stage: 'delay',
      judge: () => ({
        kind: 'delay',
        delayUs: Math.max(0, Math.ceil((atMs - this.simulation.nowMs) * 1_000)),
      }),
    };
  }

  /** Lets time go on to a moment, if it has not come yet. */
  async reach(atMs: number): Promise<void> {
    await this.simulation.runFor(Math.max(0, atMs - this.simulation.nowMs));
  }

  /** Loses the messages that `isLost` picks. */
  lose(isLost: (message: ReplicationMessage, from: string, to: string) => boolean): () => void {
    const rule: FaultRule = {
      stage: 'lose',
      judge: ({ type, payload, from, to }) => {
        const message = decodeReplicationMessage(type, payload);
        return message !== undefined && isLost(message, from, to)
          ? { kind: 'drop', reason: 'script' }
          : { kind: 'pass' };
      },
    };
    return this.group.fabric.add(rule);
  }

  /** Waits until something holds, which it must in time. */
  async until(condition: () => boolean, what: string, withinMs = operationMsMax): Promise<void> {
    this.expect(await this.simulation.runUntil(condition, withinMs), `never: ${what}`);
  }

  /** All correct members come to stand at one point, which they must. */
  async together(): Promise<void> {
    const failure = await converge(this.group);
    if (failure !== undefined) this.#broken ??= failure;
  }

  /** What must be so for the group to be alive. */
  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.#broken ??= { kind: 'liveness', message: otherwise };
  }

  /** What must have happened, or the script shows nothing. */
  require(condition: boolean, otherwise: string): void {
    if (!condition) this.#broken ??= { kind: 'vacuous', message: otherwise };
  }

  /** What must be so for the group to be safe. */
  demand(condition: boolean, otherwise: string): void {
    if (!condition) this.#broken ??= { kind: 'safety', message: otherwise };
  }

  verdict(): Failure | undefined {
    return judge(this.group) ?? this.#broken;
  }
}

function picking(
  from: readonly string[],
  to: readonly string[],
  kinds: readonly ReplicationMessageName[],
): (packet: Packet) => boolean {
  const numbers = new Set(kinds.map(replicationMessageNumber));
  return (packet) =>
    numbers.has(packet.type) && from.includes(packet.from) && to.includes(packet.to);
}

function nameOfValue(value: Bytes | undefined): string | undefined {
  return value === undefined ? undefined : textOf(value)?.split('|')[0];
}

/** Plays a script on a calm group and judges what its clients saw. */
export function playOn(
  settings: RunSettings,
  shape: StageShape,
  script: (stage: Stage) => Promise<void>,
): Promise<RunReport> {
  const { parts = correctParts } = settings;
  const { engine, faults, lies = new Map<number, LieMaker[]>(), twins = { members: [] } } = shape;
  const simulation = simulationOf(settings);
  const options = { ...calmOptions(engine, faults), ...shape.options };
  const { clockRatesPpm = [] } = shape;
  const group = new SimulatedGroup({ simulation, options, parts, lies, twins, clockRatesPpm });
  const stage = new Stage(group);
  return reportOn(settings, group, async () => {
    const failure = await startAll(group);
    if (failure !== undefined) return failure;
    for (const cut of group.permanentCuts) cut();
    await script(stage);
    return stage.verdict();
  });
}
