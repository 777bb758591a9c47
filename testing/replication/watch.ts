// Looks at one correct replica from outside, over all its incarnations: what its service executed for good, and what
// leaves it. Knows nothing of an engine but the contract.

import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, mapKey, toHex } from '../../src/base/bytes.ts';
import type { Address, Channel, MessageHandler, Network } from '../../src/env/network.ts';
import type { Effects, Engine, EngineEvent } from '../../src/replication/contract.ts';
import { batchDigest } from '../../src/replication/pbft/batch.ts';
import { newViewDigest, viewChangeDigest } from '../../src/replication/pbft/statements.ts';
import { requestDigest } from '../../src/replication/requests.ts';
import { withoutResult } from '../../src/replication/vr/acceptance.ts';
import {
  decodeReplicationMessage,
  type ReplicationMessage,
} from '../../src/wire/replication-registry.ts';
import { quickHash } from '../simulator/trace.ts';
import type { Agreement } from './agreement.ts';
import { Promises } from './promises.ts';
import type { Execution, ExecutionListener, Place } from './recording-service.ts';

/** Operations at the end of what was executed that may still be taken back, of one batch. */
interface Tentative {
  readonly sequence: number;
  readonly count: number;
}

/** `kind` of a reply to an operation executed tentatively. */
const tentativeKind = 1;

export class ReplicaWatch implements ExecutionListener {
  readonly #name: string;
  readonly #agreement: Agreement;
  /** Executed by this incarnation and not known to be for good. */
  #pending: Execution[] = [];
  #tentative: Tentative[] = [];
  #settled: Place = { ordinal: 0, chain: '' };
  #executed = 0;
  /** Undefined once the replica counts as faulty: then nothing that it does proves anything. */
  #isTrusted = true;

  constructor(name: string, agreement: Agreement) {
    this.#name = name;
    this.#agreement = agreement;
  }

  distrust(): void {
    this.#isTrusted = false;
  }

  /** A new incarnation begins. */
  restart(): void {
    this.#pending = [];
    this.#tentative = [];
    this.#executed = 0;
  }

  /** What was executed in advance was taken back, or the state came from somewhere else. */
  onLoad(place: Place): void {
    const kept = this.#pending.filter(({ ordinal }) => ordinal <= place.ordinal);
    const last = kept.at(-1);
    this.#pending = [];
    this.#tentative = [];
    if (last?.ordinal === place.ordinal && last.chain === place.chain) this.#settleAll(kept);
    this.#settled = place;
  }

  onExecute(execution: Execution): void {
    this.#pending.push(execution);
  }

  wrap(engine: Engine): Engine {
    return {
      handle: (event: EngineEvent, nowMs: number): Effects => {
        const effects = engine.handle(event, nowMs);
        this.#look(engine, effects);
        return effects;
      },
      isCurrent: (view) => engine.isCurrent(view),
      status: () => engine.status(),
      ending: () => engine.ending(),
    };
  }

  #look(engine: Engine, { sends }: Effects): void {
    const { executed, status, checkpoint, root } = engine.status();
    if (this.#pending.length > 0 || this.#tentative.length > 0) this.#settle(executed, sends);
    if (!this.#isTrusted || status === 'transferring' || status === 'recovering') return;
    if (executed === this.#executed) return;
    this.#executed = executed;
    if (this.#pending.length === 0) {
      this.#agreement.onBatch(this.#name, executed, this.#settled);
    }
    if (checkpoint > 0 && checkpoint === executed && root !== '') {
      this.#agreement.onRoot(this.#name, checkpoint, root);
    }
  }

  #settleAll(executions: readonly Execution[]): void {
    for (const execution of executions) {
      this.#settled = execution;
      if (this.#isTrusted) this.#agreement.onSettled(this.#name, execution);
    }
  }

  /** All is for good but the operations behind the last batch that is. */
  #settle(executed: number, sends: Effects['sends']): void {
    const counts = new Map<number, number>();
    for (const send of sends) {
      if (send.name !== 'requestReply' || send.value.kind !== tentativeKind) continue;
      // Says that a batch is in the log, not that it was executed.
      if (send.value.outcome === withoutResult) continue;
      counts.set(send.value.sequence, (counts.get(send.value.sequence) ?? 0) + 1);
    }
    for (const [sequence, count] of counts) {
      if (!this.#tentative.some((one) => one.sequence === sequence)) {
        this.#tentative.push({ sequence, count });
      }
    }
    this.#tentative = this.#tentative.filter(({ sequence }) => sequence > executed);
    let kept = 0;
    for (const { count } of this.#tentative) kept += count;
    const forGood = this.#pending.splice(0, Math.max(0, this.#pending.length - kept));
    this.#settleAll(forGood);
  }
}

/** What a correct replica has said where it may say one thing only, and which two things it said all the same. */
export class UtteranceWatch {
  readonly #name: string;
  readonly #agreement: Agreement;
  readonly #index: number;
  readonly #instance: Bytes;
  readonly #said = new Map<string, string>();
  readonly #promises: Promises;
  #violation: string | undefined;
  #isTrusted = true;
  #last: Bytes | undefined;

  constructor(name: string, index: number, instance: Bytes, agreement: Agreement) {
    this.#name = name;
    this.#index = index;
    this.#instance = instance;
    this.#agreement = agreement;
    this.#promises = new Promises(index);
  }

  get violation(): string | undefined {
    return this.#violation;
  }

  distrust(): void {
    this.#isTrusted = false;
  }

  /** Its disk is lost, and it will say so: others do not count on what it has promised. */
  release(): void {
    this.#promises.release();
  }

  /** The network as this replica sees it, listened in on. */
  wrap(network: Network): Network {
    const wrapped = new Map<Channel, Channel>();
    const listening = (channel: Channel): Channel => {
      let known = wrapped.get(channel);
      if (known === undefined) {
        known = {
          peer: channel.peer,
          send: (type, payload) => {
            this.#hear(type, payload);
            return channel.send(type, payload);
          },
          close: (reason) => channel.close(reason),
        };
        wrapped.set(channel, known);
      }
      return known;
    };
    return {
      open: (peer: PeerId, address: Address) => listening(network.open(peer, address)),
      onMessage: (handler: MessageHandler) =>
        network.onMessage((channel, type, payload) => handler(listening(channel), type, payload)),
      onClosed: (handler) =>
        network.onClosed((channel) => {
          handler(listening(channel));
          wrapped.delete(channel);
        }),
      close: () => network.close(),
    };
  }

  #hear(type: number, payload: Bytes): void {
    // The same bytes go to many.
    if (!this.#isTrusted || payload === this.#last) return;
    this.#last = payload;
    const message = decodeReplicationMessage(type, payload);
    if (message === undefined) return;
    const broken = this.#promises.note(message);
    if (broken !== undefined) this.#violation ??= `${this.#name} broke a promise: ${broken}`;
    this.#note(message);
  }

  #note({ name, value }: ReplicationMessage): void {
    switch (name) {
      case 'prePrepare': {
        const digests = value.requests.map(({ request }) => requestDigest(this.#instance, request));
        const digest = batchDigest(digests, value.agreed);
        return this.#once(`vote ${value.view} ${value.sequence}`, mapKey(digest));
      }
      case 'pbftPrepare':
      case 'pbftCommit':
        return this.#once(`vote ${value.view} ${value.sequence}`, mapKey(value.digest));
      case 'committed':
        return this.#once(`committed ${value.sequence}`, mapKey(value.digest));
      case 'checkpoint':
        // Another member's is shown to that one, which seems to have forgotten it.
        if (value.replica !== this.#index) return;
        this.#agreement.onRoot(this.#name, value.sequence, toHex(value.root));
        return this.#once(`checkpoint ${value.sequence}`, mapKey(value.root));
      case 'viewChange':
        // Other members' are handed on, and those may contradict each other.
        if (value.statement.replica !== this.#index) return;
        // Who has lost its disk may leave a view again; what it said before is void.
        return this.#once(
          `view-change ${value.statement.view} ${value.statement.forgotten}`,
          mapKey(viewChangeDigest(value.statement)),
        );
      case 'newView':
        return this.#once(
          `new-view ${value.statement.view}`,
          mapKey(newViewDigest(value.statement)),
        );
      case 'vrPrepare':
        return this.#once(`entry ${value.view} ${value.sequence}`, `${quickHash(value.entry)}`);
      case 'vrDoViewChange':
        return this.#once(`vote for ${value.view}`, `${value.lastNormal}`);
      case 'vrStartView': {
        const entries = value.entries.map((entry) => quickHash(entry));
        const log = `${value.sequence} from ${value.first}: ${entries.join(' ')}`;
        return this.#once(`start of view ${value.view}`, `${value.active.join(' ')}, ${log}`);
      }
      default:
        return;
    }
  }

  #once(what: string, said: string): void {
    const before = this.#said.get(what);
    if (before === undefined) this.#said.set(what, said);
    else if (before !== said) this.#violation ??= `${this.#name} said two things: ${what}`;
  }
}
