// A journal whose records are not those that were written: its member says nothing at all, or what others can read, and
// what it goes on to write it can read itself.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Bytes, toHex } from '../../base/bytes.ts';
import {
  decodeReplicationMessage,
  encodeReplicationMessage,
  replicationMessageNumber,
} from '../../wire/replication-registry.ts';
import type { Effects, EngineEvent, SavedCheckpoint } from '../contract.ts';
import { type Bend, bentBytes } from '../test-bending.ts';
import { createVrEngine } from './engine.ts';
import type { VrParameters } from './parameters.ts';
import { replay } from './records.ts';
import { type Packet, TestCluster } from './test-cluster.ts';
import { quickParameters } from './test-options.ts';
import { takesAnything } from './test-service.ts';

/** The member whose journal it is; with witnesses one of them. */
const victim = 2;

interface Life {
  readonly parameters: Partial<VrParameters>;
  /** Its journal at the end, and records that it had in it at some time. */
  readonly records: readonly Bytes[];
  readonly others: readonly Bytes[];
  readonly checkpoint: SavedCheckpoint | undefined;
  /** What the others have said to it last. */
  readonly heard: readonly Packet[];
}

function lived(parameters: Partial<VrParameters>): Life {
  const cluster = new TestCluster({
    seed: 1,
    parameters: { ...parameters, checkpointInterval: 4 },
  });
  cluster.start();
  const node = cluster.node(victim);
  const others = new Map<string, Bytes>();
  const work = (times: number): void => {
    cluster.clients[0]?.work(times);
    for (let ms = 0; ms < 400; ms += 10) {
      cluster.run(10);
      for (const record of node.records) others.set(toHex(record), record);
    }
  };
  work(3);
  cluster.crash(0);
  work(6);
  cluster.startNode(0);
  work(2);
  cluster.crash(1);
  const heard: Packet[] = [];
  cluster.filter = (packet) => {
    if (packet.to === victim) heard.push(packet);
    return true;
  };
  work(3);
  const { checkpoint, records } = node;
  const saved = checkpoint && { ...checkpoint, pages: [...checkpoint.pages.values()] };
  const last = heard.slice(-200);
  return { parameters, records, others: [...others.values()], checkpoint: saved, heard: last };
}

interface Move {
  /** A record is altered, or one number of it, or goes; or an altered one of another time is put there. */
  readonly kind: 'bend' | 'number' | 'drop' | 'add';
  readonly what: number;
  readonly at: number;
  readonly bend: Bend;
}

const anyMove = fc.record({
  kind: fc.constantFrom('bend' as const, 'number' as const, 'drop' as const, 'add' as const),
  what: fc.nat(),
  at: fc.nat(),
  bend: fc.record({ how: fc.nat(), at: fc.nat(), with: fc.nat() }),
});

/** Where records have their numbers of eight bytes. */
const numberPlaces = [1, 9, 18, 26] as const;

function altered({ records, others }: Life, moves: readonly Move[]): Bytes[] {
  const result = [...records];
  for (const { kind, what, at, bend } of moves) {
    const place = at % Math.max(1, result.length);
    const record = kind === 'add' ? others[what % others.length] : result[place];
    if (record === undefined) continue;
    if (kind === 'drop') result.splice(place, 1);
    else if (kind === 'number') {
      const { at: where, with: value } = bend;
      const inside = numberPlaces[where % numberPlaces.length] ?? 0;
      result.splice(place, 1, bentBytes(record, { how: 2, at: inside, with: value }));
    } else result.splice(place, kind === 'bend' ? 1 : 0, bentBytes(record, bend));
  }
  return result;
}

/** Starts with these records and hears what the others said. @returns what it has in its journal then. */
function restarted(life: Life, records: readonly Bytes[]): { journal: Bytes[]; sent: number } {
  const { instance, members, faults } = new TestCluster({ seed: 2 });
  const engine = createVrEngine({
    group: { instance, members, faults },
    index: victim,
    service: takesAnything,
    nonce: () => new Uint8Array(16),
    parameters: { ...quickParameters, ...life.parameters, checkpointInterval: 4 },
  });
  let journal = [...records];
  let sent = 0;
  let nowMs = 1000;
  const handle = (event: EngineEvent): void => {
    const effects: Effects = engine.handle(event, nowMs);
    if (effects.compact !== undefined) journal = [...effects.compact];
    journal.push(...effects.records);
    for (const { name, value } of effects.sends) {
      const bytes = encodeReplicationMessage(name, value as never);
      expect(decodeReplicationMessage(replicationMessageNumber(name), bytes)).toBeDefined();
      sent += 1;
    }
    if (effects.mark !== undefined) handle({ kind: 'durable', mark: effects.mark });
    if (effects.save !== undefined) handle({ kind: 'saved', sequence: effects.save.sequence });
  };
  const { checkpoint } = life;
  handle({ kind: 'start', restored: { records, checkpoint, damage: [] } });
  engine.status();
  for (const { from, message } of life.heard) {
    nowMs += 3;
    handle({ kind: 'message', from, message });
    handle({ kind: 'timer', name: 'tick' });
  }
  for (let i = 0; i < 30; i++) {
    nowMs += 20;
    handle({ kind: 'timer', name: 'tick' });
  }
  engine.status();
  return { journal, sent };
}

it.each([
  ['', {}],
  [' in mode view', { mode: 'view' }],
  [' of a witness', { witnesses: true }],
  [' with three-message writes and leases', { threeMessageWrites: true, leaseMs: 50 }],
] as const)('records%s are what was written, or break nothing', (_, parameters) => {
  const life = lived(parameters);
  const saved = life.checkpoint?.sequence ?? 0;
  expect(restarted(life, life.records).sent).toBeGreaterThan(10);
  fc.assert(
    fc.property(fc.array(anyMove, { maxLength: 6, size: 'max' }), (moves) => {
      const records = altered(life, moves);
      const found = replay(records, saved);
      // Behind the last view that a message can name there is none, and no group comes there.
      fc.pre(found === undefined || found.state.view < 2 ** 52);
      const { journal, sent } = restarted(life, records);
      if (found === undefined) expect(sent).toBe(0);
      else expect(replay(journal, saved)).toBeDefined();
    }),
    { numRuns: 200, endOnFailure: true },
  );
});
