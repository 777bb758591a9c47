import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toHex } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import type { Change } from '../env/disk.ts';
import { openTable } from './table.ts';
import { tableDamage, tableFileName } from './table-format.ts';

const pageSizeBytes = 4096;

let folder: string;

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-table-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

/** Writes in many transactions, so that pages are freed and used again; large values among small ones. */
async function fill(prng: Prng, rounds: number): Promise<Map<string, number>> {
  const table = openTable({ folder, create: true });
  const lengths = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const changes: Change[] = Array.from({ length: 8 }, () => {
      const known = [...lengths.keys()];
      const isOld = known.length > 0 && prng.chance(1, 3);
      const key = isOld
        ? Buffer.from(known[prng.below(known.length)] ?? '', 'hex')
        : prng.bytes(33);
      const isRemoved = isOld && prng.chance(1, 2);
      const value = prng.bytes(prng.chance(1, 6) ? prng.between(1, 20_000) : prng.between(0, 200));
      return { key: new Uint8Array(key), value: isRemoved ? undefined : value };
    });
    await table.write(changes);
    for (const { key, value } of changes) {
      if (value === undefined) lengths.delete(toHex(key));
      else lengths.set(toHex(key), value.length);
    }
  }
  await table.close();
  return lengths;
}

test('a table that was only ever written is sound after every transaction', async () => {
  const prng = new Prng(1);
  for (let rounds = 1; rounds < 300; rounds += 23) {
    await fill(prng, 23);
    expect(tableDamage(folder)).toBeUndefined();
  }
});

test('after any change of bits it is refused, or holds every key still', async () => {
  const prng = new Prng(2);
  const lengths = await fill(prng, 60);
  const file = path.join(folder, tableFileName);
  const whole = fs.readFileSync(file);
  let refused = 0;
  for (let round = 0; round < 400; round++) {
    const damaged = Buffer.from(whole);
    // The two meta pages have a test of their own; most of what binds pages together stands at their beginning.
    for (let flips = prng.between(1, 4); flips > 0; flips--) {
      const page = prng.between(2, whole.length / pageSizeBytes - 1);
      const offset = page * pageSizeBytes + prng.below(prng.chance(2, 3) ? 96 : pageSizeBytes);
      damaged[offset] = (damaged[offset] ?? 0) ^ (1 << prng.below(8));
    }
    fs.writeFileSync(file, damaged);
    if (tableDamage(folder) !== undefined) {
      refused += 1;
      continue;
    }
    const table = openTable({ folder });
    const all = { from: new Uint8Array(1), to: new Uint8Array(40).fill(255), limit: 100_000 };
    const found = table.range(all);
    for (const { key } of found) expect(table.get(key), `round ${round}`).toBeDefined();
    await table.close();
    const changed = found.filter(({ key, value }) => lengths.get(toHex(key)) !== value.length);
    // A bit inside a key makes it another key: what is kept under it knows its key, and is found out where it is read.
    expect(found.length, `round ${round}`).toBe(lengths.size);
    expect(changed.length, `round ${round}`).toBeLessThanOrEqual(4);
  }
  expect(refused).toBeGreaterThan(30);
});
