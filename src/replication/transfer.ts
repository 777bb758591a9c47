// Fetches the state of a checkpoint from other members (PBFT, hierarchical state transfer): from the root down, only
// where digests differ from what is here. Everything is checked against the digest above it, so it does not matter who
// sends; a source that is wrong, silent or empty-handed is asked no more for a while.

import { type Bytes, concatBytes, equalBytes } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { hashSizeBytes } from '../crypto/hash.ts';
import { limits } from '../wire/limits.ts';
import type { ReplicationMessageValue } from '../wire/replication-registry.ts';
import type { PageChange, Region, Send } from './contract.ts';
import {
  digestOf,
  isAbsent,
  nodeDigest,
  pageDigest,
  pagesUnder,
  regionNumbers,
  regions,
  rootLevel,
  stateRoot,
} from './page-tree.ts';
import type { FrozenState, PagedState } from './pages.ts';
import { stateLevel } from './transfer-answer.ts';

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
  /** A source that has not answered by then is asked no more for a while. */
  readonly timeoutMs: number;
}

export interface TransferStep {
  readonly sends: readonly Send[];
  /** When `onTimer` is wanted; undefined when complete. */
  readonly timerAtMs: number | undefined;
  /** Codes to count: what sources did wrong. */
  readonly counts: readonly string[];
}

/** A node or page whose digest is known and whose contents are not. */
interface Item {
  readonly region: Region;
  readonly level: number;
  readonly index: number;
  readonly digest: Bytes;
  /** Share of the whole that lies below. */
  readonly share: number;
}

interface Inquiry {
  readonly source: number;
  readonly region: Region;
  readonly level: number;
  readonly items: Map<number, Item>;
  readonly deadlineMs: number;
}

interface Contents {
  readonly digest: Bytes;
  readonly bytes: Bytes;
}

/** Inquiries to one source at a time; the second keeps it busy while the first one's answer travels. */
const inquiriesPerSourceMax = 2;

export class StateTransfer {
  readonly #options: TransferOptions;
  readonly #local: FrozenState;
  readonly #prng: Prng;
  #target: TransferTarget;
  /** Pages and nodes that were fetched and checked, by place: also what an earlier target left. */
  readonly #fetched = new Map<string, Contents>();
  /** What is to be asked for, by level and region. */
  readonly #waiting: Item[][] = Array.from({ length: (stateLevel + 1) * regions.length }, () => []);
  #waitingCount = 0;
  #hasBegun = false;
  #inquiries: Inquiry[] = [];
  /** Until when a source is not asked. */
  readonly #restsUntilMs = new Map<number, number>();
  readonly #restMs = new Map<number, number>();
  /** How long a source may take: twice as long when as many silences as two of each source have gone by without an answer. */
  #patienceMs: number;
  #silencesInARow = 0;
  #order: number[];
  #done = 0;
  #pages: Iterable<PageChange>[] = [];
  #counts: string[] = [];

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#target = options.target;
    this.#local = options.local.snapshot();
    this.#patienceMs = options.timeoutMs;
    this.#prng = new Prng(options.seed);
    this.#order = this.#prng.shuffled(options.sources);
  }

  get target(): TransferTarget {
    return this.#target;
  }

  /** Whether `result` is the whole state. */
  get isComplete(): boolean {
    return this.#hasBegun && this.#waitingCount === 0 && this.#inquiries.length === 0;
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
    for (const inquiry of this.#inquiries.filter(({ deadlineMs }) => deadlineMs <= nowMs)) {
      if (!this.#inquiries.includes(inquiry)) continue;
      this.#dismiss(inquiry.source, 'transfer-silent', nowMs);
      this.#onSilence();
    }
    return this.#step(nowMs);
  }

  /** Some sources may be dead or hostile; but if none answers, answers take longer. */
  #onSilence(): void {
    const { sources, timeoutMs } = this.#options;
    this.#silencesInARow += 1;
    if (this.#silencesInARow < 2 * sources.length) return;
    this.#silencesInARow = 0;
    this.#patienceMs = Math.min(2 * this.#patienceMs, 64 * timeoutMs);
  }

  /** A source has a new channel: what it was asked on the one before may be lost, and is asked for again at once. */
  onReached(source: number, nowMs: number): TransferStep {
    this.#takeBack(source);
    this.#restsUntilMs.delete(source);
    this.#restMs.delete(source);
    // That nobody answered was perhaps for want of channels.
    this.#patienceMs = this.#options.timeoutMs;
    this.#silencesInARow = 0;
    return this.#step(nowMs);
  }

  /** @param from the member whose channel brought it. */
  onPart(from: number, part: StatePart, nowMs: number): TransferStep {
    const inquiry = this.#inquiryOf(from, part);
    if (inquiry === undefined) this.#counts.push('transfer-unasked');
    else this.#take(inquiry, part, nowMs);
    return this.#step(nowMs);
  }

  #start(): void {
    for (const items of this.#waiting) items.length = 0;
    this.#waitingCount = 0;
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

  /** Settles an item with what is here, or lines it up for fetching. */
  #resolve(item: Item): void {
    const { region, level, index, digest, share } = item;
    if (level < stateLevel && isAbsent(digest)) {
      this.#done += share;
      return;
    }
    const local = this.#localDigest(item);
    if (equalBytes(local, digest)) {
      this.#done += share;
      this.#pages.push(this.#localPages(item));
      return;
    }
    const known = this.#fetched.get(placeOf(region, level, index));
    if (known !== undefined && equalBytes(known.digest, digest)) this.#settle(item, known.bytes);
    else this.#wait(item);
  }

  #localDigest({ region, level, index }: Item): Bytes {
    return level === stateLevel
      ? this.#local.root
      : digestOf(this.#local.trees[region], level, index);
  }

  #localPages({ region, level, index }: Item): Iterable<PageChange> {
    const { trees } = this.#local;
    if (level === stateLevel) {
      return chained(regions.map((each) => pagesUnder(each, trees[each], rootLevel, 0)));
    }
    return pagesUnder(region, trees[region], level, index);
  }

  /** @param bytes a page's, or the digests of a node's children: known to fit the item's digest. */
  #settle({ region, level, index, share }: Item, bytes: Bytes): void {
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

  #inquiryOf(from: number, part: StatePart): Inquiry | undefined {
    if (part.sequence !== this.#target.sequence) return undefined;
    const first = part.nodes[0]?.index ?? part.pages[0]?.index;
    return this.#inquiries.find(
      ({ source, region, level, items }) =>
        source === from &&
        regionNumbers[region] === part.region &&
        level === part.level &&
        (first === undefined || items.has(first)),
    );
  }

  #take(inquiry: Inquiry, part: StatePart, nowMs: number): void {
    const { source, level, items } = inquiry;
    const entries =
      level === 0
        ? part.pages.map(({ index, bytes }) => ({ index, bytes: bytes[0] }))
        : part.nodes.map(({ index, children }) => ({ index, bytes: concatBytes(...children) }));
    let settled = 0;
    for (const { index, bytes } of entries) {
      const item = items.get(index);
      if (item === undefined) continue;
      if (bytes === undefined || !fits(item, bytes)) {
        this.#dismiss(source, 'transfer-wrong', nowMs);
        return;
      }
      items.delete(index);
      settled += 1;
      this.#fetched.set(placeOf(item.region, level, index), { digest: item.digest, bytes });
      this.#settle(item, bytes);
    }
    if (settled === 0) {
      this.#dismiss(source, 'transfer-not-held', nowMs);
      return;
    }
    this.#restMs.delete(source);
    this.#silencesInARow = 0;
    this.#inquiries = this.#inquiries.filter((other) => other !== inquiry);
    for (const item of items.values()) this.#wait(item);
  }

  /** Takes everything back from a source and lets it rest, twice as long each time in a row. */
  #dismiss(source: number, code: string, nowMs: number): void {
    this.#counts.push(code);
    this.#takeBack(source);
    const restMs = this.#restMs.get(source) ?? this.#options.timeoutMs;
    this.#restsUntilMs.set(source, nowMs + restMs);
    this.#restMs.set(source, Math.min(2 * restMs, 64 * this.#options.timeoutMs));
  }

  #takeBack(source: number): void {
    for (const inquiry of this.#inquiries) {
      if (inquiry.source !== source) continue;
      for (const item of inquiry.items.values()) this.#wait(item);
    }
    this.#inquiries = this.#inquiries.filter((inquiry) => inquiry.source !== source);
  }

  #step(nowMs: number): TransferStep {
    const sends: Send[] = [];
    while (this.#waitingCount > 0) {
      const source = this.#freeSource(nowMs);
      if (source === undefined) break;
      sends.push(this.#ask(source, nowMs));
    }
    const counts = this.#counts;
    this.#counts = [];
    return { sends, timerAtMs: this.#timerAtMs(nowMs), counts };
  }

  /** The source with the fewest inquiries among those not at rest; the one asked longest ago first. */
  #freeSource(nowMs: number): number | undefined {
    let best: number | undefined;
    let fewest = inquiriesPerSourceMax;
    for (const source of this.#order) {
      if ((this.#restsUntilMs.get(source) ?? nowMs) > nowMs) continue;
      const busy = this.#inquiries.filter((inquiry) => inquiry.source === source).length;
      if (busy >= fewest) continue;
      best = source;
      fewest = busy;
    }
    if (best !== undefined) {
      this.#order = [...this.#order.filter((source) => source !== best), best];
    }
    return best;
  }

  #ask(source: number, nowMs: number): Send {
    // Lowest level first, so that what waits stays few.
    const waiting = this.#waiting.find((items) => items.length > 0) as Item[];
    const taken = waiting.splice(-limits.fetchIndexesMax);
    this.#waitingCount -= taken.length;
    const { region, level } = taken[0] as Item;
    const items = new Map(taken.map((item) => [item.index, item]));
    const deadlineMs = nowMs + this.#patienceMs;
    this.#inquiries.push({ source, region, level, items, deadlineMs });
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

  #timerAtMs(nowMs: number): number | undefined {
    if (this.isComplete) return undefined;
    let atMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.#inquiries) atMs = Math.min(atMs, deadlineMs);
    for (const untilMs of this.#restsUntilMs.values()) {
      if (this.#waitingCount > 0 && untilMs > nowMs) atMs = Math.min(atMs, untilMs);
    }
    return Number.isFinite(atMs) ? atMs : undefined;
  }
}

function placeOf(region: Region, level: number, index: number): string {
  return `${region}/${level}/${index}`;
}

/** Whether contents have the digest that the node above states. */
function fits({ region, level, index, digest }: Item, bytes: Bytes): boolean {
  if (level === 0) return equalBytes(pageDigest(region, index, bytes), digest);
  if (level === stateLevel) {
    if (bytes.length !== 2 * hashSizeBytes) return false;
    const [service, clients] = [bytes.subarray(0, hashSizeBytes), bytes.subarray(hashSizeBytes)];
    return equalBytes(stateRoot(service, clients), digest);
  }
  if (bytes.length !== limits.pageTreeFanOut * hashSizeBytes) return false;
  return equalBytes(nodeDigest(region, level, index, bytes), digest);
}

function* chained<T>(parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part;
}
