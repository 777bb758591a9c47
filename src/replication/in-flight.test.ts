import { expect, it } from 'vitest';
import { limits } from '../wire/limits.ts';
import { turnSizeBytes } from './fair-queue.ts';
import { InFlight } from './in-flight.ts';

const large = { sizeBytes: limits.batchSizeBytesMax / 2 };
const small = { sizeBytes: 300 };

it('holds back what is large while a batch of it is in flight and small requests are about', () => {
  const inFlight = new InFlight();
  inFlight.note([large, large], 1);
  expect(inFlight.isSmallOnly(2, 0)).toBe(false);
  inFlight.note([small], 2);
  expect(inFlight.isSmallOnly(3, 0)).toBe(true);
  expect(inFlight.isSmallOnly(3, 1)).toBe(false);
  inFlight.note([large, large], 3);
  expect(inFlight.isSmallOnly(4, 2)).toBe(true);
  expect(inFlight.isSmallOnly(2 + 32, 2)).toBe(false);
  inFlight.clear();
  expect(inFlight.isSmallOnly(4, 2)).toBe(false);
});

it('holds back nothing large for what is small, however much of that is in flight', () => {
  const inFlight = new InFlight();
  const many = Array.from({ length: 64 }, () => ({ sizeBytes: turnSizeBytes }));
  for (let sequence = 1; sequence <= 8; sequence++) inFlight.note(many, sequence);
  expect(inFlight.isSmallOnly(9, 0)).toBe(false);
  inFlight.note([...many, large], 9);
  expect(inFlight.isSmallOnly(10, 0)).toBe(false);
  inFlight.note([large], 10);
  expect(inFlight.isSmallOnly(11, 8)).toBe(true);
  expect(inFlight.isSmallOnly(11, 9)).toBe(false);
});
