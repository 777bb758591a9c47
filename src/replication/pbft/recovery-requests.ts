// The requests of one recovery: the first one, whose place in the order says when the recovery is over, and others that make
// the group go on while nobody else asks for anything.

import { type Bytes, emptyBytes } from '../../base/bytes.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { numberStepMax } from '../client-table.ts';
import { everyone } from '../outbox.ts';
import { bundle, requestKinds } from '../requests.ts';
import type { Core } from './core.ts';
import { recoveryPoint } from './recovery-rules.ts';

const requestsPerRecovery = 65_536;

export class RecoveryRequests {
  readonly #core: Core;
  readonly #counter: number;
  /** The one that is being ordered, and how many there were before it. */
  #request: SignedRequest | undefined;
  #before = 0;
  /** Number of the first. */
  #first: number | undefined;
  /** By member: at which sequence it executed the first. */
  readonly #executedAt: (number | undefined)[];
  #point: number | undefined;
  /** What was executed up to here was ordered before the recovery. */
  #floor = 0;

  /** @param counter of the NEW-KEY with which the recovery began. */
  constructor(core: Core, counter: number) {
    this.#core = core;
    this.#counter = counter;
    this.#executedAt = new Array<number | undefined>(core.n).fill(undefined);
  }

  /** A stable checkpoint so high ends the recovery; undefined while that is not known. */
  get point(): number | undefined {
    return this.#point;
  }

  get #client(): Bytes {
    const { group, index } = this.#core;
    return group.members[index] as Bytes;
  }

  /** @param floor up to where a correct member had come. */
  begin(floor: number): void {
    this.#floor = floor;
    this.submit();
  }

  /** Has the request ordered, by all ways, until enough members have executed it. */
  submit(): void {
    const { out, instance, index, signer, parts } = this.#core;
    const client = this.#client;
    if (this.#request === undefined) {
      const number = this.#number();
      this.#first ??= number;
      const { claim: kind } = requestKinds;
      this.#request = bundle(signer, instance, [
        { client, number, kind, operation: emptyBytes },
      ])[0];
    }
    const request = this.#request;
    if (request === undefined) return;
    const value = { instance, request, fullReplier: index };
    out.sendUrgently(everyone, 'submitRequest', value);
    parts.clientRequests.onSubmit({ kind: 'client', key: client }, value);
  }

  /** Whoever had this member's key before may have used any numbers up. */
  #number(): number {
    const largest = this.#core.executor.table.largest(this.#client);
    const number = this.#counter * requestsPerRecovery + this.#before;
    const isFar = number > largest + numberStepMax / 2;
    return number <= largest || isFar ? largest + 1 : number;
  }

  /** When the first request has a number that can never be executed, another one takes its place. */
  renumber(): void {
    if (this.#point !== undefined || this.#first === undefined) return;
    const found = this.#core.executor.table.find(this.#client, this.#first);
    if (found.kind === 'too-old' || found.kind === 'too-far') this.#beginAnew();
  }

  #beginAnew(): void {
    this.#first = undefined;
    this.#request = undefined;
    this.#executedAt.fill(undefined);
    this.submit();
  }

  /** A member, or this one itself, says at which sequence the first was executed. @param bound of the recovery. */
  onReply(from: number, reply: ReplicationMessageValue<'requestReply'>, bound: number): void {
    const { faults, parameters } = this.#core;
    if (this.#point !== undefined) return;
    if (reply.kind !== 0 || reply.outcome !== 0 || reply.number !== this.#first) return;
    this.#executedAt[from] = reply.sequence;
    const { checkpointInterval, window } = parameters;
    const equal = this.#executedAt.filter((at) => at === reply.sequence).length;
    if (equal <= 2 * faults) return;
    if (reply.sequence <= this.#floor) {
      // Whoever had this member's key before has had it ordered already.
      this.#before += 1;
      return this.#beginAnew();
    }
    this.#point = recoveryPoint(bound, reply.sequence, checkpointInterval, window);
  }

  /**
   * Another one, once the last is executed here: without batches no checkpoint would ever be high enough.
   * @returns whether there is one.
   */
  goOn(): boolean {
    if (this.#point === undefined) return false;
    const number = this.#request?.request.number ?? 0;
    if (this.#core.executor.table.largest(this.#client) < number) return false;
    if (this.#before >= requestsPerRecovery - 1) return false;
    this.#before += 1;
    this.#request = undefined;
    this.submit();
    return true;
  }
}
