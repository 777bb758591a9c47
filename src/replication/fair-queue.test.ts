import { expect, it } from 'vitest';
import { emptyBytes } from '../base/bytes.ts';
import {
  type FairItem,
  FairQueue,
  type Flow,
  newFlow,
  type Room,
  turnSizeBytes,
} from './fair-queue.ts';

interface Item extends FairItem {
  readonly name: string;
}

function itemOf(name: string, sizeBytes: number, signature = emptyBytes): Item {
  return { name, sizeBytes, signature, isWaiting: false };
}

const roomy: Room = { count: 64, sizeBytes: 2 ** 30, isSmallOnly: false };

/** Names in the order in which they are taken, turn by turn. */
function taken(queue: FairQueue<Item>, turns: number, room: Partial<Room> = {}): string[] {
  const items: Item[] = [];
  for (let turn = 0; turn < turns; turn++) queue.takeTurn({ ...roomy, ...room }, items);
  return items.map(({ name }) => name);
}

function fill(queue: FairQueue<Item>, name: string, count: number, sizeBytes: number): Flow<Item> {
  const flow = newFlow<Item>();
  for (let i = 1; i <= count; i++) {
    queue.add(flow, itemOf(`${name}${i}`, sizeBytes, new Uint8Array([i])));
  }
  return flow;
}

it('gives each client its turn', () => {
  const queue = new FairQueue<Item>();
  fill(queue, 'a', 3, 10);
  fill(queue, 'b', 2, 10);
  expect(queue.flows).toBe(2);
  expect(taken(queue, 9)).toEqual(['a1', 'b1', 'a2', 'b2', 'a3']);
  expect([queue.count, queue.sizeBytes, queue.flows]).toEqual([0, 0, 0]);
});

it('counts turns in bytes among those with large requests', () => {
  const queue = new FairQueue<Item>();
  fill(queue, 'a', 4, 4 * turnSizeBytes);
  fill(queue, 'b', 8, 2 * turnSizeBytes);
  expect(taken(queue, 6)).toEqual(['b1', 'a1', 'b2', 'b3', 'a2', 'b4']);
});

it('lets nothing small wait for more than one large request', () => {
  const queue = new FairQueue<Item>();
  for (let client = 0; client < 50; client++) fill(queue, `large${client}-`, 16, 65_536);
  taken(queue, 20);
  fill(queue, 'small', 1, 300);
  expect(taken(queue, 2)).toContain('small1');
});

it('gives what is large half of the bytes, however much that is small comes', () => {
  const queue = new FairQueue<Item>();
  for (let client = 0; client < 50; client++) fill(queue, `small${client}-`, 32, 8000);
  fill(queue, 'large', 4, 65_536);
  const items: Item[] = [];
  for (let sizeBytes = 0; sizeBytes < 600_000; ) sizeBytes += queue.takeTurn(roomy, items);
  const large = items.filter(({ name }) => name.startsWith('large')).length;
  expect(large).toBe(4);
  expect(items.length - large).toBeGreaterThan(30);
});

it('skips what waits no longer, and says when nothing fits', () => {
  const queue = new FairQueue<Item>();
  const flow = fill(queue, 'a', 1, 10);
  const second = itemOf('second', 10);
  queue.add(flow, second);
  queue.add(flow, itemOf('third', 20_000));
  queue.drop(flow, second);
  queue.drop(flow, second);
  expect(queue.count).toBe(2);
  expect(taken(queue, 2)).toEqual(['a1', 'third']);
  fill(queue, 'b', 1, 500);
  expect(taken(queue, 1, { sizeBytes: 499 })).toEqual([]);
  expect(taken(queue, 1, { sizeBytes: 500 })).toEqual(['b1']);
});

it('gives nothing large where only what is small is wanted', () => {
  const queue = new FairQueue<Item>();
  fill(queue, 'large', 2, 65_536);
  expect(queue.hasSmall).toBe(false);
  fill(queue, 'small', 2, 300);
  expect(queue.hasSmall).toBe(true);
  expect(taken(queue, 5, { isSmallOnly: true })).toEqual(['small1', 'small2']);
  expect(taken(queue, 5)).toEqual(['large1', 'large2']);
});

it('owes what is large nothing for the time when only what was small was wanted', () => {
  const queue = new FairQueue<Item>();
  for (let client = 0; client < 50; client++) fill(queue, `small${client}-`, 32, 8000);
  fill(queue, 'large', 4, 65_536);
  taken(queue, 100, { isSmallOnly: true });
  const next = taken(queue, 40);
  expect(next.indexOf('large1')).toBeGreaterThanOrEqual(0);
  expect(next[next.indexOf('large1') + 1]).toMatch(/^small/);
});
