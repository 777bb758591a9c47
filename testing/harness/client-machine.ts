// A simulated client machine: performs operations through the real client code and records what its user would see.

import { type Bytes, toHex } from '../../src/base/bytes.ts';
import { storageInstance } from '../../src/configuration/certificates.ts';
import type { Signer } from '../../src/crypto/signature.ts';
import { StorageClient } from '../../src/dbqs/client.ts';
import { blockId, objectId } from '../../src/dbqs/ids.ts';
import { SingleWriterCounters } from '../../src/dbqs/single-writer.ts';
import type { Env } from '../../src/env/env.ts';
import type { LogFields } from '../../src/env/log.ts';
import { QuorumUnavailable } from '../../src/quorum/calls/contract.ts';
import { EpochCalls } from '../../src/quorum/calls/epochs.ts';
import type { Exchange } from '../../src/quorum/exchange.ts';
import { CounterExhausted } from '../../src/registers/register.ts';
import { DisseminationRule, type HeaderScheme } from '../../src/registers/rules/dissemination.ts';
import { decodeMessage, payloadSizeBytesMax } from '../../src/wire/registry.ts';
import type { History, OperationId } from '../checkers/history.ts';
import { type Machine, SimulatedNode } from '../simulator/node.ts';
import { CounterDisk } from './counter-disk.ts';
import { type Genesis, peerOf } from './genesis.ts';
import { observedCalls } from './observed-calls.ts';
import type { Parts } from './parts.ts';
import type { ValueNames } from './values.ts';
import type { World } from './world.ts';

export type Operation =
  | { readonly kind: 'read'; readonly object: Bytes }
  | { readonly kind: 'write' | 'write-alone'; readonly signer: Signer; readonly sizeBytes: number }
  | { readonly kind: 'put'; readonly data: Bytes }
  | { readonly kind: 'get'; readonly block: Bytes };

export type Ending = 'done' | 'timeout' | 'refused' | 'exhausted';

export interface ClientMachineOptions {
  readonly world: World;
  readonly genesis: Genesis;
  readonly parts: Parts;
  readonly name: string;
  readonly clockRatePpm: number;
  /** Objects and blocks apart: they are judged by different rules. */
  readonly objects: History;
  readonly blocks: History;
  readonly values: ValueNames;
  /** What the client does, once in each incarnation. */
  readonly onStart: (session: Session) => void;
  /** The client rejected a server's reply. @param server start of its key */
  readonly onAccused: (server: string) => void;
}

export class ClientMachine {
  readonly node: SimulatedNode;
  readonly counters: CounterDisk;
  session: Session | undefined;
  readonly #options: ClientMachineOptions;
  readonly #key: Signer;

  constructor(options: ClientMachineOptions) {
    const { world, genesis, name, clockRatePpm } = options;
    this.#options = options;
    const { key, greeting } = genesis.newClient(name);
    this.#key = key;
    this.counters = new CounterDisk(world.simulation.prng.fork());
    this.node = new SimulatedNode(world.simulation, world.fabric, {
      name,
      peer: peerOf(key.publicKey),
      clockRatePpm,
    });
    this.#boot = (machine) => {
      machine.network.configure({ greeting, sizeBytesMax: payloadSizeBytesMax });
      if (options.parts.forgetsCounters) this.counters.rewind();
      const name = `${options.name}.${machine.incarnation}`;
      this.session = new Session(name, machine.env, this.#key, this.counters, this.#options);
      options.onStart(this.session);
    };
  }

  readonly #boot: (machine: Machine) => void;

  start(): void {
    if (!this.node.up) this.node.start(this.#boot);
  }

  /** Its operations under way may still take effect, or not; nobody will ever know. */
  crash(): void {
    this.session?.abandonAll();
    this.session = undefined;
    this.node.crash();
  }
}

/** One incarnation of a client. */
export class Session {
  readonly name: string;
  readonly env: Env;
  readonly exchange: Exchange;
  readonly #options: ClientMachineOptions;
  readonly #writer: StorageClient;
  readonly #reader: StorageClient;
  readonly #underWay = new Map<number, { history: History; id: OperationId }>();
  #operations = 0;

  constructor(
    name: string,
    machineEnv: Env,
    key: Signer,
    counters: CounterDisk,
    options: ClientMachineOptions,
  ) {
    this.name = name;
    this.#options = options;
    const { genesis, parts, world } = options;
    const { configuration } = genesis;
    this.env = parts.clientEnv(reportingEnv(machineEnv, options.onAccused), configuration);
    this.exchange = parts.exchange(this.env, storageInstance(genesis.trust.system));
    this.env.network.onMessage((channel, type, payload) => {
      const message = decodeMessage(type, payload);
      if (message !== undefined) this.exchange.handle(channel.peer, message);
    });
    const context = { exchange: this.exchange, configuration };
    const source = { current: () => configuration, freshUntilMs: () => Number.POSITIVE_INFINITY };
    const calls = new EpochCalls(this.exchange, source, 'dissemination');
    const shared = {
      ...context,
      scheme: parts.clientScheme(genesis.scheme),
      clientKey: key.publicKey,
      counters: new SingleWriterCounters(counters.mount(this.env)),
      rule: (object: Bytes, scheme: HeaderScheme) =>
        parts.rule(new DisseminationRule(object, scheme), object, scheme),
    };
    const seen = observedCalls(calls, (kind) => {
      if (kind === 'write') world.marks.hit('read wrote back');
    });
    this.#writer = new StorageClient({ ...shared, calls: parts.calls(calls, context, false) });
    this.#reader = new StorageClient({ ...shared, calls: parts.calls(seen, context, true) });
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  /** Performs and records one operation. */
  async perform(operation: Operation, timeoutMs: number): Promise<Ending> {
    const number = this.#operations++;
    const { world } = this.#options;
    const begun = this.#begin(operation, number);
    const controller = new AbortController();
    const timer = this.env.timers.after(timeoutMs, () => controller.abort());
    try {
      await begun.run(controller.signal);
      return 'done';
    } catch (error) {
      if (error instanceof CounterExhausted) {
        begun.history.fail(begun.id, world.simulation.nowUs);
        world.marks.hit('counter exhausted');
        return 'exhausted';
      }
      begun.history.abandon(begun.id);
      if (!(error instanceof QuorumUnavailable)) {
        world.simulation.fail(`${this.name}: ${operation.kind} failed`, error);
        return 'refused';
      }
      world.marks.hit(error.kind === 'timeout' ? 'operation timed out' : 'operation refused');
      return error.kind;
    } finally {
      timer.cancel();
      this.#underWay.delete(number);
    }
  }

  /** The process dies: what is under way has no known end. */
  abandonAll(): void {
    if (this.#underWay.size > 0) this.#options.world.marks.hit('client crashed in an operation');
    for (const { history, id } of this.#underWay.values()) history.abandon(id);
    this.#underWay.clear();
  }

  #begin(operation: Operation, number: number) {
    const { objects, blocks } = this.#options;
    switch (operation.kind) {
      case 'read':
        return this.#recorded(number, objects, operation.object, async (end, signal) => {
          const found = await this.#reader.readObject(operation.object, signal);
          end(found === undefined ? null : this.#options.values.nameOf(found.data));
        });
      case 'get':
        return this.#recorded(number, blocks, operation.block, async (end, signal) => {
          const found = await this.#reader.getBlock(operation.block, signal);
          if (found === undefined) this.#options.world.marks.hit('absent block read');
          end(found === undefined ? null : toHex(blockId(found)));
        });
      case 'put': {
        const block = blockId(operation.data);
        return this.#recorded(
          number,
          blocks,
          block,
          async (end, signal) => {
            await this.#writer.putBlock(operation.data, signal);
            end(null);
          },
          toHex(block),
        );
      }
      default:
        return this.#beginWrite(operation, number);
    }
  }

  #beginWrite(operation: Extract<Operation, { signer: Signer }>, number: number) {
    const { objects, values } = this.#options;
    const { signer, kind, sizeBytes } = operation;
    const tag = `${this.name}.${number}`;
    const data = values.make(tag, sizeBytes);
    return this.#recorded(
      number,
      objects,
      objectId(signer.publicKey),
      async (end, signal) => {
        if (kind === 'write') await this.#writer.writeObject(signer, data, signal);
        else await this.#writer.writeObjectAlone(signer, data, signal);
        end(null);
      },
      tag,
    );
  }

  /** @param written what a write writes; absent for a read. */
  #recorded(
    number: number,
    history: History,
    object: Bytes,
    act: (end: (value: string | null) => void, signal: AbortSignal) => Promise<void>,
    written?: string,
  ) {
    const { simulation } = this.#options.world;
    const call = { time: simulation.nowUs, client: this.name, object: toHex(object) };
    const id =
      written === undefined
        ? history.invoke({ ...call, kind: 'read' })
        : history.invoke({ ...call, kind: 'write', value: written });
    this.#underWay.set(number, { history, id });
    const end = (value: string | null): void => {
      if (written === undefined) history.completeRead(id, simulation.nowUs, value);
      else history.completeWrite(id, simulation.nowUs);
    };
    return { history, id, run: (signal: AbortSignal) => act(end, signal) };
  }
}

/** The env, with an ear for the rejections that are logged. */
function reportingEnv(env: Env, onAccused: (server: string) => void): Env {
  const warn = (event: string, fields?: LogFields): void => {
    if (event === 'reply-rejected') onAccused(String(fields?.server));
    env.log.warn(event, fields);
  };
  const { debug, info, error } = env.log;
  const log = {
    debug: debug.bind(env.log),
    info: info.bind(env.log),
    error: error.bind(env.log),
    warn,
  };
  return { ...env, log };
}
