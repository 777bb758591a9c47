// One run: a safety phase with all faults, then everything heals but the liars, and the system must converge and answer;
// then the checkers judge what the clients saw.

import { counterMax } from '../../src/base/brand.ts';
import { Prng } from '../../src/base/prng.ts';
import type { LieMaker } from '../byzantine/liar.ts';
import { checkDurability } from '../checkers/durability.ts';
import { explain } from '../checkers/verdict.ts';
import { Simulation } from '../simulator/simulation.ts';
import { Trouble } from '../simulator/trouble.ts';
import { watchBounds } from './bounds.ts';
import type { ClientMachine } from './client-machine.ts';
import { finalReads } from './final-reads.ts';
import { judge } from './judge.ts';
import { Nemesis } from './nemesis.ts';
import { drawOptions, type RunOptions } from './options.ts';
import { correctParts } from './parts.ts';
import { type Failure, type RunReport, type RunSettings, reportOn } from './run-report.ts';
import { System } from './system.ts';
import { strictTimeoutMs, Workload } from './workload.ts';

export interface SwarmSettings extends RunSettings {
  /** Instead of what the seed draws. */
  readonly options?: RunOptions;
  /** Lies by server instead of the drawn ones. */
  readonly lies?: ReadonlyMap<number, readonly LieMaker[]>;
}

/** Bounds of the liveness phase, in virtual time. */
const recoveryMsMax = 300_000;
const strictOperations = 20;
const quietMsMax = 120_000;

export async function run(settings: SwarmSettings): Promise<RunReport> {
  const { seed, parts = correctParts, lies, onTraceLine } = settings;
  const simulation = new Simulation({
    seed,
    ...(onTraceLine === undefined ? {} : { onTraceLine }),
  });
  const options = settings.options ?? drawOptions(new Prng(seed).fork());
  const setup = { simulation, options, parts };
  const system = new System(lies === undefined ? setup : { ...setup, lies });
  const course = new Course(simulation, system, options);
  return reportOn(simulation, system, options, () => course.run());
}

class Course {
  readonly #simulation: Simulation;
  readonly #system: System;
  readonly #options: RunOptions;
  readonly #workload: Workload;
  readonly #clients: readonly ClientMachine[];
  #exceeded: () => Failure | undefined = () => undefined;

  constructor(simulation: Simulation, system: System, options: RunOptions) {
    this.#simulation = simulation;
    this.#system = system;
    this.#options = options;
    const { genesis, prng, marks } = system;
    this.#workload = new Workload(options, genesis, prng.fork(), marks);
    this.#clients = Array.from({ length: options.clients }, (_, index) =>
      system.addClient(`c${index}`, (session) => {
        for (let i = 0; i < options.concurrency; i++) this.#workload.drive(session, index);
      }),
    );
  }

  async run(): Promise<Failure | undefined> {
    await this.#safetyPhase();
    return (await this.#livenessPhase()) ?? (await this.#judge()) ?? this.#exceeded();
  }

  async #safetyPhase(): Promise<void> {
    const { servers, world } = this.#system;
    const { faultMix, unavailableMax, safetyMs } = this.#options;
    this.#system.startServers();
    for (const client of this.#clients) client.start();
    this.#addSpender();
    this.#exceeded = watchBounds(this.#system, this.#options);
    const trouble = new Trouble({
      simulation: this.#simulation,
      fabric: world.fabric,
      mix: faultMix,
      nodes: servers.map(({ node }) => node),
      others: this.#clients.map(({ node }) => node),
      unavailableMax,
    });
    const nemesis = new Nemesis(this.#system, this.#options, this.#doomedWriter());
    await this.#simulation.runUntil(() => this.#workload.exhausted && this.#idle(), safetyMs);
    world.note('heal', '');
    nemesis.end();
    trouble.end();
  }

  /** A client that begins one write whenever it is started. */
  #doomedWriter(): ClientMachine | undefined {
    const shared = this.#workload.objects.filter(({ onlyWriter }) => onlyWriter === undefined);
    if (this.#options.unfinishedWrites === undefined || shared.length === 0) return undefined;
    const prng = this.#system.prng.fork();
    return this.#system.addClient('doomed', (session) => {
      const object = prng.pick(shared) ?? shared[0];
      if (object === undefined) return;
      const operation = {
        kind: 'write',
        signer: object.signer,
        sizeBytes: prng.below(60),
      } as const;
      session.perform(operation, strictTimeoutMs);
    });
  }

  /** A client that uses up the counters of an object, as only somebody with its key can. */
  #addSpender(): void {
    const object = this.#workload.objects.find(({ onlyWriter }) => onlyWriter === undefined);
    if (!this.#options.exhaustedCounter || object === undefined) return;
    const operation = { kind: 'write-alone', signer: object.signer, sizeBytes: 30 } as const;
    const spender = this.#system.addClient('spender', (session) => {
      session.perform(operation, strictTimeoutMs);
    });
    spender.counters.set(object.id, counterMax - 3);
    spender.start();
  }

  #idle(): boolean {
    return this.#clients.every(({ session }) => (session?.underWay ?? 0) === 0);
  }

  async #livenessPhase(): Promise<Failure | undefined> {
    const { correct } = this.#system;
    const back = await this.#simulation.runUntil(
      () => correct.every(({ serving }) => serving),
      recoveryMsMax,
    );
    if (!back)
      return this.#stuck(
        'not serving',
        correct.filter(({ serving }) => !serving),
      );
    this.#workload.demandSuccess(strictOperations);
    await this.#simulation.runUntil(
      () => this.#workload.exhausted && this.#idle(),
      strictTimeoutMs * strictOperations,
    );
    const [disappointment] = this.#workload.disappointments;
    if (disappointment !== undefined) return { kind: 'liveness', message: disappointment };
    if (!this.#workload.exhausted || !this.#idle())
      return { kind: 'liveness', message: 'the clients did not finish' };
    // Every value is looked at once more, and what had rotted must be mended.
    await this.#simulation.runFor(2 * this.#options.scrubIntervalMs);
    const damaged = () => this.#trusted().filter(({ server }) => (server?.repair.waiting ?? 0) > 0);
    if (!(await this.#simulation.runUntil(() => damaged().length === 0, recoveryMsMax)))
      return this.#stuck('damaged items not repaired', damaged());
    return undefined;
  }

  /** Correct servers whose disks are what they were. */
  #trusted() {
    const { correct, budget } = this.#system;
    return correct.filter(({ peer }) => !budget.has(peer));
  }

  #stuck(what: string, servers: readonly { readonly node: { readonly name: string } }[]): Failure {
    const names = servers.map(({ node }) => node.name).join(', ');
    return { kind: 'liveness', message: `${what} within the bound: ${names}` };
  }

  async #judge(): Promise<Failure | undefined> {
    const { objects } = this.#system;
    const reader = this.#system.addClient('final', () => {});
    reader.start();
    const reads = await finalReads(this.#simulation, reader, this.#workload, objects);
    if ('message' in reads) return { kind: 'liveness', message: reads.message };
    const lasting = checkDurability(objects, reads.objects);
    if (lasting.result !== 'linearizable') return { kind: 'safety', message: explain(lasting) };
    const failure = judge(this.#system);
    if (failure !== undefined) return failure;
    return this.#leaks();
  }

  /** A conversation that nobody ends would be kept for ever. */
  async #leaks(): Promise<Failure | undefined> {
    const open = () => [
      ...this.#system.clients.flatMap(({ node, session }) =>
        session !== undefined && session.exchange.conversations > 0 ? [node.name] : [],
      ),
      ...this.#system.correct.flatMap(({ node, server }) =>
        server !== undefined && server.exchange.conversations > 0 ? [node.name] : [],
      ),
    ];
    const quiet = new Set(open());
    await this.#simulation.runUntil(() => {
      const now = new Set(open());
      for (const name of quiet) if (!now.has(name)) quiet.delete(name);
      return quiet.size === 0;
    }, quietMsMax);
    if (quiet.size === 0) return undefined;
    return { kind: 'liveness', message: `conversations never end: ${[...quiet].join(', ')}` };
  }
}
