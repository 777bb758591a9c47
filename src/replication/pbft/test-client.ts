// Clients of a cluster under test.

import { type Bytes, equalBytes, mapKey, utf8 } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type {
  ReplicationMessage,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import { bundle } from '../requests.ts';
import type { TestCluster } from './test-cluster.ts';
import { countQuery, placeOf } from './test-service.ts';

interface Waiting {
  readonly number: number;
  readonly operation: Bytes;
  readonly isQuery: boolean;
  readonly invokedAtMs: number;
  readonly replies: Map<number, ReplicationMessageValue<'requestReply'>>;
  attempts: number;
}

/** Keeps up to `window` operations in flight, and sends to all after a while. */
export class TestClient {
  readonly #cluster: TestCluster;
  readonly index: number;
  readonly signer: Signer;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;
  #primary = 0;
  retryMs = 60;

  constructor(cluster: TestCluster, index: number, signer: Signer) {
    this.#cluster = cluster;
    this.index = index;
    this.signer = signer;
  }

  get inFlight(): number {
    return this.#waiting.size;
  }

  /** The eight bytes of this client's operation with a number. */
  operation(number: number): Bytes {
    return utf8(`${this.index.toString().padStart(3, '0')}${number.toString().padStart(5, '0')}`);
  }

  write(operation?: Bytes): number {
    this.#number += 1;
    this.#begin(this.#number, operation ?? this.operation(this.#number), false);
    return this.#number;
  }

  read(): number {
    this.#number += 1;
    this.#begin(this.#number, countQuery, true);
    return this.#number;
  }

  #begin(number: number, operation: Bytes, isQuery: boolean): void {
    const invokedAtMs = this.#cluster.nowMs;
    const replies = new Map<number, ReplicationMessageValue<'requestReply'>>();
    const waiting = { number, operation, isQuery, invokedAtMs, replies, attempts: 0 };
    this.#waiting.set(number, waiting);
    this.#send(waiting);
  }

  #send(waiting: Waiting): void {
    const cluster = this.#cluster;
    const { number, operation, isQuery, attempts } = waiting;
    const from: Sender = { kind: 'client', key: this.signer.publicKey };
    const instance = cluster.group.instance;
    const fullReplier = (number + attempts) % cluster.n;
    for (let to = 0; to < cluster.n; to++) {
      if (isQuery && attempts === 0) {
        const value = { instance, number, fullReplier, operation };
        cluster.deliver(from, to, { name: 'queryRequest', value });
      } else if (attempts > 0 || to === this.#primary) {
        const kind = isQuery ? 1 : 0;
        const client = this.signer.publicKey;
        const [request] = bundle(this.signer, instance, [{ client, number, kind, operation }]);
        if (request === undefined) return;
        const value = { instance, request, fullReplier };
        cluster.deliver(from, to, { name: 'submitRequest', value });
      }
    }
    waiting.attempts += 1;
    cluster.plan(this.retryMs * Math.min(8, waiting.attempts), () => {
      if (this.#waiting.get(number) !== waiting) return;
      if (isQuery && waiting.attempts === 1) waiting.replies.clear();
      this.#send(waiting);
    });
  }

  receive(from: number, message: ReplicationMessage): void {
    if (message.name !== 'requestReply') return;
    const reply = message.value;
    this.#cluster.onReply(this.index, from, reply);
    const waiting = this.#waiting.get(reply.number);
    if (waiting === undefined) return;
    // A late answer to the first round says nothing about the ordered one.
    if ((reply.kind === 2) !== (waiting.isQuery && waiting.attempts === 1)) return;
    this.#primary = reply.view % this.#cluster.n;
    const known = waiting.replies.get(from);
    if (known?.kind === 0 && reply.kind === 1) return;
    waiting.replies.set(from, reply);
    const accepted = this.#accepted(waiting);
    if (accepted === undefined) return;
    this.#waiting.delete(reply.number);
    this.#cluster.complete({
      client: this.index,
      number: reply.number,
      isQuery: waiting.isQuery,
      invokedAtMs: waiting.invokedAtMs,
      completedAtMs: this.#cluster.nowMs,
      outcome: accepted.outcome,
      place: accepted.outcome === 0 ? placeOf(accepted.result[0] ?? new Uint8Array(4)) : -1,
      operation: mapKey(waiting.operation),
    });
  }

  #accepted({ replies }: Waiting): ReplicationMessageValue<'requestReply'> | undefined {
    const { faults } = this.#cluster.group;
    for (const reply of replies.values()) {
      const equal = [...replies.values()].filter(
        (other) => equalBytes(other.digest, reply.digest) && other.outcome === reply.outcome,
      );
      const final = equal.filter(({ kind }) => kind === 0);
      const quick = equal.filter(({ kind }) => kind === 2);
      const placed = equal.filter(
        ({ kind, view, sequence }) =>
          kind !== 2 && sequence === reply.sequence && (kind === 0 || view === reply.view),
      );
      const isEnough =
        final.length > faults || quick.length > 2 * faults || placed.length > 2 * faults;
      const whole = equal.find(({ result }) => result.length === 1);
      if (isEnough && whole !== undefined) return whole;
    }
    return undefined;
  }
}
