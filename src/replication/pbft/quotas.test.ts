import { expect, it } from 'vitest';
import { limits } from '../../wire/limits.ts';
import { Quotas } from './quotas.ts';

const digestOf = (value: number): Uint8Array => new Uint8Array(32).fill(value);

it('keeps a budget for every member and class of work, and begins anew with the interval', () => {
  const quotas = new Quotas(100);
  for (let i = 0; i < 1000; i++) quotas.maySpend(1, 'newView', 0);
  expect(quotas.maySpend(1, 'newView', 99)).toBe(false);
  expect(quotas.maySpend(1, 'checkpoint', 99)).toBe(true);
  expect(quotas.maySpend(2, 'newView', 99)).toBe(true);
  expect(quotas.maySpend(1, 'newView', 100)).toBe(true);
});

it('answers each digest once per interval, the first whatever its size, others within a bound', () => {
  const quotas = new Quotas(100);
  expect(quotas.mayAnswer(1, digestOf(1), 2 ** 20, 0)).toBe(true);
  expect(quotas.mayAnswer(1, digestOf(1), 100, 0)).toBe(false);
  expect(quotas.mayAnswer(1, digestOf(2), 100, 0)).toBe(false);
  expect(quotas.mayAnswer(2, digestOf(2), 300_000, 0)).toBe(true);
  expect(quotas.mayAnswer(2, digestOf(3), 300_000, 0)).toBe(false);
  expect(quotas.mayAnswer(2, digestOf(4), 200_000, 0)).toBe(true);
  expect(quotas.mayAnswer(1, digestOf(2), 100, 100)).toBe(true);
});

it('bounds the bytes of each kind that a member is sent, whatever others are', () => {
  const quotas = new Quotas(100);
  const sizeBytes = limits.batchSizeBytesMax;
  for (let i = 0; i < 4; i++) {
    expect(quotas.maySend(1, 'body', 0)).toBe(true);
    quotas.noteSent(1, 'body', sizeBytes, 0);
  }
  expect(quotas.maySend(1, 'body', 99)).toBe(false);
  expect(quotas.maySend(1, 'proposal', 99)).toBe(true);
  expect(quotas.maySend(2, 'body', 99)).toBe(true);
  expect(quotas.maySend(1, 'body', 100)).toBe(true);
});
