// Known-broken variants of the engines and of what is around them, by name: the campaign must find each of them.

import { aroundMutants } from './around.ts';
import type { Mutant } from './mutant.ts';
import { pbftMutants } from './pbft.ts';
import { vrMutants } from './vr.ts';

export type { Mutant } from './mutant.ts';

export const mutants: ReadonlyMap<string, Mutant> = new Map(
  Object.entries({ ...pbftMutants, ...vrMutants, ...aroundMutants }),
);
