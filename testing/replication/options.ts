// What a run of a replicated group is made of. The seed draws all of it, each feature in a part of the runs only; plain
// data, printed as one line.

import type { Prng } from '../../src/base/prng.ts';
import type { PbftParameters } from '../../src/replication/pbft/parameters.ts';
import type { VrParameters } from '../../src/replication/vr/parameters.ts';
import { drawFaults, type FaultMix, type Span, type Spells } from '../simulator/fault-mix.ts';
import { type LieName, lieNames, lostDiskLieNames } from './lies/lies.ts';

export type EngineName = 'pbft' | 'vr';

export interface OperationMix {
  readonly get: number;
  /** A read that is ordered like a write. */
  readonly orderedGet: number;
  readonly put: number;
  readonly delete: number;
  readonly swap: number;
  readonly scan: number;
}

export interface RunOptions {
  readonly engine: EngineName;
  readonly faults: number;
  readonly pbft: Partial<PbftParameters>;
  readonly vr: Partial<VrParameters>;
  /** For each liar its lies, which take turns. */
  readonly liars: readonly (readonly LieName[])[];
  /** Members that run twice, with one key. */
  readonly twins: number;
  /** Correct members whose disks are lost or rot for good on the way. Liars, twins and these are at most `faults`. */
  readonly diskLosses: number;
  readonly hasInput: boolean;
  readonly clients: number;
  /** Operations that one client has under way at a time. */
  readonly concurrency: number;
  readonly operations: number;
  readonly mix: OperationMix;
  readonly keys: number;
  readonly valueBytes: Span;
  readonly thinkMs: Span;
  readonly timeoutMs: number;
  readonly clientCrashes?: Spells | undefined;
  /** Whoever is primary crashes, or is cut off from the other members. */
  readonly primaryTroubles?: Spells | undefined;
  readonly blackouts?: Spells | undefined;
  /** Crashes that leave enough of a group whose members keep only their views on disk. */
  readonly carefulCrashes?: Spells | undefined;
  readonly unavailableMax: number;
  readonly faultMix: FaultMix;
  readonly safetyMs: number;
  /**
   * Members whose tables of pages rot, again and again. They count towards `faults` like those above, but must do
   * nothing wrong and be as good as new in the end.
   */
  readonly pageRots: number;
  /**
   * Members at a time that have lost their disks and recover: one of them, then another. They count towards `faults`, but
   * must never contradict what they have said, and be as good as new in the end. PBFT only.
   */
  readonly wipes: number;
  /** Correct members recover proactively, at times together. PBFT only. */
  readonly recoveries?: Spells | undefined;
  /** The group goes on with what another one ended with; not all members have it from the start. */
  readonly inherits?: boolean;
}

/**
 * Writes of one key that may be under way or have an unknown end. Each doubles what may have happened: a checker that has
 * to consider more of them never ends. Then another key takes this one's place.
 */
export const unfinishedPerKeyMax = 24;

export function membersOf(engine: EngineName, faults: number): number {
  return engine === 'pbft' ? 3 * faults + 1 : 2 * faults + 1;
}

function spells(prng: Prng, gapMs: number, lastMs: number): Spells {
  return { gapMs: [0, prng.between(gapMs / 10, gapMs)], lastMs: [0, prng.between(20, lastMs)] };
}

export function drawOptions(prng: Prng, wanted: EngineName | undefined): RunOptions {
  const drawn: EngineName = prng.chance(3, 5) ? 'pbft' : 'vr';
  const engine = wanted ?? drawn;
  const maybe = <T>(oneIn: number, draw: () => T): T | undefined =>
    prng.chance(1, oneIn) ? draw() : undefined;
  const faults = prng.pick(engine === 'pbft' ? [1, 1, 1, 1, 2, 2, 3] : [1, 1, 1, 2, 2]) ?? 1;
  const vr = drawVr(prng);
  const isByzantine = engine === 'pbft';
  const faulty = isByzantine ? (prng.pick([0, faults, faults, faults]) ?? 0) : 0;
  const twins = faulty > 0 && prng.chance(1, 5) ? 1 : 0;
  const diskLosses = isByzantine
    ? faulty > twins && prng.chance(1, 4)
      ? 1
      : 0
    : prng.chance(1, 6)
      ? 1
      : 0;
  const isCalm = prng.chance(1, 6);
  const drawnMix = bounded(drawFaults(prng));
  const faultMix = restrained(isCalm ? calm(drawnMix) : drawnMix, engine, vr);
  const forgets = engine === 'vr' && vr.mode === 'view';
  const options: Omit<RunOptions, 'pageRots' | 'wipes'> = {
    engine,
    faults,
    pbft: engine === 'pbft' ? drawPbft(prng) : {},
    vr: engine === 'vr' ? vr : {},
    liars: Array.from({ length: Math.max(0, faulty - twins - diskLosses) }, () => drawLies(prng)),
    twins,
    diskLosses: isByzantine || !forgets ? diskLosses : 0,
    hasInput: prng.chance(1, 3),
    clients: prng.between(1, 4),
    concurrency: prng.pick([1, 1, 2, 4]) ?? 1,
    operations: prng.pick([20, 60, 60, 150]) ?? 60,
    mix: {
      get: prng.between(0, 6),
      orderedGet: prng.between(0, 1),
      put: prng.between(1, 8),
      delete: prng.between(0, 1),
      swap: prng.between(0, 3),
      scan: prng.between(0, 1),
    },
    keys: prng.pick([1, 2, 2, 8]) ?? 2,
    valueBytes: [12, prng.pick([20, 20, 300, 3_000]) ?? 20],
    thinkMs: [0, prng.pick([1, 20, 200]) ?? 1],
    timeoutMs: prng.pick([2_000, 5_000, 20_000]) ?? 5_000,
    clientCrashes: maybe(3, () => spells(prng, 5_000, 1_000)),
    primaryTroubles: forgets ? undefined : maybe(2, () => spells(prng, 6_000, 2_500)),
    blackouts: forgets ? undefined : maybe(5, () => spells(prng, 6_000, 1_000)),
    carefulCrashes: forgets ? spells(prng, 3_000, 1_000) : undefined,
    unavailableMax: prng.between(1, membersOf(engine, faults)),
    faultMix,
    safetyMs: prng.pick([4_000, 10_000, 25_000]) ?? 10_000,
  };
  // Drawn last: runs without it are those of before there was any.
  const spare = forgets ? 0 : faults - faulty - options.diskLosses * (isByzantine ? 0 : 1);
  const pageRots =
    spare > 0 && prng.chance(isByzantine ? 1 : 2, isByzantine ? 2 : 3) ? prng.between(1, spare) : 0;
  const rest = isByzantine ? spare - pageRots : 0;
  const wipes = rest > 0 && prng.chance(3, 4) ? prng.between(1, rest) : 0;
  const diskLag = maybe(4, () => ({
    oneIn: prng.pick([1, 3, 10]) ?? 1,
    delayUs: [1_000, prng.pick([50_000, 300_000, 2_000_000]) ?? 50_000] as const,
  }));
  const recoveries = isByzantine ? maybe(4, () => spells(prng, 4_000, 1_000)) : undefined;
  const inherits = prng.chance(1, 4);
  const liars = options.liars.map((lies) => {
    if (!prng.chance(1, 4)) return lies;
    const lie = prng.pick(lostDiskLieNames) ?? 'losing';
    return prng.chance(1, 2) ? [lie] : [...lies, lie];
  });
  // Few runs would have any otherwise: some of the liars are twins instead.
  const [former, ...others] = liars;
  const runsTwice = twins === 0 && former !== undefined && prng.chance(2, 5);
  return {
    ...options,
    ...(runsTwice ? { liars: others, twins: 1 } : { liars }),
    pageRots,
    wipes,
    faultMix: { ...faultMix, ...(diskLag === undefined ? {} : { diskLag }) },
    ...(recoveries === undefined ? {} : { recoveries }),
    ...(inherits ? { inherits } : {}),
  };
}

function drawPbft(prng: Prng): Partial<PbftParameters> {
  const checkpointInterval = prng.pick([1, 2, 4, 8, 16]) ?? 4;
  return {
    checkpointInterval,
    window: checkpointInterval * (prng.pick([2, 2, 4]) ?? 2),
    batchesInFlight: Math.min(2 * checkpointInterval, prng.pick([1, 2, 4]) ?? 2),
    batchRequests: prng.pick([1, 2, 8]) ?? 2,
    batchDelayMs: prng.pick([0, 5]) ?? 5,
    timeoutMs: prng.pick([150, 500, 1_000]) ?? 500,
    timeoutMsMax: 8_000,
    isTentative: prng.chance(1, 2),
    fullReplySizeBytesMax: prng.pick([0, 16, 256]) ?? 16,
  };
}

function drawVr(prng: Prng): Partial<VrParameters> & { readonly mode: 'full' | 'view' } {
  const leaseMs = prng.pick([0, 0, 100, 400]) ?? 0;
  const witnesses = prng.chance(1, 4);
  return {
    mode: witnesses || prng.chance(2, 3) ? 'full' : 'view',
    batchRequestsMax: prng.pick([1, 2, 8]) ?? 2,
    batchDelayMs: prng.pick([0, 5]) ?? 5,
    pipelineMax: prng.pick([1, 2, 8]) ?? 2,
    checkpointInterval: prng.pick([2, 4, 16]) ?? 4,
    intervalsKept: prng.pick([1, 2]) ?? 2,
    intervalsHeld: 2,
    heartbeatMs: 50,
    primaryTimeoutMs: prng.pick([200, 500]) ?? 500,
    requestTimeoutMs: prng.pick([400, 1_000]) ?? 1_000,
    viewChangeTimeoutMs: prng.pick([400, 1_000]) ?? 1_000,
    viewChangeTimeoutMaxMs: 8_000,
    leaseMs,
    clockDriftPpm: prng.pick([1_000, 100_000]) ?? 1_000,
    threeMessageWrites: prng.chance(1, 3),
    witnesses,
  };
}

/** Those of lost disks are drawn apart, so that the others are what they were before there were any. */
const firstLieNames = lieNames.filter((name) => !lostDiskLieNames.includes(name));

/** Mostly one lie for one liar, now and then several that take turns. */
function drawLies(prng: Prng): LieName[] {
  const count = prng.pick([1, 1, 2, 3]) ?? 1;
  return Array.from({ length: count }, () => prng.pick(firstLieNames) ?? 'silent');
}

/** Less of what makes a run long without making it richer. */
function bounded(mix: FaultMix): FaultMix {
  const [low, high] = mix.latencyUs;
  return { ...mix, latencyUs: [low, Math.min(high, 20_000)] };
}

/** No crashes, pauses, partitions or lost messages: only liars are left to explain what happens. */
export function calm(mix: FaultMix): FaultMix {
  const { latencyUs, inOrder, diskLatencyUs, diskStallOneIn, clockRatePpmMax } = mix;
  return { latencyUs, inOrder, diskLatencyUs, diskStallOneIn, clockRatePpmMax };
}

/** Practically never. */
const never = 2 ** 32;

/** What an engine's assumptions rule out: clocks that leases cannot bear, crashes that a memory cannot. */
function restrained(mix: FaultMix, engine: EngineName, vr: Partial<VrParameters>): FaultMix {
  if (engine === 'pbft') return mix;
  const { crashes, ...others } = mix;
  const kept = vr.mode === 'view' || crashes === undefined ? others : { ...others, crashes };
  if (vr.leaseMs === 0) return kept;
  const clockRatePpmMax = Math.min(mix.clockRatePpmMax, Math.floor((vr.clockDriftPpm ?? 0) / 2.2));
  const { pauses } = kept;
  if (pauses === undefined) return { ...kept, clockRatePpmMax };
  return { ...kept, clockRatePpmMax, pauses: { ...pauses, clockStopsOneIn: never } };
}

/** Nothing goes wrong by itself: the ground of directed scenarios. */
export function calmOptions(engine: EngineName, faults: number): RunOptions {
  return {
    engine,
    faults,
    pbft: { checkpointInterval: 4, window: 8, timeoutMs: 500, timeoutMsMax: 8_000 },
    vr: { checkpointInterval: 4, viewChangeTimeoutMs: 1_000, viewChangeTimeoutMaxMs: 8_000 },
    liars: [],
    twins: 0,
    diskLosses: 0,
    hasInput: false,
    clients: 0,
    concurrency: 1,
    operations: 0,
    mix: { get: 1, orderedGet: 0, put: 1, delete: 0, swap: 0, scan: 0 },
    keys: 2,
    valueBytes: [12, 20],
    thinkMs: [0, 1],
    timeoutMs: 5_000,
    unavailableMax: 0,
    faultMix: {
      latencyUs: [50, 500],
      inOrder: false,
      diskLatencyUs: [50, 300],
      diskStallOneIn: 0,
      clockRatePpmMax: 0,
    },
    safetyMs: 10_000,
    pageRots: 0,
    wipes: 0,
  };
}
