// A whole system under simulation: servers, liars, clients, and the record of what the clients saw.

import type { Prng } from '../../src/base/prng.ts';
import { storageInstance } from '../../src/configuration/certificates.ts';
import type { Member } from '../../src/configuration/configuration.ts';
import { ed25519 } from '../../src/crypto/signature.ts';
import type { Network } from '../../src/env/network.ts';
import { type LieMaker, LyingNetwork } from '../byzantine/liar.ts';
import { type LieName, lieMakers } from '../byzantine/lies.ts';
import { Notebook } from '../byzantine/notebook.ts';
import { History } from '../checkers/history.ts';
import { drawClockRatePpm, fabricOptions } from '../simulator/fault-mix.ts';
import { Fabric } from '../simulator/network.ts';
import type { Machine } from '../simulator/node.ts';
import { simulatedSignatures } from '../simulator/signatures.ts';
import type { Simulation } from '../simulator/simulation.ts';
import { FaultBudget } from './budget.ts';
import { ClientMachine, type Session } from './client-machine.ts';
import { found, type Genesis } from './genesis.ts';
import { Marks } from './marks.ts';
import type { RunOptions } from './options.ts';
import { type Parts, shortName } from './parts.ts';
import { ServerMachine } from './server-machine.ts';
import { ValueNames } from './values.ts';
import { World } from './world.ts';

export interface SystemSetup {
  readonly simulation: Simulation;
  readonly options: RunOptions;
  readonly parts: Parts;
  /** Lies by server instead of the drawn ones; they may be more than the system claims to bear. */
  readonly lies?: ReadonlyMap<number, readonly LieMaker[]>;
}

export class System {
  readonly world: World;
  readonly genesis: Genesis;
  readonly budget: FaultBudget;
  readonly servers: readonly ServerMachine[];
  readonly clients: ClientMachine[] = [];
  readonly marks = new Marks();
  readonly objects = new History();
  readonly blocks = new History();
  readonly values = new ValueNames();
  readonly prng: Prng;
  /** Correct servers that a client called liars. */
  readonly falselyAccused = new Set<string>();
  readonly #setup: SystemSetup;
  readonly #notebooks = new Map<number, Notebook>();
  readonly #sharedNotebook = new Notebook();

  constructor(setup: SystemSetup) {
    this.#setup = setup;
    const { simulation, options } = setup;
    this.prng = simulation.prng.fork();
    const fabric = new Fabric(simulation, fabricOptions(options.faultMix));
    this.world = new World(simulation, fabric, this.marks);
    this.genesis = found({
      prng: this.prng.fork(),
      scheme: options.realSignatures ? ed25519 : simulatedSignatures(),
      servers: options.servers,
      faults: options.faults,
    });
    const { configuration } = this.genesis;
    this.budget = new FaultBudget(configuration);
    for (const index of setup.lies?.keys() ?? []) this.budget.take(this.#member(index).peer);
    const lies = setup.lies ?? this.#drawnLies();
    this.servers = configuration.members.map((member) =>
      this.#server(member, lies.get(member.index)),
    );
  }

  /** Servers that do not lie. */
  get correct(): readonly ServerMachine[] {
    return this.servers.filter(({ liar }) => !liar);
  }

  startServers(): void {
    for (const server of this.servers) server.start();
  }

  /** A client that has not been started. */
  addClient(name: string, onStart: (session: Session) => void): ClientMachine {
    const { world, genesis, objects, blocks, values } = this;
    const { options, parts } = this.#setup;
    const client = new ClientMachine({
      world,
      genesis,
      parts,
      name,
      clockRatePpm: drawClockRatePpm(options.faultMix, this.prng),
      objects,
      blocks,
      values,
      onStart,
      onAccused: (server) => this.#onAccused(server),
    });
    this.clients.push(client);
    return client;
  }

  #onAccused(server: string): void {
    const accused = this.servers.find(({ peer }) => shortName(peer) === server);
    const innocent = accused !== undefined && !accused.liar && !this.budget.has(accused.peer);
    if (innocent) this.falselyAccused.add(accused.node.name);
  }

  #server(member: Member, makers: readonly LieMaker[] | undefined): ServerMachine {
    const { world, genesis, budget } = this;
    const { options, parts } = this.#setup;
    const common = {
      world,
      genesis,
      member,
      parts,
      budget,
      clockRatePpm: drawClockRatePpm(options.faultMix, this.prng),
      scrubIntervalMs: options.scrubIntervalMs,
    };
    if (makers === undefined) return new ServerMachine(common);
    const prng = this.prng.fork();
    const lies = (network: Network, machine: Machine): Network =>
      new LyingNetwork({
        makers,
        prng,
        network,
        timers: machine.env.timers,
        configuration: genesis.configuration,
        instance: storageInstance(genesis.trust.system),
        self: member,
        scheme: genesis.scheme,
        notebook: this.#notebook(member.index),
        onLie: () => this.marks.hit('liar spoke'),
      });
    return new ServerMachine({ ...common, lies });
  }

  #drawnLies(): Map<number, readonly LieMaker[]> {
    const names = this.#setup.options.liars;
    const lies = new Map<number, readonly LieMaker[]>();
    const order = this.prng.shuffled(this.genesis.configuration.members);
    names.forEach((drawn: readonly LieName[], place) => {
      const member = order[place];
      if (member !== undefined && this.budget.take(member.peer))
        lies.set(member.index, drawn.flatMap(lieMakers));
    });
    return lies;
  }

  #notebook(index: number): Notebook {
    if (this.#setup.options.collude) return this.#sharedNotebook;
    let notebook = this.#notebooks.get(index);
    if (notebook === undefined) {
      notebook = new Notebook();
      this.#notebooks.set(index, notebook);
    }
    return notebook;
  }

  #member(index: number): Member {
    return this.genesis.configuration.members[index] as Member;
  }
}
