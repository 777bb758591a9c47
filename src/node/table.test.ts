import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { utf8 } from '../base/bytes.ts';
import { openTable } from './table.ts';
import { tableDamage, tableFileName } from './table-format.ts';

let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-table-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

test('a lost, an emptied, a foreign and a cut file are refused, and nothing is made of them', async () => {
  const file = path.join(folder, tableFileName);
  expect(() => openTable({ folder })).toThrow(/table-missing/);
  expect(fs.readdirSync(folder)).toEqual([]);

  const table = openTable({ folder, create: true });
  const value = new Uint8Array(10_000);
  for (let i = 0; i < 3; i++) await table.write([{ key: Uint8Array.of(i), value }]);
  await table.close();
  expect(tableDamage(folder)).toBeUndefined();
  for (const name of fs.readdirSync(folder)) {
    expect(fs.statSync(path.join(folder, name)).mode & 0o777).toBe(0o600);
  }
  const whole = fs.readFileSync(file);

  const damaged = [
    new Uint8Array(0),
    whole.subarray(0, 100),
    whole.subarray(0, 4096),
    whole.subarray(0, 8192),
    new Uint8Array(20_000).fill(1),
    new Uint8Array(20_000),
  ];
  for (const contents of damaged) {
    fs.writeFileSync(file, contents);
    expect(tableDamage(folder)).toBe('table-unreadable');
    expect(() => openTable({ folder, create: true })).toThrow(/table-unreadable/);
    expect(fs.readFileSync(file)).toEqual(Buffer.from(contents));
  }
  fs.writeFileSync(file, whole);
  const again = openTable({ folder });
  expect(again.get(Uint8Array.of(2))).toEqual(value);
  await again.close();
});

test('writes that wait are joined, however many and large', async () => {
  const table = openTable({ folder, create: true });
  const value = new Uint8Array(1024 * 1024).fill(1);
  const writes = Array.from({ length: 80 }, (_, i) =>
    table.write([{ key: Uint8Array.of(i), value }]),
  );
  await Promise.all(writes);
  const found = table.range({ from: Uint8Array.of(0), to: Uint8Array.of(255), limit: 100 });
  expect(found).toHaveLength(80);
  expect(table.sizeBytes()).toBeGreaterThan(80 * value.length);
  await table.close();
});

const asRoot = process.platform === 'linux' && process.getuid?.() === 0;

// Only root can mount a small disk; the journal's tests fake one, LMDB writes past Node.
test.runIf(asRoot)(
  'a full disk rejects this and later writes and keeps what was there',
  async () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
    try {
      const table = openTable({ folder, create: true });
      const key = utf8('small');
      await table.write([{ key, value: utf8('kept') }]);
      const large = new Uint8Array(3 * 1024 * 1024);
      const failing = table.write([
        { key: utf8('large'), value: large },
        { key, value: undefined },
      ]);
      const behind = table.write([{ key, value: utf8('behind') }]);
      await expect(failing).rejects.toMatchObject({ name: 'DiskError', fault: 'disk-full' });
      await expect(behind).rejects.toMatchObject({ fault: 'disk-full' });
      await expect(table.write([])).rejects.toMatchObject({ fault: 'disk-full' });
      expect(table.get(key)).toEqual(utf8('kept'));
      await table.close();
    } finally {
      execFileSync('umount', ['-l', folder]);
    }
  },
);
