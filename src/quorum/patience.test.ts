import { expect, it } from 'vitest';
import type { PeerId } from '../base/brand.ts';
import { Patience } from './patience.ts';

const peer = 'a' as PeerId;

it('is less for a server each time that it is silent, and whole again when it answers', () => {
  const patience = new Patience(1000);
  const waits = [0, 1, 2, 3, 4].map(() => {
    const waitMs = patience.waitMs(peer);
    patience.silent(peer);
    return waitMs;
  });
  expect(waits).toEqual([1000, 250, 62.5, 20, 20]);
  expect(patience.waitMs('b' as PeerId)).toBe(1000);
  patience.answered(peer);
  expect(patience.waitMs(peer)).toBe(1000);
});

it('never grows by silence', () => {
  const patience = new Patience(5);
  patience.silent(peer);
  expect(patience.waitMs(peer)).toBe(5);
});
