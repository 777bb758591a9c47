import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../src/base/brand.ts';
import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import type { SimulatedDisk } from './disk.ts';
import { Fabric } from './network.ts';
import { SimulatedNode } from './node.ts';
import { Simulation } from './simulation.ts';

class Rig {
  readonly simulation: Simulation;
  readonly node: SimulatedNode;
  #disk: SimulatedDisk | undefined;

  constructor(seed: number) {
    this.simulation = new Simulation({ seed });
    const fabric = new Fabric(this.simulation);
    this.node = new SimulatedNode(this.simulation, fabric, { name: 'a', peer: 'a' as PeerId });
    this.node.start(({ disk }) => {
      this.#disk = disk;
    });
  }

  get disk(): SimulatedDisk {
    if (this.#disk === undefined) throw new RangeError('not started');
    return this.#disk;
  }

  recovered(): string[] {
    return [...this.disk.journal.recover()].map(({ bytes }) => text(bytes) ?? '');
  }
}

function text(bytes: Bytes | undefined): string | undefined {
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}

const everything = { from: utf8(''), to: utf8('~'), limit: 100 };

describe('the journal', () => {
  it('keeps what was synced, and of the rest a run from its start, over many crashes', async () => {
    const survivors = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const rig = new Rig(seed);
      for (const record of ['a', 'b', 'c']) rig.disk.journal.append(utf8(record));
      await rig.simulation.complete(rig.disk.journal.sync(), 100);
      for (const record of ['d', 'e', 'f']) rig.disk.journal.append(utf8(record));
      rig.node.restart();
      const found = rig.recovered();
      expect('abcdef'.startsWith(found.join(''))).toBe(true);
      survivors.add(found.length);
      rig.node.restart();
      expect(rig.recovered()).toEqual(found);
    }
    expect([...survivors].sort()).toEqual([3, 4, 5, 6]);
  });

  it('does not count a record as synced that came after the call', async () => {
    let lost = 0;
    for (let seed = 0; seed < 20; seed++) {
      const rig = new Rig(seed);
      rig.disk.journal.append(utf8('a'));
      const synced = rig.disk.journal.sync();
      rig.disk.journal.append(utf8('b'));
      await rig.simulation.complete(synced, 100);
      rig.node.restart();
      const found = rig.recovered();
      expect(found[0]).toBe('a');
      if (found.length === 1) lost++;
    }
    expect(lost).toBeGreaterThan(0);
  });

  it('shares one flush between calls that wait', async () => {
    const rig = new Rig(1);
    const { journal } = rig.disk;
    let done = 0;
    const call = (): void => {
      journal.append(utf8('x'));
      void journal.sync().then(() => done++);
    };
    for (let i = 0; i < 100; i++) call();
    const before = rig.simulation.eventsRun;
    await rig.simulation.runFor(100);
    expect(done).toBe(100);
    expect(rig.simulation.eventsRun - before).toBe(2);
  });

  it('forgets trimmed records, of which a crash may bring the newest back', async () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const rig = new Rig(seed);
      const positions = ['a', 'b', 'c', 'd'].map((record) => rig.disk.journal.append(utf8(record)));
      await rig.simulation.complete(rig.disk.journal.sync(), 100);
      const full = rig.disk.journal.sizeBytes();
      rig.disk.journal.trim(positions[2] ?? 0);
      expect(rig.disk.journal.sizeBytes()).toBe(full / 4);
      rig.node.restart();
      const found = rig.recovered().join('');
      expect('abcd'.endsWith(found)).toBe(true);
      lengths.add(found.length);
    }
    expect([...lengths].sort()).toEqual([1, 2, 3, 4]);
  });

  it('gives increasing positions across a crash', () => {
    const rig = new Rig(1);
    for (let i = 0; i < 10; i++) rig.disk.journal.append(utf8('x'));
    rig.node.restart();
    const last = [...rig.disk.journal.recover()].at(-1)?.position ?? 0;
    expect(rig.disk.journal.append(utf8('y'))).toBeGreaterThan(last);
  });

  it('says that a record is damaged, and gives none then', async () => {
    const rig = new Rig(3);
    for (let i = 0; i < 10; i++) rig.disk.journal.append(utf8(`${i}`));
    await rig.simulation.complete(rig.disk.journal.sync(), 100);
    expect(rig.disk.journalDamage).toBeUndefined();
    rig.node.crash();
    expect(rig.node.disk.damageJournal()).toBe(true);
    rig.node.restart();
    expect(rig.disk.journalDamage?.reason).toBe('unreadable-record');
    expect(rig.disk.journalDamage?.lastGood).toBeLessThan(10);
    expect(() => rig.disk.journal.recover()).toThrow('damaged');
    expect(() => rig.disk.journal.append(utf8('x'))).toThrow('damaged');
  });

  it('stays failed after a failed sync', async () => {
    const rig = new Rig(1);
    rig.node.disk.conditions.failing = true;
    rig.disk.journal.append(utf8('x'));
    await expect(rig.simulation.complete(rig.disk.journal.sync(), 100)).rejects.toThrow('fails');
    rig.node.disk.conditions.heal();
    await expect(rig.simulation.complete(rig.disk.journal.sync(), 100)).rejects.toThrow('fails');
    expect(() => rig.disk.journal.append(utf8('y'))).toThrow('fails');
    rig.node.restart();
    rig.disk.journal.append(utf8('z'));
    await rig.simulation.complete(rig.disk.journal.sync(), 100);
  });

  it('is closed for good after it was closed', async () => {
    const rig = new Rig(1);
    rig.disk.journal.append(utf8('x'));
    await rig.simulation.complete(rig.disk.journal.close(), 100);
    expect(() => rig.disk.journal.append(utf8('y'))).toThrow('closed');
    rig.node.restart();
    expect(rig.recovered()).toEqual(['x']);
  });
});

describe('the table', () => {
  const put = (key: string, value: string): { key: Bytes; value: Bytes } => ({
    key: utf8(key),
    value: utf8(value),
  });

  it('keeps durable writes, and of the rest whole ones from the oldest on', async () => {
    const kept = new Set<number>();
    const seenEarly = new Set<boolean>();
    for (let seed = 0; seed < 60; seed++) {
      const rig = new Rig(seed);
      const { table } = rig.disk;
      await rig.simulation.complete(table.write([put('x', '0'), put('y', '0')]), 100);
      for (const version of ['1', '2', '3']) {
        void table.write([put('x', version), put(`new${version}`, version)]);
      }
      void table.write([{ key: utf8('y'), value: undefined }, put('x', '4')]);
      seenEarly.add(text(table.get(utf8('x'))) !== '0');
      rig.node.restart();
      const found = rig.disk.table.range(everything);
      const version = Number(text(rig.disk.table.get(utf8('x'))));
      kept.add(version);
      const expected = ['new1', 'new2', 'new3'].slice(0, version);
      expect(found.map(({ key }) => text(key))).toEqual([
        ...expected,
        'x',
        ...(version === 4 ? [] : ['y']),
      ]);
    }
    expect([...kept].sort()).toEqual([0, 1, 2, 3, 4]);
    expect(seenEarly.size).toBe(2);
  });

  it('returns ranges in the order of key bytes', async () => {
    const rig = new Rig(1);
    const keys = ['b', 'a', 'ab', 'c', 'aa'];
    await rig.simulation.complete(rig.disk.table.write(keys.map((key) => put(key, key))), 100);
    const names = (from: string, to: string, limit: number): (string | undefined)[] =>
      rig.disk.table.range({ from: utf8(from), to: utf8(to), limit }).map(({ key }) => text(key));
    expect(names('', '~', 10)).toEqual(['a', 'aa', 'ab', 'b', 'c']);
    await rig.simulation.complete(
      rig.disk.table.write([put('ac', 'x'), { key: utf8('a'), value: undefined }]),
      100,
    );
    expect(names('aa', 'b', 10)).toEqual(['aa', 'ab', 'ac']);
    expect(names('aa', 'b', 2)).toEqual(['aa', 'ab']);
    const high = new Uint8Array([0xff, 0x80]);
    await rig.simulation.complete(rig.disk.table.write([{ key: high, value: high }]), 100);
    expect(rig.disk.table.get(high)).toEqual(high);
  });

  it('refuses writes on a full or failing disk and leaves no trace of them', async () => {
    const rig = new Rig(1);
    const { table } = rig.disk;
    await rig.simulation.complete(table.write([put('a', 'a'.repeat(100))]), 100);
    const { conditions } = rig.node.disk;
    conditions.sizeBytesMax = 50;
    const refused = table.write([put('b', 'b')]);
    await expect(rig.simulation.complete(refused, 100)).rejects.toThrow('full');
    conditions.heal();
    conditions.failing = true;
    await expect(rig.simulation.complete(table.write([put('b', 'b')]), 100)).rejects.toThrow(
      'fails',
    );
    conditions.heal();
    await rig.simulation.complete(table.write([put('c', 'c')]), 100);
    expect(table.range(everything).map(({ key }) => text(key))).toEqual(['a', 'c']);
  });
});

describe('a disk', () => {
  it('comes back as an older copy of itself, or empty', async () => {
    const rig = new Rig(1);
    const key = utf8('k');
    const step = async (value: string): Promise<void> => {
      rig.disk.journal.append(utf8(value));
      await rig.simulation.complete(rig.disk.journal.sync(), 100);
      await rig.simulation.complete(rig.disk.table.write([{ key, value: utf8(value) }]), 100);
    };
    await step('old');
    void rig.disk.table.write([{ key, value: utf8('pending') }]);
    const snapshot = rig.node.disk.snapshot();
    await step('new');
    rig.node.crash();
    rig.node.disk.restore(snapshot);
    rig.node.restart();
    expect(rig.recovered()).toEqual(['old']);
    expect(text(rig.disk.table.get(key))).toBe('old');
    rig.node.crash();
    rig.node.disk.wipe();
    rig.node.restart();
    expect(rig.disk.journalDamage?.reason).toBe('no-segments');
    rig.node.crash();
    rig.node.disk.create();
    rig.node.restart();
    expect(rig.disk.journalDamage).toBeUndefined();
    expect(rig.recovered()).toEqual([]);
    expect(rig.disk.table.get(key)).toBeUndefined();
  });

  it('can flip bits in values and keys', async () => {
    const rig = new Rig(1);
    await rig.simulation.complete(
      rig.disk.table.write([{ key: utf8('k'), value: utf8('value') }]),
      100,
    );
    rig.node.disk.damageTableValue();
    expect(text(rig.disk.table.get(utf8('k')))).not.toBe('value');
    rig.node.disk.damageTableKey();
    expect(rig.disk.table.get(utf8('k'))).toBeUndefined();
    expect(rig.node.disk.table.length).toBe(1);
  });

  it.each(['journal', 'table'] as const)('has a %s that is behind the other half', async (half) => {
    const rig = new Rig(1);
    const delay = { lowUs: 900_000, highUs: 900_000 };
    rig.node.disk.conditions.lag = { half, delay, oneIn: 1 };
    const done: string[] = [];
    rig.disk.journal.append(utf8('x'));
    const synced = rig.disk.journal.sync().then(() => done.push('journal'));
    const change = { key: utf8('k'), value: utf8('value') };
    const written = rig.disk.table.write([change]).then(() => done.push('table'));
    await rig.simulation.complete(Promise.all([synced, written]), 10_000);
    expect(done.at(-1)).toBe(half);
    expect(rig.simulation.nowMs).toBeGreaterThanOrEqual(900);
  });

  it('stalls now and then', async () => {
    const rig = new Rig(1);
    rig.node.disk.conditions.stallOneIn = 1;
    const startMs = rig.simulation.nowMs;
    rig.disk.journal.append(utf8('x'));
    await rig.simulation.complete(rig.disk.journal.sync(), 10_000);
    expect(rig.simulation.nowMs - startMs).toBeGreaterThanOrEqual(100);
  });
});
