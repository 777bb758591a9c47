// A simulated client of a replicated group: performs operations of the key-value store through the real client, and
// records what its user sees.

import {
  decodeResult,
  encodeOperation,
  type Operation,
  type Result,
} from '../../examples/key-value/index.ts';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, textOf, toHex, utf8 } from '../../src/base/bytes.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { Signer } from '../../src/crypto/signature.ts';
import type { Env } from '../../src/env/env.ts';
import type { Address } from '../../src/env/network.ts';
import type { Acceptance } from '../../src/replication/acceptance.ts';
import { GroupClient } from '../../src/replication/client.ts';
import type { Unanswered } from '../../src/replication/client-operation.ts';
import type { Outcome, ReplicaGroup } from '../../src/replication/contract.ts';
import { replicationPayloadSizeBytesMax } from '../../src/wire/replication-registry.ts';
import type { Fabric } from '../simulator/network.ts';
import { type Machine, SimulatedNode } from '../simulator/node.ts';
import type { Simulation } from '../simulator/simulation.ts';
import type { Effect, KeyHistory, KeyOperation, Value } from './key-history.ts';
import { tagged, tagOf } from './recording-service.ts';

export type Ending = Outcome['kind'] | 'unknown';

/** `isOrdered`: a read that is ordered like a write. */
export type Asked = Operation & { readonly isOrdered?: boolean };

export interface ClientMachineOptions {
  readonly simulation: Simulation;
  readonly fabric: Fabric;
  readonly group: ReplicaGroup;
  readonly addresses: readonly Address[];
  readonly acceptance: Acceptance;
  readonly signer: Signer;
  /** Whether the key was used before the run. */
  readonly isKnown: boolean;
  /** What it brings along from the group before. */
  readonly follows?: Unanswered | undefined;
  readonly name: string;
  readonly clockRatePpm: number;
  readonly history: KeyHistory;
  readonly reusesNumbers: boolean;
  readonly nextTag: () => number;
  /** What the client does, once in each incarnation. */
  readonly onStart: (session: Session) => void;
  /** A result that no store gives was believed. */
  readonly onNonsense: (what: string) => void;
}

export class ClientMachine {
  readonly node: SimulatedNode;
  readonly signer: Signer;
  session: Session | undefined;
  readonly #options: ClientMachineOptions;

  constructor(options: ClientMachineOptions) {
    const { simulation, fabric, name, signer, clockRatePpm } = options;
    this.#options = options;
    this.signer = signer;
    const peer = toHex(signer.publicKey) as PeerId;
    this.node = new SimulatedNode(simulation, fabric, { name, peer, clockRatePpm });
  }

  start(): void {
    if (!this.node.up) this.node.start((machine) => this.#boot(machine));
  }

  /** Its operations under way may still take effect, or not; nobody will ever know. */
  crash(): void {
    this.session = undefined;
    this.node.crash();
  }

  #boot({ env, network, incarnation }: Machine): void {
    network.configure({ sizeBytesMax: (type) => replicationPayloadSizeBytesMax(type) });
    const { group, addresses, acceptance, signer, isKnown, follows, reusesNumbers } = this.#options;
    const isFresh = (incarnation === 1 && !isKnown) || reusesNumbers;
    const client = new GroupClient({
      env,
      signer,
      group,
      addresses,
      acceptance,
      isFresh,
      follows: incarnation === 1 ? follows : undefined,
    });
    this.session = new Session(`${this.node.name}.${incarnation}`, env, client, this.#options);
    this.#options.onStart(this.session);
  }
}

/** One incarnation of a client. */
export class Session {
  readonly name: string;
  readonly env: Env;
  readonly client: GroupClient;
  underWay = 0;
  readonly #options: ClientMachineOptions;
  /** What each key held when this incarnation last heard of it. */
  readonly #seen = new Map<string, Bytes | undefined>();
  #values = 0;

  constructor(name: string, env: Env, client: GroupClient, options: ClientMachineOptions) {
    this.name = name;
    this.env = env;
    this.client = client;
    this.#options = options;
  }

  seen(key: string): Bytes | undefined {
    return this.#seen.get(key);
  }

  /** A value that nobody else writes, of about so many bytes. */
  newValue(sizeBytes: number): Bytes {
    return utf8(`${this.name}.${this.#values++}|`.padEnd(sizeBytes, '.'));
  }

  /** Performs an operation. @param keys those that a scan may meet. */
  async perform(
    operation: Asked,
    timeoutMs: number,
    keys: readonly string[] = [],
  ): Promise<Ending> {
    const { nextTag } = this.#options;
    const bytes = tagged(nextTag(), encodeOperation(operation));
    const recorded = this.#begin(operation, tagOf(bytes), keys);
    const controller = new AbortController();
    const timer = this.env.timers.after(timeoutMs, () => controller.abort());
    this.underWay += 1;
    try {
      const { signal } = controller;
      const readsOnly = operation.kind === 'get' || operation.kind === 'scan';
      const outcome = await (readsOnly && operation.isOrdered !== true
        ? this.client.query(bytes, { signal })
        : this.client.submit(bytes, { signal }));
      this.#end(operation, recorded, outcome);
      return outcome.kind;
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return 'unknown';
    } finally {
      timer.cancel();
      this.underWay -= 1;
    }
  }

  #begin(operation: Asked, tag: string, keys: readonly string[]): KeyOperation[] {
    const { history } = this.#options;
    const begin = (key: string, effect: Effect | undefined): KeyOperation =>
      history.begin(this.name, key, tag, effect);
    switch (operation.kind) {
      case 'get':
        return [begin(nameOf(operation.key), undefined)];
      case 'put':
        return [begin(nameOf(operation.key), { kind: 'write', value: valueName(operation.value) })];
      case 'delete':
        return [begin(nameOf(operation.key), { kind: 'write', value: undefined })];
      case 'compare-and-set': {
        const { key, expected, value } = operation;
        const effect = {
          kind: 'swap',
          expected: valueName(expected),
          value: valueName(value),
        } as const;
        return [begin(nameOf(key), effect)];
      }
      case 'scan':
        return keys.map((key) => begin(key, undefined));
      case 'stop':
        return [];
    }
  }

  #end(operation: Asked, recorded: readonly KeyOperation[], outcome: Outcome): void {
    const { history, onNonsense } = this.#options;
    if (outcome.kind === 'too-old') return;
    if (outcome.kind === 'ended') return history.end(recorded.map((one) => [one, undefined]));
    const result = decodeResult(outcome.result);
    const effects = result && this.#effects(operation, recorded, result);
    if (effects === undefined) {
      return onNonsense(`${this.name}: ${operation.kind} gave ${toHex(outcome.result)}`);
    }
    history.end(recorded.map((one, i) => [one, effects[i]]));
  }

  /** What each of the recorded operations turned out to be; undefined for a result that is not one of this operation. */
  #effects(
    operation: Asked,
    recorded: readonly KeyOperation[],
    result: Result,
  ): readonly (Effect | undefined)[] | undefined {
    const own = recorded[0]?.effect;
    switch (operation.kind) {
      case 'get':
        if (result.kind !== 'value' && result.kind !== 'absent') return undefined;
        return [this.#read(operation.key, result.kind === 'value' ? result.value : undefined)];
      case 'put':
      case 'delete':
        if (result.kind !== 'done') return undefined;
        this.#seen.set(
          nameOf(operation.key),
          operation.kind === 'put' ? operation.value : undefined,
        );
        return [own];
      case 'compare-and-set':
        if (result.kind === 'differs') return [this.#read(operation.key, result.current)];
        if (result.kind !== 'done') return undefined;
        this.#seen.set(nameOf(operation.key), operation.value);
        return [own];
      case 'scan': {
        if (result.kind !== 'entries') return undefined;
        const { entries, isComplete } = result;
        const last = entries.at(-1);
        const from = nameOf(operation.from);
        return recorded.map(({ key }) => {
          if (key < from || (!isComplete && (last === undefined || key > nameOf(last.key)))) {
            return undefined;
          }
          const entry = entries.find((one) => nameOf(one.key) === key);
          return { kind: 'read', value: valueName(entry?.value) };
        });
      }
      case 'stop':
        return result.kind === 'done' ? [] : undefined;
    }
  }

  #read(key: Bytes, value: Bytes | undefined): Effect {
    this.#seen.set(nameOf(key), value);
    return { kind: 'read', value: valueName(value) };
  }
}

function nameOf(key: Bytes): string {
  return textOf(key) ?? toHex(key);
}

/** A value by its name, which is all of it that differs from others. */
function valueName(value: Bytes | undefined): Value {
  if (value === undefined) return undefined;
  const text = textOf(value);
  return text?.split('|')[0] ?? toHex(value);
}
