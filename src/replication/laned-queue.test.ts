import { describe, expect, it } from 'vitest';
import { emptyBytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import { type FairItem, isLarge, newFlow } from './fair-queue.ts';
import { InFlight } from './in-flight.ts';
import { LanedQueue, ownOrigin } from './laned-queue.ts';

interface Item extends FairItem {
  readonly name: string;
}

const small = 8000;
const large = 8400;
const inFlightMax = 8;

/** A primary whose pipeline is always full: with each batch that it proposes the oldest one is done. */
class BusyPrimary {
  readonly #queue: LanedQueue<Item> = new LanedQueue<Item>(4);
  /** Of two clients: what is watched, and what keeps the primary busy. */
  readonly #flow = newFlow<Item>();
  readonly #busyFlow = newFlow<Item>();
  readonly #inFlight = new InFlight();
  #next = 1;
  #pipeline: (readonly Item[])[] = [];
  readonly #small = new Set<Item>();

  /** Of what is large and in flight. */
  get largeSizeBytes(): number {
    const items = this.#pipeline.flat().filter(isLarge);
    return items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  get smallWaiting(): number {
    return [...this.#small].filter(({ isWaiting }) => isWaiting).length;
  }

  add(name: string, sizeBytes: number, origin: number): void {
    const item = { name, sizeBytes, signature: emptyBytes, isWaiting: false };
    this.#queue.add(name === 'busy' ? this.#busyFlow : this.#flow, item, origin);
    if (!isLarge(item)) this.#small.add(item);
  }

  /** Always more of it than is taken, of clients' own or of a member's. */
  keep(sizeBytes: number, origin: number): void {
    const isLane = origin !== ownOrigin;
    const hasRoom = () =>
      isLane ? this.#queue.hasLaneRoom(origin, sizeBytes) : this.#queue.own.count < 80;
    while (hasRoom() === true) this.add('busy', sizeBytes, origin);
  }

  batch(): string[] {
    const isSmallOnly = this.#inFlight.isSmallOnly(this.#next, this.#next - inFlightMax);
    const room = { count: 16, sizeBytes: limits.batchSizeBytesMax, isSmallOnly };
    const taken = this.#queue.takeBatch(room);
    this.#inFlight.note(taken, this.#next);
    this.#next += 1;
    this.#pipeline = [...this.#pipeline.slice(1 - inFlightMax), taken];
    return taken.map(({ name }) => name);
  }
}

describe('a member hands on something large, and something small behind it', () => {
  it.each([
    ['small requests without end', small, 0],
    ['large requests without end', large, 0],
    ['small requests without end, and another member large ones', small, 1],
    ['small requests without end, and a later member large ones', small, 3],
  ])('and a primary to which clients bring %s orders both soon', (_, own, member) => {
    for (let rounds = 200; rounds < 200 + inFlightMax; rounds++) {
      const primary = new BusyPrimary();
      const fill = (): void => {
        primary.keep(own, ownOrigin);
        if (member > 0) primary.keep(large, member);
      };
      for (let i = 0; i < rounds; i++) {
        fill();
        primary.batch();
      }
      primary.add('large', large, 2);
      primary.add('small', small, 2);
      const taken: string[] = [];
      for (let i = 0; i <= inFlightMax; i++) {
        fill();
        taken.push(...primary.batch());
      }
      expect(taken).toContain('large');
      expect(taken).toContain('small');
    }
  });
});

it('lets nothing small wait for more than two batches of what is large, however much of that comes', () => {
  const primary = new BusyPrimary();
  for (let i = 0; i < 300; i++) {
    primary.keep(60_000, ownOrigin);
    for (const member of [1, 3]) primary.keep(60_000, member);
    if (i % 7 > 0) primary.add('small', 300, i % 2 === 0 ? ownOrigin : 2);
    primary.batch();
    if (i > 50) {
      expect(primary.largeSizeBytes).toBeLessThan(2 * limits.batchSizeBytesMax);
      expect(primary.smallWaiting).toBeLessThan(3);
    }
  }
});
