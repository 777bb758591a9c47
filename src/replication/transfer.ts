// Fetches the state of a checkpoint from other members (PBFT, hierarchical state transfer): from the root down, only
// where digests differ from what is here. Everything is checked against the digest above it, so it does not matter who
// sends. A source that is wrong or empty-handed is asked no more for a while. One that is silent, slow or gives little holds
// nothing up: what it was asked for is asked of others too as soon as they have nothing else to do, and what comes late is
// taken all the same, so that answers may take longer than is waited for them.

import { type Bytes, equalBytes } from '../base/bytes.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { PageChange, Region, Send } from './contract.ts';
import { digestOf, isAbsent, pagesUnder, regionNumbers, regions, rootLevel } from './page-tree.ts';
import type { FrozenState, PagedState } from './pages.ts';
import { stateLevel } from './transfer-answer.ts';
import {
  contentsOf,
  fits,
  type Inquiry,
  type Item,
  itemOf,
  overdueFor,
  type Place,
  placeKey,
} from './transfer-items.ts';
import { TransferSources } from './transfer-sources.ts';

type StatePart = ReplicationMessageValue<'statePart'>;
type FetchState = ReplicationMessageValue<'fetchState'>;

export interface TransferTarget {
  readonly sequence: number;
  /** The root that was agreed on; this is what makes the result trustworthy. */
  readonly root: Bytes;
}

export interface TransferOptions {
  readonly instance: Bytes;
  readonly target: TransferTarget;
  /** Own pages: what of them has the right digests is not fetched. */
  readonly local: PagedState;
  /** Indexes of the members to ask, this one not among them. */
  readonly sources: readonly number[];
  /** Decides whom to ask first, so that not all ask the same one. */
  readonly seed: number;
  /** What a source has not answered by then is asked for again. */
  readonly timeoutMs: number;
}

export interface TransferStep {
  readonly sends: readonly Send[];
  /** When `onTimer` is wanted; undefined when complete. */
  readonly timerAtMs: number | undefined;
  /** Codes to count: what sources did wrong. */
  readonly counts: readonly string[];
}

interface Contents {
  readonly digest: Bytes;
  readonly bytes: Bytes;
}

/** Inquiries to one source at a time; the second keeps it busy while the first one's answer travels. */
const inquiriesPerSourceMax = 2;
/** Of one source; with patience that doubles, answers to the oldest of them may take seven times as long as was waited. */
const latePerSourceMax = 2 * inquiriesPerSourceMax;

export class StateTransfer {
  readonly #options: TransferOptions;
  readonly #local: FrozenState;
  readonly #sources: TransferSources;
  #target: TransferTarget;
  /** Pages and nodes that were fetched and checked, by place: also what an earlier target left. */
  readonly #fetched = new Map<string, Contents>();
  /** What is to be asked for, by level and region. */
  readonly #waiting: Item[][] = Array.from({ length: (stateLevel + 1) * regions.length }, () => []);
  #waitingCount = 0;
  /** Those that wait, and those that are awaited. */
  #missingCount = 0;
  #hasBegun = false;
  /** Oldest first. */
  #inquiries: Inquiry[] = [];
  #done = 0;
  #pages: Iterable<PageChange>[] = [];
  #counts: string[] = [];

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#target = options.target;
    this.#local = options.local.snapshot();
    this.#sources = new TransferSources(options.sources, options.timeoutMs, options.seed);
  }

  get target(): TransferTarget {
    return this.#target;
  }

  /** Whether `result` is the whole state. */
  get isComplete(): boolean {
    return this.#hasBegun && this.#missingCount === 0;
  }

  /** All pages of the target, once complete. Iterated once. */
  get result(): Iterable<PageChange> {
    return chained(this.#pages);
  }

  /** Share of the state that is here, 0 … 1. */
  progress(): number {
    return this.isComplete ? 1 : Math.min(this.#done, 1);
  }

  begin(nowMs: number): TransferStep {
    this.#start();
    return this.#step(nowMs);
  }

  /** Goes for another checkpoint; what was fetched and is the same there is kept. */
  retarget(target: TransferTarget, nowMs: number): TransferStep {
    this.#target = target;
    this.#start();
    return this.#step(nowMs);
  }

  onTimer(nowMs: number): TransferStep {
    const overdue = this.#inquiries.filter(
      ({ isLate, deadlineMs }) => !isLate && deadlineMs <= nowMs,
    );
    for (const source of new Set(overdue.map((inquiry) => inquiry.source))) {
      this.#counts.push('transfer-silent');
      this.#sources.onSilence(source);
      for (const inquiry of this.#inquiriesTo(source)) this.#release(inquiry);
      const forgotten = new Set(this.#inquiriesTo(source).slice(0, -latePerSourceMax));
      this.#inquiries = this.#inquiries.filter((inquiry) => !forgotten.has(inquiry));
    }
    return this.#step(nowMs);
  }

  /** A source has a new channel: what it was asked on the one before may be lost, and is asked for again at once. */
  onReached(source: number, nowMs: number): TransferStep {
    this.#forget(this.#inquiriesTo(source));
    this.#sources.onReached(source);
    return this.#step(nowMs);
  }

  /** @param from the member whose channel brought it. */
  onPart(from: number, part: StatePart, nowMs: number): TransferStep {
    const inquiries = this.#answeredBy(from, part);
    if (inquiries.length === 0) this.#counts.push('transfer-unasked');
    else this.#take(from, inquiries, part, nowMs);
    return this.#step(nowMs);
  }

  #start(): void {
    for (const items of this.#waiting) items.length = 0;
    this.#waitingCount = 0;
    this.#missingCount = 0;
    this.#hasBegun = true;
    this.#inquiries = [];
    this.#pages = [];
    this.#done = 0;
    this.#resolve({
      region: 'service',
      level: stateLevel,
      index: 0,
      digest: this.#target.root,
      share: 1,
    });
  }

  /** Settles a place with what is here, or lines it up for fetching. */
  #resolve(place: Place): void {
    const { level, digest, share } = place;
    if (level < stateLevel && isAbsent(digest)) {
      this.#done += share;
      return;
    }
    const local = this.#localDigest(place);
    if (equalBytes(local, digest)) {
      this.#done += share;
      this.#pages.push(this.#localPages(place));
      return;
    }
    const known = this.#fetched.get(placeKey(place));
    if (known !== undefined && equalBytes(known.digest, digest)) this.#settle(place, known.bytes);
    else {
      this.#missingCount += 1;
      this.#wait(itemOf(place));
    }
  }

  #localDigest({ region, level, index }: Place): Bytes {
    return level === stateLevel
      ? this.#local.root
      : digestOf(this.#local.trees[region], level, index);
  }

  #localPages({ region, level, index }: Place): Iterable<PageChange> {
    const { trees } = this.#local;
    if (level === stateLevel) {
      return chained(regions.map((each) => pagesUnder(each, trees[each], rootLevel, 0)));
    }
    return pagesUnder(region, trees[region], level, index);
  }

  /** @param bytes a page's, or the digests of a node's children: known to fit the place's digest. */
  #settle({ region, level, index, share }: Place, bytes: Bytes): void {
    if (level === 0) {
      this.#done += share;
      this.#pages.push([{ region, page: index, bytes }]);
      return;
    }
    const digests: Bytes[] = [];
    for (let at = 0; at < bytes.length; at += hashSizeBytes) {
      digests.push(bytes.subarray(at, at + hashSizeBytes));
    }
    const present = digests.filter((digest) => !isAbsent(digest)).length;
    digests.forEach((digest, slot) => {
      if (isAbsent(digest)) return;
      this.#resolve({
        region: level === stateLevel ? (regions[slot] as Region) : region,
        level: level - 1,
        index: level === stateLevel ? 0 : index * limits.pageTreeFanOut + slot,
        digest,
        share: share / present,
      });
    });
  }

  #wait(item: Item): void {
    this.#waiting[item.level * regions.length + regionNumbers[item.region]]?.push(item);
    this.#waitingCount += 1;
  }

  #inquiriesTo(source: number): Inquiry[] {
    return this.#inquiries.filter((inquiry) => inquiry.source === source);
  }

  /** The same may have been asked for again after a while: one answer is enough. */
  #answeredBy(from: number, part: StatePart): Inquiry[] {
    if (part.sequence !== this.#target.sequence) return [];
    const first = part.nodes[0]?.index ?? part.pages[0]?.index;
    return this.#inquiriesTo(from).filter(
      ({ region, level, items }) =>
        regionNumbers[region] === part.region &&
        level === part.level &&
        (first === undefined || items.has(first)),
    );
  }

  #take(source: number, inquiries: readonly Inquiry[], part: StatePart, nowMs: number): void {
    let hasFound = false;
    for (const { index, bytes } of contentsOf(part)) {
      const item = inquiries.find(({ items }) => items.has(index))?.items.get(index);
      if (item === undefined) continue;
      hasFound = true;
      if (item.isHere) continue;
      if (bytes === undefined || !fits(item, bytes)) {
        return this.#dismiss(source, 'transfer-wrong', nowMs);
      }
      this.#fetched.set(placeKey(item), { digest: item.digest, bytes });
      item.isHere = true;
      this.#missingCount -= 1;
      if (item.holders.length === 0) this.#waitingCount -= 1;
      this.#settle(item, bytes);
    }
    if (!hasFound) return this.#dismiss(source, 'transfer-not-held', nowMs);
    this.#sources.onAnswer(source, nowMs - (inquiries[0]?.askedMs ?? nowMs));
    this.#forget(inquiries);
  }

  /** Takes everything back from a source and lets it rest. */
  #dismiss(source: number, code: string, nowMs: number): void {
    this.#counts.push(code);
    this.#forget(this.#inquiriesTo(source));
    this.#sources.onUseless(source, nowMs);
  }

  #forget(inquiries: readonly Inquiry[]): void {
    for (const inquiry of inquiries) this.#release(inquiry);
    this.#inquiries = this.#inquiries.filter((inquiry) => !inquiries.includes(inquiry));
  }

  /** What is not here of it waits again, unless somebody else was asked for it. */
  #release(inquiry: Inquiry): void {
    if (inquiry.isLate) return;
    inquiry.isLate = true;
    for (const item of inquiry.items.values()) {
      item.holders.splice(item.holders.indexOf(inquiry.source), 1);
      if (!item.isHere && item.holders.length === 0) this.#wait(item);
    }
  }

  #step(nowMs: number): TransferStep {
    const sends: Send[] = [];
    while (this.#waitingCount > 0) {
      const source = this.#freeSource(nowMs);
      if (source === undefined) break;
      sends.push(this.#ask(source, this.#nextWaiting(), nowMs));
    }
    const overdueAtMs = this.#askIdle(nowMs, sends);
    const counts = this.#counts;
    this.#counts = [];
    return { sends, timerAtMs: this.#timerAtMs(nowMs, overdueAtMs), counts };
  }

  #openInquiries(source: number): number {
    let count = 0;
    for (const each of this.#inquiries) if (each.source === source && !each.isLate) count += 1;
    return count;
  }

  /** The source with the fewest inquiries among those not at rest; the one asked longest ago first. */
  #freeSource(nowMs: number): number | undefined {
    let best: number | undefined;
    let fewest = inquiriesPerSourceMax;
    for (const source of this.#sources.awake(nowMs)) {
      const open = this.#openInquiries(source);
      if (open >= fewest) continue;
      best = source;
      fewest = open;
    }
    return best;
  }

  /** Lowest level first, so that what waits stays few. Meanwhile some of it may have come late. */
  #nextWaiting(): Item[] {
    const taken: Item[] = [];
    for (const items of this.#waiting) {
      while (taken.length < limits.fetchIndexesMax) {
        const item = items.pop();
        if (item === undefined) break;
        if (!item.isHere) taken.push(item);
      }
      if (taken.length > 0) break;
    }
    this.#waitingCount -= taken.length;
    return taken.reverse();
  }

  /**
   * When nothing waits, asks sources that have nothing to do for what others were asked for some time ago.
   * @returns when there may be more to ask them for.
   */
  #askIdle(nowMs: number, sends: Send[]): number {
    let againAtMs = Number.POSITIVE_INFINITY;
    if (this.#waitingCount > 0 || this.isComplete) return againAtMs;
    const { impatienceMs } = this.#sources;
    for (const source of this.#sources.awake(nowMs)) {
      if (this.#openInquiries(source) > 0) continue;
      const { items, nextMs } = overdueFor(source, this.#inquiries, nowMs, impatienceMs);
      if (items.length > 0) sends.push(this.#ask(source, items, nowMs));
      else againAtMs = Math.min(againAtMs, nextMs);
    }
    return againAtMs;
  }

  /** @param taken at least one; all of one level and region. */
  #ask(source: number, taken: readonly Item[], nowMs: number): Send {
    const { region, level } = taken[0] as Item;
    const items = new Map(taken.map((item) => [item.index, item]));
    for (const item of taken) {
      item.firstAskedMs ??= nowMs;
      item.holders.push(source);
    }
    this.#sources.onAsked(source);
    const deadlineMs = nowMs + this.#sources.patienceMs(source);
    const times = { askedMs: nowMs, deadlineMs, isLate: false };
    this.#inquiries.push({ source, region, level, items, ...times });
    const value: FetchState = {
      instance: this.#options.instance,
      sequence: this.#target.sequence,
      region: regionNumbers[region],
      level,
      indexes: [...items.keys()],
    };
    return {
      to: { kind: 'replica', index: source },
      name: 'fetchState',
      value,
      view: undefined,
      isUrgent: true,
    };
  }

  #timerAtMs(nowMs: number, overdueAtMs: number): number | undefined {
    if (this.isComplete) return undefined;
    let atMs = Math.min(overdueAtMs, this.#sources.wakesAtMs(nowMs));
    for (const { isLate, deadlineMs } of this.#inquiries) {
      if (!isLate) atMs = Math.min(atMs, deadlineMs);
    }
    return Number.isFinite(atMs) ? atMs : undefined;
  }
}

function* chained<T>(parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part;
}
