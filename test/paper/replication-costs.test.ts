// What each replicated operation costs, frame by frame and signature by signature, against the models of PBFT and of
// Viewstamped Replication. Every frame takes one delay δ and disks take none, so delays are exact too.

import { describe, expect, it } from 'vitest';
import type { ReplicationMessageName } from '../../src/wire/replication-registry.ts';
import {
  delayMs,
  type Frame,
  type GroupShape,
  neverMs,
  ObservedGroup,
} from '../traces/observed-group.ts';

/** Frames by message; a multicast is one for each receiver. */
type Frames = { readonly [Name in ReplicationMessageName]?: number };

interface Cost {
  /** From the first frame to the client's result, in δ. */
  readonly delays: number;
  readonly frames: Frames;
  /** By all replicas and clients together. */
  readonly signed: number;
  readonly verified: number;
}

interface Row extends Cost {
  readonly operation: string;
  readonly shape: Omit<GroupShape, 'faults' | 'engine'>;
  /** Starts the operation, and brings the group to where the measured part begins. */
  readonly begin: (group: ObservedGroup) => Promise<Begun>;
  /** All frames for f = 1 and 2: the same once more as plain numbers, against slips in the formulas. */
  readonly totals: readonly [number, number];
}

interface Begun {
  /** Settles when the client has what it asked for. */
  readonly result: Promise<unknown>;
  /** True: what has happened so far is not part of what is measured. */
  readonly isLate?: boolean;
}

// ---- Settings ----

// Retransmission and idle chatter never come due here; what a quiet group sends is measured by itself, further down.
const pbft = { statusIntervalMs: neverMs, idleStatusIntervalMs: neverMs, timeoutMs: 40 };
const vr = { heartbeatMs: 1_000, primaryTimeoutMs: 5_000, requestTimeoutMs: 5_000 };
/** The primary is given up long before the client, which waits for at least 50 ms, asks again. */
const vrImpatient = { heartbeatMs: 10, primaryTimeoutMs: 22 };
/** One and a half heartbeats of `vr`: leases are there, and the next heartbeat is far. */
const quietMs = 1_500;
/** Replies that come after the result belong to the operation. */
const afterMs = 4;

// ---- How operations begin ----

const write = async (group: ObservedGroup): Promise<Begun> => ({ result: group.write('a') });
const read = async (group: ObservedGroup): Promise<Begun> => ({ result: group.read() });
const nineWrites = async (group: ObservedGroup): Promise<Begun> => ({
  result: Promise.all(Array.from('abcdefghi', (text) => group.write(text))),
});

/** The batch is prepared everywhere and committed nowhere, because COMMITs are lost, when its primary dies. */
async function preparedInVain(group: ObservedGroup): Promise<Begun> {
  group.loses = ({ name }) => name === 'pbftCommit';
  const result = group.write('a');
  await group.simulation.runFor(20 * delayMs);
  group.kill(0);
  group.loses = () => false;
  return { result, isLate: true };
}

/** The primary is dead before the request. The client asks everybody after 50 ms, and the backups wait from then on. */
async function primaryDead(group: ObservedGroup): Promise<Begun> {
  group.kill(0);
  const result = group.write('a');
  await group.simulation.runFor(70 * delayMs);
  return { result, isLate: true };
}

/** The primary dies when its PREPARE is on the way: no acknowledgement reaches it. */
async function acknowledgedInVain(group: ObservedGroup): Promise<Begun> {
  const result = group.write('a');
  await group.simulation.runFor(1.5 * delayMs);
  group.kill(0);
  await group.simulation.runFor(5 * delayMs);
  return { result, isLate: true };
}

// ---- Models ----

function pbftModel(f: number): readonly Row[] {
  const n = 3 * f + 1;
  const phases = { prePrepare: n - 1, pbftPrepare: (n - 1) ** 2, pbftCommit: n * (n - 1) };
  // The client signs once; each replica verifies once, a backup when PRE-PREPARE brings the request.
  const request = { signed: 1, verified: n };
  // n-1 replicas are left to leave the view and to run the phases again, in which the new primary sends no PREPARE.
  const survivors = (batches: number) => ({
    // Each says that it has lost patience, and leaves when enough have.
    pbftStatus: (n - 1) ** 2,
    viewChange: (n - 1) ** 2,
    newView: n - 1,
    pbftPrepare: batches * (n - 1) * (n - 2),
    pbftCommit: batches * (n - 1) ** 2,
    requestReply: n - 1,
  });
  // Not in the papers: at half its patience a backup reminds the primary of what waits in no batch, before it accuses it;
  // and it hands that to the new primary, which need not wait for clients to do so.
  const reminders = { submitRequest: n - 1 + (n - 2) };
  // Each signs its VIEW-CHANGE, the new primary its NEW-VIEW. A backup verifies the NEW-VIEW and the n-2 VIEW-CHANGEs
  // of others, the new primary only the 2f that it needs.
  const viewChange = { signed: n, verified: 2 * f + (n - 2) * (1 + (n - 2)) };
  // And each a certificate's 2f+1 signatures if it has not verified one of the same bytes. That depends on which 2f+1
  // votes reached whom first.
  const certificates = ([5, 16][f - 1] ?? 0) * (2 * f + 1);
  // The last checkpoint is at the second of the two batches executed so far.
  const checkpointed = { ...pbft, checkpointInterval: 2, window: 16 };
  return [
    {
      operation: 'write',
      shape: { pbft },
      begin: write,
      delays: 5,
      frames: { submitRequest: 1, ...phases, requestReply: n },
      ...request,
      totals: [29, 92],
    },
    {
      operation:
        'tentative write: the COMMITs flow all the same, behind the replies, and nothing is sent again',
      shape: { pbft: { ...pbft, isTentative: true } },
      begin: write,
      delays: 4,
      frames: { submitRequest: 1, ...phases, requestReply: n },
      ...request,
      totals: [29, 92],
    },
    {
      operation:
        'nine writes at once: one goes alone, the others share a batch and the client one signature',
      shape: { pbft },
      begin: nineWrites,
      // The second batch is proposed when the first one is executed at the primary.
      delays: 8,
      frames: {
        submitRequest: 9,
        prePrepare: 2 * phases.prePrepare,
        pbftPrepare: 2 * phases.pbftPrepare,
        pbftCommit: 2 * phases.pbftCommit,
        requestReply: 9 * n,
      },
      ...request,
      totals: [93, 240],
    },
    {
      operation: 'read in one round',
      shape: { pbft },
      begin: read,
      delays: 2,
      frames: { queryRequest: n, requestReply: n },
      // The model's one verification is for authenticated requests; here the channel authenticates.
      signed: 0,
      verified: 0,
      totals: [8, 14],
    },
    {
      operation: 'write that ends an interval of checkpoints',
      // The group has executed two batches when the measurement begins: the claim of a number, and a write.
      shape: { pbft: { ...pbft, checkpointInterval: 3, window: 12 } },
      begin: write,
      delays: 5,
      frames: { submitRequest: 1, ...phases, requestReply: n, checkpoint: n * (n - 1) },
      signed: request.signed + n,
      // Not n-1 each: with its own vote and 2f others a checkpoint is stable, and later votes are not looked at.
      verified: request.verified + n * 2 * f,
      totals: [41, 134],
    },
    {
      operation: 'view change that carries a prepared batch over',
      shape: { pbft: checkpointed },
      begin: preparedInVain,
      // Two to the NEW-VIEW's arrival, then PREPARE, COMMIT, reply.
      delays: 5,
      frames: survivors(1),
      signed: viewChange.signed,
      verified: viewChange.verified + certificates,
      totals: [9 + 27 + 3, 36 + 108 + 6],
    },
    {
      operation: 'view change with nothing to carry over',
      shape: { pbft: checkpointed },
      begin: primaryDead,
      // PRE-PREPARE leaves right behind the NEW-VIEW.
      delays: 5,
      frames: { ...survivors(1), ...reminders, prePrepare: n - 1 },
      signed: viewChange.signed,
      verified: viewChange.verified + certificates,
      totals: [9 + 27 + 3 + 2 + 3 + 3, 36 + 108 + 6 + 5 + 6 + 6],
    },
    {
      operation:
        'view change before the first checkpoint: everything executed so far goes through the phases again',
      shape: { pbft },
      begin: preparedInVain,
      delays: 5,
      frames: survivors(3),
      ...viewChange,
      totals: [9 + 27 + 2 * 15 + 3, 36 + 108 + 2 * 66 + 6],
    },
  ];
}

function vrModel(f: number): readonly Row[] {
  const n = 2 * f + 1;
  // Nobody lies: nothing is signed.
  const crypto = { signed: 0, verified: 0 };
  const oneWrite = { submitRequest: 1, vrPrepare: 2 * f, vrPrepareOk: 2 * f, requestReply: 1 };
  return [
    {
      operation: 'write',
      shape: { vr },
      begin: write,
      delays: 4,
      frames: oneWrite,
      ...crypto,
      totals: [6, 10],
    },
    {
      operation: 'write with witnesses: only the f+1 active members take part',
      shape: { vr: { ...vr, witnesses: true } },
      begin: write,
      delays: 4,
      frames: { ...oneWrite, vrPrepare: f, vrPrepareOk: f },
      ...crypto,
      totals: [4, 6],
    },
    {
      operation: 'three-message write: backups acknowledge to the client and to the primary',
      shape: { vr: { ...vr, threeMessageWrites: true } },
      begin: write,
      delays: 3,
      frames: { ...oneWrite, requestReply: 1 + 2 * f },
      ...crypto,
      totals: [8, 14],
    },
    {
      operation: 'read under a lease',
      shape: { vr: { ...vr, leaseMs: 2_000 } },
      begin: read,
      delays: 2,
      frames: { queryRequest: 1, requestReply: 1 },
      ...crypto,
      totals: [2, 2],
    },
    {
      operation: 'read without a lease: declined, then ordered',
      shape: { vr },
      begin: read,
      delays: 6,
      frames: { ...oneWrite, queryRequest: 1, requestReply: 2 },
      ...crypto,
      totals: [8, 12],
    },
    {
      operation: 'view change that carries an operation over',
      shape: { vr: vrImpatient },
      begin: acknowledgedInVain,
      // Three to STARTVIEW's arrival, then PREPAREOK, reply.
      delays: 5,
      frames: {
        vrStartViewChange: (n - 1) ** 2,
        vrDoViewChange: n - 2,
        vrStartView: n - 1,
        // The view change is over; these commit what it carried over.
        vrPrepareOk: n - 2,
        requestReply: 1,
      },
      ...crypto,
      totals: [7 + 1 + 1, 23 + 3 + 1],
    },
  ];
}

// ---- Measuring ----

function counted(frames: readonly Frame[]): Frames {
  const counts: { [Name in ReplicationMessageName]?: number } = {};
  for (const { message } of frames) counts[message.name] = (counts[message.name] ?? 0) + 1;
  return counts;
}

async function measure(group: ObservedGroup, begin: Row['begin']): Promise<Cost> {
  const { simulation, crypto, frames } = group;
  let { signed, verified } = crypto;
  let before = frames.length;
  const { result, isLate } = await begin(group);
  if (isLate === true) {
    ({ signed, verified } = crypto);
    before = frames.length;
  }
  await simulation.complete(result, 60_000);
  const endMs = group.nowMs;
  await simulation.runFor(afterMs);
  const own = frames.slice(before);
  // A view change is counted from where enough have lost patience.
  const first = own.find(({ message }) => message.name === 'viewChange') ?? own[0];
  return {
    delays: Math.round((endMs - (first?.sentAtMs ?? endMs)) / delayMs),
    frames: counted(own),
    signed: crypto.signed - signed,
    verified: crypto.verified - verified,
  };
}

const sum = (frames: Frames): number => Object.values(frames).reduce((a, b) => a + b, 0);

describe.each(['pbft', 'vr'] as const)('%s', (engine) => {
  describe.each([1, 2])('with f = %d', (faults) => {
    const rows = engine === 'pbft' ? pbftModel(faults) : vrModel(faults);

    it.each(rows)(
      '$operation',
      async ({ shape, begin, delays, frames, signed, verified, totals }) => {
        const group = await ObservedGroup.start({ engine, faults, ...shape }, quietMs);
        const cost = await measure(group, begin);
        expect(cost).toEqual({ delays, frames, signed, verified });
        expect(sum(cost.frames)).toBe(totals[faults - 1]);
      },
    );
  });
});

describe.each([1, 2])('a PBFT write with f = %d', (faults) => {
  it('costs every replica the same: 2(n-1) frames and a reply sent, 2(n-1) received beside the request', async () => {
    const n = 3 * faults + 1;
    const group = await ObservedGroup.start({ engine: 'pbft', faults, pbft }, quietMs);
    const before = group.frames.length;
    await group.simulation.complete(group.write('a'), 60_000);
    await group.simulation.runFor(afterMs);
    const frames = group.frames.slice(before);
    for (let i = 0; i < n; i++) {
      const sent = frames.filter(({ from }) => from === `r${i}`);
      const received = frames.filter(({ from, to }) => to === `r${i}` && from !== 'c0');
      expect(sent).toHaveLength(2 * (n - 1) + 1);
      expect(received).toHaveLength(2 * (n - 1));
    }
  });
});

// ---- Between operations ----

describe('a quiet group', () => {
  const secondMs = 1_000;

  async function chatter(shape: GroupShape): Promise<Frames> {
    const group = await ObservedGroup.start(shape, 3_333);
    const before = group.frames.length;
    await group.simulation.runFor(secondMs);
    return counted(group.frames.slice(before));
  }

  it.each([1, 2])(
    'of PBFT with f = %d: each member tells the others once a second what it has',
    async (faults) => {
      const n = 3 * faults + 1;
      const idleStatusIntervalMs = secondMs;
      expect(await chatter({ engine: 'pbft', faults, pbft: { idleStatusIntervalMs } })).toEqual({
        pbftStatus: n * (n - 1),
      });
    },
  );

  it.each([1, 2])(
    'of VR with f = %d: the primary tells of itself, and renews its lease',
    async (faults) => {
      const backups = 2 * faults;
      const heartbeats = 5;
      const heartbeatMs = secondMs / heartbeats;
      const plain = await chatter({ engine: 'vr', faults, vr: { heartbeatMs } });
      expect(plain).toEqual({ vrCommit: heartbeats * backups });
      const leased = await chatter({ engine: 'vr', faults, vr: { heartbeatMs, leaseMs: 400 } });
      expect(leased).toEqual({
        vrCommit: heartbeats * backups,
        vrLeaseRequest: heartbeats * backups,
        vrLeaseGrant: heartbeats * backups,
      });
    },
  );
});
