// A group of engines in one process, for tests: messages in a queue that a seed reorders, delays and drops, disks that
// forget what was not flushed, clients that retry, and an oracle that looks at everything that is executed.

import { assert } from '../../base/assert.ts';
import { type Bytes, equalBytes, toHex, utf8 } from '../../base/bytes.ts';
import { Prng } from '../../base/prng.ts';
import { taggedHash } from '../../crypto/hash.ts';
import type { Signer } from '../../crypto/signature.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageName,
  type ReplicationMessageValue,
  replicationMessageNumber,
} from '../../wire/replication-registry.ts';
import type {
  CheckpointSave,
  Effects,
  Engine,
  EngineEvent,
  Evidence,
  PageChange,
  ReplicaGroup,
  Restored,
  Send,
  Sender,
} from '../contract.ts';
import { PbftEngine } from './engine.ts';
import type { PbftParameters } from './parameters.ts';
import { decodeRecord } from './records.ts';
import { type PbftRules, pbftRules } from './rules.ts';
import { Agenda } from './test-agenda.ts';
import { TestClient } from './test-client.ts';
import { Ledger, quickScheme, quickSigner } from './test-service.ts';

class Replica {
  readonly index: number;
  engine: PbftEngine;
  service: Ledger;
  isUp = true;
  /** By member, the change of keys that its channels must have known. */
  keyCounters: readonly number[] = [];
  /** Counts restarts: what was planned before one is void. */
  life = 0;
  durable: Bytes[] = [];
  /** Its disk is not the first one. */
  hasForgotten = false;
  appends: { compact: readonly Bytes[] | undefined; records: readonly Bytes[] }[] = [];
  waiting: { rest: number; sends: Send[] }[] = [];
  flushed = 0;
  appended = 0;
  isFlushing = false;
  saved:
    | { sequence: number; root: Bytes; notes: Bytes; pages: Map<string, PageChange> }
    | undefined;
  timers = new Map<string, number>();

  constructor(index: number, engine: PbftEngine, service: Ledger) {
    this.index = index;
    this.engine = engine;
    this.service = service;
  }
}

export interface TestClusterOptions {
  readonly seed: number;
  readonly faults?: number;
  readonly clients?: number;
  readonly parameters?: Partial<PbftParameters>;
  /** By member, what it has set otherwise. */
  readonly ownParameters?: readonly Partial<PbftParameters>[];
  readonly rules?: readonly Partial<PbftRules>[];
  /** Members that never run: a test speaks for them, if anyone. */
  readonly absent?: readonly number[];
  /** Messages lost, out of 1000. */
  readonly lossPerMille?: number;
  readonly delayMsMax?: number;
  readonly flushMsMax?: number;
  readonly saveMsMax?: number;
  /** Every message through the codec. */
  readonly isEncoded?: boolean;
  readonly genesis?: Restored;
  /** Which members have that from the start; all, unless given. */
  readonly heirs?: readonly number[];
}

export interface Outcome {
  readonly client: number;
  readonly number: number;
  readonly isQuery: boolean;
  readonly invokedAtMs: number;
  readonly completedAtMs: number;
  readonly outcome: number;
  readonly place: number;
  readonly operation: string;
}

/** What the next instance's members begin with, by the one before. */
export function genesisOf(ended: Engine): Restored {
  const ending = ended.ending();
  assert(ending !== undefined, 'an instance that has ended');
  const { root, pages } = ending;
  const checkpoint = { sequence: 0, root, notes: new Uint8Array(0), pages };
  return { checkpoint, records: [], damage: [], isFirstStart: true };
}

export const testInstance: Bytes = taggedHash('instance', utf8('test'));

export class TestCluster {
  readonly group: ReplicaGroup;
  readonly signers: readonly Signer[];
  readonly clientSigners: readonly Signer[];
  readonly replicas: Replica[];
  readonly prng: Prng;
  readonly options: TestClusterOptions;
  readonly evidence: Evidence[] = [];
  readonly counts = new Map<string, number>();
  readonly outcomes: Outcome[] = [];
  readonly violations: string[] = [];
  /** What every delivery may be held against; false drops it. */
  filter: (from: number, to: number, message: ReplicationMessage) => boolean = () => true;
  /** Sees every reply that reaches a client. */
  onReply: (client: number, from: number, reply: ReplicationMessageValue<'requestReply'>) => void =
    () => undefined;
  nowMs = 0;
  lossPerMille: number;
  messages = 0;
  readonly #agenda = new Agenda();
  #order = 0;
  readonly #clients: TestClient[];
  /** How often the channels between two members were made anew, by both indexes. */
  readonly #channels = new Map<number, number>();
  /** Digests of executed batches as recorded anywhere. */
  readonly #executed = new Map<number, string>();

  constructor(options: TestClusterOptions) {
    const faults = options.faults ?? 1;
    this.options = options;
    this.prng = new Prng(options.seed);
    this.lossPerMille = options.lossPerMille ?? 0;
    this.signers = Array.from({ length: 3 * faults + 1 }, (_, i) => quickSigner(`replica ${i}`));
    this.clientSigners = Array.from({ length: options.clients ?? 1 }, (_, i) =>
      quickSigner(`client ${i}`),
    );
    this.group = {
      instance: testInstance,
      members: this.signers.map(({ publicKey }) => publicKey),
      faults,
      ...(options.genesis?.checkpoint !== undefined && {
        genesis: options.genesis.checkpoint.root,
      }),
    };
    this.replicas = this.signers.map((_, index) => {
      const { engine, service } = this.#build(index);
      return new Replica(index, engine, service);
    });
    this.#clients = this.clientSigners.map((signer, i) => new TestClient(this, i, signer));
    for (const replica of this.replicas) {
      if (options.absent?.includes(replica.index) === true) replica.isUp = false;
      else this.handle(replica, { kind: 'start', restored: this.#inherited(replica) });
    }
  }

  get n(): number {
    return this.replicas.length;
  }

  client(index: number): TestClient {
    return this.#clients[index] as TestClient;
  }

  replica(index: number): Replica {
    return this.replicas[index] as Replica;
  }

  count(code: string): number {
    return this.counts.get(code) ?? 0;
  }

  #build(index: number): { engine: PbftEngine; service: Ledger } {
    const service = new Ledger();
    const engine = new PbftEngine(
      {
        group: this.group,
        index,
        signer: this.signers[index] as Signer,
        scheme: quickScheme,
        service,
        parameters: { ...this.options.parameters, ...this.options.ownParameters?.[index] },
      },
      { ...pbftRules, ...this.options.rules?.[index] },
    );
    return { engine, service };
  }

  // ---- Running ----

  plan(afterMs: number, run: () => void): void {
    this.#order += 1;
    this.#agenda.push({ atMs: this.nowMs + afterMs, order: this.#order, run });
  }

  /** Runs until nothing is planned before `untilMs`, or the condition holds. @returns whether it held. */
  run(untilMs: number, isDone: () => boolean = () => false): boolean {
    for (;;) {
      if (isDone()) return true;
      const next = this.#agenda.pop();
      if (next === undefined) return isDone();
      if (next.atMs > untilMs) {
        this.#agenda.push(next);
        this.nowMs = untilMs;
        return isDone();
      }
      this.nowMs = next.atMs;
      next.run();
    }
  }

  handle(replica: Replica, event: EngineEvent): void {
    if (!replica.isUp) return;
    this.#carryOut(replica, replica.engine.handle(event, this.nowMs));
  }

  #carryOut(replica: Replica, effects: Effects): void {
    const { compact, records, sends, timers, save, evidence, counts } = effects;
    for (const code of counts) this.counts.set(code, this.count(code) + 1);
    this.evidence.push(...evidence);
    for (const record of records) this.#observe(record);
    if (compact !== undefined || records.length > 0) {
      replica.appends.push({ compact, records });
      replica.appended += 1;
    }
    if (effects.rekey !== undefined) this.#rekey(replica.index, effects.rekey);
    if (effects.keyCounters !== undefined) replica.keyCounters = effects.keyCounters;
    const waiting: Send[] = [];
    for (const send of sends) {
      if (send.isUrgent || replica.flushed === replica.appended) this.#leave(replica, send);
      else waiting.push(send);
    }
    if (waiting.length > 0) replica.waiting.push({ rest: replica.appended, sends: waiting });
    this.#flush(replica);
    for (const { name, atMs } of timers) this.#setTimer(replica, name, atMs);
    if (save !== undefined) this.#save(replica, save);
    if (effects.reloads === true) this.#reload(replica);
  }

  #channelOf(a: number, b: number): number {
    return Math.min(a, b) * this.n + Math.max(a, b);
  }

  #rekey(index: number, whose: 'all' | number): void {
    for (let other = 0; other < this.n; other++) {
      if (whose !== 'all' && whose !== other) continue;
      const channel = this.#channelOf(index, other);
      this.#channels.set(channel, (this.#channels.get(channel) ?? 0) + 1);
    }
  }

  #reload(replica: Replica): void {
    const { life } = replica;
    this.plan(1 + this.prng.below(5), () => {
      if (replica.life !== life) return;
      this.handle(replica, { kind: 'reloaded', checkpoint: this.#checkpointOf(replica) });
    });
  }

  #inherited({ index, hasForgotten }: Replica): Restored | undefined {
    const { genesis, heirs } = this.options;
    return hasForgotten || heirs?.includes(index) === false ? undefined : genesis;
  }

  #checkpointOf(replica: Replica): Restored['checkpoint'] {
    const { saved } = replica;
    if (saved === undefined) return this.#inherited(replica)?.checkpoint;
    const { sequence, root, notes, pages } = saved;
    return { sequence, root, notes, pages: [...pages.values()] };
  }

  recover(index: number): void {
    this.handle(this.replica(index), { kind: 'recover' });
  }

  #flush(replica: Replica): void {
    if (replica.isFlushing || replica.flushed === replica.appended) return;
    replica.isFlushing = true;
    const { life, appended } = replica;
    this.plan(this.prng.below((this.options.flushMsMax ?? 1) + 1), () => {
      if (replica.life !== life) return;
      replica.isFlushing = false;
      const count = appended - replica.flushed;
      for (const { compact, records } of replica.appends.splice(0, count)) {
        if (compact !== undefined) replica.durable = [...compact];
        replica.durable.push(...records);
      }
      replica.flushed = appended;
      while ((replica.waiting[0]?.rest ?? Number.POSITIVE_INFINITY) <= appended) {
        for (const send of replica.waiting.shift()?.sends ?? []) {
          if (send.view === undefined || replica.engine.isCurrent(send.view)) {
            this.#leave(replica, send);
          }
        }
      }
      this.#flush(replica);
    });
  }

  #setTimer(replica: Replica, name: string, atMs: number | undefined): void {
    if (atMs === undefined) {
      replica.timers.delete(name);
      return;
    }
    replica.timers.set(name, atMs);
    const { life } = replica;
    this.plan(Math.max(0, atMs - this.nowMs), () => {
      if (replica.life !== life || replica.timers.get(name) !== atMs) return;
      replica.timers.delete(name);
      this.handle(replica, { kind: 'timer', name });
    });
  }

  #save(replica: Replica, { sequence, root, notes, changes, isWhole }: CheckpointSave): void {
    const { life } = replica;
    this.plan(this.prng.below((this.options.saveMsMax ?? 2) + 1), () => {
      if (replica.life !== life) return;
      const before = this.#inherited(replica)?.checkpoint?.pages ?? [];
      const inherited = new Map([...before].map((each) => [`${each.region}/${each.page}`, each]));
      const pages = new Map(isWhole ? [] : (replica.saved?.pages ?? inherited));
      for (const change of changes) {
        const key = `${change.region}/${change.page}`;
        if (change.bytes === undefined) pages.delete(key);
        else pages.set(key, change);
      }
      replica.saved = { sequence, root, notes, pages };
      this.handle(replica, { kind: 'saved', sequence });
    });
  }

  /** Loses everything that is not durable. */
  crash(index: number): void {
    const replica = this.replica(index);
    replica.isUp = false;
    replica.life += 1;
    replica.timers.clear();
    replica.appends = [];
    replica.waiting = [];
    replica.appended = replica.flushed;
    replica.isFlushing = false;
  }

  /** Crashes and comes back with a new disk. @param isKnown whether the member is told so. */
  wipe(index: number, isKnown = true): void {
    const replica = this.replica(index);
    this.crash(index);
    replica.durable = [];
    replica.saved = undefined;
    replica.hasForgotten = isKnown;
    this.restart(index);
  }

  restart(index: number): void {
    const replica = this.replica(index);
    if (replica.isUp) return;
    Object.assign(replica, this.#build(index));
    replica.isUp = true;
    const checkpoint = this.#checkpointOf(replica);
    const { durable: records, hasForgotten } = replica;
    const isNew = records.length === 0 && replica.saved === undefined && !hasForgotten;
    const restored = isNew
      ? this.#inherited(replica)
      : { checkpoint, records, damage: [], hasForgotten };
    this.handle(replica, { kind: 'start', restored });
  }

  // ---- Messages ----

  #leave(replica: Replica, send: Send): void {
    const message = { name: send.name, value: send.value } as ReplicationMessage;
    const { to } = send;
    if (to.kind === 'client') {
      const at = this.clientSigners.findIndex(({ publicKey }) => equalBytes(publicKey, to.key));
      if (at < 0 || this.#isLost()) return;
      this.messages += 1;
      this.plan(this.#delayMs(), () => this.client(at).receive(replica.index, message));
      return;
    }
    for (let index = 0; index < this.n; index++) {
      if (index === replica.index || (to.kind === 'replica' && to.index !== index)) continue;
      this.deliver({ kind: 'replica', index: replica.index }, index, message);
    }
  }

  /** Sends a message on somebody's channel, as correct members and tests do. */
  deliver(from: Sender, to: number, message: ReplicationMessage): void {
    const sender = from.kind === 'replica' ? from.index : -1;
    if (!this.filter(sender, to, message) || this.#isLost()) return;
    this.messages += 1;
    const arrived = this.options.isEncoded === true ? reencoded(message) : message;
    const channel = sender < 0 ? -1 : this.#channelOf(sender, to);
    const made = this.#channels.get(channel);
    this.plan(this.#delayMs(), () => {
      // What is under way when its channel is closed is lost.
      if (made !== this.#channels.get(channel)) return;
      this.handle(this.replica(to), { kind: 'message', from, message: arrived });
    });
  }

  /** A message in the name of a member, at once. */
  speak<Name extends ReplicationMessageName>(
    from: number,
    to: number,
    name: Name,
    value: ReplicationMessageValue<Name>,
  ): void {
    const message = { name, value } as ReplicationMessage;
    this.handle(this.replica(to), {
      kind: 'message',
      from: { kind: 'replica', index: from },
      message,
    });
  }

  #isLost(): boolean {
    return this.lossPerMille > 0 && this.prng.below(1000) < this.lossPerMille;
  }

  #delayMs(): number {
    return 1 + this.prng.below(this.options.delayMsMax ?? 3);
  }

  // ---- Oracle ----

  /** Whoever records that it executed something at a sequence must agree with all others. */
  #observe(record: Bytes): void {
    const decoded = decodeRecord(record);
    if (decoded?.name !== 'executed') return;
    decoded.value.digests.forEach((digest, i) => {
      const sequence = decoded.value.first + i;
      const known = this.#executed.get(sequence);
      const key = toHex(digest);
      if (known === undefined) this.#executed.set(sequence, key);
      else if (known !== key) this.violations.push(`two batches executed at ${sequence}`);
    });
  }

  complete(outcome: Outcome): void {
    this.outcomes.push(outcome);
  }

  /** Everything that can be said against the run. */
  problems(): string[] {
    const problems = [...this.violations];
    const longest = this.replicas
      .filter(({ isUp }) => isUp)
      .map(({ service }) => service.entries)
      .reduce((a, b) => (b.length > a.length ? b : a), [] as string[]);
    for (const { index, isUp, service } of this.replicas) {
      if (!isUp) continue;
      const differs = service.entries.findIndex((entry, i) => entry !== longest[i]);
      if (differs >= 0) problems.push(`replica ${index} differs at place ${differs}`);
    }
    if (new Set(longest).size !== longest.length) problems.push('an operation was executed twice');
    const writes = this.outcomes.filter(({ isQuery, outcome }) => !isQuery && outcome === 0);
    for (const { operation, place } of writes) {
      if (longest[place] !== operation) problems.push(`${operation} is not at its place ${place}`);
    }
    for (const a of this.outcomes) {
      if (a.outcome !== 0) continue;
      const least = a.isQuery ? a.place - 1 : a.place;
      for (const b of writes) {
        if (b.completedAtMs < a.invokedAtMs && b.place > least) {
          problems.push(`client ${a.client}, ${a.number}: older than ${b.operation}`);
        }
      }
    }
    return problems;
  }
}

function reencoded(message: ReplicationMessage): ReplicationMessage {
  const payload = encodeReplicationMessage(message.name, message.value as never);
  const decoded = decodeReplicationMessage(replicationMessageNumber(message.name), payload);
  if (decoded === undefined) throw new TypeError(`${message.name} does not survive its codec`);
  return decoded;
}
