// A whole replicated group under simulation: members, liars and twins among them, clients, and the record of what they
// executed and saw.

import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, equalBytes, toHex } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { SignatureScheme, Signer } from '../../src/crypto/signature.ts';
import type { Address } from '../../src/env/network.ts';
import { type Acceptance, byzantineAcceptance } from '../../src/replication/acceptance.ts';
import type { Unanswered } from '../../src/replication/client-operation.ts';
import type { Evidence, ReplicaGroup } from '../../src/replication/contract.ts';
import { verifyEvidence } from '../../src/replication/pbft/index.ts';
import { vrAcceptance } from '../../src/replication/vr/acceptance.ts';
import {
  type ReplicationMessageName,
  replicationMessageNumber,
} from '../../src/wire/replication-registry.ts';
import { drawClockRatePpm, fabricOptions } from '../simulator/fault-mix.ts';
import { cutBothWays } from '../simulator/faults.ts';
import { Fabric } from '../simulator/network.ts';
import { simulatedSignatures } from '../simulator/signatures.ts';
import type { Simulation } from '../simulator/simulation.ts';
import { Agreement } from './agreement.ts';
import { ClientMachine, type Session } from './client-machine.ts';
import { type Inheritance, inherit } from './inheritance.ts';
import { KeyHistory } from './key-history.ts';
import { lieMaker } from './lies/lies.ts';
import type { LieMaker } from './lies/lying-engine.ts';
import { membersOf, type RunOptions } from './options.ts';
import type { Parts } from './parts.ts';
import { accusedIndex, ReplicaMachine } from './replica-machine.ts';
import { Showings } from './showings.ts';

export interface GroupSetup {
  readonly simulation: Simulation;
  readonly options: RunOptions;
  readonly parts: Parts;
  /** Lies by member instead of the drawn ones; they may be more than the group claims to bear. */
  readonly lies?: ReadonlyMap<number, readonly LieMaker[]>;
  /** Members that are twins, instead of drawn ones. */
  readonly twins?: TwinPlan;
  /** By member, how much faster than true time its clock runs, in millionths, instead of what is drawn. */
  readonly clockRatesPpm?: readonly number[];
  /** The group that this one goes on from: what its clients saw counts on. */
  readonly past?: SimulatedGroup;
  /** What it begins with, instead of what is drawn. */
  readonly inheritance?: Inheritance;
}

/** Members that run twice, and who takes the second process of each for the one. */
export interface TwinPlan {
  readonly members: readonly number[];
  /** Other members that do. Drawn unless given. */
  readonly others?: readonly number[];
  /** Clients that do. Default: none. */
  readonly clients?: readonly string[];
  /** Whether each member hears the one that it speaks to, and no other. Drawn unless given; mostly so. */
  readonly isApart?: boolean;
  /** What both hear of what other members say to one of the two. Default: each hears what is said to it. */
  readonly shared?: 'all' | readonly ReplicationMessageName[];
  /** What the second process of each tells; the first one tells the truth. Default: the truth. */
  readonly lies?: readonly LieMaker[];
}

/** A client of the group before, with what it has not been answered. */
export interface Follower {
  readonly name: string;
  readonly signer: Signer;
  readonly unanswered: Unanswered;
}

export class SimulatedGroup {
  readonly simulation: Simulation;
  readonly options: RunOptions;
  readonly fabric: Fabric;
  readonly prng: Prng;
  readonly scheme: SignatureScheme;
  readonly group: ReplicaGroup;
  /** Twins included, behind all others. */
  readonly replicas: readonly ReplicaMachine[];
  readonly clients: ClientMachine[] = [];
  readonly agreement: Agreement;
  readonly history: KeyHistory;
  /** How often which messages were lied about, by deed and message. */
  readonly told = new Map<string, number>();
  /** What correct members were shown by the others. */
  readonly showings: Showings;
  readonly #parts: Parts;
  readonly #clockRatesPpm: readonly number[];
  readonly #signers: readonly Signer[];
  readonly #subject: number;
  readonly #past: SimulatedGroup | undefined;
  readonly #inheritance: Inheritance | undefined;
  readonly #twins: TwinPlan;
  /** Of clients that were there before this instance began. */
  readonly #oldClients: Signer[] = [];
  readonly #equivocators = new Set<string>();
  /** Keys of those against whom some member holds a proof. */
  readonly #convicted = new Set<string>();
  #complaint: string | undefined;
  #tag = 0;

  constructor(setup: GroupSetup) {
    const { simulation, options, parts } = setup;
    this.simulation = simulation;
    this.scheme = setup.past?.scheme ?? simulatedSignatures();
    this.options = options;
    this.#parts = parts;
    this.#clockRatesPpm = setup.clockRatesPpm ?? [];
    this.#subject = simulation.trace.subject('harness');
    this.prng = simulation.prng.fork();
    this.fabric = new Fabric(simulation, fabricOptions(options.faultMix));
    const size = membersOf(options.engine, options.faults);
    this.#signers = Array.from({ length: size }, () => this.scheme.signer(this.prng.bytes(32)));
    this.#past = setup.past;
    this.agreement = new Agreement(setup.past?.agreement);
    this.history = setup.past?.history ?? new KeyHistory();
    this.#inheritance =
      setup.inheritance ?? (options.inherits === true ? this.#inherit() : undefined);
    this.group = {
      instance: this.prng.bytes(32),
      members: this.#signers.map(({ publicKey }) => publicKey),
      faults: options.faults,
      ...(this.#inheritance && { genesis: this.#inheritance.genesis }),
    };
    const faulty = this.prng.shuffled(this.group.members.map((_, index) => index));
    this.#twins = setup.twins ?? { members: faulty.splice(0, options.twins) };
    const lies =
      setup.lies ??
      new Map(options.liars.map((names, i) => [faulty[i] ?? 0, names.map((one) => lieMaker(one))]));
    this.showings = new Showings(this.group.instance);
    this.replicas = this.#makeReplicas(lies);
  }

  /** Members whose behaviour must be right. */
  get correct(): readonly ReplicaMachine[] {
    return this.replicas.filter(({ isCorrect }) => isCorrect);
  }

  /** Where a client finds the members. */
  addressesFor(client: string): readonly Address[] {
    const { members, clients = [] } = this.#twins;
    return this.group.members.map((_, index) =>
      addressOf(index, members.includes(index) && clients.includes(client)),
    );
  }

  get acceptance(): Acceptance {
    const { engine, faults } = this.options;
    const correct = engine === 'pbft' ? byzantineAcceptance(faults) : vrAcceptance(faults);
    return this.#parts.acceptance(correct, faults);
  }

  replica(index: number): ReplicaMachine {
    return this.replicas[index] as ReplicaMachine;
  }

  names(...indexes: readonly number[]): string[] {
    return indexes.map((index) => this.replica(index).name);
  }

  /** Whoever most correct members' newest view makes primary. */
  get primary(): ReplicaMachine {
    let view = -1;
    let primary = 0;
    for (const { status } of this.correct) {
      if (status === undefined || status.view <= view) continue;
      view = status.view;
      primary = status.primary;
    }
    return this.replica(primary);
  }

  /** Puts into the trace what is done to the group from outside. */
  note(what: string, detail: string): void {
    this.simulation.trace.note(what, this.#subject, detail);
  }

  #inherit(): Inheritance {
    const { prng, options, history } = this;
    const old = Array.from({ length: prng.between(1, 3) }, () => this.newSigner());
    const inheritance = inherit({
      prng: prng.fork(),
      options,
      history,
      nextTag: () => this.nextTag(),
      clients: old.map(({ publicKey }) => publicKey),
    });
    this.#oldClients.push(...old);
    return inheritance;
  }

  newSigner(): Signer {
    return this.scheme.signer(this.prng.bytes(32));
  }

  nextTag(): number {
    return this.#past?.nextTag() ?? ++this.#tag;
  }

  /** A client that has not been started. */
  addClient(name: string, onStart: (session: Session) => void): ClientMachine {
    const old = this.#oldClients.shift();
    return this.#addClient(name, old ?? this.newSigner(), old !== undefined, onStart);
  }

  /** A client that goes on here with what it had under way, and has not been started. */
  addFollower({ name, signer, unanswered }: Follower): ClientMachine {
    const left = this.#parts.renumbersFollowers ? renumbered(unanswered) : unanswered;
    return this.#addClient(name, signer, true, () => {}, left);
  }

  #addClient(
    name: string,
    signer: Signer,
    isKnown: boolean,
    onStart: (session: Session) => void,
    follows?: Unanswered,
  ): ClientMachine {
    const { simulation, fabric, group, history, options } = this;
    const client = new ClientMachine({
      simulation,
      fabric,
      group,
      addresses: this.addressesFor(name),
      acceptance: this.acceptance,
      signer,
      isKnown,
      follows,
      name,
      clockRatePpm: drawClockRatePpm(options.faultMix, this.prng),
      history,
      reusesNumbers: this.#parts.reusesNumbers,
      nextTag: () => this.nextTag(),
      onStart,
      onNonsense: (what) => {
        this.#complaint ??= `a client believed what no store says: ${what}`;
      },
    });
    this.clients.push(client);
    return client;
  }

  /** A client with this key signs contradictions: accusing it is right. */
  expectEquivocation(key: Bytes): void {
    this.#equivocators.add(toHex(key));
  }

  /** Whether some member holds a proof against this key. */
  isConvicted(key: Bytes): boolean {
    return this.#convicted.has(toHex(key));
  }

  /** The first thing that shows a correct member, or the group, at fault. */
  get complaint(): string | undefined {
    const said = this.replicas
      .filter(({ isLiar }) => !isLiar)
      .map(({ utterances }) => utterances.violation)
      .find((violation) => violation !== undefined);
    return this.agreement.violation ?? said ?? this.#complaint;
  }

  #onEvidence(by: string, evidence: Evidence): void {
    const { code, accused, proof, genesis } = evidence;
    const verdict = verifyEvidence(proof, this.group, this.scheme, genesis);
    if (verdict?.code !== code || !equalBytes(verdict.accused, accused)) {
      this.#complaint ??= `${by} holds evidence that proves nothing: ${code}`;
      return;
    }
    this.#convicted.add(toHex(accused));
    const index = accusedIndex(this.group, evidence);
    const isRight =
      index === undefined ? this.#equivocators.has(toHex(accused)) : !this.replica(index).isCorrect;
    if (isRight) return;
    const who = index === undefined ? 'a client' : `r${index}`;
    this.#complaint ??= `${by} holds evidence against ${who}, which is correct: ${code}`;
  }

  #makeReplicas(lies: ReadonlyMap<number, readonly LieMaker[]>): ReplicaMachine[] {
    const { group, prng } = this;
    const { members: twins, lies: secondLies = [] } = this.#twins;
    const drawn = group.members.flatMap((_, index) =>
      prng.chance(1, 2) && !twins.includes(index) ? [index] : [],
    );
    // Those in this set take the second of two twins for the one.
    const others = new Set(this.#twins.others ?? drawn);
    const addressesFor = (viewer: number): Address[] =>
      group.members.map((_, index) =>
        addressOf(index, twins.includes(index) && others.has(viewer)),
      );
    const make = (index: number, isSecond: boolean): ReplicaMachine =>
      this.#makeReplica(
        index,
        isSecond ? secondLies : (lies.get(index) ?? []),
        twins.includes(index),
        isSecond,
        addressesFor(index),
      );
    const replicas = group.members.map((_, index) => make(index, false));
    for (const index of twins) replicas.push(make(index, true));
    for (const index of twins) this.#partTwins(index, [...others]);
    return replicas;
  }

  /** Mostly each member hears one of two twins only; now and then it hears both. */
  #partTwins(index: number, others: readonly number[]): void {
    const isDrawnTogether = this.prng.chance(1, 4);
    if (this.#twins.isApart === undefined ? isDrawnTogether : !this.#twins.isApart) return;
    const ones = this.group.members.flatMap((_, i) =>
      others.includes(i) || i === index ? [] : [i],
    );
    const nameOf = (i: number): string => hostOf(i, false);
    // Not a fault that heals: it is the attacker's doing.
    this.permanentCuts.push(
      () => this.fabric.add(cutBothWays([hostOf(index, false)], others.map(nameOf))),
      () => this.fabric.add(cutBothWays([hostOf(index, true)], ones.map(nameOf))),
    );
  }

  /** Tells one of two twins what members say to the other. */
  #shareEars(
    index: number,
    name: string,
  ): ((peer: PeerId, type: number, payload: Bytes) => void) | undefined {
    const { shared } = this.#twins;
    if (shared === undefined) return undefined;
    const types = shared === 'all' ? undefined : new Set(shared.map(replicationMessageNumber));
    const members = new Set<string>(this.group.members.map(toHex));
    return (peer, type, payload) => {
      if (!members.has(peer) || types?.has(type) === false) return;
      const other = this.replicas.find((one) => one.index === index && one.name !== name);
      other?.overhear(peer, type, payload);
    };
  }

  /** Rules that stay when everything heals: call each again then. */
  readonly permanentCuts: (() => void)[] = [];

  #makeReplica(
    index: number,
    lies: readonly LieMaker[],
    isTwin: boolean,
    isSecond: boolean,
    addresses: readonly Address[],
  ): ReplicaMachine {
    const { simulation, fabric, options, group, scheme, agreement, prng } = this;
    const name = hostOf(index, isSecond);
    return new ReplicaMachine({
      simulation,
      fabric,
      options,
      parts: this.#parts,
      group,
      index,
      name,
      inherited: this.#inheritance?.heirs.has(index) === true ? this.#inheritance.pages : undefined,
      signer: this.#signers[index] as Signer,
      scheme,
      addresses,
      clockRatePpm: this.#clockRatesPpm[index] ?? drawClockRatePpm(options.faultMix, prng),
      agreement,
      lies,
      isTwin,
      onEvidence: (evidence) => this.#onEvidence(name, evidence),
      onShared: isTwin ? this.#shareEars(index, name) : undefined,
      onLie: (deed, message) => {
        const what = `${deed} ${message}`;
        this.told.set(what, (this.told.get(what) ?? 0) + 1);
      },
      onHeard: (from, message) => {
        if (this.replica(from).isLiar) this.showings.note(from, message);
      },
    });
  }
}

/** As if nothing of it had been sent yet. */
function renumbered({ next, requests, waiting }: Unanswered): Unanswered {
  const operations = requests.map(({ operation }) => operation);
  return { next, requests: [], waiting: [...operations, ...waiting] };
}

function hostOf(index: number, isSecond: boolean): string {
  return isSecond ? `r${index}b` : `r${index}`;
}

function addressOf(index: number, isSecond = false): Address {
  return { host: hostOf(index, isSecond), port: 1 };
}
