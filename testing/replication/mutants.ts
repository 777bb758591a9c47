// Known-broken variants of the engines and of what is around them.

import type { EngineName } from './options.ts';
import type { Parts } from './parts.ts';

export interface Mutant {
  readonly parts: Parts;
  readonly engine: EngineName;
  /** Where it is caught; undefined: in drawn runs. */
  readonly scenario?: string;
  /** Within so many seeds, from 1 on. */
  readonly seeds: number;
}

export const mutants: ReadonlyMap<string, Mutant> = new Map();
