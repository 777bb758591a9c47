// Client operations of dBQS on one epoch (protocols D.4, D.8): blocks and objects, and what each replica has of them.

import type { PeerId } from '../base/brand.ts';
import type { Bytes } from '../base/bytes.ts';
import type { Cancellation } from '../base/cancellation.ts';
import type { Configuration, Member } from '../configuration/configuration.ts';
import type { SignatureScheme, Signer } from '../crypto/signature.ts';
import {
  isHalted,
  type Quorum,
  type QuorumCalls,
  QuorumUnavailable,
  type Request,
} from '../quorum/calls/contract.ts';
import { EpochCalls } from '../quorum/calls/epochs.ts';
import type { Exchange } from '../quorum/exchange.ts';
import type { Patience } from '../quorum/patience.ts';
import { type PollAnswer, poll } from '../quorum/poll.ts';
import type { Outcome, Versioned } from '../registers/contract.ts';
import { QuorumRegister } from '../registers/register.ts';
import {
  DisseminationRule,
  type HeaderScheme,
  type Shown,
  type SignedTuple,
} from '../registers/rules/dissemination.ts';
import { compareTimestamps, type Timestamp } from '../registers/timestamp.ts';
import type { RefusalCode } from '../wire/registry.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { HeaderVerifier, headerScheme, writerId } from './headers.ts';
import { blockId, holdingProof, objectId } from './ids.ts';
import {
  getJudge,
  getRequest,
  type Held,
  holdRequest,
  type StatusReport,
  statusRequest,
  storeRequest,
} from './requests.ts';
import type { SingleWriterCounters } from './single-writer.ts';

export interface StorageClientOptions {
  readonly exchange: Exchange;
  readonly configuration: Configuration;
  readonly scheme: SignatureScheme;
  /** This client's identity key. */
  readonly clientKey: Bytes;
  /** Where an only writer keeps its counters; without it single-writer writes are not available. */
  readonly counters?: SingleWriterCounters;
  /** How quorums are found. Default: by the epochs of `configuration`. */
  readonly calls?: QuorumCalls;
  /** The register protocol of one object. Default: the dissemination rule. */
  readonly rule?: (object: Bytes, scheme: HeaderScheme) => DisseminationRule;
}

/** What one replica turned out to have of an object or block. */
export type Finding = 'holds' | 'stale' | 'missing' | 'lying' | 'repairing' | 'silent';

export interface Findings {
  readonly byServer: ReadonlyMap<
    Member,
    { readonly finding: Finding; readonly detail: string | undefined }
  >;
}

export interface BlockFindings extends Findings {
  /** Whether the bytes were read, are nowhere in a quorum, or could not be asked for. */
  readonly content: 'read' | 'absent' | 'unknown';
}

export class StorageClient {
  readonly exchange: Exchange;
  readonly configuration: Configuration;
  readonly #calls: QuorumCalls;
  readonly #ruleOf: (object: Bytes, scheme: HeaderScheme) => DisseminationRule;
  readonly #verifier: HeaderVerifier;
  readonly #writer: Bytes;
  readonly #counters: SingleWriterCounters | undefined;

  constructor(options: StorageClientOptions) {
    const { exchange, configuration, clientKey, counters } = options;
    this.exchange = exchange;
    this.configuration = configuration;
    const source = { current: () => configuration, freshUntilMs: () => Number.POSITIVE_INFINITY };
    this.#calls = options.calls ?? new EpochCalls(exchange, source, 'dissemination');
    this.#ruleOf = options.rule ?? ((object, scheme) => new DisseminationRule(object, scheme));
    this.#verifier = new HeaderVerifier(configuration.system, options.scheme);
    // Two processes under one client key are two writers.
    this.#writer = writerId(clientKey, exchange.env.entropy.bytes(16));
    this.#counters = counters;
  }

  // ---- Blocks ----

  /** Stores a block durably at a quorum; the same bytes may be stored again without harm. Gives its id. */
  async putBlock(data: Bytes, signal: Cancellation): Promise<Bytes> {
    const block = blockId(data);
    await this.#quorum('write', block, storeRequest(block, data), undefined, signal);
    return block;
  }

  /** The verified bytes; undefined when a quorum has none. */
  async getBlock(block: Bytes, signal: Cancellation): Promise<Bytes | undefined> {
    const quorum: Quorum<Held> = await this.#quorum(
      'read',
      block,
      getRequest(block),
      getJudge,
      signal,
    );
    for (const { body } of quorum.replies) if (body !== 'absent') return body.data;
    return undefined;
  }

  // ---- Objects ----

  /** The newest finished version; undefined when the object was never written. */
  async readObject(object: Bytes, signal: Cancellation): Promise<Versioned | undefined> {
    return resultOf(await this.#register(object, undefined).read(signal));
  }

  /** @throws CounterExhausted */
  async writeObject(signer: Signer, data: Bytes, signal: Cancellation): Promise<Timestamp> {
    return resultOf(await this.#register(objectId(signer.publicKey), signer).write(data, signal));
  }

  /** A write in one round, by the object's only writer. The first of all takes two, to learn the counter. */
  async writeObjectAlone(signer: Signer, data: Bytes, signal: Cancellation): Promise<Timestamp> {
    const object = objectId(signer.publicKey);
    const register = this.#register(object, signer);
    const known = await this.#counters?.next(object);
    const counter = known ?? (await this.#firstCounter(object, register, signal));
    return resultOf(await register.writeAt(counter, data, signal));
  }

  /**
   * Noted before it is used: the write may be seen, and a later one must be above it, though it has not ended or never
   * ends.
   */
  async #firstCounter(
    object: Bytes,
    register: QuorumRegister<SignedTuple, Shown>,
    signal: Cancellation,
  ): Promise<number> {
    const counter = resultOf(await register.nextCounter(signal));
    await this.#counters?.learn(object, counter);
    return counter;
  }

  // ---- What each server says ----

  /**
   * Asks every replica of a block to prove that it has the bytes.
   * @param limits `fetching` bounds the fetch of the bytes, `patience` the questions, and `ended` ends all of it.
   */
  async inspectBlock(
    block: Bytes,
    limits: {
      readonly fetching: Cancellation;
      readonly ended: Cancellation;
      readonly patience: Patience;
    },
  ): Promise<BlockFindings> {
    const { fetching, ended, patience } = limits;
    const data = await this.getBlock(block, fetching).catch((error: unknown) => {
      if (error instanceof QuorumUnavailable) return error;
      throw error;
    });
    const members = this.#members(block);
    if (!(data instanceof Uint8Array)) {
      // Without the bytes a claim to hold them proves nothing: they have to be shown.
      const shown = await this.#ask(block, getRequest(block), ended, patience);
      const judge = (said: Held): Finding => (said === 'absent' ? 'missing' : 'holds');
      const found = findings(members, shown, judge);
      const isShown = [...found.byServer.values()].some(({ finding }) => finding === 'holds');
      return { ...found, content: isShown ? 'read' : data === undefined ? 'absent' : 'unknown' };
    }
    const challenge = this.exchange.env.entropy.bytes(32);
    const request = holdRequest(block, challenge, holdingProof(challenge, data));
    const answers = await this.#ask(block, request, ended, patience);
    const found = findings(members, answers, (said) => (said === 'held' ? 'holds' : 'missing'));
    return { ...found, content: 'read' };
  }

  /**
   * Asks every replica of an object for its newest version, and those that show it for the data.
   * @param patience bounds each of the two questions: a server that is silent at the first must not use up the others'
   * time for the second.
   */
  async inspectObject(
    object: Bytes,
    patience: Patience,
    signal: Cancellation,
  ): Promise<Findings & { newest: ObjectHeader | undefined }> {
    const rule = this.#rule(object, undefined);
    const members = this.#members(object);
    const { epoch } = this.configuration;
    const shown = await this.#ask(object, rule.timestampRequest(), signal, patience);
    const newest = newestOf(shown);
    if (newest === undefined) {
      return { newest, ...findings(members, shown, () => 'missing') };
    }
    const showing = members.filter(({ peer }) => shows(shown.get(peer), newest));
    const fetched = await poll(this.exchange, showing, epoch, rule.fetchRequest(newest), signal, {
      patience,
    });
    // A member that shows the newest header must also deliver its data.
    const merged = new Map([...shown, ...fetched]);
    const judge = (said: Shown): Finding => {
      if (said.header === undefined) return 'missing';
      return compareTimestamps(said.header.version, newest.version) < 0 ? 'stale' : 'holds';
    };
    return { newest, ...findings(members, merged, judge) };
  }

  /** Asks every member of the configuration for its status. */
  status(signal: Cancellation): Promise<Map<PeerId, PollAnswer<StatusReport>>> {
    const { members, epoch } = this.configuration;
    return poll(this.exchange, members, epoch, statusRequest(), signal);
  }

  #ask<Body>(id: Bytes, request: Request<Body>, signal: Cancellation, patience: Patience) {
    const { epoch } = this.configuration;
    return poll(this.exchange, this.#members(id), epoch, request, signal, { patience });
  }

  #members(id: Bytes): readonly Member[] {
    return this.configuration.groupOf(id).members;
  }

  #rule(object: Bytes, signer: Signer | undefined): DisseminationRule {
    const scheme = headerScheme(this.#verifier, this.configuration.system, this.#writer, signer);
    return this.#ruleOf(object, scheme);
  }

  #register(object: Bytes, signer: Signer | undefined): QuorumRegister<SignedTuple, Shown> {
    return new QuorumRegister(this.#calls, this.#rule(object, signer));
  }

  async #quorum<Body>(
    ...args: Parameters<typeof EpochCalls.prototype.call<Body>>
  ): Promise<Quorum<Body>> {
    const quorum = await this.#calls.call(...args);
    if (isHalted(quorum)) throw new OperationHalted();
    return quorum;
  }
}

/** The client's knowledge of the configuration has expired; it may not go on before it has renewed it. */
export class OperationHalted extends Error {
  override readonly name = 'OperationHalted';
}

/** A partially atomic protocol gave no answer under concurrency; the caller may try again. */
export class OperationAborted extends Error {
  override readonly name = 'OperationAborted';
}

function resultOf<T>(outcome: Outcome<T>): T {
  if ('value' in outcome) return outcome.value;
  if ('halted' in outcome) throw new OperationHalted();
  throw new OperationAborted();
}

function newestOf(answers: ReadonlyMap<PeerId, PollAnswer<Shown>>): ObjectHeader | undefined {
  let newest: ObjectHeader | undefined;
  for (const answer of answers.values()) {
    const header = 'said' in answer ? answer.said.header : undefined;
    if (header === undefined) continue;
    if (newest === undefined || compareTimestamps(header.version, newest.version) > 0)
      newest = header;
  }
  return newest;
}

function shows(answer: PollAnswer<Shown> | undefined, newest: ObjectHeader): boolean {
  if (answer === undefined || !('said' in answer) || answer.said.header === undefined) return false;
  return compareTimestamps(answer.said.header.version, newest.version) >= 0;
}

function findings<Body>(
  members: readonly Member[],
  answers: ReadonlyMap<PeerId, PollAnswer<Body>>,
  judge: (said: Body) => Finding,
): Findings {
  const findingOf = (
    answer: PollAnswer<Body> | undefined,
  ): { finding: Finding; detail: string | undefined } => {
    if (answer === undefined || 'silent' in answer) return { finding: 'silent', detail: undefined };
    if ('invalid' in answer) return { finding: 'lying', detail: answer.invalid };
    if ('refused' in answer)
      return { finding: findingOfRefusal(answer.refused), detail: answer.refused };
    return { finding: judge(answer.said), detail: undefined };
  };
  return {
    byServer: new Map(members.map((member) => [member, findingOf(answers.get(member.peer))])),
  };
}

/** A server may be unable for a while; one that shows a thing and then denies having it, or denies its part, lies. */
function findingOfRefusal(code: RefusalCode): Finding {
  if (code === 'repairing') return 'repairing';
  return code === 'overloaded' || code === 'disk-failing' || code === 'disk-full'
    ? 'silent'
    : 'lying';
}
