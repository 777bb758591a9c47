// Walks through the lists of what the other members hold, in the order of ids, and gives each id once enough members of
// every group have spoken for it. Each member's list is pulled by itself, and a group is as far as its members that are
// furthest: a liar whose list never ends, or creeps, holds up nobody. Nobody is pulled ahead of the others by more than
// a page, so what is kept in memory is bounded.

import type { PeerId } from '../base/brand.ts';
import { type Bytes, compareBytes, toHex } from '../base/bytes.ts';
import type { Group, Member } from '../configuration/configuration.ts';
import { QuorumUnavailable } from '../quorum/calls/contract.ts';
import type { Exchange } from '../quorum/exchange.ts';
import { runPhase } from '../quorum/phase.ts';
import { compareTimestamps } from '../registers/timestamp.ts';
import type { ObjectHeader } from '../wire/types.ts';
import { successorOf } from './holdings.ts';
import { objectId } from './ids.ts';
import type { Lifetime } from './lifetime.ts';
import type { ItemKind } from './records.ts';
import { type ListPage, listRequest } from './requests.ts';

/** An id that somebody lists: the highest version listed, and who lists it. */
export interface Listed {
  readonly id: Bytes;
  header: ObjectHeader | undefined;
  holders: Member[];
}

export interface ListWalkOptions {
  readonly exchange: Exchange;
  readonly epoch: number;
  readonly kind: ItemKind;
  readonly self: PeerId;
  /** The groups that the asker belongs to. */
  readonly groups: readonly Group[];
  /** Members of each group, the asker not counted, that must have spoken for an id. */
  readonly needed: number;
  /** False for ids that are none of the asker's business. */
  readonly wanted: (id: Bytes, header: ObjectHeader | undefined) => boolean;
  readonly lifetime: Lifetime;
}

/** A walk that gets no further within this time is given up. */
const standstillMsMax = 30_000;
const firstId = new Uint8Array(32);

/** One member's list, as far as it is known. */
interface Source {
  readonly member: Member;
  /** The first id that it has not spoken for; undefined when it has reached the end. */
  next: Bytes | undefined;
  state: 'idle' | 'pulling' | 'failed';
}

export class ListWalk {
  readonly #options: ListWalkOptions;
  readonly #sources = new Map<PeerId, Source>();
  readonly #listed = new Map<string, Listed>();
  /** Ends what is asked of the members; one for each, since a signal is made for few listeners. */
  readonly #asking = new Set<AbortController>();
  #wake: () => void = () => {};

  constructor(options: ListWalkOptions) {
    this.#options = options;
    for (const { members } of options.groups) {
      for (const member of members) {
        if (member.peer === options.self) continue;
        this.#sources.set(member.peer, { member, next: firstId, state: 'idle' });
      }
    }
  }

  /** Everything listed, a batch at a time in ascending order. @throws QuorumUnavailable when it gets no further. */
  async *batches(): AsyncGenerator<Listed[]> {
    try {
      let from: Bytes | undefined = firstId;
      while (from !== undefined) {
        const bound: Bytes | undefined = await this.#advance(from);
        yield this.#takeUntil(bound);
        from = bound;
      }
    } finally {
      for (const controller of this.#asking) controller.abort();
    }
  }

  /** Resolves with the bound below which every group is covered, once that is above `from`. */
  async #advance(from: Bytes): Promise<Bytes | undefined> {
    const limit = this.#options.lifetime.deadline(standstillMsMax);
    limit.signal.addEventListener('abort', () => this.#wake());
    try {
      for (;;) {
        const bound = this.#covered();
        if (bound === undefined || compareBytes(bound, from) > 0) return bound;
        if (limit.signal.aborted) throw this.#unavailable();
        const woken = new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        for (const source of this.#sources.values()) this.#pull(source, from);
        await woken;
      }
    } finally {
      limit.end();
    }
  }

  /** The first id that some group is not yet covered for; undefined when all lists needed have ended. */
  #covered(): Bytes | undefined {
    let lowest: Bytes | undefined;
    for (const { members } of this.#options.groups) {
      const bound = this.#coveredIn(members);
      if (bound !== undefined && (lowest === undefined || compareBytes(bound, lowest) < 0))
        lowest = bound;
    }
    return lowest;
  }

  /** How far the `needed` members of a group that are furthest have got. */
  #coveredIn(members: readonly Member[]): Bytes | undefined {
    const open = members
      .flatMap(({ peer }) => this.#sources.get(peer) ?? [])
      .flatMap(({ next }) => next ?? [])
      .sort((a, b) => compareBytes(b, a));
    const others = members.filter(({ peer }) => this.#sources.has(peer)).length;
    const ended = others - open.length;
    return ended >= this.#options.needed ? undefined : open[this.#options.needed - ended - 1];
  }

  /** Asks for a source's next page, unless it is ahead of the others. One that fell behind goes on where they are. */
  #pull(source: Source, from: Bytes): void {
    if (source.state !== 'idle' || source.next === undefined) return;
    if (compareBytes(source.next, from) > 0) return;
    source.state = 'pulling';
    this.#page(source.member, from).then(
      (page) => {
        source.state = 'idle';
        this.#take(source, page);
        this.#wake();
      },
      () => {
        source.state = 'failed';
        this.#wake();
      },
    );
  }

  async #page(member: Member, from: Bytes): Promise<ListPage> {
    const { exchange, epoch, kind } = this.#options;
    const thresholds = { n: 1, quorum: 1, byzantine: 0, vouch: 1 };
    const request = listRequest(kind, from, (header) => objectId(header.publicKey));
    const group = { members: [member], thresholds, epoch };
    const controller = new AbortController();
    this.#asking.add(controller);
    try {
      const { replies } = await runPhase(exchange, group, request, undefined, controller.signal);
      return (replies[0] as (typeof replies)[number]).body;
    } finally {
      this.#asking.delete(controller);
    }
  }

  #take(source: Source, page: ListPage): void {
    const last = page.ids.at(-1);
    source.next = page.complete || last === undefined ? undefined : successorOf(last);
    page.ids.forEach((id, index) => {
      const header = this.#options.kind === 'object' ? page.objects[index] : undefined;
      if (!this.#options.wanted(id, header)) return;
      const known = this.#listed.get(toHex(id));
      if (known !== undefined) addTo(known, header, source.member);
      else this.#listed.set(toHex(id), { id, header, holders: [source.member] });
    });
  }

  #takeUntil(bound: Bytes | undefined): Listed[] {
    const end = bound === undefined ? undefined : toHex(bound);
    const taken = [...this.#listed].filter(([key]) => end === undefined || key < end);
    for (const [key] of taken) this.#listed.delete(key);
    return taken.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, listed]) => listed);
  }

  #unavailable(): QuorumUnavailable {
    const sources = [...this.#sources.values()];
    const missing = sources.filter(({ next }) => next !== undefined);
    const unanswered = missing.map(({ member }) => ({ from: member, why: 'silent' as const }));
    const answered = sources.length - missing.length;
    return new QuorumUnavailable('timeout', answered, this.#options.needed, unanswered);
  }
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
