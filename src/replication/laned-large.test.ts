import { describe, expect, it } from 'vitest';
import { emptyBytes } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import { type FairItem, newFlow } from './fair-queue.ts';
import { InFlight } from './in-flight.ts';
import { LanedQueue, ownOrigin } from './laned-queue.ts';

interface Item extends FairItem {
  readonly name: string;
}

/** A primary with a full pipeline; members hand on the next large request so many batches after the last was ordered. */
function starved(n: number, size: number, refillAfter: number): number[] {
  const inFlightMax = 8;
  const small = 8000;
  const queue = new LanedQueue<Item>(n);
  const inFlight = new InFlight();
  const busy = newFlow<Item>();
  const other = newFlow<Item>();
  const due = new Map<number, number>();
  const served = new Map<number, number>();
  const add = (name: string, sizeBytes: number, origin: number): void => {
    const item = { name, sizeBytes, signature: emptyBytes, isWaiting: false };
    queue.add(origin === ownOrigin ? busy : other, item, origin);
  };
  const late = 60;
  let isWatched = false;
  const watchedLanes: number[] = [];
  for (let lane = 5; lane < n; lane++) watchedLanes.push(lane);
  for (let next = 1; next <= 600; next++) {
    while (queue.own.count < 200) add('busy', small, ownOrigin);
    for (let lane = 1; lane <= 4; lane++) {
      if ((due.get(lane) ?? 0) > next) continue;
      while (queue.hasLaneRoom(lane, size) === true) add(`lane ${lane}`, size, lane);
    }
    if (next === late) {
      isWatched = true;
      for (const lane of watchedLanes) add(`lane ${lane}`, size, lane);
    }
    const isSmallOnly = inFlight.isSmallOnly(next, next - inFlightMax);
    const taken = queue.takeBatch({ count: 64, sizeBytes: limits.batchSizeBytesMax, isSmallOnly });
    inFlight.note(taken, next);
    for (const { name } of taken) {
      if (!name.startsWith('lane')) continue;
      const lane = Number(name.slice(5));
      due.set(lane, next + refillAfter);
      if (isWatched && !served.has(lane)) served.set(lane, next - late);
    }
  }
  return watchedLanes.map((lane) => served.get(lane) ?? -1);
}

describe('a large request that a member has handed on', () => {
  it.each([
    [7, 0],
    [7, 4],
    [10, 2],
    [10, 4],
    [13, 3],
  ])('is ordered in time: %i members, refilled after %i batches', (n, refillAfter) => {
    for (const size of [65_700, 60_000]) {
      for (const batches of starved(n, size, refillAfter)) {
        expect(batches).toBeGreaterThanOrEqual(0);
        expect(batches).toBeLessThan(60);
      }
    }
  });
});
