// What a replicated service provides, what an engine that replicates it is, and what lies between an engine and its
// host. A service never knows which engine replicates it; an engine touches no clock, timer, socket or disk.

import type { Bytes } from '../base/bytes.ts';
import type {
  ReplicationMessage,
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../wire/replication-registry.ts';

/** Numbered pages of bytes, all of a service's state: 0 … `serviceLimits.pagesMax` - 1. A page never written is undefined. */
export interface PageStore {
  read(page: number): Bytes | undefined;
  /** @param bytes undefined takes the page away. At most `serviceLimits.pageSizeBytesMax` long; never changed afterwards. */
  write(page: number, bytes: Bytes | undefined): void;
}

export interface OperationContext {
  /** The client's public key, 32 bytes. */
  readonly client: Bytes;
  /** The primary's non-deterministic input, the same at all replicas; empty without `propose`. */
  readonly agreed: Bytes;
}

/**
 * A deterministic service: the same operations in the same order give the same pages and the same results, on every
 * machine. It keeps all of its state in the pages; what it holds besides is a cache of them. No operation, whatever its
 * bytes, may throw: an operation that makes no sense has an error as its result.
 */
export interface StateMachine {
  /**
   * The pages to work on. Called before anything else, and again whenever pages changed otherwise than by `execute`
   * (undo, state transfer): caches are void then.
   */
  load(pages: PageStore): void;
  /** @returns the result, at most `serviceLimits.resultSizeBytesMax` long. */
  execute(operation: Bytes, context: OperationContext): Bytes;
  /**
   * The result of an operation that changes nothing, as bounded as that of `execute`. Called only where `isQuery` said true.
   */
  query(operation: Bytes): Bytes;
  /** Whether the operation reads only; judged from its bytes alone. */
  isQuery(operation: Bytes): boolean;
  /**
   * Non-deterministic input for a batch (a time, say), asked of the primary: at most `serviceLimits.agreedSizeBytesMax`
   * bytes. Not all of `operations` need be executed: some may have been before, and empty ones may be claims of numbers by
   * clients, which no service sees.
   */
  propose?(operations: readonly Bytes[]): Bytes;
  /** Whether a primary may say `agreed`. Judged from the arguments alone, never from service state, which lags. */
  check?(operations: readonly Bytes[], agreed: Bytes): boolean;
  /** Whether this operation ends the instance: its state right after is handed to the next one (STOP). */
  isStop?(operation: Bytes): boolean;
}

/** A fixed group of replicas running one service. The engines know nothing else of epochs than the opaque instance. */
export interface ReplicaGroup {
  /** 32 bytes that name system, service, epoch and members; stands in every message and under every signature. */
  readonly instance: Bytes;
  /** Identity public keys (32 bytes each) by index. */
  readonly members: readonly Bytes[];
  /** Faulty members tolerated: PBFT needs 3f+1 members, Viewstamped Replication 2f+1. */
  readonly faults: number;
  /**
   * Root over the pages that another instance ended with and this one begins with, as checkpoint 0. Undefined: it begins with no pages.
   * Bound by `instance`. Members that do not have the pages fetch them from those that do.
   */
  readonly genesis?: Bytes;
}

/** Who sent a message: the key that authenticated the channel, as a member's index or as a client. */
export type Sender =
  | { readonly kind: 'replica'; readonly index: number }
  | { readonly kind: 'client'; readonly key: Bytes };

export type EngineEvent =
  /** The first event. `restored` is undefined for a first start on a disk that holds no pages. */
  | { readonly kind: 'start'; readonly restored: Restored | undefined }
  | { readonly kind: 'message'; readonly from: Sender; readonly message: ReplicationMessage }
  /** A timer that the engine set has run out. */
  | { readonly kind: 'timer'; readonly name: string }
  /** Every record appended before this mark was asked for is durable. */
  | { readonly kind: 'durable'; readonly mark: number }
  /** The checkpoint that the engine asked to be saved is durable. */
  | { readonly kind: 'saved'; readonly sequence: number }
  /** Someone wants this replica to recover proactively, as if it had been broken into. */
  | { readonly kind: 'recover' }
  /**
   * What the table holds now, as was asked for; undefined where everything is in memory. The pages are read from it as they
   * are iterated, and nothing is saved before they have been, to the end or until `return`: it is always one of these.
   */
  | { readonly kind: 'reloaded'; readonly checkpoint: SavedCheckpoint | undefined };

/** What a replica finds on its own disk after a restart. */
export interface Restored {
  /** The newest saved checkpoint; undefined before the first. */
  readonly checkpoint: SavedCheckpoint | undefined;
  /** Records that survived, oldest first. */
  readonly records: readonly Bytes[];
  /** Codes of what the disk itself found wrong with its table. Whether the pages are right is for the engine to say. */
  readonly damage: readonly string[];
  /** Nothing has run on this disk yet: the checkpoint holds what the instance begins with. */
  readonly isFirstStart?: boolean;
  /** This disk was made in the place of one that is lost: promises were made that it knows nothing of. PBFT only. */
  readonly hasForgotten?: boolean;
}

/** Which of the trees of pages: the service's own, or the engine's table of clients. Both are under one root. */
export type Region = 'service' | 'clients';

export interface PageChange {
  readonly region: Region;
  readonly page: number;
  /** Undefined: the page is gone. */
  readonly bytes: Bytes | undefined;
}

/** The pages are whatever the disk gives: nothing is done with them before their root is the one that was saved. */
export interface SavedCheckpoint {
  readonly sequence: number;
  /** Root over all pages when they were saved. */
  readonly root: Bytes;
  /** The engine's own notes: certificate, view and the like. */
  readonly notes: Bytes;
  readonly pages: Iterable<PageChange>;
}

export type Recipient =
  /** All other members. */
  | { readonly kind: 'replicas' }
  | { readonly kind: 'replica'; readonly index: number }
  | { readonly kind: 'client'; readonly key: Bytes };

export type Send = {
  [Name in ReplicationMessageName]: {
    readonly to: Recipient;
    readonly name: Name;
    readonly value: ReplicationMessageValue<Name>;
    /**
     * The view this message belongs to: it is dropped if the engine has left that view, or is no longer active in it,
     * when the records are durable. Undefined: it belongs to the instance.
     */
    readonly view: number | undefined;
    /** True: it vouches for nothing and need not wait for the records. */
    readonly isUrgent: boolean;
  };
}[ReplicationMessageName];

export interface TimerChange {
  readonly name: string;
  /** On the clock that stamps events; undefined cancels. One timer per name: a new time replaces the old one. */
  readonly atMs: number | undefined;
}

/** What provably went wrong, kept so that a third party can check it offline. */
export interface Evidence {
  /** A stable code, the same as the counter's label. */
  readonly code: string;
  readonly accused: Bytes;
  /** Canonical encoding of the signed statements that contradict each other. */
  readonly proof: Bytes;
  /** Root of the state that the instance began with: statements made before the first checkpoint rest on it. */
  readonly genesis: Bytes;
}

export interface CheckpointSave {
  readonly sequence: number;
  /** Over all pages, changed or not. */
  readonly root: Bytes;
  readonly notes: Bytes;
  /** Against the checkpoint saved before; everything if `isWhole`. */
  readonly changes: readonly PageChange[];
  readonly isWhole: boolean;
}

/**
 * What the host does after an event, in this order: `compact`, then `records` go to the journal; `isUrgent` sends leave
 * at once; all other sends leave, in order, when every record appended so far is durable; timers change; the checkpoint
 * is saved in the background.
 */
export interface Effects {
  readonly records: readonly Bytes[];
  /** Replaces all earlier records: what is still needed of them. Only after a checkpoint was saved. */
  readonly compact: readonly Bytes[] | undefined;
  readonly sends: readonly Send[];
  readonly timers: readonly TimerChange[];
  readonly save: CheckpointSave | undefined;
  /**
   * Before anything is sent: these channels are closed and opened anew, so that what was copied of their keys is worth
   * nothing. All of them, clients' too, or those of one member.
   */
  readonly rekey?: 'all' | number | undefined;
  /** By member, the number of its last change of keys: channels on which it proves older ones are closed, and taken no more. */
  readonly keyCounters?: readonly number[] | undefined;
  /** Asks for a `reloaded` event, after the saves that are under way. */
  readonly reloads?: boolean;
  /** Asks for a `durable` event with this mark. */
  readonly mark: number | undefined;
  readonly evidence: readonly Evidence[];
  /** Codes to count: why messages were ignored or rejected, and what happened (view changes, transfers, …). */
  readonly counts: readonly string[];
}

/**
 * What keeps a member from taking part in full.
 * - `members`: since its start it has heard too few others to make a quorum with, or, after the loss of its disk, to recover
 * - `recovery`: it has lost its disk, and waits until all is over that it may have promised before
 * - `state`: pages of a checkpoint, which it fetches
 * - `batches`: f+1 others have executed more than it; they tell what was committed
 * - `primary`: it has lost patience over a request that its primary still does not order, but too few others have; it goes
 *   on in the view, and votes
 * - `view-changes`: it has left its view, but fewer than 2f+1 members have; it executes what the others commit, and does
 *   not vote before more of them leave
 * - `new-view`: 2f+1 members have left and the NEW-VIEW of `primary` is missing; or f+1 work in a later view, and what its
 *   NEW-VIEW rests on is not all here
 */
export type AwaitedThing =
  | 'members'
  | 'recovery'
  | 'state'
  | 'batches'
  | 'primary'
  | 'view-changes'
  | 'new-view';

/** How a replica stands, for people and for tests. */
export interface ReplicaStatus {
  readonly view: number;
  /** `failed`: its disk or its service has, and it does nothing more. */
  readonly status:
    | 'normal'
    | 'view-change'
    | 'recovering'
    | 'transferring'
    | 'final'
    | 'failed'
    | 'stopped';
  readonly primary: number;
  /** Highest batch executed for good. Empty batches count too: a recovery on an idle group asks for some hundred of them. */
  readonly executed: number;
  /** Highest batch known to be committed here. */
  readonly committed: number;
  /** Newest checkpoint that this replica has durably and, in PBFT, that is stable. */
  readonly checkpoint: number;
  /** Share of a running state transfer, 0 … 1. */
  readonly transferred: number | undefined;
  /**
   * The root over all pages at `checkpoint`, as hexadecimal. In Viewstamped Replication empty before the first checkpoint
   * that it saved, and at a member without state.
   */
  readonly root: string;
  /** Codes of what was found wrong on the own disk, until a whole checkpoint has replaced it; mostly empty. */
  readonly damage: readonly string[];
  /**
   * The first checkpoint for which members computed so many different states that none of them can become stable any
   * more: the service is not deterministic, or more members lie than the group tolerates. Undefined while that is not
   * so. A replica with it does not take part any more, though `status` is still normal: the group stops at the end of its
   * window. PBFT only.
   */
  readonly divergedAt?: number | undefined;
  /**
   * Members that say to run with other parameters than this one, of those that all must have the same: a sentence for each,
   * with both values. Empty while nothing differs; what a member says that lies may be anything.
   */
  readonly parametersDiffer?: readonly string[] | undefined;
  /**
   * What keeps the replica from taking part in full; undefined while nothing does, but for `divergedAt`, which nothing
   * that could be waited for will end. PBFT only.
   */
  readonly waitsFor?: AwaitedThing | undefined;
}

/** Counted when `divergedAt` gets a value. */
export const statesDifferCode = 'states-differ';

/** Counted when a member learns from its own signatures that its disk is not the one that it had. PBFT only. */
export const diskForgottenCode = 'disk-forgotten';

/** Counted when `parametersDiffer` names a member for the first time. */
export const parametersDifferCode = 'parameters-differ';

/** The state right after the STOP of an instance: what the next one begins with. */
export interface EngineEnding {
  readonly sequence: number;
  /** Over all pages: the next group's `genesis`. */
  readonly root: Bytes;
  /** What proves the root to others; empty where members are trusted (Viewstamped Replication). */
  readonly proof: Bytes;
  /** All of them, the table of clients included. May be iterated at any time, and more than once. */
  readonly pages: Iterable<PageChange>;
}

/** A replica engine: synchronous, owns no thread, timer, socket or randomness. */
export interface Engine {
  /** @param nowMs the monotonic clock, read after the event was taken from its source. Never throws on account of a peer. */
  handle(event: EngineEvent, nowMs: number): Effects;
  /** Whether a send of this view may still leave. */
  isCurrent(view: number): boolean;
  status(): ReplicaStatus;
  /** Undefined before the instance has ended here, with a proof of it, and at members that keep no state. */
  ending(): EngineEnding | undefined;
}

export type Outcome =
  | { readonly kind: 'result'; readonly result: Bytes }
  /** The instance has ended: the operation was not executed here. */
  | { readonly kind: 'ended' }
  /**
   * The group has no answer any more: either nobody remembers whether the operation was executed, or it was and its result is
   * not kept. It will not be executed from now on.
   */
  | { readonly kind: 'too-old' };

export interface SubmitOptions {
  /** Ends waiting; the operation may still be executed. */
  readonly signal?: AbortSignal;
}

/** What an application holds. Operations in flight are bounded; more wait their turn. */
export interface ReplicatedClient {
  /**
   * Executes an operation at most once: once, if the outcome is a result. After the signal or a time-out it throws, and the
   * operation may have been executed, or not, or may still be.
   * @param operation at most `serviceLimits.operationSizeBytesMax` long.
   */
  submit(operation: Bytes, options?: SubmitOptions): Promise<Outcome>;
  /**
   * Reads: one round when possible, ordered like a write otherwise. Linearizable either way. An operation that is no query to
   * the service's `isQuery` is ordered and executed as a write.
   * @param operation at most `serviceLimits.operationSizeBytesMax` long.
   */
  query(operation: Bytes, options?: SubmitOptions): Promise<Outcome>;
  close(): void;
}
