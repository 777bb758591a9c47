import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import { handedOnBounds } from '../lanes.ts';
import { WaitingRequests } from './waiting.ts';

describe('requests that wait', () => {
  const clientOf = (value: number): Bytes => new Uint8Array(32).fill(value);
  const requestOf = (client: number, number: number, sizeBytes = 0) => ({
    client: clientOf(client),
    number,
    kind: 0,
    operation: new Uint8Array(sizeBytes),
  });
  const handedOn = (waiting: WaitingRequests): string[] =>
    waiting.takeToHandOn(0).map(({ client, number }) => `${client[0]}/${number}`);

  it('are a window of each client, oldest first, outstanding or not', () => {
    const waiting = new WaitingRequests(3);
    for (let number = 1; number <= limits.clientWindow; number++) {
      expect(waiting.add(requestOf(1, number))).toBe(true);
      waiting.takeToHandOn(0);
    }
    expect(waiting.add(requestOf(1, 1000))).toBe(false);
    expect(waiting.add(requestOf(2, 1000))).toBe(true);
    expect(waiting.add(requestOf(2, 1000))).toBe(false);
    expect(waiting.delete(requestOf(1, 1))).toBe(true);
    expect(waiting.delete(requestOf(1, 1))).toBe(false);
    expect(waiting.delete(requestOf(2, 1000))).toBe(false);
    expect(waiting.add(requestOf(1, 1000))).toBe(true);
    expect(waiting.has(requestOf(1, 1000))).toBe(true);
    const [first] = waiting.values();
    expect(first?.number).toBe(2);
  });

  it('are bounded in bytes, of one client and of all, and what is small finds a place', () => {
    const waiting = new WaitingRequests(3);
    const { sizeBytes } = handedOnBounds(3);
    const large = 60_000;
    let places = 0;
    for (let client = 1; client <= 40; client++) {
      for (let number = 1; number <= 30; number++) {
        if (waiting.add(requestOf(client, number, large))) places += 1;
      }
    }
    expect(places * large).toBeGreaterThan(limits.backupRequestsSizeBytesMax / 2);
    expect(places * large).toBeLessThanOrEqual(limits.backupRequestsSizeBytesMax);
    expect(waiting.add(requestOf(222, 1))).toBe(true);
    const first = handedOn(waiting);
    expect(first[0]).toBe('222/1');
    expect(first).toHaveLength(1 + Math.floor(sizeBytes / (large + 49)));
    expect(handedOn(waiting)).toEqual([]);
    waiting.delete(requestOf(1, 1));
    expect(handedOn(waiting)).toHaveLength(1);
  });

  it('are handed on from one client after another, so many, and again in the next view', () => {
    const waiting = new WaitingRequests(3);
    for (const client of [1, 2, 3, 4]) {
      for (let number = 1; number <= 30; number++) waiting.add(requestOf(client, number));
    }
    const first = handedOn(waiting);
    expect(first).toHaveLength(limits.handedOnRequestsMax);
    expect(first.filter((name) => name.startsWith('4/'))).toHaveLength(16);
    expect(handedOn(waiting)).toEqual([]);
    waiting.delete(requestOf(1, 1));
    expect(waiting.outstanding).toBe(limits.handedOnRequestsMax - 1);
    waiting.beginView();
    expect(waiting.outstanding).toBe(0);
    const again = handedOn(waiting);
    expect(again).toHaveLength(limits.handedOnRequestsMax);
    expect(again[0]).toBe('1/2');
    waiting.clear();
    expect([waiting.size, waiting.outstanding]).toEqual([0, 0]);
    waiting.add(requestOf(1, 1));
    expect(handedOn(waiting)).toEqual(['1/1']);
  });

  it('are not handed on again at once', () => {
    const waiting = new WaitingRequests(3);
    waiting.add(requestOf(1, 1));
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 4, 9)).toBe(false);
    waiting.takeToHandOn(5);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 4, 9)).toBe(false);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 5, 9)).toBe(true);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 8, 12)).toBe(false);
    expect(waiting.takeAgain(20)).toEqual([requestOf(1, 1)]);
    expect(waiting.mayHandOnAgain(requestOf(1, 1), 12, 20)).toBe(false);
  });
});
