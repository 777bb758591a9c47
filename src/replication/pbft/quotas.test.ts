import { expect, it } from 'vitest';
import { limits } from '../../wire/limits.ts';
import { Quotas, viewChangePieces } from './quotas.ts';

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

it('lets one member have few of the largest VIEW-CHANGEs judged but each in time, and many of those that are usual', () => {
  const entry = { sequence: 1, digest: digestOf(1), view: 0 };
  const root = digestOf(2);
  const certificate = { sequence: 0, root, isFinal: 0, signatures: [] };
  const pieces = (prepared: number, accepted: number): number =>
    viewChangePieces({
      replica: 1,
      view: 1,
      forgotten: 0,
      certificate,
      prepared: new Array(prepared).fill(entry),
      accepted: new Array(accepted).fill(entry),
    });
  expect(pieces(256, 256)).toBe(3);
  expect(pieces(256, 256 * limits.acceptedDigestsMax)).toBe(66);
  const largest = pieces(limits.pbftWindowMax, limits.pbftWindowMax * limits.acceptedDigestsMax);
  expect(largest).toBe(131);
  const quotas = new Quotas(100);
  const judged = (nowMs: number, count: number): number =>
    Array.from({ length: 80 }, () => quotas.maySpend(1, 'viewChange', nowMs, count)).filter(
      (may) => may,
    ).length;
  expect(judged(0, largest)).toBe(1);
  // Also small ones wait, of that member alone, and what is refused is not counted.
  expect(judged(100, 3)).toBe(0);
  expect(judged(199, 1)).toBe(0);
  expect(quotas.maySpend(2, 'viewChange', 199, largest)).toBe(true);
  expect(judged(200, 3)).toBe(21);
  expect(judged(300, largest)).toBe(1);
  expect(judged(350, largest)).toBe(0);
  expect(judged(700, 1)).toBe(64);
});
