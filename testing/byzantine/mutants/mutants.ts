// Known-broken variants of our own code, by name. The campaign must catch each of them.

import type { Parts } from '../../harness/parts.ts';

export interface Mutant {
  readonly about: string;
  /** A fresh set: mutants may remember things during a run. */
  parts(): Parts;
  /** The scenario that shows it; absent where drawn runs do. */
  readonly scenario?: string;
  /** So many seeds, from 1 on, are enough to catch it. */
  readonly seeds: number;
}

export const mutants: ReadonlyMap<string, Mutant> = new Map<string, Mutant>();
