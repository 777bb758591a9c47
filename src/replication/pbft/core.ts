// What all parts of the engine share: who we are, the view, the log, and the way out. The parts hold their own state and
// call each other through `parts`.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { SignatureScheme, Signer } from '../../crypto/signature.ts';
import type { Recipient, ReplicaGroup, StateMachine } from '../contract.ts';
import { Executor } from '../executor.ts';
import { Outbox } from '../outbox.ts';
import { RequestVerifier } from '../requests.ts';
import type { BodyFetcher } from './bodies.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { ClientRequests } from './client-requests.ts';
import type { Execution } from './execution.ts';
import { FailedChecks } from './failed-checks.ts';
import { Log } from './log.ts';
import type { NewViews } from './new-views.ts';
import type { NormalCase } from './normal-case.ts';
import type { PbftParameters } from './parameters.ts';
import type { Queries } from './queries.ts';
import { RequestQueue } from './queue.ts';
import type { Recovery } from './recovery.ts';
import type { PbftRules } from './rules.ts';
import { Statements } from './statements.ts';
import type { StatusExchange } from './status-exchange.ts';
import type { Transfers } from './transfers.ts';
import type { ViewChanges } from './view-changes.ts';
import type { ViewTimer } from './view-timer.ts';

export interface Parts {
  readonly bodies: BodyFetcher;
  readonly checkpoints: Checkpoints;
  readonly clientRequests: ClientRequests;
  readonly execution: Execution;
  readonly newViews: NewViews;
  readonly normalCase: NormalCase;
  readonly queries: Queries;
  readonly recovery: Recovery;
  readonly statusExchange: StatusExchange;
  readonly transfers: Transfers;
  readonly viewChanges: ViewChanges;
  readonly viewTimer: ViewTimer;
}

export interface PbftOptions {
  readonly group: ReplicaGroup;
  /** This member's place in the group. */
  readonly index: number;
  readonly signer: Signer;
  readonly scheme: SignatureScheme;
  readonly service: StateMachine;
  readonly parameters?: Partial<PbftParameters>;
}

export class Core {
  readonly group: ReplicaGroup;
  readonly index: number;
  readonly n: number;
  readonly faults: number;
  readonly signer: Signer;
  readonly scheme: SignatureScheme;
  readonly service: StateMachine;
  readonly parameters: PbftParameters;
  readonly rules: PbftRules;
  readonly verifier: RequestVerifier;
  readonly executor: Executor;
  readonly queue: RequestQueue;
  readonly clientFailures = new FailedChecks();
  readonly memberFailures = new FailedChecks();
  readonly out = new Outbox();
  readonly #replicas: readonly Recipient[];
  #log: Log;
  #statements: Statements;
  #genesis: Bytes;
  #parts: Parts | undefined;

  /** The monotonic clock at the event being handled. */
  nowMs = 0;
  /** The current view; while not active the one that this member wants to enter. */
  view = 0;
  /** False from sending VIEW-CHANGE until the NEW-VIEW is here. */
  isActive = true;
  /** The last batch that the current view's NEW-VIEW named; 0 in view 0. */
  newViewTop = 0;

  constructor(options: PbftOptions, parameters: PbftParameters, rules: PbftRules) {
    const { group, index, signer, scheme, service } = options;
    this.group = group;
    this.index = index;
    this.n = group.members.length;
    this.faults = group.faults;
    this.queue = new RequestQueue(this.n);
    this.signer = signer;
    this.scheme = scheme;
    this.parameters = parameters;
    this.rules = rules;
    this.verifier = new RequestVerifier(scheme, group.instance);
    this.executor = new Executor(service);
    this.service = this.executor.service;
    this.#replicas = group.members.map((_, i) => ({ kind: 'replica', index: i }));
    this.#genesis = this.executor.checkpoint(0).root;
    this.#statements = this.#statementsOf();
    this.#log = this.#emptyLog();
  }

  get instance(): Bytes {
    return this.group.instance;
  }

  get log(): Log {
    return this.#log;
  }

  get parts(): Parts {
    // Set once by the engine before the first event.
    return this.#parts as Parts;
  }

  connect(parts: Parts): void {
    this.#parts = parts;
  }

  get statements(): Statements {
    return this.#statements;
  }

  /** Root of checkpoint 0. */
  get genesis(): Bytes {
    return this.#genesis;
  }

  /** The instance began with this state, which another one left, instead of with none. */
  beginFrom(genesis: Bytes): void {
    this.#genesis = genesis;
    this.#statements = this.#statementsOf();
    this.#log = this.#emptyLog();
  }

  #statementsOf(): Statements {
    return new Statements(this.group, this.scheme, this.parameters.window, this.#genesis);
  }

  #emptyLog(): Log {
    const certificate = { sequence: 0, root: this.#genesis, isFinal: 0, signatures: [] };
    return new Log(this.parameters.window, certificate);
  }

  get primary(): number {
    return this.primaryOf(this.view);
  }

  primaryOf(view: number): number {
    return view % this.n;
  }

  get isPrimary(): boolean {
    return this.primary === this.index;
  }

  /** The member whose key this is; -1 for anyone else's. */
  memberOf(key: Bytes): number {
    return this.group.members.findIndex((member) => equalBytes(member, key));
  }

  replica(index: number): Recipient {
    return this.#replicas[index] as Recipient;
  }
}
