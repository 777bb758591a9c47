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

/** A member's identity key, or the way to a module that has it. */
export interface MemberSigner extends Signer {
  /**
   * How many changes of keys it has signed, for this member or for whoever had broken into it; a module knows. Unless given, what
   * the member itself and the others remember is all there is.
   */
  keyChanges?(): number;
}

export interface PbftOptions {
  readonly group: ReplicaGroup;
  /** This member's place in the group. */
  readonly index: number;
  readonly signer: MemberSigner;
  readonly scheme: SignatureScheme;
  readonly service: StateMachine;
  readonly parameters?: Partial<PbftParameters>;
}

export class Core {
  readonly group: ReplicaGroup;
  readonly index: number;
  readonly n: number;
  readonly faults: number;
  readonly signer: MemberSigner;
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
  /** Root of checkpoint 0. */
  readonly genesis: Bytes;
  readonly statements: Statements;
  readonly log: Log;
  readonly #replicas: readonly Recipient[];
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
    const { root } = this.executor.checkpoint(0);
    this.genesis = group.genesis ?? root;
    // No pages are not what this instance begins with: nobody is to be given them for it.
    if (!equalBytes(this.genesis, root)) this.executor.state.dropBelow(1);
    this.statements = new Statements(group, scheme, parameters.window, this.genesis);
    const certificate = { sequence: 0, root: this.genesis, isFinal: 0, signatures: [] };
    this.log = new Log(parameters.window, certificate, rules);
  }

  get instance(): Bytes {
    return this.group.instance;
  }

  get parts(): Parts {
    // Set once by the engine before the first event.
    return this.#parts as Parts;
  }

  connect(parts: Parts): void {
    this.#parts = parts;
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
