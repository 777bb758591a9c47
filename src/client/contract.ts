// What an application gets from `connect()`. docs/CLIENT.md shows it with examples.

import type { Bytes } from '../base/bytes.ts';

export interface OperationOptions {
  /**
   * The whole operation ends within this time, with an answer or an error; a transfer, when nothing has moved for so
   * long. Milliseconds above 0. Default: the client's `timeoutMs`.
   */
  readonly timeoutMs?: number;
  /** Ends the operation with `interrupted`, whatever its reason. */
  readonly signal?: AbortSignal;
}

export interface TransferOptions extends OperationOptions {
  /** Called as bytes are stored or verified. `totalBytes` is undefined while it is not known. */
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
}

export interface PutResult {
  /** Names the bytes; the same bytes give the same address. */
  readonly address: string;
  readonly bytes: number;
}

export interface Content {
  /** Length of the whole content in bytes. */
  readonly bytes: number;
  /** The bytes in order; each chunk has been verified before it is handed out. */
  readonly chunks: AsyncIterable<Bytes>;
}

export interface WriteResult {
  /** Address of the object: anyone with access to the system can read it by this. */
  readonly address: string;
  /** Counter of the version that was written. Writes that run at the same time may be given the same number. */
  readonly version: number;
  readonly bytes: number;
}

export interface ReadResult extends Content {
  readonly address: string;
  readonly version: number;
}

export type ServerState = 'serving' | 'recovering' | 'unreachable';

export interface ServerReport {
  /** Short name: the first 8 hexadecimal digits of the server's id. */
  readonly name: string;
  readonly id: string;
  readonly host: string;
  readonly port: number;
  readonly state: ServerState;
  /** Why it is unreachable, in words. */
  readonly reason?: string;
  readonly epoch?: number;
  readonly roundTripMs?: number;
  readonly software?: string;
  readonly uptimeMs?: number;
  readonly objects?: number;
  readonly blocks?: number;
  readonly storedSizeBytes?: number;
  readonly diskFreeBytes?: number;
  readonly journalSizeBytes?: number;
  readonly damagedFound?: number;
  readonly repaired?: number;
  readonly repairsWaiting?: number;
  /** Items that the other servers have and this one is still fetching. */
  readonly lagItems?: number;
  readonly scrubPasses?: number;
}

export interface SystemStatus {
  readonly system: string;
  readonly epoch: number;
  /** Faulty servers that each group tolerates by design. */
  readonly faults: number;
  /** How many more servers may fail before some data is out of reach; negative when some already is. */
  readonly moreFailures: number;
  /** The same in words. */
  readonly summary: string;
  /** In order of address. */
  readonly servers: readonly ServerReport[];
}

/** What one replica turned out to have of one thing. */
export type ReplicaFinding = 'holds' | 'stale' | 'missing' | 'lying' | 'repairing' | 'silent';

export interface VerifyReport {
  readonly address: string;
  readonly kind: 'content' | 'object';
  /** True if every replica holds everything. */
  readonly intact: boolean;
  /** True if the thing can be read now. */
  readonly readable: boolean;
  /** Objects and blocks asked for. */
  readonly items: number;
  /** Per server, in order of address: items by finding, and examples of what is wrong. */
  readonly servers: readonly {
    /** As in `ServerReport`. */
    readonly name: string;
    readonly id: string;
    readonly host: string;
    readonly port: number;
    readonly findings: Readonly<Partial<Record<ReplicaFinding, number>>>;
    readonly examples: readonly string[];
  }[];
}

/** Names an object: by a name under the client's own key, or by the address that a write printed. */
export type ObjectName = string;

export interface Client {
  readonly system: string;
  /** Stores bytes of any length as immutable blocks. Acknowledged only when durable at a quorum. */
  put(source: Bytes | AsyncIterable<Bytes>, options?: TransferOptions): Promise<PutResult>;
  /** @throws HoldfastError `not-found`, `unavailable`, `verification-failed`. */
  get(address: string, options?: TransferOptions): Promise<Content>;
  /**
   * Replaces an object's value, atomically with respect to all readers and writers. A write that fails may have
   * happened or may still happen, unless it fails with `usage`.
   */
  write(
    name: ObjectName,
    value: Bytes | AsyncIterable<Bytes>,
    options?: WriteOptions,
  ): Promise<WriteResult>;
  /** @throws HoldfastError `not-found` for an object that was never written. */
  read(name: ObjectName, options?: TransferOptions): Promise<ReadResult>;
  status(options?: OperationOptions): Promise<SystemStatus>;
  verify(name: ObjectName, options?: TransferOptions): Promise<VerifyReport>;
  /** The address of an object of the client's own key. */
  addressOf(name: string): string;
  /** Lets the process end: open connections keep it alive. Operations under way, and later ones, are `interrupted`. */
  close(): Promise<void>;
}

export interface WriteOptions extends TransferOptions {
  /**
   * This process is the object's only writer: the write takes one round instead of two. The caller vouches for it; with
   * a second writer one of the two values may be lost. Needs a state folder, where the last counter is kept.
   */
  readonly singleWriter?: boolean;
}
