// A replicated key-value store of real processes, and a workload that notices anything lost, repeated or made up.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { decodeResult, encodeOperation } from '../../examples/key-value/index.ts';
import type { Change, TableEntry } from '../../src/env/disk.ts';
import { openTable } from '../../src/node/table.ts';
import {
  type ConnectedGroup,
  checkEnding,
  connectGroup,
  createReplicaFolder,
  createSigningFolder,
  type Ending,
  memberKey,
  readEnding,
  recoverReplicaFolder,
} from '../../src/server/replication/index.ts';
import { dist, projectFolder } from './places.ts';
import { freePorts } from './ports.ts';
import { Process } from './processes.ts';
import { groupOf, type ReplicaFile } from './replica-process.ts';
import { NeverHappened, until } from './until.ts';

const statusSchema = z.object({
  view: z.number(),
  primary: z.number(),
  status: z.string(),
  executed: z.number(),
  checkpoint: z.number(),
  root: z.string(),
  damage: z.array(z.string()),
  waitsFor: z.string().optional(),
});
export type SeenStatus = z.infer<typeof statusSchema>;

/** 'r', instance, 'p', region and number, version. */
const pageKeySizeBytes = 1 + 32 + 1 + 8 + 8;

const faults = 1;

function seedsFor(engine: 'pbft' | 'vr'): Uint8Array[] {
  const size = engine === 'pbft' ? 3 * faults + 1 : 2 * faults + 1;
  return Array.from({ length: size }, () => new Uint8Array(randomBytes(32)));
}

const script = join(projectFolder, 'test/e2e/replica-process.ts');
const signingScript = join(projectFolder, 'test/e2e/signing-process.ts');

/** A member's signing module: its folder, and its process while it runs. */
export class Signing {
  readonly folder: string;
  readonly socket: string;
  process: Process | undefined;

  constructor(folder: string) {
    this.folder = folder;
    this.socket = join(folder, 'sock');
  }

  /** Starts the process; `start` waits for it. */
  launch(): Process {
    this.process = new Process(
      [process.execPath, '--import', 'tsx', signingScript, this.folder, this.socket],
      { cwd: projectFolder },
    );
    return this.process;
  }

  async start(): Promise<void> {
    const started = this.launch();
    await until('the signing module can be reached', () =>
      started.stdout.toString('utf8').includes('ready'),
    );
  }

  async kill(): Promise<void> {
    await this.process?.end();
    this.process = undefined;
  }
}

/** One member: its files, and its process while it runs. */
export class Member {
  readonly folder: string;
  readonly #path: string;
  process: Process | undefined;
  /** Where its key is, unless it has it itself. */
  readonly signing: Signing | undefined;

  constructor(file: ReplicaFile, path: string, signing?: Signing) {
    this.folder = file.folder;
    this.signing = signing;
    this.#path = path;
    writeFileSync(path, JSON.stringify(file));
  }

  /** Starts the process; `ready` waits for it. */
  launch(): Process {
    this.process = new Process([process.execPath, '--import', 'tsx', script, this.#path], {
      cwd: projectFolder,
    });
    return this.process;
  }

  async start(): Promise<void> {
    this.launch();
    await until('the replica says how it stands', () => this.status);
  }

  get status(): SeenStatus | undefined {
    const lines = this.process?.stdout.toString('utf8').trim().split('\n') ?? [];
    const last = lines.at(-1);
    return last === undefined || last === '' ? undefined : statusSchema.parse(JSON.parse(last));
  }

  /** Changes the stored pages of a member that is down, however it likes. */
  async alterPages(alter: (pages: readonly TableEntry[]) => readonly Change[]): Promise<void> {
    const table = openTable({ folder: join(this.folder, 'table') });
    // All keys of a replica begin with its instance; those of pages are the long ones.
    const all = { from: Uint8Array.of(0), to: Uint8Array.of(0xff), limit: 100_000 };
    const pages = table.range(all).filter(({ key }) => key.length === pageKeySizeBytes);
    if (pages.length === 0) throw new NeverHappened('a checkpoint was saved');
    await table.write(alter(pages));
    await table.close();
  }

  async kill(): Promise<void> {
    await this.process?.end();
    this.process = undefined;
  }
}

interface Kind {
  readonly recoveryIntervalMs?: number | undefined;
  readonly hasModules?: boolean;
}

const libraryPath = (): string => dist('server/replication/index.js');

export class ReplicaGroup {
  readonly engine: 'pbft' | 'vr';
  readonly members: readonly Member[];
  readonly #group: ReturnType<typeof groupOf>;
  readonly #seeds: readonly Uint8Array[];

  private constructor(
    engine: 'pbft' | 'vr',
    members: readonly Member[],
    file: ReplicaFile,
    seeds: readonly Uint8Array[],
  ) {
    this.engine = engine;
    this.members = members;
    this.#group = groupOf(file);
    this.#seeds = seeds;
  }

  /** @param recoveryIntervalMs PBFT: unless given, members recover when told to. */
  static start(engine: 'pbft' | 'vr', recoveryIntervalMs?: number): Promise<ReplicaGroup> {
    return ReplicaGroup.#begin(engine, seedsFor(engine), undefined, { recoveryIntervalMs });
  }

  /** PBFT, with the key of each member in a module of its own. */
  static startSigned(): Promise<ReplicaGroup> {
    return ReplicaGroup.#begin('pbft', seedsFor('pbft'), undefined, { hasModules: true });
  }

  /**
   * A group that goes on with what this one ended with: a new machine in the place of the first, and as many as its engine
   * needs.
   * @param heir the one member that gets the state; the others fetch it.
   */
  async next(heir: number, engine: 'pbft' | 'vr' = this.engine): Promise<ReplicaGroup> {
    const ending = await this.readEnding(heir);
    const newSeeds = seedsFor(engine);
    const seeds = newSeeds.map((seed, i) => (i > 0 ? this.#seeds[i] : undefined) ?? seed);
    return ReplicaGroup.#begin(engine, seeds, { ending, heir });
  }

  static async #begin(
    engine: 'pbft' | 'vr',
    seeds: readonly Uint8Array[],
    begins?: { readonly ending: Ending; readonly heir: number },
    { recoveryIntervalMs, hasModules = false }: Kind = {},
  ): Promise<ReplicaGroup> {
    const root = mkdtempSync(join(tmpdir(), 'holdfast-replicas-'));
    const ports = await freePorts(seeds.length);
    const identities = seeds.map((seed, i) => ({
      publicKey: Buffer.from(memberKey(seed)).toString('hex'),
      port: ports[i] ?? 0,
    }));
    const files = seeds.map((seed, i) => ({
      engine,
      faults,
      members: identities,
      ...(hasModules
        ? { signingSocket: join(root, `key-${i}`, 'sock'), library: libraryPath() }
        : { seed: Buffer.from(seed).toString('hex') }),
      folder: join(root, `replica-${i}`),
      ...(begins && { genesis: Buffer.from(begins.ending.root).toString('hex') }),
      ...(recoveryIntervalMs !== undefined && { recoveryIntervalMs }),
    }));
    const [first] = files;
    if (first === undefined) throw new NeverHappened('a group has members');
    await Promise.all(
      files.map((file, i) => {
        const inherited = begins?.heir === i ? begins.ending : undefined;
        return createReplicaFolder(file.folder, groupOf(file), i, inherited);
      }),
    );
    const signings = files.map((_, i) =>
      hasModules ? new Signing(join(root, `key-${i}`)) : undefined,
    );
    for (const [i, signing] of signings.entries()) {
      const seed = seeds[i];
      if (signing === undefined || seed === undefined) continue;
      await createSigningFolder(signing.folder, groupOf(first), seed);
      await signing.start();
    }
    const members = files.map(
      (file, i) => new Member(file, join(root, `replica-${i}.json`), signings[i]),
    );
    await Promise.all(members.map((member) => member.start()));
    return new ReplicaGroup(engine, members, first, seeds);
  }

  get description(): ReturnType<typeof groupOf> {
    return this.#group;
  }

  /** What the folder of a member that is down says of the end. */
  readEnding(index: number): Promise<Ending> {
    return readEnding(this.at(index).folder, this.#group, index);
  }

  /** What a proof of the end says to someone who knows nothing but the group. */
  checkEnding(proof: Uint8Array): Pick<Ending, 'root' | 'sequence'> {
    return checkEnding(this.#group, proof);
  }

  /** Gives a member that is down a new folder in the place of the one that it lost. */
  recover(index: number): Promise<string | undefined> {
    return recoverReplicaFolder(this.at(index).folder, this.#group, index);
  }

  connect(): Promise<ConnectedGroup> {
    return connectGroup({ group: this.#group, engine: this.engine });
  }

  /** A client of the group before goes on here. */
  followedBy(client: ConnectedGroup, ending: Ending): Promise<ConnectedGroup> {
    return client.follow({ group: this.#group, engine: this.engine, ending });
  }

  at(index: number): Member {
    const member = this.members[index];
    if (member === undefined) throw new NeverHappened(`the group has a member ${index}`);
    return member;
  }

  /** The last batch that any member says to have executed. */
  get highestExecuted(): number {
    return Math.max(...this.members.map(({ status }) => status?.executed ?? 0));
  }

  /** The member that leads, as the members see it. */
  get primary(): Member {
    const views = this.members.flatMap(({ process, status }) =>
      process === undefined || status === undefined ? [] : [status],
    );
    const latest = views.reduce((a, b) => (b.view > a.view ? b : a));
    return this.at(latest.primary);
  }
}

/** Counters that clients add to by compare-and-set: one success is one addition, or something is wrong. */
export class Counting {
  readonly #client: ConnectedGroup;
  readonly #workers: Promise<void>[] = [];
  readonly #added: number[];
  #over = false;
  done = 0;

  private constructor(client: ConnectedGroup, counters: number) {
    this.#client = client;
    this.#added = new Array<number>(counters).fill(0);
  }

  /** Two workers on each counter. */
  static async start(group: ReplicaGroup, counters = 4): Promise<Counting> {
    const counting = new Counting(await group.connect(), counters);
    for (let i = 0; i < 2 * counters; i++) counting.#workers.push(counting.#work(i % counters));
    return counting;
  }

  /** Waits until so many more operations have ended. */
  async goesOn(more = 100): Promise<void> {
    const wanted = this.done + more;
    await until(`${more} more operations end`, () => this.done >= wanted, 60_000);
  }

  /** Ends the workload and gives, for each counter, what was added and what is there. */
  async judge(): Promise<{ added: number[]; found: number[] }> {
    this.#over = true;
    await Promise.all(this.#workers);
    const found: number[] = [];
    for (let i = 0; i < this.#added.length; i++) found.push(await this.#read(i));
    await this.#client.close();
    return { added: this.#added, found };
  }

  /** Ends the instance while the workers work, and gives what they had added until they were told so. */
  async end(): Promise<number[]> {
    await this.#client.submit(encodeOperation({ kind: 'stop' }));
    await Promise.all(this.#workers);
    await this.#client.close();
    return this.#added;
  }

  /** The counters as another group has them. */
  static async read(group: ReplicaGroup, counters = 4): Promise<number[]> {
    const counting = new Counting(await group.connect(), counters);
    return (await counting.judge()).found;
  }

  async #work(counter: number): Promise<void> {
    try {
      await this.#count(counter);
    } catch (error) {
      if (!(error instanceof InstanceEnded)) throw error;
    }
  }

  async #count(counter: number): Promise<void> {
    let atLeast = 0;
    while (!this.#over) {
      const current = await this.#read(counter);
      if (current < atLeast) throw new NeverHappened(`reads of a counter never go back`);
      atLeast = current;
      const result = await this.#submit({
        kind: 'compare-and-set',
        key: keyOf(counter),
        expected: current === 0 ? undefined : bytesOf(current),
        value: bytesOf(current + 1),
      });
      if (result.kind === 'done') {
        this.#added[counter] = (this.#added[counter] ?? 0) + 1;
        atLeast = current + 1;
      }
      this.done += 1;
    }
  }

  async #read(counter: number): Promise<number> {
    const outcome = await this.#client.query(encodeOperation({ kind: 'get', key: keyOf(counter) }));
    if (outcome.kind === 'ended') throw new InstanceEnded();
    const result = outcome.kind === 'result' ? decodeResult(outcome.result) : undefined;
    if (result?.kind === 'absent') return 0;
    if (result?.kind !== 'value') throw new NeverHappened('a read gives a value');
    return Number(Buffer.from(result.value).toString());
  }

  async #submit(operation: Parameters<typeof encodeOperation>[0]) {
    const outcome = await this.#client.submit(encodeOperation(operation));
    if (outcome.kind === 'ended') throw new InstanceEnded();
    const result = outcome.kind === 'result' ? decodeResult(outcome.result) : undefined;
    if (result === undefined) throw new NeverHappened('an operation gives a result');
    return result;
  }
}

/** What was asked for was not done, and will not be. */
class InstanceEnded extends Error {
  override readonly name = 'InstanceEnded';
}

function keyOf(counter: number): Uint8Array {
  return Buffer.from(`counter ${counter}`);
}

function bytesOf(value: number): Uint8Array {
  return Buffer.from(String(value));
}
