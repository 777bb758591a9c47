// What befalls disks and writers in a run, beside what `Trouble` does to nodes and network.

import type { Prng } from '../../src/base/prng.ts';
import { messageNumber } from '../../src/wire/registry.ts';
import type { DiskSnapshot } from '../simulator/disk.ts';
import { cutOneWay, only } from '../simulator/faults.ts';
import { Recurring } from '../simulator/recurring.ts';
import { FaultBudget } from './budget.ts';
import type { ClientMachine } from './client-machine.ts';
import type { RunOptions } from './options.ts';
import { rotFinishedValue } from './rot.ts';
import type { ServerMachine } from './server-machine.ts';
import type { System } from './system.ts';

/** Room that servers leave on a disk: below it they take nothing new. */
const reserveBytes = 16 * 2 ** 20;

export class Nemesis {
  readonly #system: System;
  readonly #prng: Prng;
  readonly #old = new Map<ServerMachine, DiskSnapshot>();
  readonly #doomed: ClientMachine | undefined;
  readonly #recurring: Recurring;

  /** It begins now. */
  constructor(system: System, options: RunOptions, doomed: ClientMachine | undefined) {
    this.#system = system;
    this.#prng = system.prng.fork();
    this.#doomed = doomed;
    this.#recurring = new Recurring(system.world.simulation, this.#prng, 'nemesis');
    const { losses, returns, rot, decay, failures, fillings } = options.diskFaults;
    this.#recurring.repeat(losses, () => this.#loseDisk());
    this.#recurring.repeat(returns, () => this.#bringBackOldDisk());
    this.#recurring.repeat(rot, () => this.#rot());
    this.#recurring.repeat(decay, () => this.#decay());
    this.#recurring.repeat(failures, () => this.#failDisk());
    this.#recurring.repeat(fillings, () => this.#fillDisk());
    this.#recurring.repeat(options.absences, () => this.#absent());
    this.#recurring.repeat(options.blackouts, () => this.#blackOut());
    this.#recurring.repeat(options.clientCrashes, () => this.#crashClient());
    this.#recurring.repeat(options.unfinishedWrites, () => this.#leaveWriteUnfinished(doomed));
  }

  /** Nothing new happens from now on; what the nodes need to be well again is done by others. */
  end(): void {
    this.#recurring.end();
    for (const server of this.#system.servers) server.start();
    for (const client of this.#system.clients) {
      if (client === this.#doomed) client.crash();
      else client.start();
    }
  }

  /** A correct server that may become faulty now. */
  #victim(): ServerMachine | undefined {
    const { correct, budget } = this.#system;
    return this.#prng.shuffled(correct).find(({ peer }) => !budget.has(peer) && budget.take(peer));
  }

  #loseDisk(): undefined {
    this.#victim()?.loseDisk();
  }

  /** First a copy of all disks is made; the next time round one of the copies comes back. */
  #bringBackOldDisk(): undefined {
    const { correct, marks, world } = this.#system;
    const victim = this.#old.size > 0 ? this.#victim() : undefined;
    const old = victim === undefined ? undefined : this.#old.get(victim);
    if (victim !== undefined && old !== undefined) {
      victim.crash();
      victim.node.disk.restore(old);
      marks.hit('old disk came back');
      world.note('old-disk', victim.node.name);
      victim.startLater();
    }
    for (const server of correct) this.#old.set(server, server.node.disk.snapshot());
  }

  #rot(): undefined {
    const { correct, budget, world, genesis } = this.#system;
    const victim = this.#prng.pick(correct.filter(({ peer }) => !budget.has(peer)));
    if (victim === undefined) return;
    victim.crash();
    const others = correct.filter((server) => server !== victim && !budget.has(server.peer));
    const what = rotFinishedValue(victim, others, genesis.configuration.faults, this.#prng);
    world.note('rot', `${victim.node.name} ${what ?? 'nothing'}`);
    victim.startLater();
  }

  #decay(): undefined {
    const victim = this.#victim();
    if (victim === undefined) return;
    victim.crash();
    const { disk } = victim.node;
    const kind = this.#prng.below(3);
    if (kind === 0) disk.damageTableKey();
    else if (kind === 1) disk.damageTableValue();
    else disk.damageJournal();
    this.#system.world.note('decay', `${victim.node.name} ${kind}`);
    victim.startLater();
  }

  #failDisk(): (() => void) | undefined {
    const disk = this.#prng.pick(this.#system.servers)?.node.disk;
    if (disk === undefined) return undefined;
    disk.conditions.failing = true;
    return () => {
      disk.conditions.failing = false;
    };
  }

  #fillDisk(): (() => void) | undefined {
    const disk = this.#prng.pick(this.#system.servers)?.node.disk;
    if (disk === undefined) return undefined;
    const { conditions } = disk;
    const usedBytes = conditions.sizeBytesMax - conditions.freeBytes();
    const before = conditions.sizeBytesMax;
    const room = this.#prng.chance(1, 2) ? this.#prng.below(2_000) : reserveBytes;
    conditions.sizeBytesMax = usedBytes + room;
    return () => {
      conditions.sizeBytesMax = before;
    };
  }

  /** What a group bears in silence: with f liars beside it, a call ends only if they answer. Now and then more than that. */
  #absent(): () => void {
    const { servers, clients, genesis, world } = this.#system;
    const extra = this.#prng.chance(1, 3) ? this.#prng.below(genesis.configuration.faults + 2) : 0;
    const away = new FaultBudget(genesis.configuration, extra);
    const names = this.#prng
      .shuffled(servers)
      .filter(({ peer }) => away.take(peer))
      .map(({ node }) => node.name);
    return world.fabric.add(
      cutOneWay(
        clients.map(({ node }) => node.name),
        names,
      ),
    );
  }

  #blackOut(): () => void {
    const { servers, marks } = this.#system;
    marks.hit('blackout');
    const silently = this.#prng.chance(1, 2);
    for (const server of servers) server.crash(silently);
    return () => {
      for (const server of servers) server.start();
    };
  }

  #crashClient(): (() => void) | undefined {
    const client = this.#prng.pick(
      this.#system.clients.filter((other) => other.node.up && other !== this.#doomed),
    );
    if (client === undefined) return undefined;
    client.crash();
    return () => client.start();
  }

  /** A writer whose messages reach a drawn set of servers only, and which dies before it learns more. */
  #leaveWriteUnfinished(writer: ClientMachine | undefined): (() => void) | undefined {
    const { servers, world, marks } = this.#system;
    if (writer === undefined) return undefined;
    const names = this.#prng.shuffled(servers.map(({ node }) => node.name));
    const reached = this.#prng.between(1, names.length - 1);
    const cut = cutOneWay([writer.node.name], names.slice(reached));
    const heal = world.fabric.add(only(({ type }) => type === messageNumber('write'), cut));
    marks.hit('write left at fewer than a quorum');
    writer.start();
    return () => {
      writer.crash();
      heal();
    };
  }
}
