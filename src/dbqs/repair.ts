// Mends what a replica has lost, from the other members of the group. A damaged object is read like a client would,
// but from the others alone: a finished write is held by f correct members beside this one, and 2f+1 of the 3f others
// cannot miss them all.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, toHex } from '../base/bytes.ts';
import type { Member } from '../configuration/configuration.ts';
import type { Change } from '../env/disk.ts';
import type { Env } from '../env/env.ts';
import { type Quorum, QuorumUnavailable, type Request } from '../quorum/calls/contract.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { type PhaseGroup, runPhase } from '../quorum/phase.ts';
import { poll } from '../quorum/poll.ts';
import { DisseminationRule, type Shown } from '../registers/rules/dissemination.ts';
import { limits } from '../wire/limits.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { type HeaderVerifier, headerScheme } from './headers.ts';
import type { Item } from './holdings.ts';
import type { Lifetime } from './lifetime.ts';
import type { StorageReplica } from './replica.ts';
import type { ReplicaHost } from './replica-host.ts';
import { getJudge, getRequest, type Held } from './requests.ts';

/** One attempt at one item; it is tried again later. */
const attemptTimeoutMs = 15_000;
const retryDelayMs = 2_000;
/** One member's answer to a fetch. */
const fetchTimeoutMs = 5_000;

export interface RepairOptions {
  readonly env: Env;
  readonly exchange: Exchange;
  readonly replica: StorageReplica;
  readonly host: ReplicaHost;
  readonly verifier: HeaderVerifier;
  readonly system: Bytes;
  readonly self: PeerId;
  /** Ends what is under way when it ends. */
  readonly lifetime: Lifetime;
}

export class Repair {
  readonly #options: RepairOptions;
  readonly #waiting = new Map<string, Item>();
  #inFlight = 0;
  /** Since the start of the process. */
  found = 0;
  repaired = 0;

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size + this.#inFlight;
  }

  /** Queues a damaged item. More than the queue holds are found again by the next scrub. */
  add(item: Item): void {
    const key = `${item.kind} ${toHex(item.id)}`;
    if (this.#stopped || this.#waiting.has(key)) return;
    if (this.#waiting.size >= limits.repairsQueuedMax) return;
    this.found += 1;
    this.#options.env.metrics.count('damaged_items_found_total', item.kind);
    this.#waiting.set(key, item);
    this.#next();
  }

  get #stopped(): boolean {
    return this.#options.lifetime.over;
  }

  #next(): void {
    while (this.#inFlight < limits.repairsInFlightMax) {
      const [first] = this.#waiting;
      if (first === undefined) return;
      const [key, item] = first;
      this.#waiting.delete(key);
      this.#inFlight += 1;
      this.mend(item).then((done) => this.#onAttempted(item, done));
    }
  }

  #onAttempted(item: Item, done: boolean): void {
    this.#inFlight -= 1;
    if (this.#stopped) return;
    if (done) {
      this.repaired += 1;
      this.#options.env.metrics.count('damaged_items_repaired_total', item.kind);
    } else {
      this.#options.lifetime.pause(retryDelayMs).then(() => {
        if (this.#stopped) return;
        this.#waiting.set(`${item.kind} ${toHex(item.id)}`, item);
        this.#next();
      });
    }
    this.#next();
  }

  /** One attempt to bring an item to what a quorum of the others has; false if too few of them could be asked. */
  async mend(item: Item): Promise<boolean> {
    const { env, replica, host } = this.#options;
    try {
      const changes =
        item.kind === 'object' ? await this.#readObject(item) : await this.#readBlock(item);
      if (!(await this.#commit(changes()))) return false;
      env.log.info('item-repaired', { kind: item.kind, state: replica.holdings.inspect(item) });
      return true;
    } catch (error) {
      if (error instanceof QuorumUnavailable || this.#stopped || host.failed) return false;
      throw error;
    }
  }

  async #readObject(item: Item) {
    const { replica, verifier, system } = this.#options;
    // With the header intact only the data is missing, and any holder of that version can give it.
    const header = replica.holdings.recordedHeader(item.id);
    const { members } = this.#others(item.id);
    if (header !== undefined && (await this.fetchObject(header, item.id, members))) return () => [];
    const scheme = headerScheme(verifier, system, new Uint8Array(20), undefined);
    const rule = new DisseminationRule(item.id, scheme);
    const quorum: Quorum<Shown> = await this.#call(item.id, rule.readRequest(), rule.readJudge);
    const chosen = rule.choose(quorum);
    return () => {
      if (chosen === 'initial') return replica.holdings.dropDamaged(item);
      if (chosen === 'abort') return [];
      return replica.holdings.restoreObject(item.id, chosen.tuple.header, chosen.tuple.data);
    };
  }

  async #readBlock(item: Item) {
    const { replica } = this.#options;
    const quorum: Quorum<Held> = await this.#call(item.id, getRequest(item.id), getJudge);
    const data = dataOf(quorum);
    return () =>
      data === undefined
        ? replica.holdings.dropDamaged(item)
        : replica.holdings.restoreBlock(item.id, data);
  }

  async #call<Body>(
    id: Bytes,
    request: Request<Body>,
    judge: Parameters<typeof runPhase<Body>>[3],
  ): Promise<Quorum<Body>> {
    const { exchange, lifetime } = this.#options;
    const limit = lifetime.deadline(attemptTimeoutMs);
    return await runPhase(exchange, this.#others(id), request, judge, limit.signal).finally(
      limit.end,
    );
  }

  /** False, and nothing done, when the disk is so full that even repairs must wait. */
  async #commit(changes: readonly Change[]): Promise<boolean> {
    const { env, host, replica } = this.#options;
    if (!replica.mayRestore(changes)) {
      env.metrics.count('repairs_postponed_total', 'disk-full');
      return false;
    }
    await host.commit(changes);
    return true;
  }

  #others(id: Bytes): PhaseGroup {
    const { configuration } = this.#options.replica;
    const { members, faults } = configuration.groupOf(id);
    const others = members.filter((member) => member.peer !== this.#options.self);
    return {
      members: others,
      thresholds: { n: others.length, quorum: 2 * faults + 1, byzantine: faults, vouch: 1 },
      epoch: configuration.epoch,
    };
  }

  // ---- For bringing a whole replica up to date ----

  /** Obtains `header`'s version, or a later one, from one of these members. False if none of them delivers. */
  async fetchObject(header: ObjectHeader, id: Bytes, holders: readonly Member[]): Promise<boolean> {
    const { replica, verifier, system } = this.#options;
    const rule = new DisseminationRule(
      id,
      headerScheme(verifier, system, new Uint8Array(20), undefined),
    );
    const shown = await this.#fromAny(holders, rule.fetchRequest(header));
    if (shown?.header === undefined || shown.data === undefined) return false;
    return await this.#commit(replica.holdings.restoreObject(id, shown.header, shown.data));
  }

  async fetchBlock(id: Bytes, holders: readonly Member[]): Promise<boolean> {
    const { replica } = this.#options;
    const held = await this.#fromAny(holders, getRequest(id));
    if (held === undefined || held === 'absent') return false;
    return await this.#commit(replica.holdings.restoreBlock(id, held.data));
  }

  async #fromAny<Body>(
    holders: readonly Member[],
    request: Request<Body>,
  ): Promise<Body | undefined> {
    const { exchange, replica, lifetime } = this.#options;
    const { epoch } = replica.configuration;
    for (const holder of exchange.ranked(holders)) {
      const limit = lifetime.deadline(fetchTimeoutMs);
      const answers = await poll(exchange, [holder], epoch, request, limit.signal);
      limit.end();
      const answer = answers.get(holder.peer);
      if (answer !== undefined && 'said' in answer) return answer.said;
      exchange.penalize(holder.peer);
    }
    return undefined;
  }
}

function dataOf(quorum: Quorum<Held>): Bytes | undefined {
  for (const { body } of quorum.replies) if (body !== 'absent') return body.data;
  return undefined;
}
