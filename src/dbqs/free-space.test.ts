import { expect, test } from 'vitest';
import { FreeSpace } from './free-space.ts';

test('counts what was accepted since the disk last told something', () => {
  let told = 1_000;
  let accepted = { totalBytes: 0, undurableBytes: 0 };
  const space = new FreeSpace(
    () => told,
    () => accepted,
  );
  expect(space.bytes()).toBe(1_000);
  accepted = { totalBytes: 100, undurableBytes: 100 };
  expect(space.bytes()).toBe(800);
  // 60 of them have reached the disk, which says so; 40 are still on the way.
  told = 900;
  accepted = { totalBytes: 100, undurableBytes: 40 };
  expect(space.bytes()).toBe(820);
  accepted = { totalBytes: 500, undurableBytes: 400 };
  expect(space.bytes()).toBe(20);
});
