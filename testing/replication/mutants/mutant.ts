// What a known-broken variant is.

import type { Effects, Engine, Send } from '../../../src/replication/contract.ts';
import type { PbftRules } from '../../../src/replication/pbft/rules.ts';
import type { VrRules } from '../../../src/replication/vr/rules.ts';
import type { EngineName, RunOptions } from '../options.ts';
import { correctParts, type Parts } from '../parts.ts';

export interface Mutant {
  readonly what: string;
  readonly parts: Parts;
  readonly engine: EngineName;
  /** Where it is caught; undefined: in drawn runs. */
  readonly scenario?: string;
  /** Makes drawn runs such as the variant matters in. */
  readonly adjust?: (options: RunOptions) => RunOptions;
}

export type Where = Pick<Mutant, 'scenario' | 'adjust'>;

export function pbftMutant(what: string, rules: Partial<PbftRules>, where: Where = {}): Mutant {
  const parts = { ...correctParts, pbftRules: { ...correctParts.pbftRules, ...rules } };
  return { what, parts, engine: 'pbft', ...where };
}

export function vrMutant(what: string, rules: Partial<VrRules>, where: Where): Mutant {
  const parts = { ...correctParts, vrRules: { ...correctParts.vrRules, ...rules } };
  return { what, parts, engine: 'vr', ...where };
}

export function partMutant(
  engine: EngineName,
  what: string,
  parts: Partial<Parts>,
  where: Where,
): Mutant {
  return { what, parts: { ...correctParts, ...parts }, engine, ...where };
}

/** The engine, with what it wants done changed. */
export function withEffects(engine: Engine, change: (effects: Effects) => Effects): Engine {
  return {
    handle: (event, nowMs) => change(engine.handle(event, nowMs)),
    isCurrent: (view) => engine.isCurrent(view),
    status: () => engine.status(),
    ending: () => engine.ending(),
  };
}

export function urgently(send: Send): Send {
  return { ...send, isUrgent: true };
}
