// A client for the tests of this folder: keeps some requests open, asks everybody when an answer is late, and checks what
// it is told against what it was told before.

import { type Bytes, mapKey } from '../../base/bytes.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type {
  ReplicationMessage,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { Acceptance } from '../acceptance.ts';
import { ReplyBox } from '../reply-box.ts';
import { vrAcceptance } from './acceptance.ts';
import type { TestCluster } from './test-cluster.ts';
import { countOf, countOperation, countQuery } from './test-service.ts';
import { Violation } from './test-violation.ts';

interface Open {
  readonly number: number;
  readonly request: SignedRequest;
  readonly box: ReplyBox;
}

interface OpenRead {
  readonly number: number;
  /** The least that it may give: what was answered before it began. */
  readonly floor: number;
}

const proof = { signature: new Uint8Array(64), count: 1, index: 0, path: [] };
const retryMs = 40;

export class TestClient {
  readonly index: number;
  readonly publicKey: Bytes;
  readonly key: string;
  readonly results = new Map<number, number>();
  readonly ended = new Set<number>();
  readonly reads: number[] = [];
  #cluster: TestCluster;
  #open = new Map<number, Open>();
  #reads = new Map<number, OpenRead>();
  #next = 1;
  #left = 0;
  #windowMax = 1;
  primary = 0;
  readonly #acceptance: Acceptance;

  constructor(cluster: TestCluster, index: number) {
    this.#cluster = cluster;
    this.index = index;
    this.#acceptance = vrAcceptance(cluster.faults);
    this.publicKey = new Uint8Array(32).fill(index + 1);
    this.key = mapKey(this.publicKey);
  }

  get isIdle(): boolean {
    return this.#left === 0 && this.#open.size === 0;
  }

  get openCount(): number {
    return this.#open.size + this.#left;
  }

  /** Executes so many operations, up to `windowMax` at a time. */
  work(operations: number, windowMax = 1): void {
    this.#left += operations;
    this.#windowMax = windowMax;
    this.#fill();
  }

  #fill(): void {
    while (this.#left > 0 && this.#open.size < this.#windowMax) {
      this.#left -= 1;
      this.submit(countOperation(this.index, this.#next));
    }
  }

  submit(operation: Bytes): number {
    const number = this.#next++;
    const request = { client: this.publicKey, number, kind: 0, operation };
    const open: Open = {
      number,
      request: { request, proof },
      box: new ReplyBox(this.#cluster.size),
    };
    this.#open.set(number, open);
    this.#send(open, this.primary);
    this.#retryLater(open);
    return number;
  }

  #send(open: Open, to: number): void {
    const { instance } = this.#cluster;
    const value = { instance, request: open.request, fullReplier: 0 };
    this.#cluster.transmit({
      from: { kind: 'client', key: this.publicKey },
      to,
      message: { name: 'submitRequest', value },
    });
  }

  #retryLater(open: Open): void {
    this.#cluster.after(retryMs, () => {
      if (!this.#open.has(open.number)) return;
      for (let i = 0; i < this.#cluster.size; i++) this.#send(open, i);
      this.#retryLater(open);
    });
  }

  /** A read in one round; given up silently if nobody serves it. */
  read(to = this.primary): number {
    const number = this.#next++;
    this.#reads.set(number, { number, floor: this.#cluster.floor });
    const { instance } = this.#cluster;
    this.#cluster.transmit({
      from: { kind: 'client', key: this.publicKey },
      to,
      message: {
        name: 'queryRequest',
        value: { instance, number, fullReplier: to, operation: countQuery },
      },
    });
    return number;
  }

  receive(from: number, message: ReplicationMessage): void {
    if (message.name === 'requestReply') this.#onReply(from, message.value);
  }

  #onReply(from: number, value: ReplicationMessageValue<'requestReply'>): void {
    const { number, kind, outcome, result } = value;
    const [bytes] = result;
    if (kind === 2) return this.#endRead(number, bytes);
    const open = this.#open.get(number);
    if (open !== undefined) {
      open.box.take(from, value);
      this.#judge(open);
    } else if (kind === 0 && outcome === 0 && bytes !== undefined) {
      // A later answer must be the same.
      this.#accept(number, countOf(bytes));
    }
  }

  #judge({ number, box }: Open): void {
    const judged = this.#acceptance.ordered(box.replies);
    if (judged.kind !== 'accepted') return;
    const { reply } = judged;
    if (reply.outcome === 1) return this.#end(number);
    this.primary = this.#cluster.primaryOf(reply.view);
    const bytes = box.bodyOf(reply);
    if (bytes !== undefined) this.#accept(number, countOf(bytes));
  }

  #accept(number: number, result: number): void {
    const known = this.results.get(number);
    if (known !== undefined && known !== result) {
      throw new Violation(`client ${this.index} is told ${known} and ${result} for ${number}`);
    }
    this.results.set(number, result);
    this.#cluster.floor = Math.max(this.#cluster.floor, result + 1);
    this.#open.delete(number);
    this.#fill();
  }

  #end(number: number): void {
    this.ended.add(number);
    this.#open.delete(number);
    this.#fill();
  }

  #endRead(number: number, bytes: Bytes | undefined): void {
    const open = this.#reads.get(number);
    if (open === undefined || bytes === undefined) return;
    this.#reads.delete(number);
    const value = countOf(bytes);
    if (value < open.floor) {
      throw new Violation(`a read gave ${value} after ${open.floor} had been answered`);
    }
    this.reads.push(value);
    this.#cluster.floor = Math.max(this.#cluster.floor, value);
  }
}
