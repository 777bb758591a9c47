import { describe, expect, it } from 'vitest';
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from './duration.ts';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['2m', 120_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
    ['0s', 0],
  ])('reads %s', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  it.each(['30', '', 's', '-5s', '5 parsecs', '1e3s', 'NaNs', '99999999999999d', '1.2.3s'])(
    'refuses %j',
    (text) => {
      expect(parseDurationMs(text)).toBeUndefined();
    },
  );

  it.each([
    [850, '850ms'],
    [12_000, '12s'],
    [61_500, '1m 1s'],
    [3_600_000, '1h'],
    [273_600_000, '3d 4h'],
  ])('writes %d', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('sizes', () => {
  it.each([
    ['1048576', 1_048_576],
    ['512KiB', 524_288],
    ['10 GiB', 10 * 2 ** 30],
    ['5MB', 5_000_000],
    ['0', 0],
  ])('reads %s', (text, bytes) => {
    expect(parseSizeBytes(text)).toBe(bytes);
  });

  it.each(['', 'GiB', '-1', '5 elephants', '1e9', '99999999TiB'])('refuses %j', (text) => {
    expect(parseSizeBytes(text)).toBeUndefined();
  });

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1024, '1 KiB'],
    [1_572_864, '1.5 MiB'],
    [1_048_575, '1 MiB'],
  ])('writes %d', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });
});
