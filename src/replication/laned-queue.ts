// What waits at a primary for a place in a batch: a lane for what each member has handed on, with places that nothing else
// takes, and clients' own requests, which take turns. Each lane, and the clients together, get the same share of bytes.

import { type FairItem, FairQueue, type Flow, isLarge, type Room } from './fair-queue.ts';
import { type HandedOnBounds, handedOnBounds, Lane } from './lanes.ts';

/** Instead of a member's index: a channel of its client's own. */
export const ownOrigin = -1;

export class LanedQueue<Item extends FairItem> {
  /** What clients have brought themselves. A backup has nothing else. */
  readonly own: FairQueue<Item> = new FairQueue<Item>();
  /** What each member may have in its lane, and a backup outstanding at its primary. */
  readonly bounds: HandedOnBounds;
  readonly #lanes: readonly Lane<Item>[];
  #laneCount = 0;
  #laneSizeBytes = 0;
  /** Of clients' own, on the scale of the lanes. */
  #ownTakenSizeBytes = 0;
  /**
   * Where the foremost stood that was served. Nothing that waits stands further back, whether it begins to wait or was
   * passed over for what is large in it: or it would have all to itself until it has made up for that.
   */
  #servedSizeBytes = 0;

  /** @param n members of the group. */
  constructor(n: number) {
    this.bounds = handedOnBounds(n);
    this.#lanes = Array.from({ length: n }, () => new Lane<Item>());
  }

  get count(): number {
    return this.own.count + this.#laneCount;
  }

  get sizeBytes(): number {
    return this.own.sizeBytes + this.#laneSizeBytes;
  }

  /** Whether a member's lane has room; undefined if `origin` is no member. */
  hasLaneRoom(origin: number, sizeBytes: number): boolean | undefined {
    return this.#lanes[origin]?.hasRoom(sizeBytes, this.bounds);
  }

  /** @param flow of its client. @param origin the member in whose lane it waits; any other number: among clients' own. */
  add(flow: Flow<Item>, item: Item, origin: number): void {
    const lane = this.#lanes[origin];
    if (lane === undefined) return this.own.add(flow, item);
    lane.add(item);
    this.#laneCount += 1;
    this.#laneSizeBytes += item.sizeBytes;
  }

  /**
   * A member hands on what waits among clients' own: it gets one of that member's places, if there is any, and does not go
   * on waiting for its client's turn. The member times it.
   * @returns whether it is in that lane now.
   */
  moveToLane(flow: Flow<Item>, item: Item, origin: number): boolean {
    if (!item.isWaiting || this.hasLaneRoom(origin, item.sizeBytes) !== true) return false;
    this.own.give(flow, item);
    this.add(flow, item, origin);
    return true;
  }

  /** It waits no longer, taken or not. */
  drop(flow: Flow<Item>, item: Item, origin: number): void {
    const lane = this.#lanes[origin];
    if (lane === undefined) return this.own.drop(flow, item);
    this.#dropFrom(lane, item);
  }

  #dropFrom(lane: Lane<Item>, item: Item): void {
    if (!lane.drop(item)) return;
    this.#laneCount -= 1;
    this.#laneSizeBytes -= item.sizeBytes;
  }

  /** The next batch's, the first one whatever its size. */
  takeBatch({ count, sizeBytes, isSmallOnly }: Room): Item[] {
    const taken: Item[] = [];
    let left = Number.POSITIVE_INFINITY;
    while (taken.length < count) {
      const room = { count: count - taken.length, sizeBytes: left, isSmallOnly };
      const takenSizeBytes = this.#takeTurn(room, taken);
      if (takenSizeBytes === 0) break;
      left = Math.min(left, sizeBytes) - takenSizeBytes;
    }
    return taken;
  }

  /** From that lane which has had least, the clients' own among them. */
  #takeTurn(room: Room, taken: Item[]): number {
    if (this.#laneCount === 0) return this.own.takeTurn(room, taken);
    let least: Lane<Item> | undefined;
    let standing = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes) {
      const { next } = lane;
      if (next === undefined || (room.isSmallOnly && isLarge(next))) continue;
      const position = Math.max(lane.takenSizeBytes, this.#servedSizeBytes);
      // Of those that stand together whoever has had least in fact, or the first of them would have all of every turn.
      const isBehind = position === standing && lane.takenSizeBytes < (least?.takenSizeBytes ?? 0);
      if (position > standing || (position === standing && !isBehind)) continue;
      least = lane;
      standing = position;
    }
    const own = Math.max(this.#ownTakenSizeBytes, this.#servedSizeBytes);
    const hasOwn = room.isSmallOnly ? this.own.hasSmall : this.own.count > 0;
    if (least === undefined || (hasOwn && own <= standing)) {
      const sizeBytes = this.own.takeTurn(room, taken);
      this.#servedSizeBytes = own;
      this.#ownTakenSizeBytes = own + sizeBytes;
      return sizeBytes;
    }
    const item = least.next;
    if (item === undefined || item.sizeBytes > room.sizeBytes) return 0;
    this.#servedSizeBytes = standing;
    least.takenSizeBytes = standing + item.sizeBytes;
    this.#dropFrom(least, item);
    taken.push(item);
    return item.sizeBytes;
  }
}
