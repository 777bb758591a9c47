// Every lie by its name.

import { lostDiskLies } from './lost-disks.ts';
import type { LieMaker } from './lying-engine.ts';
import { orderingLies } from './ordering.ts';
import { replyingLies } from './replying.ts';
import { viewChangeLies } from './view-changes.ts';

const makers = {
  ...orderingLies,
  ...viewChangeLies,
  ...replyingLies,
  ...lostDiskLies,
} satisfies Record<string, LieMaker>;

export type LieName = keyof typeof makers;

export const lieNames = Object.keys(makers) as LieName[];

export const lostDiskLieNames = Object.keys(lostDiskLies) as LieName[];

export function lieMaker(name: LieName): LieMaker {
  return makers[name];
}
