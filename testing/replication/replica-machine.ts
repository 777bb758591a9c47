// A simulated member of a replicated group: host, engine and service of one incarnation after the other.

import { KeyValueStore } from '../../examples/key-value/index.ts';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { SignatureScheme, Signer } from '../../src/crypto/signature.ts';
import type { Address, Channel, Network } from '../../src/env/network.ts';
import type {
  Engine,
  Evidence,
  PageChange,
  ReplicaGroup,
  ReplicaStatus,
  StateMachine,
} from '../../src/replication/contract.ts';
import { ReplicaHost } from '../../src/replication/host.ts';
import { PbftEngine } from '../../src/replication/pbft/engine.ts';
import { createReplica } from '../../src/replication/replica-disk.ts';
import { createVrEngine } from '../../src/replication/vr/engine.ts';
import {
  type ReplicationMessage,
  replicationPayloadSizeBytesMax,
} from '../../src/wire/replication-registry.ts';
import type { Fabric } from '../simulator/network.ts';
import { type Machine, SimulatedNode } from '../simulator/node.ts';
import type { Simulation } from '../simulator/simulation.ts';
import type { Agreement } from './agreement.ts';
import { type LieMaker, LyingEngine, type LyingEngineOptions } from './lies/lying-engine.ts';
import type { RunOptions } from './options.ts';
import type { Parts } from './parts.ts';
import {
  type ExecutionListener,
  type InputRule,
  RecordingService,
  silentListener,
} from './recording-service.ts';
import { ReplicaWatch, UtteranceWatch } from './watch.ts';

export interface ReplicaMachineOptions {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly options: RunOptions;
  readonly parts: Parts;
  readonly group: ReplicaGroup;
  readonly index: number;
  readonly name: string;
  /** What it has from the start of the state that the group begins with. */
  readonly inherited: readonly PageChange[] | undefined;
  readonly signer: Signer;
  readonly scheme: SignatureScheme;
  /** Where this member finds the others. */
  readonly addresses: readonly Address[];
  readonly clockRatePpm: number;
  readonly agreement: Agreement;
  /** Empty for a member that does not lie. */
  readonly lies: readonly LieMaker[];
  /** One of two that run under one key: as good as a liar. */
  readonly isTwin: boolean;
  readonly onEvidence: (evidence: Evidence) => void;
  /** Told of all that this machine hears; undefined: nobody is. */
  readonly onShared: ((peer: PeerId, type: number, payload: Bytes) => void) | undefined;
  readonly onLie: LyingEngineOptions['onLie'];
  /** Another member's message is handled here, by correct code on a correct disk. */
  readonly onHeard: (from: number, message: ReplicationMessage) => void;
}

const lieTickMs = 40;

export class ReplicaMachine {
  readonly node: SimulatedNode;
  readonly index: number;
  /** Of the incarnation that is up, once it has started. */
  host: ReplicaHost | undefined;
  engine: Engine | undefined;
  readonly isLiar: boolean;
  /** Its disk was lost or altered: it counts as faulty from then on. */
  isDamaged = false;
  readonly watch: ReplicaWatch;
  readonly utterances: UtteranceWatch;
  readonly #options: ReplicaMachineOptions;
  readonly #prng: Prng;
  #isCreated = false;
  #isDiskLost = false;
  /** What stands for the channels of another machine, by who speaks on them. */
  readonly #overheard = new Map<PeerId, Channel>();

  constructor(options: ReplicaMachineOptions) {
    const { simulation, fabric, index, name, signer, group, agreement, clockRatePpm } = options;
    this.#options = options;
    this.index = index;
    this.isLiar = options.lies.length > 0 || options.isTwin;
    this.node = new SimulatedNode(simulation, fabric, {
      name,
      peer: toHex(signer.publicKey) as PeerId,
      clockRatePpm,
    });
    this.#prng = simulation.prng.fork();
    this.watch = new ReplicaWatch(name, agreement);
    this.utterances = new UtteranceWatch(name, index, group.instance, agreement);
  }

  get name(): string {
    return this.node.name;
  }

  /** Whether what it does must be right. */
  get isCorrect(): boolean {
    return !this.isLiar && !this.isDamaged;
  }

  /** Whether it keeps logs only and executes nothing. */
  get isWitness(): boolean {
    const { vr, faults } = this.#options.options;
    return vr.witnesses === true && this.index > faults;
  }

  get status(): ReplicaStatus | undefined {
    return this.node.up ? this.host?.status() : undefined;
  }

  start(): void {
    if (!this.node.up) this.node.start((machine) => this.#boot(machine));
  }

  crash(isSilent = false): void {
    this.host = undefined;
    this.engine = undefined;
    this.node.crash({ silently: isSilent });
  }

  /** Hears what somebody has said to another machine. */
  overhear(peer: PeerId, type: number, payload: Bytes): void {
    let channel = this.#overheard.get(peer);
    if (channel === undefined) {
      channel = { peer, send: () => false, close: () => {} };
      this.#overheard.set(peer, channel);
    }
    this.host?.receive(channel, type, payload);
  }

  /** Crashes, and comes back on a new disk as a member that has forgotten what it said. */
  wipe(): void {
    this.crash();
    this.node.disk.create();
    this.#isCreated = false;
    this.#isDiskLost = true;
    this.utterances.release();
    this.start();
  }

  /** From now on nothing that it says proves anything about correct members. */
  damage(): void {
    this.isDamaged = true;
    this.watch.distrust();
    this.utterances.distrust();
  }

  async #boot({ env, disk, network }: Machine): Promise<void> {
    const { simulation, group, parts, addresses, index, inherited, onEvidence } = this.#options;
    this.host = undefined;
    network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
    try {
      if (disk.journalDamage !== undefined && this.isDamaged) {
        throw new DamagedDisk('the journal is damaged');
      }
      if (this.#isCreated && parts.forgetsAtRestart) {
        this.node.disk.create();
        this.#isCreated = false;
      }
      if (!this.#isCreated) {
        // A crash may have left half of it.
        this.node.disk.create();
        await createReplica(disk, group, index, {
          isDiskLost: this.#isDiskLost,
          pages: this.#isDiskLost ? undefined : inherited,
        });
        this.#isCreated = true;
      }
      this.watch.restart();
      const engine = this.#engine(() => env.clock.nowMs(), env.entropy.bytes.bind(env.entropy));
      const host = await ReplicaHost.open({
        env: { ...env, network: this.#network(env.network) },
        disk: parts.disk(disk),
        group,
        self: index,
        addresses,
        engine,
        onEvidence,
        onFailure: (error) => this.#onFailure(error),
      });
      this.engine = engine;
      this.host = host;
      host.start();
    } catch (error) {
      if (this.node.up && !this.isDamaged) {
        simulation.fail(`${this.name} does not start`, error);
      }
      throw error;
    }
  }

  #network(network: Network): Network {
    if (this.isCorrect) return this.utterances.wrap(network);
    const { onShared } = this.#options;
    if (onShared === undefined) return network;
    return {
      open: (peer, address) => network.open(peer, address),
      onMessage: (handler) =>
        network.onMessage((channel, type, payload) => {
          handler(channel, type, payload);
          onShared(channel.peer, type, payload);
        }),
      onClosed: (handler) => network.onClosed(handler),
      close: () => network.close(),
    };
  }

  #onFailure(error: Error): void {
    if (!this.isDamaged) this.#options.simulation.fail(`${this.name} failed`, error);
    else this.crash();
  }

  get #group(): ReplicaGroup {
    const { parts, group, inherited } = this.#options;
    if (!parts.ignoresGenesis || inherited !== undefined) return group;
    const { instance, members, faults } = group;
    return { instance, members, faults };
  }

  #engine(nowMs: () => number, entropy: (length: number) => Uint8Array): Engine {
    const { options, parts, index, signer, scheme, lies, onLie } = this.#options;
    const group = this.#group;
    const listener: ExecutionListener = this.isCorrect ? this.watch : silentListener;
    const input = options.hasInput ? clockInput(nowMs) : undefined;
    const service: StateMachine = parts.service(
      new RecordingService(new KeyValueStore(), listener, input),
    );
    const plain =
      options.engine === 'pbft'
        ? new PbftEngine(
            {
              group,
              index,
              signer,
              scheme: parts.scheme(scheme),
              service,
              parameters: options.pbft,
            },
            // A liar takes no notice of what it has signed besides.
            this.isLiar ? { ...parts.pbftRules, isForgetful: () => false } : parts.pbftRules,
          )
        : createVrEngine({
            group,
            index,
            service,
            parameters: options.vr,
            nonce: () => entropy(16),
            rules: parts.vrRules,
          });
    const engine = parts.engine(plain);
    if (lies.length > 0) {
      return new LyingEngine({
        engine,
        makers: lies,
        prng: this.#prng.fork(),
        group,
        index,
        signer,
        window: options.pbft.window ?? 8,
        checkpointInterval: options.pbft.checkpointInterval ?? 4,
        tickMs: lieTickMs,
        onLie,
      });
    }
    return this.isCorrect ? this.#listenedTo(this.watch.wrap(engine)) : engine;
  }

  #listenedTo(engine: Engine): Engine {
    const { onHeard } = this.#options;
    return {
      handle: (event, nowMs) => {
        if (event.kind === 'message' && event.from.kind === 'replica') {
          onHeard(event.from.index, event.message);
        }
        return engine.handle(event, nowMs);
      },
      isCurrent: (view) => engine.isCurrent(view),
      status: () => engine.status(),
      ending: () => engine.ending(),
    };
  }
}

class DamagedDisk extends Error {
  override readonly name = 'DamagedDisk';
}

/** The primary says what time it is; eight bytes, the last one a check that anyone can make. */
function clockInput(nowMs: () => number): InputRule {
  return {
    propose: () => {
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setUint32(0, Math.floor(nowMs()) >>> 0);
      bytes[7] = 0x5a;
      return bytes;
    },
    isSane: (agreed) => agreed.length === 8 && agreed[7] === 0x5a,
  };
}

/** Which member an accusation is about; undefined for a client or a stranger. */
export function accusedIndex(group: ReplicaGroup, { accused }: Evidence): number | undefined {
  const index = group.members.findIndex((member) => equalBytes(member, accused));
  return index === -1 ? undefined : index;
}
