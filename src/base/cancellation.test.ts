import { expect, test } from 'vitest';
import { type Cancellation, Canceller } from './cancellation.ts';

const both: readonly [string, () => { signal: Cancellation; abort: () => void }][] = [
  [
    'a canceller',
    () => {
      const canceller = new Canceller();
      return { signal: canceller, abort: () => canceller.abort() };
    },
  ],
  [
    "the runtime's signal",
    () => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    },
  ],
];

test.each(both)('%s tells each listener once, and none that has left', (_, make) => {
  const { signal, abort } = make();
  const told: string[] = [];
  const leaving = (): void => void told.push('leaving');
  const staying = (): void => void told.push('staying');
  signal.addEventListener('abort', leaving);
  signal.addEventListener('abort', staying);
  signal.addEventListener('abort', staying);
  signal.removeEventListener('abort', leaving);
  expect(signal.aborted).toBe(false);
  abort();
  abort();
  expect(signal.aborted).toBe(true);
  expect(told).toEqual(['staying']);
  signal.addEventListener('abort', leaving);
  abort();
  expect(told).toEqual(['staying']);
});

test('a listener that comes while others are told is too late', () => {
  const canceller = new Canceller();
  const told: number[] = [];
  canceller.addEventListener('abort', () => {
    told.push(1);
    canceller.addEventListener('abort', () => told.push(3));
  });
  canceller.addEventListener('abort', () => told.push(2));
  canceller.abort();
  expect(told).toEqual([1, 2]);
});
