// Executes ordered requests at most once, over the pages, the table of clients and the service. Both engines use it; they
// alone decide what is executed when, and whether tentatively.

import type { Bytes } from '../base/bytes.ts';
import { emptyBytes, equalBytes } from '../base/bytes.ts';
import type { OrderedRequest } from '../wire/replication.ts';
import { ClientTable } from './client-table.ts';
import type { StateMachine } from './contract.ts';
import { guardedService } from './guarded-service.ts';
import { type Checkpoint, PagedState } from './pages.ts';
import { requestKinds } from './requests.ts';

/** `outcome` as in a `requestReply`: 0 a result, 1 the instance has ended, 2 the number is too old. */
export interface Executed {
  readonly outcome: 0 | 1 | 2;
  readonly result: Bytes;
  /** False: nothing was executed now; the result, if any, is the stored one. */
  readonly isNew: boolean;
}

/** A checkpoint's state as it was agreed on, or as this replica itself saved it. */
export interface Installed {
  readonly sequence: number;
  readonly root: Bytes;
  /** Whether it is the state right after a STOP. */
  readonly isEnded: boolean;
}

const ended: Executed = { outcome: 1, result: emptyBytes, isNew: false };
const tooOld: Executed = { outcome: 2, result: emptyBytes, isNew: false };

export class Executor {
  readonly state: PagedState = new PagedState();
  readonly table: ClientTable;
  /** Every call of it ends with what the contract says, or throws ServiceFailed. */
  readonly service: StateMachine;
  #ended = false;

  constructor(service: StateMachine) {
    this.service = guardedService(service);
    this.table = new ClientTable(this.state.region('clients'));
    this.#load();
  }

  /** Whether a STOP has been executed: from then on nothing else is. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether executing this request ends the instance: such a one is never executed tentatively. */
  isStop(request: OrderedRequest): boolean {
    const { kind, operation } = request;
    return (
      kind !== requestKinds.claim &&
      this.service.isStop?.(operation) === true &&
      !(kind === requestKinds.query && this.service.isQuery(operation))
    );
  }

  /** @param sequence of the batch. @throws ServiceFailed */
  execute(request: OrderedRequest, agreed: Bytes, sequence: number): Executed {
    const { client, number } = request;
    const found = this.table.find(client, number);
    if (found.kind === 'stored') return { outcome: 0, result: found.result, isNew: false };
    if (found.kind === 'too-old') return tooOld;
    // Surely not executed: the next instance, which inherits the table, takes it for new.
    if (this.#ended) return ended;
    if (found.kind === 'too-far') return tooOld;
    const result = this.#run(request, agreed);
    this.table.record(client, number, result, sequence);
    if (this.isStop(request)) this.#end();
    return { outcome: 0, result, isNew: true };
  }

  /** What a read in one round gives now; undefined when the operation is not a read. @throws ServiceFailed */
  query(operation: Bytes): Executed | undefined {
    if (this.#ended) return ended;
    if (!this.service.isQuery(operation)) return undefined;
    return { outcome: 0, result: this.service.query(operation), isNew: true };
  }

  /** Freezes the state as checkpoint `sequence`. */
  checkpoint(sequence: number): Checkpoint {
    this.table.flush();
    return this.state.checkpoint(sequence);
  }

  /** Begins tentative execution. No STOP is executed before it ends. */
  mark(): void {
    this.state.mark();
    this.table.mark();
  }

  /** Takes back all that was executed since `mark`. */
  undo(): void {
    this.table.undo();
    if (this.state.undo()) this.service.load(this.state.region('service'));
  }

  /** All that was executed since `mark` is for good. */
  keep(): void {
    this.table.keep();
    this.state.keep();
  }

  /**
   * Replaces the state by that of a checkpoint, after a restart or a state transfer. The table and the service see no page
   * of it before all of them together have been found right.
   * @returns false if the pages have another root: then nothing has changed.
   */
  install(pages: PagedState, { sequence, root, isEnded }: Installed): boolean {
    if (!equalBytes(pages.rootNow(), root)) return false;
    this.state.adopt(pages, sequence);
    this.#ended = isEnded;
    this.#load();
    return true;
  }

  /** Goes back to a held checkpoint. */
  rollback(sequence: number, isEnded: boolean): void {
    this.state.rollback(sequence);
    this.#ended = isEnded;
    this.#load();
  }

  /** The state from here on is what the next instance begins with, whose sequence begins at 0. */
  #end(): void {
    this.#ended = true;
    this.table.resetSequences();
  }

  #load(): void {
    this.table.load();
    this.service.load(this.state.region('service'));
  }

  #run({ client, kind, operation }: OrderedRequest, agreed: Bytes): Bytes {
    if (kind === requestKinds.claim) return emptyBytes;
    // The operation decides whether it is a read, not who sent it.
    return kind === requestKinds.query && this.service.isQuery(operation)
      ? this.service.query(operation)
      : this.service.execute(operation, { client, agreed });
  }
}
