// A stage for directed scenarios: a calm system on which a script does things one after the other.

import type { Prng } from '../../src/base/prng.ts';
import { objectId } from '../../src/dbqs/ids.ts';
import { type MessageName, messageNumber } from '../../src/wire/registry.ts';
import type { LieMaker } from '../byzantine/liar.ts';
import { cutOneWay, only } from '../simulator/faults.ts';
import { Simulation } from '../simulator/simulation.ts';
import type { ClientMachine, Ending, Operation, Session } from './client-machine.ts';
import { judge } from './judge.ts';
import type { RunOptions } from './options.ts';
import { correctParts } from './parts.ts';
import { type Failure, type RunReport, type RunSettings, reportOn } from './run-report.ts';
import type { ServerMachine } from './server-machine.ts';
import { System } from './system.ts';
import type { SharedObject } from './workload.ts';

export interface StageShape {
  readonly faults: number;
  /** Default: 3f+1, so that all servers are one group. */
  readonly servers?: number;
  readonly lies?: ReadonlyMap<number, readonly LieMaker[]>;
  readonly options?: Partial<RunOptions>;
}

export interface Client {
  readonly machine: ClientMachine;
  /** Of its first life. */
  readonly session: Session;
}

/** Nothing goes wrong by itself. */
export function calmOptions(faults: number, servers: number): RunOptions {
  return {
    faults,
    servers,
    liars: [],
    collude: true,
    clients: 2,
    concurrency: 1,
    operations: 40,
    operationMix: { read: 4, write: 4, writeAlone: 0, put: 1, get: 1 },
    objects: 2,
    blocks: 2,
    valueBytes: [0, 40],
    largeOneIn: 0,
    thinkMs: [0, 5],
    timeoutMs: 5_000,
    exhaustedCounter: false,
    scrubIntervalMs: 600_000,
    unavailableMax: 0,
    faultMix: {
      latencyUs: [50, 500],
      inOrder: false,
      diskLatencyUs: [50, 300],
      diskStallOneIn: 0,
      clockRatePpmMax: 100,
    },
    diskFaults: {},
    realSignatures: false,
    safetyMs: 20_000,
  };
}

/** An operation that must succeed has this long. */
const opMsMax = 60_000;

export class Stage {
  readonly simulation: Simulation;
  readonly system: System;
  readonly prng: Prng;
  #broken: Failure | undefined;

  constructor(simulation: Simulation, system: System) {
    this.simulation = simulation;
    this.system = system;
    this.prng = system.prng.fork();
  }

  get servers(): readonly ServerMachine[] {
    return this.system.servers;
  }

  server(index: number): ServerMachine {
    return this.system.servers[index] as ServerMachine;
  }

  /** Names of the servers `from` to before `to`, in ring order. */
  names(from: number, to: number): string[] {
    return this.system.servers.slice(from, to).map(({ node }) => node.name);
  }

  /** A client that is up. */
  client(name: string): Client {
    const sessions: Session[] = [];
    const machine = this.system.addClient(name, (session) => sessions.push(session));
    machine.start();
    return { machine, session: sessions[0] as Session };
  }

  object(): SharedObject {
    const signer = this.system.genesis.scheme.signer(this.prng.bytes(32));
    return { signer, id: objectId(signer.publicKey), onlyWriter: undefined };
  }

  /** An object whose group begins at this server. */
  objectAt(index: number): SharedObject {
    const { configuration } = this.system.genesis;
    for (;;) {
      const object = this.object();
      if (configuration.groupOf(object.id).members[0]?.index === index) return object;
    }
  }

  /** Nothing of these kinds, or nothing at all, gets from a client to these servers. Call the result to heal it. */
  cut(client: ClientMachine, servers: readonly string[], ...kinds: MessageName[]): () => void {
    const rule = cutOneWay([client.node.name], servers);
    const numbers = new Set(kinds.map(messageNumber));
    const { fabric } = this.system.world;
    return fabric.add(kinds.length === 0 ? rule : only(({ type }) => numbers.has(type), rule));
  }

  /** Lets an operation end, however it does. */
  ending(session: Session, operation: Operation, timeoutMs = opMsMax): Promise<Ending> {
    return this.simulation.complete(session.perform(operation, timeoutMs), 2 * opMsMax);
  }

  /** Performs an operation that must succeed. */
  async must(session: Session, operation: Operation): Promise<void> {
    const ending = await this.ending(session, operation);
    if (ending !== 'done')
      this.expect(false, `${session.name}: ${operation.kind} ended: ${ending}`);
  }

  /** What must be so for the system to be alive. */
  expect(condition: boolean, otherwise: string): void {
    if (!condition) this.#broken ??= { kind: 'liveness', message: otherwise };
  }

  /** Runs until all servers that do not lie serve, which they must. */
  async allServe(withinMs = 120_000): Promise<void> {
    const { correct } = this.system;
    const done = await this.simulation.runUntil(
      () => correct.every(({ serving }) => serving),
      withinMs,
    );
    this.expect(done, 'not all servers serve again');
  }

  verdict(): Failure | undefined {
    return judge(this.system) ?? this.#broken;
  }
}

/** Plays a script on a calm system and judges what its clients saw. */
export function playOn(
  settings: RunSettings,
  shape: StageShape,
  script: (stage: Stage) => Promise<void>,
): Promise<RunReport> {
  const { seed, parts = correctParts, onTraceLine } = settings;
  const { faults, servers = 3 * faults + 1, lies = new Map<number, LieMaker[]>() } = shape;
  const simulation = new Simulation({
    seed,
    ...(onTraceLine === undefined ? {} : { onTraceLine }),
  });
  const options = { ...calmOptions(faults, servers), ...shape.options };
  const system = new System({ simulation, options, parts, lies });
  const stage = new Stage(simulation, system);
  return reportOn(simulation, system, options, async () => {
    system.startServers();
    await simulation.runFor(100);
    await script(stage);
    return stage.verdict();
  });
}
