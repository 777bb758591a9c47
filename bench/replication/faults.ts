// What clients see when a replica dies, hangs or loses its disk under load, and how long it takes to be one of the group
// again.

import { setTimeout } from 'node:timers/promises';
import { HoldfastError } from '../../src/base/errors.ts';
import { formatMs, table } from '../report.ts';
import type { BenchGroup } from './group.ts';

interface Fault {
  readonly name: string;
  readonly engines: readonly ('pbft' | 'vr')[];
  /** @returns the replica whose return is waited for, if any. */
  readonly play: (group: BenchGroup) => Promise<number | undefined>;
}

const pausedMs = 3000;
const goneMs = 1000;

export const faults: readonly Fault[] = [
  {
    name: 'primary killed',
    engines: ['pbft', 'vr'],
    async play(group) {
      await group.kill(await primaryOf(group));
      return undefined;
    },
  },
  {
    name: `primary paused for ${pausedMs} ms`,
    engines: ['pbft', 'vr'],
    async play(group) {
      const primary = await primaryOf(group);
      await group.pause(primary, true);
      await setTimeout(pausedMs);
      await group.pause(primary, false);
      return primary;
    },
  },
  {
    name: 'backup killed and started',
    engines: ['pbft', 'vr'],
    async play(group) {
      const backup = await backupOf(group);
      await group.kill(backup);
      await setTimeout(goneMs);
      await group.startReplica(backup, 'nothing');
      return backup;
    },
  },
  {
    name: 'backup wiped and recovered',
    engines: ['pbft'],
    async play(group) {
      const backup = await backupOf(group);
      await group.kill(backup);
      await group.wipe(backup);
      await group.startReplica(backup, 'recover');
      return backup;
    },
  },
];

export interface FaultRow {
  readonly engine: string;
  readonly name: string;
  /** Longest time without any operation ending. */
  readonly longestGapMs: number;
  /** From when the replica runs again until it has executed what the others had, and votes; undefined if it does not come back. */
  readonly backMs: number | undefined;
  /** Operations ended, against as long a time without the fault. */
  readonly share: number;
  readonly view: number;
}

const load = { clients: 16, window: 1, operationSizeBytes: 0, isQuery: false };

export async function measureFault(
  group: BenchGroup,
  engine: string,
  { name, play }: Fault,
  durationMs: number,
): Promise<FaultRow> {
  await group.load({ ...load, durationMs: durationMs / 4 });
  const calm = await group.load({ ...load, durationMs: durationMs / 2 });
  const answered = group.load({ ...load, durationMs });
  await setTimeout(durationMs / 8);
  const back = await play(group);
  const backMs = back === undefined ? undefined : await untilBack(group, back);
  const { longestGapMs, operations, elapsedMs } = await answered;
  const share = operations / elapsedMs / (calm.operations / calm.elapsedMs);
  const { view } = await group.status(await aliveIn(group));
  return { engine, name, longestGapMs, backMs, share, view };
}

export function formatFaults(rows: readonly FaultRow[]): string {
  return table(
    ['engine', 'fault', 'longest gap ms', 'back after ms', 'operations, of without', 'view after'],
    rows.map(({ engine, name, longestGapMs, backMs, share, view }) => [
      engine,
      name,
      formatMs(longestGapMs),
      backMs === undefined ? '' : formatMs(backMs),
      `${(100 * share).toFixed(0)} %`,
      String(view),
    ]),
  );
}

async function primaryOf(group: BenchGroup): Promise<number> {
  return (await group.status(0)).primary;
}

async function backupOf(group: BenchGroup): Promise<number> {
  return ((await primaryOf(group)) + 1) % group.size;
}

async function aliveIn(group: BenchGroup): Promise<number> {
  const [first] = group.alive;
  if (first === undefined) throw new HoldfastError('unavailable', 'no replica is left');
  return first;
}

const pollMs = 20;
const backMsMax = 60_000;

/** Until the replica is in its group's view and has executed what the others had when it began. */
async function untilBack(group: BenchGroup, index: number): Promise<number> {
  const startMs = performance.now();
  const others = group.alive.filter((each) => each !== index);
  const before = await Promise.all(others.map((each) => group.status(each)));
  const reached = Math.max(...before.map(({ executed }) => executed));
  for (;;) {
    const { status, executed } = await group.status(index);
    const passedMs = performance.now() - startMs;
    if (status === 'normal' && executed >= reached) return passedMs;
    if (passedMs > backMsMax) {
      throw new HoldfastError('unavailable', `replica ${index} does not come back: ${status}`);
    }
    await setTimeout(pollMs);
  }
}
