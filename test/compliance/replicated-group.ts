// A group of either engine in virtual time, with disks, for the one suite that both must pass: hosts, engines and clients as
// in production, and a service that notes all that it is asked.

import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, concatBytes, emptyBytes, textOf, toHex, utf8 } from '../../src/base/bytes.ts';
import { taggedHash } from '../../src/crypto/hash.ts';
import { type Acceptance, byzantineAcceptance } from '../../src/replication/acceptance.ts';
import { GroupClient, type GroupClientOptions } from '../../src/replication/client.ts';
import type {
  OperationContext,
  Outcome,
  PageChange,
  PageStore,
  ReplicaGroup,
  ReplicaStatus,
  StateMachine,
} from '../../src/replication/contract.ts';
import { ReplicaHost } from '../../src/replication/host.ts';
import { createPbftEngine, type PbftParameters } from '../../src/replication/pbft/index.ts';
import { createReplica } from '../../src/replication/replica-disk.ts';
import { vrAcceptance } from '../../src/replication/vr/acceptance.ts';
import { createVrEngine } from '../../src/replication/vr/engine.ts';
import type { VrParameters } from '../../src/replication/vr/parameters.ts';
import { replicationPayloadSizeBytesMax } from '../../src/wire/replication-registry.ts';
import { delayUniform } from '../../testing/simulator/faults.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { type Machine, SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';

export interface GroupKind {
  readonly engine: 'pbft' | 'vr';
  readonly faults: number;
  readonly pbft?: Partial<PbftParameters>;
  readonly vr?: Partial<VrParameters>;
}

/** What another instance ended with: what this group begins with. */
export interface Begins {
  readonly root: Bytes;
  readonly pages: readonly PageChange[];
}

const checkpoints = { checkpointInterval: 4 };

export class ReplicatedGroup {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly group: ReplicaGroup;
  readonly members: readonly Member[];
  /** Why members stopped, by index. */
  readonly failures = new Map<number, Error>();
  readonly #scheme = simulatedSignatures();
  readonly #kind: GroupKind;
  #clients = 0;

  constructor(kind: GroupKind, name = 'first', begins?: Begins, past?: ReplicatedGroup) {
    this.#kind = kind;
    this.simulation = past?.simulation ?? new Simulation({ seed: 7 });
    this.fabric = new Fabric(this.simulation, { latency: delayUniform(200, 3_000) });
    const { engine, faults } = kind;
    const size = engine === 'pbft' ? 3 * faults + 1 : 2 * faults + 1;
    const signers = Array.from({ length: size }, (_, i) => this.signerOf(`${name}${i}`));
    const members = signers.map(({ publicKey }) => publicKey);
    const instance = taggedHash('instance', utf8(name));
    this.group = { instance, members, faults, ...(begins && { genesis: begins.root }) };
    const addresses = members.map((_, i) => ({ host: `${name}${i}`, port: 1 }));
    this.members = signers.map((signer, index) => {
      const peer = toHex(signer.publicKey) as PeerId;
      const node = new SimulatedNode(this.simulation, this.fabric, {
        name: `${name}${index}`,
        peer,
      });
      let isCreated = false;
      const open: Open = async (service, { env, disk }) => {
        if (!isCreated) {
          isCreated = true;
          node.disk.create();
          await createReplica(disk, this.group, index, { pages: begins?.pages });
        }
        const own = { group: this.group, index, service };
        const nonce = (): Bytes => env.entropy.bytes(16);
        return ReplicaHost.open({
          env,
          disk,
          group: this.group,
          self: index,
          addresses,
          engine:
            engine === 'pbft'
              ? createPbftEngine({
                  ...own,
                  signer,
                  scheme: this.#scheme,
                  parameters: { ...checkpoints, window: 8, ...kind.pbft },
                })
              : createVrEngine({ ...own, nonce, parameters: { ...checkpoints, ...kind.vr } }),
          onEvidence: ({ code }) => this.simulation.fail(`evidence: ${code}`),
          onFailure: (error) => this.failures.set(index, error),
        });
      };
      return new Member(node, open);
    });
  }

  static async start(
    ...of: ConstructorParameters<typeof ReplicatedGroup>
  ): Promise<ReplicatedGroup> {
    const group = new ReplicatedGroup(...of);
    for (const member of group.members) member.start();
    await group.until(() => group.members.every(({ isUp }) => isUp));
    return group;
  }

  signerOf(name: string) {
    return this.#scheme.signer(taggedHash('object-key', utf8(name)));
  }

  /** A client under a name of its own; the same name is the same key. */
  client(name: string, more: Partial<GroupClientOptions> = {}): GroupClient {
    const signer = this.signerOf(name);
    const { group } = this;
    const addresses = this.members.map(({ name: host }) => ({ host, port: 1 }));
    const made: GroupClient[] = [];
    const run = `${name}-${this.#clients++}`;
    const peer = toHex(signer.publicKey) as PeerId;
    new SimulatedNode(this.simulation, this.fabric, { name: run, peer }).start(
      ({ env, network }) => {
        network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
        const acceptance = this.#acceptance;
        made.push(
          new GroupClient({
            env,
            signer,
            group,
            addresses,
            acceptance,
            isFresh: false,
            ...more,
          }),
        );
      },
    );
    const [client] = made;
    if (client === undefined) throw new NotUp(run);
    return client;
  }

  get #acceptance(): Acceptance {
    const { engine, faults, vr } = this.#kind;
    return engine === 'pbft'
      ? byzantineAcceptance(faults)
      : vrAcceptance(faults, vr?.witnesses === true);
  }

  /** Those that keep the state: not witnesses. */
  get holders(): readonly Member[] {
    const { vr, faults } = this.#kind;
    return vr?.witnesses === true ? this.members.slice(0, faults + 1) : this.members;
  }

  /** @returns what they settle with, as text: the results, or how else they ended. */
  async told(...outcomes: Promise<Outcome>[]): Promise<string[]> {
    const ended = await this.simulation.complete(Promise.all(outcomes), 60_000);
    return ended.map((each) =>
      each.kind === 'result' ? (textOf(each.result) ?? toHex(each.result)) : each.kind,
    );
  }

  /** Submits them all at once, as a client under this name. */
  async submit(name: string, ...operations: string[]): Promise<string[]> {
    const client = this.client(name);
    return this.told(...operations.map((text) => client.submit(utf8(text))));
  }

  /** Until something holds; fails if it does not within a minute. */
  async until(condition: () => boolean): Promise<void> {
    if (!(await this.simulation.runUntil(condition, 60_000))) throw new NeverCame();
  }

  /** Until all that keep the state and are up have executed the same, for good. */
  async level(): Promise<void> {
    await this.until(() => {
      const up = this.holders.filter(({ isUp }) => isUp);
      const reached = up.map(({ status, service }) => `${status.executed} ${service.count}`);
      return new Set(reached).size === 1;
    });
  }
}

type Open = (service: StateMachine, machine: Machine) => Promise<ReplicaHost>;

/** One member, over all its starts. */
export class Member {
  readonly node: SimulatedNode;
  service = new NotingService();
  readonly #open: Open;
  #host: ReplicaHost | undefined;

  constructor(node: SimulatedNode, open: Open) {
    this.node = node;
    this.#open = open;
  }

  get name(): string {
    return this.node.name;
  }

  get isUp(): boolean {
    return this.#host !== undefined;
  }

  get status(): ReplicaStatus {
    return this.host.status();
  }

  get host(): ReplicaHost {
    if (this.#host === undefined) throw new NotUp(this.name);
    return this.#host;
  }

  start(): void {
    this.node.start(async (machine) => {
      machine.network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
      this.service = new NotingService();
      const host = await this.#open(this.service, machine);
      this.#host = host;
      host.start();
    });
  }

  crash(): void {
    this.#host = undefined;
    this.node.crash();
  }
}

class NeverCame extends Error {
  override readonly name = 'NeverCame';
}

class NotUp extends Error {
  override readonly name = 'NotUp';
}

const stop = '!stop';
const pageBytes = 64;

/**
 * Page 0 counts operations; page `n % 50 + 1` holds the last of those. By its first letter an operation is a question (`?`),
 * has a long result (`*`), throws (`#`), or ends the instance.
 */
export class NotingService implements StateMachine {
  /** Operations executed since the last start, in order, each with the input that was agreed on. */
  readonly executed: { readonly text: string; readonly agreed: string; readonly client: string }[] =
    [];
  readonly proposed: string[][] = [];
  readonly checked: string[][] = [];
  loads = 0;
  #pages: PageStore = { read: () => undefined, write: () => {} };

  load(pages: PageStore): void {
    this.#pages = pages;
    this.loads += 1;
  }

  execute(operation: Bytes, { client, agreed }: OperationContext): Bytes {
    const text = textOf(operation) ?? '';
    if (text.startsWith('#')) throw new Error('a fault of the service');
    if (this.isQuery(operation)) return this.query();
    this.executed.push({ text, agreed: textOf(agreed) ?? '', client: toHex(client) });
    const count = this.count + 1;
    this.#pages.write(0, utf8(String(count)));
    this.#pages.write((count % 50) + 1, operation.slice(0, pageBytes));
    return text.startsWith('*') ? new Uint8Array(Number(text.slice(1))).fill(42) : utf8(`${count}`);
  }

  query(): Bytes {
    return utf8(`${this.count}`);
  }

  isQuery(operation: Bytes): boolean {
    return operation[0] === '?'.charCodeAt(0);
  }

  isStop(operation: Bytes): boolean {
    return textOf(operation) === stop;
  }

  /** Not the same twice, as a clock would be. */
  propose(operations: readonly Bytes[]): Bytes {
    this.proposed.push(operations.map((each) => textOf(each) ?? ''));
    return utf8(`input ${this.proposed.length} of ${operations.length}`);
  }

  check(operations: readonly Bytes[], agreed: Bytes): boolean {
    this.checked.push(operations.map((each) => textOf(each) ?? ''));
    return (textOf(agreed) ?? '').endsWith(` of ${operations.length}`);
  }

  get count(): number {
    return Number(textOf(this.#pages.read(0) ?? emptyBytes));
  }

  /** All pages, as one. */
  get state(): string {
    const pages = Array.from({ length: 51 }, (_, i) => this.#pages.read(i) ?? emptyBytes);
    return toHex(concatBytes(...pages.flatMap((page) => [Uint8Array.of(page.length), page])));
  }
}
