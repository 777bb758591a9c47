// Damage that a server must find and mend by itself: the data of a finished version, of which some other correct server
// has an intact copy. (Damage beyond that is beyond what a group bears together with f silent liars.)

import { equalBytes } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import type { TableEntry } from '../../src/env/disk.ts';
import { flipBits } from '../simulator/faults.ts';
import type { ServerMachine } from './server-machine.ts';

/** First bytes of the keys under which data stands: of objects and of blocks. */
const dataLetters: ReadonlySet<number> = new Set(['d'.charCodeAt(0), 'b'.charCodeAt(0)]);

/** Damages one value on the disk of a server that is down. Gives what was damaged, if anything could be. */
export function rotFinishedValue(
  victim: ServerMachine,
  others: readonly ServerMachine[],
  faults: number,
  prng: Prng,
): string | undefined {
  const { disk } = victim.node;
  const before = disk.snapshot();
  const copies = others.map(({ node }) => node.disk.snapshot().table);
  const candidates = before.table.filter(
    (entry) => dataLetters.has(entry.key[0] ?? 0) && holders(entry, copies) > faults,
  );
  const chosen = prng.pick(candidates);
  if (chosen === undefined || chosen.value.length === 0) return undefined;
  const table = before.table.map((entry) =>
    entry === chosen ? { key: entry.key, value: flipBits(entry.value, 1, prng) } : entry,
  );
  disk.restore({ ...before, table });
  return Buffer.from(chosen.key.subarray(0, 5)).toString('hex');
}

function holders(wanted: TableEntry, copies: readonly (readonly TableEntry[])[]): number {
  return copies.filter((entries) =>
    entries.some(
      ({ key, value }) => equalBytes(key, wanted.key) && equalBytes(value, wanted.value),
    ),
  ).length;
}
