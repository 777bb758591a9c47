import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Bytes, mapKey, toHex } from '../base/bytes.ts';
import { limits } from '../wire/limits.ts';
import { ClientTable, numberStepMax, StateDamaged } from './client-table.ts';
import { PagedState } from './pages.ts';

const clientOf = (i: number): Bytes => {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(4, i);
  return key;
};
/** Keys that begin differently from those, and from most others of these. */
const strangerOf = (i: number): Bytes => {
  const key = clientOf(i);
  new DataView(key.buffer).setUint16(0, 1 + (i % 4095));
  return key;
};
const resultOf = (length: number, fill: number): Bytes => new Uint8Array(length).fill(fill);

interface Stored {
  /** Undefined: not kept any more. */
  readonly result: Bytes | undefined;
  readonly sequence: number;
}

const isLarge = ({ result }: Stored): boolean => result !== undefined && result.length > 256;
const sizeOf = ({ result }: Stored): number => result?.length ?? 0;

/** The rule as it is written: a base and a map for each client. */
class NaiveTable {
  clients = new Map<string, { base: number; entries: Map<number, Stored> }>();

  record(client: Bytes, number: number, stored: Stored): void {
    const key = mapKey(client);
    const known = this.clients.get(key) ?? { base: 0, entries: new Map<number, Stored>() };
    this.clients.set(key, known);
    known.entries.set(number, stored);
    while (known.entries.size > limits.clientWindow) {
      known.base = Math.min(...known.entries.keys());
      known.entries.delete(known.base);
    }
    for (;;) {
      const large = [...known.entries].filter(([, stored]) => isLarge(stored));
      const total = large.reduce((sum, [, stored]) => sum + sizeOf(stored), 0);
      if (total <= limits.clientResultsSizeBytesMax) return;
      large.sort(([, a], [, b]) => a.sequence - b.sequence);
      const [oldest] = large;
      if (oldest !== undefined) known.entries.set(oldest[0], { ...oldest[1], result: undefined });
    }
  }

  find(client: Bytes, number: number): string {
    const known = this.clients.get(mapKey(client));
    const stored = known?.entries.get(number);
    if (stored?.result !== undefined) return `${toHex(stored.result)} ${stored.sequence}`;
    if (stored !== undefined) return 'too-old';
    return number > (known?.base ?? 0) ? 'new' : 'too-old';
  }

  largest(client: Bytes): number {
    const known = this.clients.get(mapKey(client));
    return known === undefined ? 0 : Math.max(known.base, ...known.entries.keys());
  }

  copy(): NaiveTable {
    const copy = new NaiveTable();
    copy.clients = new Map(
      [...this.clients].map(([key, { base, entries }]) => [
        key,
        { base, entries: new Map(entries) },
      ]),
    );
    return copy;
  }
}

function said(table: ClientTable, client: Bytes, number: number): string {
  const found = table.find(client, number);
  return found.kind === 'stored' ? `${toHex(found.result)} ${found.sequence}` : found.kind;
}

const length = fc.oneof(
  { weight: 6, arbitrary: fc.nat(40) },
  fc.constantFrom(256, 257, 16_384, 16_385, 65_536),
);
const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('record' as const),
      client: fc.nat(3),
      number: fc.integer({ min: 1, max: 90 }),
      length,
    }),
  },
  fc.record({ do: fc.constantFrom('mark' as const, 'undo', 'keep', 'flush', 'load') }),
);

describe('the table of clients', () => {
  it('keeps a bounded part of large results, and never takes a number for new again', () => {
    const state = new PagedState();
    const table = new ClientTable(state.region('clients'));
    const client = clientOf(1);
    const large = limits.resultSizeBytesMax;
    const kept = limits.clientResultsSizeBytesMax / large;
    for (let number = 5; number <= 20; number++) {
      table.record(client, number, resultOf(large, number), number);
    }
    table.flush();
    for (const each of [table, new ClientTable(state.region('clients'))]) {
      if (each !== table) each.load();
      for (let number = 5; number <= 20; number++) {
        const kind = number > 20 - kept ? 'stored' : 'too-old';
        expect(each.find(client, number).kind).toBe(kind);
      }
      // What came later than numbers above it may still be executed.
      expect(each.find(client, 4).kind).toBe('new');
    }
    table.record(client, 4, resultOf(3, 1), 21);
    expect(table.find(client, 20).kind).toBe('stored');
  });

  it('does what the written rule says, through undo, flush and load', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 160 }), (steps) => {
        const state = new PagedState();
        const table = new ClientTable(state.region('clients'));
        let naive = new NaiveTable();
        let marked: NaiveTable | undefined;
        let sequence = 0;
        for (const each of steps) {
          sequence += 1;
          if (each.do === 'record') {
            const client = clientOf(each.client);
            if (naive.find(client, each.number) !== 'new') continue;
            const result = resultOf(each.length, sequence);
            table.record(client, each.number, result, sequence);
            naive.record(client, each.number, { result, sequence });
          } else if (each.do === 'mark' && marked === undefined) {
            table.mark();
            marked = naive.copy();
          } else if (each.do === 'undo' && marked !== undefined) {
            table.undo();
            naive = marked;
            marked = undefined;
          } else if (each.do === 'keep' && marked !== undefined) {
            table.keep();
            marked = undefined;
          } else if (each.do === 'flush' && marked === undefined) {
            table.flush();
          } else if (each.do === 'load' && marked === undefined) {
            table.flush();
            table.load();
          }
        }
        for (let i = 0; i < 5; i++) {
          expect(table.largest(clientOf(i))).toBe(naive.largest(clientOf(i)));
          for (let number = 0; number <= 91; number++) {
            expect(said(table, clientOf(i), number)).toBe(naive.find(clientOf(i), number));
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('has the same pages whether they were written often, once, or loaded in between', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const [a, b] = [new PagedState(), new PagedState()];
        const [often, once] = [a, b].map((state) => new ClientTable(state.region('clients'))) as [
          ClientTable,
          ClientTable,
        ];
        steps.forEach((each, sequence) => {
          if (each.do === 'record') {
            const client = clientOf(each.client);
            if (often.find(client, each.number).kind !== 'new') return;
            const result = resultOf(each.length, sequence);
            for (const table of [often, once]) table.record(client, each.number, result, sequence);
          } else {
            often.flush();
            if (each.do === 'load') often.load();
            else if (each.do === 'undo') {
              // Takes a whole scope back, in which a new client came and another's window moved.
              often.mark();
              often.record(clientOf(99), 1, resultOf(300, 1), sequence);
              often.undo();
            }
          }
        });
        often.flush();
        once.flush();
        expect(toHex(a.rootNow())).toBe(toHex(b.rootNow()));
      }),
      { numRuns: 100 },
    );
  });

  it('lets the client whose newest result is oldest give way, and gives the place back on undo', () => {
    const state = new PagedState();
    const table = new ClientTable(state.region('clients'));
    for (let i = 0; i < limits.replicatedClientsMax; i++) {
      // Two of a kind: the first place of them goes first.
      table.record(clientOf(i), 1, resultOf(2, i), 10 + Math.floor(i / 2));
    }
    table.record(clientOf(0), 2, resultOf(300, 1), 9000);
    table.flush();
    const before = toHex(state.rootNow());
    table.mark();
    table.record(strangerOf(1), 1, resultOf(500, 7), 9001);
    expect(table.find(clientOf(1), 1).kind).toBe('too-old');
    expect(table.find(clientOf(1), 2).kind).toBe('new');
    expect(table.find(clientOf(2), 1).kind).toBe('stored');
    table.undo();
    table.flush();
    expect(table.find(clientOf(1), 1).kind).toBe('stored');
    expect(table.find(strangerOf(1), 1).kind).toBe('new');
    expect(toHex(state.rootNow())).toBe(before);
    for (const i of [1, 2, 3]) table.record(strangerOf(i), 1, resultOf(500, 7), 9001);
    for (const gone of [1, 2, 3]) expect(table.find(clientOf(gone), 1).kind).toBe('too-old');
    expect(table.find(clientOf(4), 1).kind).toBe('stored');
    expect(table.largest(clientOf(0))).toBe(2);
    expect(table.size).toBe(limits.replicatedClientsMax);
    table.flush();
    const reloaded = new ClientTable(state.region('clients'));
    reloaded.load();
    expect(reloaded.find(clientOf(3), 1).kind).toBe('too-old');
    reloaded.record(strangerOf(4), 1, resultOf(1, 7), 9002);
    expect(reloaded.find(clientOf(4), 1).kind).toBe('too-old');
    expect(reloaded.find(clientOf(5), 1).kind).toBe('stored');
  });

  it('never executes again what a client that gave way had executed, whoever fills the table', () => {
    const table = new ClientTable(new PagedState().region('clients'));
    const honest = clientOf(7);
    for (const number of [1, 2, 900]) table.record(honest, number, resultOf(1, 1), number);
    for (let i = 0; i < 2 * limits.replicatedClientsMax; i++) {
      const client = strangerOf(i);
      const number = table.largest(client) + 1;
      expect(table.find(client, number).kind).toBe('new');
      table.record(client, number, resultOf(1, 1), 1000 + i);
    }
    for (const number of [1, 2, 3, 900]) expect(table.find(honest, number).kind).toBe('too-old');
    expect(table.find(honest, table.largest(honest) + 1).kind).toBe('new');
  });

  it('takes no number that lies absurdly far above what is known', () => {
    const table = new ClientTable(new PagedState().region('clients'));
    const client = clientOf(1);
    expect(table.find(client, numberStepMax + 1).kind).toBe('too-far');
    table.record(client, numberStepMax, resultOf(1, 1), 1);
    expect(table.find(client, 2 * numberStepMax).kind).toBe('new');
    expect(table.find(client, 2 * numberStepMax + 1).kind).toBe('too-far');
  });

  it('forgets the sequences for a new instance, and nothing else', () => {
    const state = new PagedState();
    const table = new ClientTable(state.region('clients'));
    table.record(clientOf(1), 5, resultOf(20_000, 3), 77);
    table.record(clientOf(1), 6, resultOf(2, 4), 78);
    table.flush();
    table.resetSequences();
    table.flush();
    table.load();
    expect(said(table, clientOf(1), 5)).toBe(`${toHex(resultOf(20_000, 3))} 0`);
    expect(said(table, clientOf(1), 6)).toBe(`${toHex(resultOf(2, 4))} 0`);
  });

  it('does not take other pages for its own', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (page) => {
        const state = new PagedState();
        state.region('clients').write(0, page);
        expect(() => new ClientTable(state.region('clients')).load()).toThrow(StateDamaged);
      }),
    );
  });
});

it('keeps the last numbers from clients whose steps are as large as may be', () => {
  const state = new PagedState();
  const table = new ClientTable(state.region('clients'));
  const key = new Uint8Array(32).fill(3);
  let number = 1;
  for (let times = 0; times < 100_000; times++) {
    table.record(key, number, new Uint8Array(0), times + 1);
    const far = number + 2 ** 38;
    number = table.find(key, far).kind === 'new' ? far : number + 1;
    expect(table.find(key, number).kind).toBe('new');
  }
  expect(number).toBeGreaterThan(2 ** 53 - 2 ** 40);
  expect(number).toBeLessThan(2 ** 53 - 2 ** 39);
});
