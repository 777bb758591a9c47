// Brings a replica up to date with the other members: after its disk was lost it answers nobody until this is done;
// after it was merely away this runs in the background. Lists are walked in windows of ids, every window from enough
// members of each group, and the union counts: a finished write may be visible at a single correct one of them.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, compareBytes, toHex } from '../base/bytes.ts';
import type { Member } from '../configuration/configuration.ts';
import type { Env } from '../env/env.ts';
import type { Judge, Vote } from '../quorum/calls/contract.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { runPhase } from '../quorum/phase.ts';
import { compareTimestamps } from '../registers/timestamp.ts';
import type { ObjectHeader } from '../wire/types.ts';
import type { HeaderVerifier } from './headers.ts';
import { objectId } from './ids.ts';
import type { ItemKind } from './records.ts';
import type { Repair } from './repair.ts';
import { type Item, type StorageReplica, successorOf } from './replica.ts';
import { type ListPage, listRequest } from './requests.ts';

export interface SynchronizeOptions {
  readonly env: Env;
  readonly exchange: Exchange;
  readonly replica: StorageReplica;
  readonly repair: Repair;
  readonly verifier: HeaderVerifier;
  readonly self: PeerId;
}

/** `lost`: own contents count for nothing. `behind`: own contents are intact and count as one member's. */
export type SynchronizeMode = 'lost' | 'behind';

const pageTimeoutMs = 30_000;
const firstId = new Uint8Array(32);

export class Synchronizer {
  readonly #options: SynchronizeOptions;
  readonly #mode: SynchronizeMode;
  /** Items brought in by this run. */
  fetched = 0;

  constructor(options: SynchronizeOptions, mode: SynchronizeMode) {
    this.#options = options;
    this.#mode = mode;
  }

  /** @throws QuorumUnavailable, SynchronizeIncomplete when too few members answer in time. Run again from the start. */
  async run(shouldStop: () => boolean): Promise<void> {
    for (const kind of ['object', 'block'] as const) {
      let cursor: Bytes | undefined = firstId;
      while (cursor !== undefined && !shouldStop())
        cursor = await this.#window(kind, cursor, shouldStop);
    }
  }

  /** One window of ids; gives where the next one starts. */
  async #window(
    kind: ItemKind,
    from: Bytes,
    shouldStop: () => boolean,
  ): Promise<Bytes | undefined> {
    const pages = await this.#pages(kind, from);
    const end = endOf(pages);
    const listed = new Map<string, Listed>();
    for (const { from: member, body } of pages) this.#collect(kind, member, body, end, listed);
    for (const item of listed.values()) {
      if (shouldStop()) return undefined;
      await this.#bring(kind, item);
    }
    return end === undefined ? undefined : successorOf(end);
  }

  async #pages(kind: ItemKind, from: Bytes): Promise<readonly Vote<ListPage>[]> {
    const { env, exchange, replica, self } = this.#options;
    const { configuration } = replica;
    const groups = configuration.groupsOf(self);
    const others = distinct(groups.flatMap((group) => group.members)).filter(
      ({ peer }) => peer !== self,
    );
    const needed = 2 * configuration.faults + (this.#mode === 'lost' ? 1 : 0);
    const judge: Judge<ListPage> = ({ replies }) => {
      const answered = new Set(replies.map((reply) => reply.from.peer));
      const covered = groups.every(
        ({ members }) => members.filter((member) => answered.has(member.peer)).length >= needed,
      );
      return covered ? 'enough' : 'more';
    };
    const controller = new AbortController();
    const timer = env.timers.after(pageTimeoutMs, () => controller.abort());
    try {
      const thresholds = {
        n: others.length,
        quorum: needed,
        byzantine: configuration.faults,
        vouch: 1,
      };
      const group = { members: others, thresholds, epoch: configuration.epoch };
      const request = listRequest(kind, from, (header) => objectId(header.publicKey));
      const quorum = await runPhase(exchange, group, request, judge, controller.signal);
      return quorum.replies;
    } finally {
      timer.cancel();
    }
  }

  #collect(
    kind: ItemKind,
    member: Member,
    page: ListPage,
    end: Bytes | undefined,
    into: Map<string, Listed>,
  ): void {
    page.ids.forEach((id, index) => {
      if (end !== undefined && compareBytes(id, end) > 0) return;
      if (!this.#options.replica.responsibleFor(id)) return;
      const header = kind === 'object' ? page.objects[index] : undefined;
      const known = into.get(toHex(id));
      if (known === undefined) into.set(toHex(id), { id, header, holders: [member] });
      else addTo(known, header, member);
    });
  }

  async #bring(kind: ItemKind, { id, header, holders }: Listed): Promise<void> {
    const { replica, repair, verifier } = this.#options;
    if (kind === 'block') {
      if (replica.isRecorded({ kind, id })) return;
      if (await repair.fetchBlock(id, holders)) this.fetched += 1;
      else await this.#read({ kind, id });
      return;
    }
    if (header === undefined) return;
    const own = replica.headerOf(id);
    if (own !== undefined && compareTimestamps(own.version, header.version) >= 0) return;
    const genuine = verifier.verify(id, header);
    if (genuine && (await repair.fetchObject(header, id, holders))) this.fetched += 1;
    else await this.#read({ kind, id });
  }

  /** A member listed what it does not deliver, and may hide something older behind it: a full read decides. */
  async #read(item: Item): Promise<void> {
    const done = await this.#options.repair.mend(item);
    if (!done && this.#mode === 'lost') throw new SynchronizeIncomplete(item.kind);
  }
}

/** Too few members could be asked about one item; nothing may be concluded, so the whole run is made again. */
export class SynchronizeIncomplete extends Error {
  override readonly name = 'SynchronizeIncomplete';

  constructor(kind: ItemKind) {
    super(`too few servers answered about one ${kind}`);
  }
}

interface Listed {
  readonly id: Bytes;
  header: ObjectHeader | undefined;
  holders: Member[];
}

/** Keeps the highest version and those who showed it; the others are asked after them. */
function addTo(known: Listed, header: ObjectHeader | undefined, member: Member): void {
  const order =
    header === undefined || known.header === undefined
      ? 0
      : compareTimestamps(header.version, known.header.version);
  if (order > 0) {
    known.header = header;
    known.holders = [member];
  } else if (order === 0) {
    known.holders.push(member);
  }
}

/** The last id for which every one of the pages speaks; undefined when they all reach the end. */
function endOf(pages: readonly Vote<ListPage>[]): Bytes | undefined {
  let end: Bytes | undefined;
  for (const { body } of pages) {
    const last = body.complete ? undefined : body.ids.at(-1);
    if (last !== undefined && (end === undefined || compareBytes(last, end) < 0)) end = last;
  }
  return end;
}

function distinct(members: readonly Member[]): Member[] {
  return [...new Map(members.map((member) => [member.peer, member])).values()];
}
