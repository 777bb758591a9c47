// What a run is made of. The seed draws all of it, each feature in a part of the runs only, so that the campaign also
// sees runs in which one fault is not hidden behind another. Options are plain data, printed as one line.

import type { Prng } from '../../src/base/prng.ts';
import { limits } from '../../src/wire/limits.ts';
import { type LieName, lieNames } from '../byzantine/lies.ts';
import { drawFaults, type FaultMix, type Span, type Spells } from '../simulator/fault-mix.ts';

export interface OperationMix {
  readonly read: number;
  readonly write: number;
  readonly writeAlone: number;
  readonly put: number;
  readonly get: number;
}

export interface DiskFaults {
  /** A whole disk is lost and replaced. */
  readonly losses?: Spells | undefined;
  /** An old copy of a whole disk comes back. */
  readonly returns?: Spells | undefined;
  /** Values rot where another intact copy of a finished version exists: what a server must find and mend by itself. */
  readonly rot?: Spells | undefined;
  /** Anything at all rots, keys and the server's own notes included: makes the server one of the faulty ones. */
  readonly decay?: Spells | undefined;
  /** Writes and syncs fail. */
  readonly failures?: Spells | undefined;
  /** No room is left. */
  readonly fillings?: Spells | undefined;
}

export interface RunOptions {
  readonly faults: number;
  readonly servers: number;
  /** At most so many liars; fewer where groups would get too many. Each has some lies that take turns. */
  readonly liars: readonly (readonly LieName[])[];
  readonly collude: boolean;
  readonly clients: number;
  /** Operations that one client has under way at a time. */
  readonly concurrency: number;
  readonly operations: number;
  readonly operationMix: OperationMix;
  readonly objects: number;
  readonly blocks: number;
  readonly valueBytes: Span;
  /** One value in so many is above the inline limit; 0 for none. */
  readonly largeOneIn: number;
  readonly thinkMs: Span;
  readonly timeoutMs: number;
  /** A client dies and comes back. */
  readonly clientCrashes?: Spells | undefined;
  /** A writer reaches some servers only, and dies. */
  readonly unfinishedWrites?: Spells | undefined;
  /** Somebody used up the counters of an object. */
  readonly exhaustedCounter: boolean;
  /** Servers, as many as may be faulty, hear nothing from clients for a while: quorums become tight. */
  readonly absences?: Spells | undefined;
  /** All servers lose power at once. */
  readonly blackouts?: Spells | undefined;
  readonly scrubIntervalMs: number;
  readonly unavailableMax: number;
  readonly faultMix: FaultMix;
  readonly diskFaults: DiskFaults;
  readonly realSignatures: boolean;
  readonly safetyMs: number;
}

export function drawOptions(prng: Prng): RunOptions {
  const maybe = <T>(of: number, draw: () => T): T | undefined =>
    prng.chance(1, of) ? draw() : undefined;
  const spells = (gapMsMax: number, lastMsMax: number): Spells => ({
    gapMs: [100, prng.between(500, gapMsMax)],
    lastMs: [10, prng.between(20, lastMsMax)],
  });
  const faults = prng.chance(1, 4) ? 2 : 1;
  const servers = 3 * faults + 1 + (prng.chance(1, 3) ? prng.between(1, faults === 1 ? 4 : 1) : 0);
  // With fewer liars than a system bears there is room for disks that are lost.
  const liarsMax = prng.pick([0, 1, servers, servers, servers]) ?? 0;
  const faultMix = prng.chance(1, 8) ? calm(drawFaults(prng)) : drawFaults(prng);
  return {
    faults,
    servers,
    liars: Array.from({ length: liarsMax }, () => drawLies(prng)),
    collude: prng.chance(1, 2),
    clients: prng.between(1, 4),
    concurrency: prng.pick([1, 1, 2, 4]) ?? 1,
    operations: prng.pick([20, 60, 60, 150]) ?? 60,
    operationMix: {
      read: prng.between(1, 10),
      write: prng.between(0, 8),
      writeAlone: prng.between(0, 4),
      put: prng.between(0, 4),
      get: prng.between(0, 4),
    },
    objects: prng.pick([1, 1, 2, 5]) ?? 1,
    blocks: prng.pick([1, 3, 10]) ?? 3,
    valueBytes: [0, prng.pick([40, 40, 400, 5_000]) ?? 40],
    largeOneIn: prng.pick([0, 0, 0, 20, 5]) ?? 0,
    thinkMs: [0, prng.pick([1, 20, 300]) ?? 1],
    timeoutMs: prng.pick([500, 5_000, 20_000]) ?? 5_000,
    clientCrashes: maybe(3, () => spells(5_000, 1_000)),
    unfinishedWrites: maybe(2, () => spells(3_000, 500)),
    exhaustedCounter: prng.chance(1, 10),
    absences: maybe(2, () => ({
      gapMs: [0, prng.between(1, 50)],
      lastMs: [1, prng.between(1, 200)],
    })),
    blackouts: maybe(4, () => spells(4_000, 1_000)),
    scrubIntervalMs: prng.pick([300, 3_000, 60_000]) ?? 3_000,
    unavailableMax: prng.between(1, servers),
    faultMix,
    diskFaults: {
      losses: maybe(4, () => spells(8_000, 1_000)),
      returns: maybe(6, () => spells(8_000, 1_000)),
      rot: maybe(4, () => spells(3_000, 500)),
      decay: maybe(8, () => spells(8_000, 500)),
      failures: maybe(8, () => spells(5_000, 1_000)),
      fillings: maybe(8, () => spells(5_000, 1_000)),
    },
    realSignatures: prng.chance(1, 50),
    safetyMs: prng.pick([5_000, 15_000, 40_000]) ?? 15_000,
  };
}

/** Mostly one lie for one liar, now and then several that take turns. */
function drawLies(prng: Prng): LieName[] {
  const count = prng.pick([1, 1, 1, 2, 3]) ?? 1;
  return Array.from({ length: count }, () => prng.pick(lieNames) ?? 'mixed');
}

/** No crashes, pauses, partitions or lost messages: only liars and disks are left to explain what happens. */
function calm({
  latencyUs,
  inOrder,
  diskLatencyUs,
  diskStallOneIn,
  clockRatePpmMax,
}: FaultMix): FaultMix {
  return { latencyUs, inOrder, diskLatencyUs, diskStallOneIn, clockRatePpmMax };
}

export const largeValueBytes: Span = [
  limits.inlineSizeBytesMax - 2,
  limits.inlineSizeBytesMax + 20_000,
];

/** All options on one line. */
export function optionsLine(options: RunOptions): string {
  return JSON.stringify(options);
}
