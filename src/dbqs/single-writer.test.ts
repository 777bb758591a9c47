import { describe, expect, it } from 'vitest';
import { type Bytes, toHex } from '../base/bytes.ts';
import { type CounterStore, SingleWriterCounters } from './single-writer.ts';

const object = new Uint8Array(32).fill(1);

/** Remembers across the counters made from it, as a disk does. */
function memory(): CounterStore & { readonly saved: Map<string, number> } {
  const saved = new Map<string, number>();
  return {
    saved,
    load: async (id: Bytes) => saved.get(toHex(id)),
    save: async (id: Bytes, counter: number) => {
      saved.set(toHex(id), counter);
    },
  };
}

describe('the counters of an only writer', () => {
  it('are unknown until a quorum has told one', async () => {
    const counters = new SingleWriterCounters(memory());
    expect(await counters.next(object)).toBeUndefined();
    await counters.learn(object, 7);
    expect(await counters.next(object)).toBe(8);
    expect(await counters.next(object)).toBe(9);
  });

  it('are durable as used before they are given out', async () => {
    const store = memory();
    const counters = new SingleWriterCounters(store);
    await counters.learn(object, 7);
    const counter = (await counters.next(object)) ?? 0;
    expect(store.saved.get(toHex(object))).toBeGreaterThanOrEqual(counter);
  });

  it('are not used again after a restart', async () => {
    const store = memory();
    const before = new SingleWriterCounters(store);
    await before.learn(object, 7);
    const used = [await before.next(object), await before.next(object)];
    const after = await new SingleWriterCounters(store).next(object);
    expect(after).toBeGreaterThan(Math.max(...used.map((counter) => counter ?? 0)));
  });

  it('never go back when first writes end in another order than they began', async () => {
    const store = memory();
    const counters = new SingleWriterCounters(store);
    expect(await counters.next(object)).toBeUndefined();
    await counters.learn(object, 6);
    const used = (await counters.next(object)) ?? 0;
    await counters.learn(object, 5);
    expect(await counters.next(object)).toBeGreaterThan(used);
    expect(await new SingleWriterCounters(store).next(object)).toBeGreaterThan(used + 1);
  });

  it('follow a write that learnt a counter above the reservation', async () => {
    const store = memory();
    const counters = new SingleWriterCounters(store);
    await Promise.all([counters.learn(object, 3), counters.learn(object, 90_000)]);
    expect(await counters.next(object)).toBe(90_001);
    expect(await new SingleWriterCounters(store).next(object)).toBeGreaterThan(90_001);
  });

  it('given out at the same time are different', async () => {
    const counters = new SingleWriterCounters(memory());
    await counters.learn(object, 1);
    const given = await Promise.all(Array.from({ length: 2500 }, () => counters.next(object)));
    expect(new Set(given).size).toBe(2500);
  });
});
