// A journal whose records are not those that were written: its member may be as wrong as one that lies, but it starts, and
// the others do what they would have done without it.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Bytes, toHex } from '../../base/bytes.ts';
import { type Bend, bentBytes } from '../test-bending.ts';
import { decodeRecord } from './records.ts';
import { TestCluster } from './test-cluster.ts';

const parameters = {
  ...{ checkpointInterval: 4, window: 8, batchRequests: 1 },
  ...{ timeoutMs: 60, timeoutMsMax: 1000, statusIntervalMs: 20, idleStatusIntervalMs: 100 },
};
/** The member whose journal it is. */
const victim = 3;

/** Records of every kind, of another life of the group. */
function corpus(): readonly Bytes[] {
  const cluster = new TestCluster({ seed: 1, parameters });
  const records = new Map<string, Bytes>();
  const work = (times: number): void => {
    for (let i = 0; i < times; i++) {
      cluster.client(0).write();
      for (let ms = 0; ms < 40; ms++) {
        cluster.run(cluster.nowMs + 5);
        const { durable } = cluster.replica(victim);
        for (const record of durable) records.set(toHex(record), record);
      }
    }
  };
  work(3);
  cluster.crash(0);
  work(3);
  cluster.restart(0);
  cluster.recover(victim);
  work(6);
  return [...records.values()];
}

interface Move {
  /** A record of its own is altered, or goes; or an altered one of another life is put there. */
  readonly kind: 'bend' | 'drop' | 'add';
  readonly what: number;
  readonly at: number;
  readonly bend: Bend;
}

const anyMove = fc.record({
  kind: fc.constantFrom('bend' as const, 'drop' as const, 'add' as const),
  what: fc.nat(),
  at: fc.nat(),
  bend: fc.record({ how: fc.nat(), at: fc.nat(), with: fc.nat() }),
});

const others = corpus();

it('are drawn from every kind that there is', () => {
  const names = new Set(others.map((record) => decodeRecord(record)?.name));
  const kinds = Array.from({ length: 255 }, (_, kind) => kind).filter((kind) =>
    others.some((record) => record[0] === kind),
  );
  expect(names.has(undefined)).toBe(false);
  expect(kinds).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
});

function altered(journal: readonly Bytes[], moves: readonly Move[]): Bytes[] {
  const records = [...journal];
  for (const { kind, what, at, bend } of moves) {
    const place = at % Math.max(1, records.length);
    const own = records[place];
    if (kind === 'add') {
      records.splice(place, 0, bentBytes(others[what % others.length] as Bytes, bend));
    } else if (kind === 'drop') records.splice(place, 1);
    else if (own !== undefined) records[place] = bentBytes(own, bend);
  }
  return records;
}

/** What the others vote for, and where they are in the end, checkpoint and root included. @param moves undefined: the member stays away. */
function lived(moves: readonly Move[] | undefined) {
  const calm = { ...parameters, timeoutMs: 60_000, timeoutMsMax: 60_000 };
  const cluster = new TestCluster({ seed: 5, parameters: calm, isEncoded: true });
  const votes = new Set<string>();
  cluster.filter = (from, _, { name, value }) => {
    // If it believes that a recovery has begun it may have requests of its own ordered: all would stand elsewhere.
    if (from === victim) return name !== 'submitRequest';
    if (name === 'pbftPrepare' || name === 'pbftCommit') {
      votes.add(`${name} ${from} ${value.view} ${value.sequence} ${toHex(value.digest)}`);
    }
    return true;
  };
  const write = (times: number): void => {
    for (let i = 0; i < times; i++) {
      const { length } = cluster.outcomes;
      cluster.client(0).write();
      expect(cluster.run(cluster.nowMs + 5000, () => cluster.outcomes.length > length)).toBe(true);
    }
  };
  write(7);
  cluster.run(cluster.nowMs + 50);
  cluster.crash(victim);
  if (moves !== undefined) {
    const replica = cluster.replica(victim);
    replica.durable = altered(replica.durable, moves);
    const unreadable = replica.durable.filter((record) => decodeRecord(record) === undefined);
    cluster.restart(victim);
    expect(cluster.count('record-invalid')).toBe(unreadable.length);
  }
  write(6);
  cluster.run(cluster.nowMs + 500);
  const members = cluster.replicas.slice(0, victim).map(({ engine, service }) => ({
    status: engine.status(),
    entries: service.entries,
  }));
  expect(
    cluster.evidence.filter(({ accused }) => accused !== cluster.group.members[victim]),
  ).toEqual([]);
  const answers = cluster.outcomes.map(({ outcome, place }) => [outcome, place]);
  return { members, answers, votes: [...votes].sort() };
}

it('change nothing that the others do, and what is none is counted', () => {
  const twin = lived(undefined);
  expect(twin.answers).toHaveLength(13);
  expect(twin.members[0]?.status).toMatchObject({ view: 0, executed: 13, checkpoint: 12 });
  fc.assert(
    fc.property(fc.array(anyMove, { maxLength: 12, size: 'max' }), (moves) => {
      expect(lived(moves)).toEqual(twin);
    }),
    { numRuns: 60, endOnFailure: true },
  );
});
