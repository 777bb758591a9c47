// A group of real replica processes and a process of clients, for the time of one measurement.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ed25519 } from '../../src/crypto/signature.ts';
import {
  type GroupJob,
  type LoadAnswer,
  loadSchema,
  type ReplicaJob,
  type StatusAnswer,
  statusSchema,
  type Task,
} from './jobs.ts';
import { Worker } from './worker.ts';

export interface GroupOptions {
  readonly engine: 'pbft' | 'vr';
  readonly faults: number;
  readonly isDurable: boolean;
  readonly resultSizeBytes: number;
  readonly timeoutMs: number;
  readonly isTentative: boolean;
  readonly clients: number;
  readonly parent: string | undefined;
  readonly profileFolder: string | undefined;
}

type Load = Omit<Extract<Task, { kind: 'load' }>, 'kind'>;

export class BenchGroup {
  readonly #options: GroupOptions;
  readonly #folder: string;
  readonly #group: GroupJob;
  readonly #seeds: readonly string[];
  readonly #replicas: (Worker | undefined)[] = [];
  #clients: Worker | undefined;

  private constructor(options: GroupOptions, folder: string, group: GroupJob, seeds: string[]) {
    this.#options = options;
    this.#folder = folder;
    this.#group = group;
    this.#seeds = seeds;
  }

  static async start(options: GroupOptions): Promise<BenchGroup> {
    const { engine, faults, clients, profileFolder } = options;
    const folder = await mkdtemp(join(options.parent ?? tmpdir(), 'holdfast-bench-'));
    const n = engine === 'pbft' ? 3 * faults + 1 : 2 * faults + 1;
    const seeds = Array.from({ length: n }, () => randomBytes(32).toString('hex'));
    const ports = await freePorts(n);
    const members = seeds.map((seed, i) => ({
      publicKey: Buffer.from(
        ed25519.signer(new Uint8Array(Buffer.from(seed, 'hex'))).publicKey,
      ).toString('hex'),
      port: ports[i] ?? 0,
    }));
    const group = new BenchGroup(options, folder, { name: 'bench', faults, members }, seeds);
    await Promise.all(seeds.map((_, index) => group.startReplica(index, 'create')));
    const job = { role: 'clients', group: group.#group, engine, count: clients } as const;
    group.#clients = await Worker.start(job, profileFolder);
    return group;
  }

  get size(): number {
    return this.#seeds.length;
  }

  get pids(): number[] {
    return this.#replicas.flatMap((replica) => (replica === undefined ? [] : [replica.pid]));
  }

  /** Indexes of the replicas whose processes run. */
  get alive(): number[] {
    return this.#replicas.flatMap((replica, index) => (replica === undefined ? [] : [index]));
  }

  async startReplica(index: number, prepare: ReplicaJob['prepare']): Promise<void> {
    const { engine, isDurable, resultSizeBytes, timeoutMs, isTentative } = this.#options;
    const job = {
      role: 'replica',
      group: this.#group,
      engine,
      timeoutMs,
      isTentative,
      index,
      seed: this.#seeds[index] ?? '',
      ...(isDurable ? { folder: this.#folderOf(index) } : {}),
      prepare,
      resultSizeBytes,
    } as const;
    this.#replicas[index] = await Worker.start(job, this.#options.profileFolder);
  }

  #folderOf(index: number): string {
    return join(this.#folder, `replica-${index}`);
  }

  /** Of a replica that is down. */
  async wipe(index: number): Promise<void> {
    await rm(this.#folderOf(index), { recursive: true });
  }

  async kill(index: number): Promise<void> {
    await this.#replicas[index]?.kill('SIGKILL');
    this.#replicas[index] = undefined;
  }

  async pause(index: number, isPaused: boolean): Promise<void> {
    await this.#replicas[index]?.kill(isPaused ? 'SIGSTOP' : 'SIGCONT');
  }

  async status(index: number): Promise<StatusAnswer> {
    return statusSchema.parse(await this.#replicas[index]?.do({ kind: 'status' }));
  }

  async load(load: Load): Promise<LoadAnswer> {
    return loadSchema.parse(await this.#clients?.do({ kind: 'load', ...load }));
  }

  async stop(): Promise<void> {
    await this.#clients?.end();
    await Promise.all(this.#replicas.map((replica) => replica?.end()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Ports that were free a moment ago, none twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          server.listen(0, '127.0.0.1', () => {
            const address = server.address();
            resolve(typeof address === 'object' && address !== null ? address.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
