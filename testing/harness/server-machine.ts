// A simulated server machine: the assembled server of one incarnation after the other, and its operator, who starts it
// again when its process has ended and replaces its disk when that is lost.

import type { PeerId } from '../../src/base/brand.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Member } from '../../src/configuration/configuration.ts';
import type { Network } from '../../src/env/network.ts';
import { DiskError } from '../../src/node/disk-error.ts';
import { assembleServer, type StorageServer } from '../../src/server/assemble.ts';
import { payloadSizeBytesMax } from '../../src/wire/registry.ts';
import { type Machine, SimulatedNode } from '../simulator/node.ts';
import type { FaultBudget } from './budget.ts';
import { type Genesis, greetingOf } from './genesis.ts';
import type { Marks } from './marks.ts';
import type { Parts } from './parts.ts';
import type { World } from './world.ts';

export interface ServerMachineOptions {
  readonly world: World;
  readonly genesis: Genesis;
  readonly member: Member;
  readonly parts: Parts;
  readonly budget: FaultBudget;
  readonly clockRatePpm: number;
  readonly scrubIntervalMs: number;
  /** Stands between the server and the network: makes a liar of it. */
  readonly lies?: (network: Network, machine: Machine) => Network;
}

/** How long an operator takes to notice that a process has ended. */
const restartDelayMs = [100, 1_500] as const;
const recoveryPollMs = 50;

export class ServerMachine {
  readonly node: SimulatedNode;
  readonly member: Member;
  /** Of the incarnation that is up, once it has started. */
  server: StorageServer | undefined;
  readonly liar: boolean;
  readonly #options: ServerMachineOptions;
  readonly #marks: Marks;
  readonly #prng: Prng;
  /** The disk was replaced; stays until a server has noted durably that it recovers. */
  #recover = false;
  /** Counted as faulty until it has recovered. */
  #lost = false;

  constructor(options: ServerMachineOptions) {
    const { world, member, clockRatePpm } = options;
    this.#options = options;
    this.#marks = world.marks;
    this.#prng = world.simulation.prng.fork();
    this.member = member;
    this.liar = options.lies !== undefined;
    this.node = new SimulatedNode(world.simulation, world.fabric, {
      name: `s${member.index}`,
      peer: member.peer,
      address: { host: member.host, port: member.port },
      clockRatePpm,
    });
  }

  get peer(): PeerId {
    return this.member.peer;
  }

  get serving(): boolean {
    return this.node.up && this.server?.replica.serving === true;
  }

  start(): void {
    if (!this.node.up) this.node.start((machine) => this.#bootOrRetry(machine));
  }

  crash(silently = false): void {
    this.server = undefined;
    this.node.crash({ silently });
  }

  /** The disk is gone; the operator puts in an empty one and starts the server to recover. */
  loseDisk(): void {
    this.crash();
    this.node.disk.wipe();
    this.node.disk.create();
    this.#recover = !this.#options.parts.skipsRecovery;
    this.#lost = true;
    this.#note('disk-lost');
    this.startLater();
    this.#awaitRecovery();
  }

  /** Starts the server after the time that an operator takes. */
  startLater(): void {
    const delayMs = this.#prng.between(...restartDelayMs);
    this.#options.world.simulation.after(delayMs, () => this.start(), 'operator');
  }

  async #bootOrRetry(machine: Machine): Promise<void> {
    try {
      await this.#boot(machine);
    } catch (error) {
      if (!(error instanceof DiskError)) {
        this.#options.world.simulation.fail(`${this.node.name} does not start`, error);
      }
      this.startLater();
      throw error;
    }
  }

  async #boot({ env, disk, network, ...machine }: Machine): Promise<void> {
    const { genesis, parts, lies, scrubIntervalMs, world } = this.#options;
    this.server = undefined;
    network.configure({
      sizeBytesMax: payloadSizeBytesMax,
      greeting: greetingOf(genesis.trust.system, []),
    });
    if (disk.journalDamage !== undefined) return this.#onUntrustedDisk('journal');
    if (parts.forgetsAtRestart && machine.incarnation > 1) this.node.disk.create();
    if (this.node.disk.journal.length > 0) this.#marks.hit('journal replayed');
    const honest = parts.server({ env, disk });
    const lying = lies?.(honest.env.network, { env, disk, network, ...machine });
    const server = await assembleServer({
      env: lying === undefined ? honest.env : { ...honest.env, network: lying },
      disk: honest.disk,
      configuration: parts.serverConfiguration(genesis.configuration),
      trust: genesis.trust,
      scheme: genesis.scheme,
      self: this.peer,
      recover: this.#recover,
      quotaBytesDefault: 0,
      scrubIntervalMs,
      scrubRateBytesPerSecond: 2 ** 30,
      software: 'simulated',
    });
    if (typeof server === 'string') return this.#onUntrustedDisk(server);
    this.#recover = false;
    this.server = server;
    server.failed.then((error) => {
      if (!(error instanceof DiskError) && !this.liar) {
        world.simulation.fail(`${this.node.name} failed`, error);
      }
      this.#exit(server);
    });
  }

  /** The process ends itself, as the daemon does after a disk error. */
  #exit(server: StorageServer): void {
    if (this.server !== server) return;
    this.#marks.hit('server stopped by its disk');
    this.crash();
    this.startLater();
  }

  /** The server refuses to start from this disk. Its operator treats it as lost. */
  #onUntrustedDisk(why: string): void {
    const { world, budget } = this.#options;
    this.#marks.hit('disk refused at start');
    if (!budget.has(this.peer)) {
      world.simulation.fail(`${this.node.name} does not trust its own disk: ${why}`);
    }
    world.simulation.after(0, () => this.loseDisk(), 'operator');
  }

  #awaitRecovery(): void {
    const { world, budget } = this.#options;
    world.simulation.after(
      recoveryPollMs,
      () => {
        if (!this.#lost) return;
        if (!this.serving) return this.#awaitRecovery();
        this.#lost = false;
        this.#marks.hit('recovery finished');
        this.#note('recovered');
        if (!this.liar) budget.giveBack(this.peer);
      },
      'operator',
    );
  }

  #note(what: string): void {
    this.#options.world.note(what, this.node.name);
  }
}
