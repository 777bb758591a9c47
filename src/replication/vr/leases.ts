// Reads in one round (leases, section 3.6 of Liskov's "From Viewstamped Replication to Byzantine Fault Tolerance"): f
// backups promise not to vote for a while, so no other view can begin meanwhile. All times are compared with the clock
// read for the event at hand, never with the order in which a timer's event comes.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { answerCostBytes, QuestionTurns } from '../question-turns.ts';
import { resultDigest } from '../requests.ts';
import { noDigest, withoutResult } from './acceptance.ts';
import type { Core } from './core.ts';

interface Asked {
  readonly sentAtMs: number;
  readonly granted: Set<number>;
}

interface Read {
  readonly client: Bytes;
  readonly number: number;
  readonly operation: Bytes;
  /** It is of no use in a later one: nothing of a lease outlives its view. */
  readonly view: number;
  /** How far must be committed before it is served. */
  readonly target: number;
}

/** Lease requests whose grants still count. */
const askedMax = 8;

export class Leases {
  readonly #core: Core;
  #asked: Asked[] = [];
  #leaseUntilMs = Number.NEGATIVE_INFINITY;
  #promisedUntilMs = Number.NEGATIVE_INFINITY;
  readonly #reads = new QuestionTurns<Read>((read) => this.#tryAnswer(read));

  constructor(core: Core) {
    this.#core = core;
  }

  // ---- Promises ----

  /** A promise made before a restart is not known any more: every replica waits as if it had just made one. */
  restarted(): void {
    this.#promise();
  }

  #promise(): void {
    const { nowMs, parameters, rules } = this.#core;
    if (parameters.leaseMs === 0) return;
    const end = rules.promiseEnd(nowMs, parameters.leaseMs, parameters.clockDriftPpm);
    this.#promisedUntilMs = Math.max(this.#promisedUntilMs, end);
  }

  mayVote(): boolean {
    return this.#core.rules.mayVote(this.#core.nowMs, this.#promisedUntilMs);
  }

  onLeaseRequest(from: number, value: ReplicationMessageValue<'vrLeaseRequest'>): void {
    const core = this.#core;
    const { instance, view, status, parameters, out } = core;
    if (value.view !== view || status !== 'normal' || from !== core.primaryOf(view)) {
      return out.count('vr-stale');
    }
    if (!core.isActive || value.durationMs !== parameters.leaseMs) return out.count('vr-no-lease');
    this.#promise();
    out.toReplica(from, 'vrLeaseGrant', { instance, view, sentAtMs: value.sentAtMs }, view, true);
  }

  // ---- The primary's lease ----

  ask(): void {
    const { parameters, instance, view, nowMs, out } = this.#core;
    if (parameters.leaseMs === 0) return;
    // Rounded down: a lease that begins earlier ends earlier.
    const sentAtMs = Math.max(0, Math.floor(nowMs));
    this.#asked.push({ sentAtMs, granted: new Set() });
    if (this.#asked.length > askedMax) this.#asked.shift();
    const value = { instance, view, sentAtMs, durationMs: parameters.leaseMs };
    out.multicast('vrLeaseRequest', value, view);
  }

  onLeaseGrant(from: number, value: ReplicationMessageValue<'vrLeaseGrant'>): void {
    const core = this.#core;
    if (value.view !== core.view || !core.isPrimary) return core.out.count('vr-stale');
    const asked = this.#asked.find(({ sentAtMs }) => sentAtMs === value.sentAtMs);
    if (asked === undefined || !core.active.includes(from)) return core.out.count('vr-unasked');
    asked.granted.add(from);
    if (asked.granted.size < core.faults) return;
    const { leaseMs, clockDriftPpm } = core.parameters;
    const end = core.rules.leaseEnd(asked.sentAtMs, core.nowMs, leaseMs, clockDriftPpm);
    this.#leaseUntilMs = Math.max(this.#leaseUntilMs, end);
  }

  /** The view is left: the lease is gone, and reads that rest on it are declined; the promises stay. */
  drop(): void {
    this.#asked = [];
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY;
    this.serveReads();
  }

  // ---- Reads ----

  get #mayRead(): boolean {
    const { rules, nowMs, commit, parts, isPrimary } = this.#core;
    if (!isPrimary) return false;
    return rules.mayRead(nowMs, this.#leaseUntilMs, commit, parts.normal.inherited);
  }

  onQuery(client: Bytes, { number, operation }: ReplicationMessageValue<'queryRequest'>): void {
    const core = this.#core;
    if (core.isWitness || !this.#mayRead) return this.#decline(client, number);
    const { rules, view, commit, log, parameters } = core;
    const target = rules.readTarget(commit, log.last, parameters.threeMessageWrites);
    const asked = this.#reads.ask(mapKey(client), { client, number, operation, view, target });
    if (asked === 'taken') return;
    core.out.count('vr-reads-full');
    if (asked === 'refused') this.#decline(client, number);
  }

  /** Serves what waits for no more than is executed for good, as far as the budget goes. */
  serveReads(): void {
    if (this.#reads.count > 0) this.#reads.run();
  }

  get wantsTurn(): boolean {
    return this.#reads.wantsTurn;
  }

  beginTurn(): void {
    this.#reads.beginTurn();
  }

  /** @returns what it cost, in bytes; undefined: it must wait. */
  #tryAnswer(read: Read): number | undefined {
    const { parts, view, commit, rules } = this.#core;
    if (read.view !== view || !this.#mayRead) {
      this.#decline(read.client, read.number);
      return 0;
    }
    const { executed, isAhead } = parts.execution;
    if (read.target > commit || !rules.mayServe(read.target, executed, isAhead)) return undefined;
    return this.#serve(read);
  }

  /** The client has its read ordered instead. */
  #decline(client: Bytes, number: number): void {
    const { instance, view, commit, out } = this.#core;
    out.count('vr-no-lease');
    const said = { kind: 2, outcome: withoutResult, digest: noDigest, result: [] };
    const value = { instance, view, sequence: commit, number, ...said };
    out.toClient(client, 'requestReply', value, undefined, true);
  }

  /** @returns what it cost, in bytes. */
  #serve({ client, number, operation }: Read): number {
    const { executor, instance, view, commit, out } = this.#core;
    const { state } = executor;
    const pages = state.servicePagesRead;
    const answer = executor.query(operation);
    const costBytes = answerCostBytes * (1 + state.servicePagesRead - pages);
    if (answer === undefined) {
      out.count('vr-not-a-read');
      return costBytes;
    }
    const { outcome, result } = answer;
    const digest = resultDigest(outcome, result);
    out.toClient(
      client,
      'requestReply',
      { instance, view, sequence: commit, number, kind: 2, outcome, digest, result: [result] },
      view,
      true,
    );
    return costBytes + result.length;
  }
}
