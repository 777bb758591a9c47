// A service around another one that notes what it executes. The notes are a page of the service's own state: how many
// operations there have been and a hash over all of them, in order. So undo, restart and state transfer carry the notes
// along, and two replicas whose notes are equal have executed the same history.
//
// Operations begin with a tag of eight bytes that no other operation of the run has.

import { type Bytes, concatBytes, emptyBytes, toHex, uint64Bytes } from '../../src/base/bytes.ts';
import { taggedHash } from '../../src/crypto/hash.ts';
import type { OperationContext, PageStore, StateMachine } from '../../src/replication/contract.ts';
import { limits } from '../../src/wire/limits.ts';

export const tagSizeBytes = 8;
/** Far from the pages of the service inside. */
const notesPage = limits.pagesMax - 1;

/** Where a replica's history stands. */
export interface Place {
  /** Operations executed so far. */
  readonly ordinal: number;
  /** Hash over all of them, as hexadecimal. */
  readonly chain: string;
}

export interface Execution extends Place {
  readonly tag: string;
  readonly client: string;
  /** Whether the input of its batch is such as backups demand. */
  readonly isSane: boolean;
}

export interface ExecutionListener {
  /** The state is now that of this place, whatever it was before. */
  onLoad(place: Place): void;
  onExecute(execution: Execution): void;
}

export const silentListener: ExecutionListener = { onLoad() {}, onExecute() {} };

export function tagged(tag: number, operation: Bytes): Bytes {
  return concatBytes(uint64Bytes(tag), operation);
}

export function tagOf(operation: Bytes): string {
  return toHex(operation.subarray(0, tagSizeBytes));
}

/** What the primary of a service with non-deterministic input says; `isSane` is what backups demand of it. */
export interface InputRule {
  propose(): Bytes;
  isSane(agreed: Bytes): boolean;
}

export class RecordingService implements StateMachine {
  readonly #inner: StateMachine;
  readonly #listener: ExecutionListener;
  readonly #input: InputRule | undefined;
  #pages: PageStore | undefined;
  #ordinal = 0;
  #chain: Bytes = new Uint8Array(32);
  readonly propose?: (operations: readonly Bytes[]) => Bytes;
  readonly check?: (operations: readonly Bytes[], agreed: Bytes) => boolean;

  constructor(inner: StateMachine, listener: ExecutionListener, input?: InputRule) {
    this.#inner = inner;
    this.#listener = listener;
    this.#input = input;
    if (input === undefined) return;
    this.propose = () => input.propose();
    this.check = (_, agreed) => input.isSane(agreed);
  }

  load(pages: PageStore): void {
    this.#pages = pages;
    const notes = pages.read(notesPage) ?? emptyBytes;
    const view = new DataView(notes.buffer, notes.byteOffset, notes.length);
    const isThere = notes.length === 40;
    this.#ordinal = isThere ? view.getUint32(4) : 0;
    this.#chain = isThere ? notes.slice(8) : new Uint8Array(32);
    this.#inner.load(pages);
    this.#listener.onLoad({ ordinal: this.#ordinal, chain: toHex(this.#chain) });
  }

  execute(operation: Bytes, context: OperationContext): Bytes {
    this.#ordinal += 1;
    this.#chain = taggedHash('record', this.#chain, context.client, context.agreed, operation);
    this.#pages?.write(notesPage, concatBytes(uint64Bytes(this.#ordinal), this.#chain));
    const result = this.#inner.execute(operation.subarray(tagSizeBytes), context);
    this.#listener.onExecute({
      ordinal: this.#ordinal,
      chain: toHex(this.#chain),
      tag: tagOf(operation),
      client: toHex(context.client).slice(0, 8),
      isSane: this.#input?.isSane(context.agreed) ?? true,
    });
    return result;
  }

  query(operation: Bytes): Bytes {
    return this.#inner.query(operation.subarray(tagSizeBytes));
  }

  isQuery(operation: Bytes): boolean {
    return this.#inner.isQuery(operation.subarray(tagSizeBytes));
  }

  isStop(operation: Bytes): boolean {
    return this.#inner.isStop?.(operation.subarray(tagSizeBytes)) === true;
  }
}
