// A node of a simulation: a name, a key, a disk, and one incarnation of its code at a time.

import type { PeerId } from '../../src/base/brand.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { Entropy } from '../../src/env/entropy.ts';
import type { Env } from '../../src/env/env.ts';
import type { Log, LogFields } from '../../src/env/log.ts';
import type { Metrics } from '../../src/env/metrics.ts';
import type { Address } from '../../src/env/network.ts';
import { limits } from '../../src/wire/limits.ts';
import { SimulatedClock, SimulatedTimers } from './clock.ts';
import { DiskImage, type SimulatedDisk } from './disk.ts';
import { Life } from './life.ts';
import { InspectableMetrics } from './metrics.ts';
import { type Fabric, type Host, SimulatedNetwork } from './network.ts';
import { type Simulation, usPerMs } from './simulation.ts';

/** What an incarnation's code is given. All of it goes dead with the incarnation. */
export interface Machine {
  readonly env: Env;
  /** `env.network`, to be given what a real network is made with: greeting, admission, bounds. */
  readonly network: SimulatedNetwork;
  readonly disk: SimulatedDisk;
  /** 1 for the first start. */
  readonly incarnation: number;
}

/** Starts a node's code. What it throws or rejects with ends the incarnation and is kept as `bootFailure`. */
export type Boot = (machine: Machine) => unknown;

export interface NodeOptions {
  /** Unique; stands in the trace. */
  readonly name: string;
  readonly peer: PeerId;
  /** Default: the name as host, port 1. */
  readonly address?: Address;
  /** How much faster than true time its clock runs, in millionths. Default 0. */
  readonly clockRatePpm?: number;
}

export interface CrashOptions {
  /**
   * True: the others are not told, as when power or a cable fails, and find out only by writing to the node once it is
   * up again, or after a long silence. Default false.
   */
  readonly silently?: boolean;
}

interface Incarnation {
  readonly life: Life;
  readonly clock: SimulatedClock;
  readonly network: SimulatedNetwork;
}

export class SimulatedNode implements Host {
  readonly name: string;
  readonly peer: PeerId;
  readonly address: Address;
  readonly disk: DiskImage;
  /** Over all incarnations. */
  readonly metrics = new InspectableMetrics();
  /** Why the last start failed, if it did. */
  bootFailure: unknown;
  readonly #simulation: Simulation;
  readonly #fabric: Fabric;
  readonly #options: NodeOptions;
  readonly #subject: number;
  readonly #prng: Prng;
  #boot: Boot | undefined;
  #incarnations = 0;
  #current: Incarnation | undefined;

  constructor(simulation: Simulation, fabric: Fabric, options: NodeOptions) {
    this.#simulation = simulation;
    this.#fabric = fabric;
    this.#options = options;
    this.name = options.name;
    this.peer = options.peer;
    this.address = options.address ?? { host: options.name, port: 1 };
    this.#subject = simulation.trace.subject(options.name);
    this.#prng = simulation.prng.fork();
    this.disk = new DiskImage(this.#prng.fork());
    fabric.register(this);
  }

  get network(): SimulatedNetwork | undefined {
    return this.#current?.network;
  }

  get up(): boolean {
    return this.#current !== undefined;
  }

  get paused(): boolean {
    return this.#current?.life.paused ?? false;
  }

  /** Number of the current or last incarnation; 0 before the first start. */
  get incarnation(): number {
    return this.#incarnations;
  }

  /** Starts the node's code with what is on the disk. Nothing happens if it is up. */
  start(boot: Boot): void {
    if (this.#current !== undefined) return;
    this.#boot = boot;
    this.bootFailure = undefined;
    this.#incarnations++;
    this.#note('start');
    const life = new Life(this.#simulation, this.name, this.#subject);
    const clock = new SimulatedClock(this.#simulation, {
      ratePpm: this.#options.clockRatePpm ?? 0,
      originUs: this.#prng.below(2 ** 32),
    });
    const network = new SimulatedNetwork(this.#fabric, this, life);
    this.#current = { life, clock, network };
    const machine: Machine = {
      env: {
        clock,
        timers: new SimulatedTimers(life, clock),
        network,
        entropy: new SeededEntropy(this.#prng.fork()),
        log: new TraceLog(life),
        metrics: new MetricsOfLife(life, this.metrics),
      },
      network,
      disk: this.disk.mount(life),
      incarnation: this.#incarnations,
    };
    const failed = (cause: unknown): void => {
      if (!life.alive) return;
      this.bootFailure = cause;
      this.#simulation.trace.note('boot-failed', this.#subject, String(cause));
      this.crash();
    };
    try {
      Promise.resolve(boot(machine)).catch(failed);
    } catch (cause) {
      failed(cause);
    }
  }

  /** Ends the incarnation: what is not durable is lost, its connections break, nothing it still does has an effect. */
  crash(options: CrashOptions = {}): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    this.#note(options.silently === true ? 'power-off' : 'crash');
    const silenceUs = limits.idleTimeoutMs * usPerMs;
    current.network.hangUpAll(() =>
      options.silently === true ? silenceUs : this.#fabric.noticeDelayUs(),
    );
    current.life.end();
    this.disk.crash();
  }

  /** Crashes the node if it is up, and starts the same code again. Nothing happens if it never was started. */
  restart(): void {
    this.crash();
    if (this.#boot !== undefined) this.start(this.#boot);
  }

  /**
   * Stops the node for a while: messages pile up, timers are late. With `clockStops` its clock stands still as well,
   * as when a machine sleeps.
   */
  pause(options: { readonly clockStops?: boolean } = {}): void {
    if (this.#current === undefined || this.paused) return;
    this.#note('pause');
    this.#current.life.pause();
    if (options.clockStops === true) this.#current.clock.suspend();
  }

  resume(): void {
    if (this.#current === undefined || !this.paused) return;
    this.#note('resume');
    this.#current.clock.resume();
    this.#current.life.resume();
  }

  #note(kind: string): void {
    this.#simulation.trace.note(kind, this.#subject, `incarnation=${this.#incarnations}`);
  }
}

class SeededEntropy implements Entropy {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  bytes(length: number): Uint8Array {
    return this.#prng.bytes(length);
  }
}

/** Everything that a node logs is part of the trace. */
class TraceLog implements Log {
  readonly #life: Life;

  constructor(life: Life) {
    this.#life = life;
  }

  debug(event: string, fields?: LogFields): void {
    this.#write('debug', event, fields);
  }

  info(event: string, fields?: LogFields): void {
    this.#write('info', event, fields);
  }

  warn(event: string, fields?: LogFields): void {
    this.#write('warn', event, fields);
  }

  error(event: string, fields?: LogFields): void {
    this.#write('error', event, fields);
  }

  #write(level: string, event: string, fields: LogFields = {}): void {
    const { alive, simulation, subject } = this.#life;
    if (!alive) return;
    let text = `${level} ${event}`;
    for (const [name, value] of Object.entries(fields)) text += ` ${name}=${value}`;
    simulation.trace.note('log', subject, text);
  }
}

class MetricsOfLife implements Metrics {
  readonly #life: Life;
  readonly #metrics: InspectableMetrics;

  constructor(life: Life, metrics: InspectableMetrics) {
    this.#life = life;
    this.#metrics = metrics;
  }

  count(name: string, label?: string, amount?: number): void {
    if (this.#life.alive) this.#metrics.count(name, label, amount);
  }

  gauge(name: string, value: number, label?: string): void {
    if (this.#life.alive) this.#metrics.gauge(name, value, label);
  }

  observe(name: string, value: number, label?: string): void {
    if (this.#life.alive) this.#metrics.observe(name, value, label);
  }
}
