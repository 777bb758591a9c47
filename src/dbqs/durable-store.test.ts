import { describe, expect, it } from 'vitest';
import { Fabric } from '../../testing/simulator/network.ts';
import { type Machine, SimulatedNode } from '../../testing/simulator/node.ts';
import { Simulation } from '../../testing/simulator/simulation.ts';
import { AssertionFailed } from '../base/assert.ts';
import type { PeerId } from '../base/brand.ts';
import { type Bytes, toHex, utf8 } from '../base/bytes.ts';
import { Prng } from '../base/prng.ts';
import { decodeCommit, encodeCommit } from './commit-record.ts';
import { DurableStore } from './durable-store.ts';
import { metaKey } from './records.ts';

/** A node whose only program is a store; `use` runs it once per start. */
function machine(seed: number) {
  const simulation = new Simulation({ seed });
  const node = new SimulatedNode(simulation, new Fabric(simulation), {
    name: 'n',
    peer: 'n' as PeerId,
  });
  return { simulation, node };
}

async function opened({ simulation, node }: ReturnType<typeof machine>): Promise<DurableStore> {
  let store: DurableStore | string | undefined;
  node.start(async ({ disk, env }: Machine) => {
    store = await DurableStore.open(disk, env.timers);
  });
  await simulation.runUntil(() => store !== undefined, 60_000);
  if (store instanceof DurableStore) return store;
  throw new AssertionFailed(`not opened: ${store}`);
}

const key = (name: string): Bytes => utf8(`h${name}`);
const large = (fill: number): Bytes => new Uint8Array(200_000).fill(fill);
const shown = (value: Bytes | undefined): string | undefined =>
  value === undefined ? undefined : toHex(value.subarray(0, 4));

describe('commit records', () => {
  it('come back as they were, and nothing else decodes', () => {
    const commit = {
      sequence: 2 ** 40,
      changes: [
        { key: utf8('a'), value: utf8('one') },
        { key: utf8('bb'), value: undefined },
        { key: utf8('c'), value: new Uint8Array(0) },
      ],
    };
    const record = encodeCommit(commit);
    expect(decodeCommit(record)).toEqual(commit);
    for (let length = 0; length < record.length; length++) {
      const cut = decodeCommit(record.subarray(0, length));
      expect(cut === undefined || cut.changes.length < 3).toBe(true);
    }
    const flagged = Uint8Array.from(record);
    flagged[10] = 2;
    expect(decodeCommit(flagged)).toBeUndefined();
  });
});

describe('DurableStore', () => {
  it('shows a commit at once and keeps it over a crash once it is durable', async () => {
    const system = machine(1);
    const store = await opened(system);
    const durable = store.commit([{ key: key('a'), value: utf8('one') }]);
    expect(store.get(key('a'))).toEqual(utf8('one'));
    await system.simulation.complete(durable, 10_000);
    system.node.crash();
    const again = await opened(system);
    expect(again.get(key('a'))).toEqual(utf8('one'));
  });

  it('never lets the journal put an older value over a newer, large one', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const system = machine(seed);
      const store = await opened(system);
      await system.simulation.complete(
        store.commit([{ key: key('a'), value: utf8('small') }]),
        10_000,
      );
      await system.simulation.complete(store.commit([{ key: key('a'), value: large(7) }]), 10_000);
      system.node.crash();
      expect(shown((await opened(system)).get(key('a')))).toBe('07070707');
    }
  });

  it('keeps every durable commit and none half, whatever the moment of the crash', async () => {
    for (let seed = 1; seed <= 150; seed++) {
      const system = machine(seed);
      const prng = new Prng(seed);
      const acknowledged = new Map<string, number>();
      let counter = 0;
      for (let round = 0; round < 4; round++) {
        const store = await opened(system);
        for (const [name, value] of acknowledged) {
          const left = store.get(key(name));
          const right = store.get(key(`${name}-twin`));
          expect(counterIn(left), `seed ${seed}`).toBeGreaterThanOrEqual(value);
          expect(counterIn(left), `seed ${seed}`).toBe(counterIn(right));
        }
        for (let i = 0; i < 30; i++) {
          const name = `k${prng.below(5)}`;
          counter += 1;
          const value = prng.chance(1, 4) ? large(counter) : new Uint8Array(8).fill(counter);
          const written = counter;
          store
            .commit([
              { key: key(name), value },
              { key: key(`${name}-twin`), value },
            ])
            .then(
              () => acknowledged.set(name, Math.max(written, acknowledged.get(name) ?? 0)),
              () => {},
            );
          await system.simulation.runFor(prng.below(3));
        }
        await system.simulation.runFor(prng.below(20));
        system.node.crash();
      }
    }
  });

  it('lists what is committed, in the table or on the way there', async () => {
    const system = machine(3);
    const store = await opened(system);
    const expected: string[] = [];
    for (let i = 0; i < 40; i++) {
      const name = `r${String(i).padStart(2, '0')}`;
      store.commit([{ key: key(name), value: utf8(name) }]).catch(() => {});
      if (i % 5 === 0) store.commit([{ key: key(name), value: undefined }]).catch(() => {});
      else expected.push(toHex(key(name)));
      if (i % 9 === 0) await system.simulation.runFor(100);
    }
    const page = (from: Bytes, limit: number) =>
      store.range(from, utf8('i'), limit).map((entry) => toHex(entry.key));
    expect(page(utf8('h'), 100)).toEqual(expected);
    expect(page(utf8('h'), 7)).toEqual(expected.slice(0, 7));
    expect(page(key('r10'), 6)).toEqual(
      expected.filter((name) => name >= toHex(key('r10'))).slice(0, 6),
    );
  });

  it('rejects and stays unusable when the disk fails', async () => {
    const system = machine(5);
    const store = await opened(system);
    system.node.disk.conditions.failing = true;
    const outcome = store.commit([{ key: key('a'), value: utf8('x') }]).then(
      () => 'durable',
      () => 'rejected',
    );
    expect(await system.simulation.complete(outcome, 10_000)).toBe('rejected');
    system.node.disk.conditions.heal();
    await expect(store.commit([{ key: key('b'), value: utf8('y') }])).rejects.toThrow();
    expect(store.failed).toBe(true);
  });

  it('will not start over a damaged mark of what the table contains', async () => {
    const system = machine(6);
    const store = await opened(system);
    await system.simulation.complete(store.commit([{ key: key('a'), value: large(1) }]), 10_000);
    let result: unknown;
    system.node.crash();
    system.node.start(async ({ disk, env }: Machine) => {
      await disk.table.write([
        { key: metaKey('applied'), value: utf8('nonsense that is long enough') },
      ]);
      result = await DurableStore.open(disk, env.timers);
    });
    await system.simulation.runUntil(() => result !== undefined, 10_000);
    expect(result).toBe('applied-mark-damaged');
  });
});

function counterIn(value: Bytes | undefined): number {
  return value?.[0] ?? 0;
}
