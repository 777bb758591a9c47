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

it('lets one member have few of the largest VIEW-CHANGEs judged, and many of those that correct members send', () => {
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
  expect(pieces(limits.pbftWindowMax, limits.pbftWindowMax)).toBe(1);
  expect(pieces(limits.pbftWindowMax, limits.pbftWindowMax * limits.acceptedDigestsMax)).toBe(17);
  const quotas = new Quotas(100);
  const judged = Array.from({ length: 10 }, () => quotas.maySpend(1, 'viewChange', 0, 17));
  expect(judged.filter((may) => may)).toHaveLength(3);
});
