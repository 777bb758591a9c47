// Puts a fault mix to work on a running system, and takes all of it away again when the system is to converge.

import type { Prng } from '../../src/base/prng.ts';
import { type FaultMix, messageRules } from './fault-mix.ts';
import { cutBothWays, cutOneWay } from './faults.ts';
import type { Fabric } from './network.ts';
import type { SimulatedNode } from './node.ts';
import { Recurring } from './recurring.ts';
import type { Simulation } from './simulation.ts';

export interface TroubleOptions {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly mix: FaultMix;
  /** Nodes that may crash and be stopped. */
  readonly nodes: readonly SimulatedNode[];
  /** Nodes that partitions may cut off besides those, such as clients. */
  readonly others?: readonly SimulatedNode[];
  /** So many of `nodes` may be down or stopped at a time. */
  readonly unavailableMax: number;
}

export class Trouble {
  readonly #options: TroubleOptions;
  readonly #prng: Prng;
  readonly #unavailable = new Set<SimulatedNode>();
  readonly #recurring: Recurring;

  /** Trouble begins now. */
  constructor(options: TroubleOptions) {
    this.#options = options;
    this.#prng = options.simulation.prng.fork();
    this.#recurring = new Recurring(options.simulation, this.#prng, 'trouble');
    const { fabric, mix, nodes } = options;
    for (const rule of messageRules(mix)) fabric.add(rule);
    for (const { disk } of nodes) {
      const [lowUs, highUs] = mix.diskLatencyUs;
      disk.conditions.latency = { lowUs, highUs };
      disk.conditions.stallOneIn = mix.diskStallOneIn;
      if (mix.diskLag !== undefined) {
        const [lagLowUs, lagHighUs] = mix.diskLag.delayUs;
        disk.conditions.lag = {
          half: this.#prng.chance(1, 2) ? 'journal' : 'table',
          delay: { lowUs: lagLowUs, highUs: lagHighUs },
          oneIn: mix.diskLag.oneIn,
        };
      }
    }
    this.#recurring.repeat(mix.crashes, () => this.#crash());
    this.#recurring.repeat(mix.pauses, () => this.#pause());
    this.#recurring.repeat(mix.partitions, () => this.#cut());
  }

  /** Ends all of it: nothing is cut or lost any more, every node is up and goes on, every disk works. */
  end(): void {
    this.#recurring.end();
    this.#options.fabric.heal();
    for (const node of this.#options.nodes) {
      node.disk.conditions.heal();
      node.resume();
      if (!node.up) node.restart();
    }
  }

  #crash(): (() => void) | undefined {
    const node = this.#victim();
    if (node === undefined) return undefined;
    const silently = this.#prng.chance(1, this.#options.mix.crashes?.silentOneIn ?? 1);
    node.crash({ silently });
    return () => {
      node.restart();
      this.#unavailable.delete(node);
    };
  }

  #pause(): (() => void) | undefined {
    const node = this.#victim();
    if (node === undefined) return undefined;
    const clockStops = this.#prng.chance(1, this.#options.mix.pauses?.clockStopsOneIn ?? 1);
    node.pause({ clockStops });
    return () => {
      node.resume();
      this.#unavailable.delete(node);
    };
  }

  #cut(): () => void {
    const { fabric, mix, nodes, others = [] } = this.#options;
    const names = this.#prng.shuffled([...nodes, ...others].map(({ name }) => name));
    const size = this.#prng.between(1, Math.max(1, names.length - 1));
    const [one, other] = [names.slice(0, size), names.slice(size)];
    const oneWay = this.#prng.chance(1, mix.partitions?.oneWayOneIn ?? 1);
    return fabric.add(oneWay ? cutOneWay(one, other) : cutBothWays(one, other));
  }

  /** A node that is up, unless enough are not. */
  #victim(): SimulatedNode | undefined {
    if (this.#unavailable.size >= this.#options.unavailableMax) return undefined;
    const node = this.#prng.pick(this.#options.nodes.filter(({ up, paused }) => up && !paused));
    if (node !== undefined) this.#unavailable.add(node);
    return node;
  }
}
