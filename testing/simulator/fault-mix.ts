// Which faults a run has, and how strong. The seed draws the mix: each fault is in about half of the runs, so that the
// campaign also sees runs in which one fault is not hidden behind another. A mix is plain data, one line as JSON.

import type { Prng } from '../../src/base/prng.ts';
import {
  corrupt,
  delayRarely,
  delayUniform,
  duplicate,
  type FaultRule,
  lose,
  type Ratio,
  replay,
  reset,
} from './faults.ts';
import type { FabricOptions } from './network.ts';

/** Low and high bound, both included. */
export type Span = readonly [number, number];

/** Something that begins every so often, at random, and lasts a while. */
export interface Spells {
  /** Between the end of one and the next. */
  readonly gapMs: Span;
  readonly lastMs: Span;
}

export interface FaultMix {
  readonly latencyUs: Span;
  readonly inOrder: boolean;
  readonly lose?: Ratio;
  readonly reset?: Ratio;
  /** Dropped by authentication; what decoders make of flipped bits is a test of its own. */
  readonly corrupt?: Ratio;
  readonly duplicate?: { readonly ratio: Ratio; readonly copiesMax: number };
  readonly slow?: { readonly ratio: Ratio; readonly delayUs: Span };
  readonly replay?: Ratio;
  readonly crashes?: Spells & { readonly silentOneIn: number };
  readonly pauses?: Spells & { readonly clockStopsOneIn: number };
  readonly partitions?: Spells & { readonly oneWayOneIn: number };
  readonly diskLatencyUs: Span;
  /** One sync or write in so many stalls; 0 for none. */
  readonly diskStallOneIn: number;
  /** On each disk either the journal or the table is behind: one in so many syncs or writes takes so much longer. */
  readonly diskLag?: { readonly oneIn: number; readonly delayUs: Span };
  /** Clocks run up to so much too fast or too slow, in millionths. */
  readonly clockRatePpmMax: number;
}

export function drawFaults(prng: Prng): FaultMix {
  const maybe = <T>(draw: () => T): T | undefined => (prng.chance(1, 2) ? draw() : undefined);
  const rare = (ins: readonly number[]): Ratio => ({ of: 1, in: prng.pick(ins) ?? 100 });
  const spells = (): Spells => ({
    gapMs: [0, prng.between(500, 10_000)],
    lastMs: [0, prng.between(50, 5_000)],
  });
  const latencyLowUs = prng.between(1, 1000);
  const faults: { [Name in keyof FaultMix]: FaultMix[Name] | undefined } = {
    latencyUs: [latencyLowUs, latencyLowUs + prng.below(prng.pick([10, 1000, 50_000]) ?? 10)],
    inOrder: prng.chance(1, 3),
    lose: maybe(() => rare([3, 10, 50, 1000])),
    reset: maybe(() => rare([50, 500, 5000])),
    corrupt: maybe(() => rare([20, 200])),
    duplicate: maybe(() => ({ ratio: rare([1, 10, 100]), copiesMax: prng.between(1, 3) })),
    slow: maybe(() => ({
      ratio: rare([10, 100, 1000]),
      delayUs: [0, prng.pick([50_000, 1_000_000, 10_000_000]) ?? 0] as const,
    })),
    replay: maybe(() => rare([10, 100])),
    crashes: maybe(() => ({ ...spells(), silentOneIn: prng.between(1, 4) })),
    pauses: maybe(() => ({ ...spells(), clockStopsOneIn: prng.between(1, 4) })),
    partitions: maybe(() => ({ ...spells(), oneWayOneIn: prng.between(1, 3) })),
    diskLatencyUs: [10, prng.pick([100, 5_000, 100_000]) ?? 100],
    diskStallOneIn: prng.pick([0, 0, 20, 200]) ?? 0,
    clockRatePpmMax: prng.pick([0, 100, 10_000, 100_000]) ?? 0,
  };
  return withoutUndefined(faults);
}

function withoutUndefined(
  faults: { [Name in keyof FaultMix]: FaultMix[Name] | undefined },
): FaultMix {
  // Only the optional ones were drawn with `maybe`.
  return JSON.parse(JSON.stringify(faults)) as FaultMix;
}

/** What the network is made with under this mix. */
export function fabricOptions(mix: FaultMix): FabricOptions {
  return { latency: delayUniform(...mix.latencyUs), inOrder: mix.inOrder };
}

/** What happens to messages under this mix. */
export function messageRules(mix: FaultMix): FaultRule[] {
  const rules: FaultRule[] = [];
  if (mix.lose !== undefined) rules.push(lose(mix.lose));
  if (mix.reset !== undefined) rules.push(reset(mix.reset));
  if (mix.corrupt !== undefined) rules.push(corrupt(mix.corrupt, { bitsMax: 4, delivered: false }));
  if (mix.duplicate !== undefined) {
    rules.push(duplicate(mix.duplicate.ratio, mix.duplicate.copiesMax));
  }
  if (mix.slow !== undefined) rules.push(delayRarely(mix.slow.ratio, ...mix.slow.delayUs));
  if (mix.replay !== undefined) rules.push(replay(mix.replay, 200));
  return rules;
}

/** The rate of one node's clock under this mix. */
export function drawClockRatePpm(mix: FaultMix, prng: Prng): number {
  return prng.between(-mix.clockRatePpmMax, mix.clockRatePpmMax);
}
