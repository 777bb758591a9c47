// What goes wrong in a run besides network and machines: primaries, disks, clients, and the power of all at once.

import type { Prng } from '../../src/base/prng.ts';
import type { Spells } from '../simulator/fault-mix.ts';
import { cutBothWays, cutOneWay } from '../simulator/faults.ts';
import { Recurring } from '../simulator/recurring.ts';
import type { SimulatedGroup } from './group.ts';
import { PageRot } from './page-rot.ts';
import type { ReplicaMachine } from './replica-machine.ts';

export class Nemesis {
  readonly #group: SimulatedGroup;
  readonly #prng: Prng;
  readonly #recurring: Recurring;
  #lossesLeft: number;
  /** Members that have lost their disks, or have pages that rot, and may not have recovered. */
  readonly #unwell = new Set<ReplicaMachine>();

  /** It begins now. */
  constructor(group: SimulatedGroup) {
    this.#group = group;
    this.#prng = group.prng.fork();
    this.#recurring = new Recurring(group.simulation, this.#prng, 'nemesis');
    const { options } = group;
    this.#lossesLeft = options.diskLosses;
    this.#recurring.repeat(options.primaryTroubles, () => this.#troublePrimary());
    this.#recurring.repeat(options.blackouts, () => this.#blackOut());
    this.#recurring.repeat(options.carefulCrashes, () => this.#crashCarefully());
    this.#recurring.repeat(options.clientCrashes, () => this.#crashClient());
    this.#recurring.repeat(options.recoveries, () => this.#recover());
    const losses: Spells = { gapMs: [500, Math.max(501, options.safetyMs / 2)], lastMs: [0, 0] };
    if (this.#lossesLeft > 0) this.#recurring.repeat(losses, () => this.#loseDisk());
    if (options.pageRots > 0) this.#rotPages(options.pageRots);
    for (let i = 0; i < options.wipes; i++) this.#wipeInTurn();
  }

  /** One member after the other loses its disk, each when the one before has recovered. */
  #wipeInTurn(): void {
    const group = this.#group;
    const { options } = group;
    const prng = group.simulation.prng.fork();
    const spells: Spells = { gapMs: [100, Math.max(101, options.safetyMs / 6)], lastMs: [0, 0] };
    let victim: ReplicaMachine | undefined;
    this.#recurring.repeat(spells, () => {
      const status = victim?.status?.status;
      if (victim !== undefined && (status === undefined || status === 'recovering'))
        return undefined;
      if (victim !== undefined) this.#unwell.delete(victim);
      victim = prng.pick(group.correct.filter((each) => !this.#unwell.has(each)));
      if (victim === undefined) return undefined;
      this.#unwell.add(victim);
      victim.wipe();
      group.note('disk-wiped', victim.name);
      return undefined;
    });
  }

  /** The same few all along: the others have what these must fetch. */
  #rotPages(members: number): void {
    const { group, simulation, correct, options } = this.#group;
    const prng = simulation.prng.fork();
    const keepers = correct.filter(({ isWitness }) => !isWitness);
    const spells: Spells = { gapMs: [200, Math.max(201, options.safetyMs / 4)], lastMs: [0, 0] };
    for (const victim of prng.shuffled(keepers).slice(0, members)) {
      const rot = new PageRot(victim, group.instance, prng);
      this.#unwell.add(victim);
      this.#recurring.repeat(spells, () => {
        if (!victim.isCorrect) return undefined;
        if (prng.chance(1, 4)) rot.remember();
        else if (rot.play()) this.#group.note('pages-rotten', victim.name);
        return undefined;
      });
    }
  }

  /** Nothing new happens from now on, and everyone is up who can be. */
  end(): void {
    this.#recurring.end();
    for (const replica of this.#group.replicas) replica.start();
    for (const client of this.#group.clients) client.start();
  }

  #troublePrimary(): () => void {
    const { primary, replicas, fabric } = this.#group;
    const others = replicas.filter((one) => one !== primary).map(({ name }) => name);
    switch (this.#prng.below(4)) {
      case 0:
        return fabric.add(cutBothWays([primary.name], others));
      case 1:
        // Its messages leave and nothing comes in, so that it looks alive.
        return fabric.add(cutOneWay(others, [primary.name]));
      case 2:
        return fabric.add(cutOneWay([primary.name], others));
      default:
        primary.crash(this.#prng.chance(1, 2));
        return () => primary.start();
    }
  }

  #blackOut(): () => void {
    const { replicas } = this.#group;
    const isSilent = this.#prng.chance(1, 2);
    for (const replica of replicas) replica.crash(isSilent);
    return () => {
      for (const replica of replicas) replica.start();
    };
  }

  /** One that is down has forgotten everything, and counts as failed until it has recovered from the others. */
  #crashCarefully(): (() => void) | undefined {
    const { replicas, options } = this.#group;
    const isWell = ({ status }: ReplicaMachine): boolean =>
      status !== undefined && status.status !== 'recovering';
    const well = replicas.filter(isWell);
    if (replicas.length - well.length >= options.faults) return undefined;
    const victim = this.#prng.pick(well);
    victim?.crash(this.#prng.chance(1, 2));
    return () => victim?.start();
  }

  #recover(): undefined {
    const victim = this.#prng.pick(this.#group.correct.filter(({ host }) => host !== undefined));
    if (victim === undefined) return;
    this.#group.note('recover', victim.name);
    victim.host?.recover();
  }

  #crashClient(): (() => void) | undefined {
    const client = this.#prng.pick(this.#group.clients.filter(({ node }) => node.up));
    client?.crash();
    return () => client?.start();
  }

  /** A disk is replaced by an empty one, or rots. */
  #loseDisk(): undefined {
    const victim = this.#prng.pick(this.#group.correct);
    if (victim === undefined || this.#lossesLeft === 0) return;
    this.#lossesLeft -= 1;
    victim.damage();
    victim.crash();
    const { disk } = victim.node;
    // Viewstamped Replication bears disks that are gone, not such as lie.
    const kind = this.#group.options.engine === 'vr' ? 0 : this.#prng.below(4);
    if (kind === 0) disk.create();
    else if (kind === 1) disk.damageTableValue();
    else if (kind === 2) disk.damageTableKey();
    else disk.damageJournal();
    this.#group.note('disk-lost', `${victim.name} ${kind}`);
    victim.start();
  }
}
