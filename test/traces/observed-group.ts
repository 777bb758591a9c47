// A replicated group whose every frame is seen: real hosts, engines and client in virtual time, where each frame takes one
// millisecond and disks take none. A run has nothing random in it, so what it costs and what it sends are exact.

import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, toHex, utf8 } from '../../src/base/bytes.ts';
import { taggedHash } from '../../src/crypto/hash.ts';
import type { Signer } from '../../src/crypto/signature.ts';
import type { Address, Network } from '../../src/env/network.ts';
import { type Acceptance, byzantineAcceptance } from '../../src/replication/acceptance.ts';
import { GroupClient } from '../../src/replication/client.ts';
import type {
  Engine,
  OperationContext,
  PageStore,
  ReplicaGroup,
  ReplicaStatus,
  StateMachine,
} from '../../src/replication/contract.ts';
import { ReplicaHost } from '../../src/replication/host.ts';
import { createPbftEngine } from '../../src/replication/pbft/index.ts';
import type { PbftParameters } from '../../src/replication/pbft/parameters.ts';
import { vrAcceptance } from '../../src/replication/vr/acceptance.ts';
import { createVrEngine } from '../../src/replication/vr/engine.ts';
import type { VrParameters } from '../../src/replication/vr/parameters.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessage,
  replicationMessageNumber,
  replicationPayloadSizeBytesMax,
} from '../../src/wire/replication-registry.ts';
import { delayConstant } from '../../testing/simulator/faults.ts';
import { Fabric } from '../../testing/simulator/network.ts';
import { type Machine, SimulatedNode } from '../../testing/simulator/node.ts';
import { simulatedSignatures } from '../../testing/simulator/signatures.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import { counting } from '../compliance/register-system.ts';

/** δ. */
export const delayMs = 1;
/** Longer than any run: what happens at such intervals does not happen. */
export const neverMs = 3_600_000;

/** One frame that a node sent: a multicast is one for each receiver. */
export interface Frame {
  readonly sentAtMs: number;
  readonly from: string;
  readonly to: string;
  readonly message: ReplicationMessage;
  readonly isLost: boolean;
}

export interface GroupShape {
  readonly engine: 'pbft' | 'vr';
  readonly faults: number;
  readonly clients?: number;
  readonly pbft?: Partial<PbftParameters>;
  readonly vr?: Partial<VrParameters>;
}

export class ObservedGroup {
  readonly simulation = new Simulation({ seed: 1 });
  readonly group: ReplicaGroup;
  /** Signatures made and verified so far, by all nodes together. */
  readonly crypto = { signed: 0, verified: 0 };
  /** All frames so far, in the order in which they were sent. */
  readonly frames: Frame[] = [];
  /** What gets lost beside what is for the dead. */
  loses: (message: ReplicationMessage, from: string, to: string) => boolean = () => false;
  readonly clientKeys: readonly Bytes[];
  readonly #dead = new Set<string>();
  readonly #hosts: ReplicaHost[] = [];
  readonly #clients: GroupClient[] = [];

  private constructor({ engine, faults, clients = 1, pbft, vr }: GroupShape) {
    const { simulation } = this;
    const fabric = new Fabric(simulation, {
      latency: delayConstant(1000 * delayMs),
      inOrder: true,
    });
    fabric.add({
      stage: 'cut',
      judge: ({ from, to, type, payload, setup }) => {
        if (setup) return { kind: 'pass' };
        const isLost = this.#note(from, to, type, payload);
        return isLost ? { kind: 'drop', reason: 'test' } : { kind: 'pass' };
      },
    });
    const scheme = counting(simulatedSignatures(), this.crypto);
    const signerOf = (name: string): Signer => scheme.signer(taggedHash('object-key', utf8(name)));
    const size = engine === 'pbft' ? 3 * faults + 1 : 2 * faults + 1;
    const signers = Array.from({ length: size }, (_, i) => signerOf(`r${i}`));
    const members = signers.map(({ publicKey }) => publicKey);
    const instance = taggedHash('instance', utf8('observed'));
    this.group = { instance, members, faults };
    const addresses = members.map((_, i) => ({ host: `r${i}`, port: 1 }));
    const boot = (name: string, key: Bytes, run: (machine: Machine) => unknown): void => {
      const node = new SimulatedNode(simulation, fabric, { name, peer: toHex(key) as PeerId });
      node.start((machine) => {
        machine.network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
        return new Promise((resolve) => resolve(run(machine))).catch((error) =>
          simulation.fail(`${name} does not start`, error),
        );
      });
    };
    const { group } = this;
    signers.forEach((signer, index) => {
      boot(`r${index}`, signer.publicKey, async ({ env }) => {
        const service = new Register();
        const nonce = (): Bytes => env.entropy.bytes(16);
        const own: Engine =
          engine === 'pbft'
            ? createPbftEngine({ group, index, signer, scheme, service, parameters: pbft ?? {} })
            : createVrEngine({ group, index, service, nonce, parameters: vr ?? {} });
        const host = await ReplicaHost.open({
          env,
          disk: undefined,
          group,
          self: index,
          addresses,
          engine: own,
          onEvidence: ({ code }) => simulation.fail(`evidence: ${code}`),
          onFailure: (error) => simulation.fail(`r${index} failed`, error),
        });
        this.#hosts[index] = host;
        host.start();
        if (engine === 'vr') this.#connect(index, env.network, addresses);
      });
    });
    const acceptance: Acceptance =
      engine === 'pbft'
        ? byzantineAcceptance(faults)
        : vrAcceptance(faults, vr?.witnesses === true);
    const users = Array.from({ length: clients }, (_, i) => signerOf(`c${i}`));
    this.clientKeys = users.map(({ publicKey }) => publicKey);
    users.forEach((signer, i) => {
      boot(`c${i}`, signer.publicKey, ({ env }) => {
        // Not fresh: it asks all members for its last number first, so that all know its channel from then on.
        const isFresh = false;
        this.#clients[i] = new GroupClient({ env, signer, group, addresses, acceptance, isFresh });
      });
    });
  }

  /** A group that has executed one write of each client, and is quiet. */
  static async start(shape: GroupShape, quietMs = 60): Promise<ObservedGroup> {
    const observed = new ObservedGroup(shape);
    for (let i = 0; i < (shape.clients ?? 1); i++) {
      await observed.simulation.complete(observed.write('0', i), 60_000);
    }
    await observed.simulation.runFor(quietMs);
    return observed;
  }

  /** Sends what says nothing new on every link: setting a connection up takes its time, and is none of what is observed. */
  #connect(self: number, network: Network, addresses: readonly Address[]): void {
    const { instance, members } = this.group;
    const type = replicationMessageNumber('vrStartViewChange');
    const payload = encodeReplicationMessage('vrStartViewChange', { instance, view: 0 });
    addresses.forEach((address, index) => {
      if (index === self) return;
      network.open(toHex(members[index] as Bytes) as PeerId, address).send(type, payload);
    });
  }

  get nowMs(): number {
    return this.simulation.nowMs;
  }

  get members(): number {
    return this.group.members.length;
  }

  /** @param text of one digit or letter: the register's new content. */
  write(text: string, client = 0): Promise<unknown> {
    return this.#client(client).submit(utf8(text));
  }

  read(client = 0): Promise<unknown> {
    return this.#client(client).query(utf8(question));
  }

  #client(index: number): GroupClient {
    return this.#clients[index] as GroupClient;
  }

  status(index: number): ReplicaStatus {
    return (this.#hosts[index] as ReplicaHost).status();
  }

  /** From now on it does nothing at all. */
  kill(index: number): void {
    this.#dead.add(`r${index}`);
    (this.#hosts[index] as ReplicaHost).close();
  }

  /** @returns whether the frame is lost. */
  #note(from: string, to: string, type: number, payload: Bytes): boolean {
    const message = decodeReplicationMessage(type, payload);
    if (message === undefined) {
      this.simulation.fail(`${from} sends what is no message, of type ${type}`);
      return true;
    }
    const isLost = this.#dead.has(to) || this.loses(message, from, to);
    this.frames.push({ sentAtMs: this.nowMs, from, to, message, isLost });
    return isLost;
  }
}

const question = '?';

/** One page; an operation is what is written into it, and results in what was there before. */
class Register implements StateMachine {
  #pages: PageStore | undefined;

  load(pages: PageStore): void {
    this.#pages = pages;
  }

  execute(operation: Bytes, _: OperationContext): Bytes {
    const before = this.query();
    if (!this.isQuery(operation)) this.#pages?.write(0, operation.slice());
    return before;
  }

  query(): Bytes {
    return this.#pages?.read(0) ?? new Uint8Array(0);
  }

  isQuery(operation: Bytes): boolean {
    return operation.length === 1 && operation[0] === question.charCodeAt(0);
  }
}
