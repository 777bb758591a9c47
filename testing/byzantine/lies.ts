// All lies by name. To add one: write it in lies/, name it here; campaigns draw it from then on.

import type { LieMaker } from './liar.ts';
import * as falsifying from './lies/falsifying.ts';
import * as pestering from './lies/pestering.ts';
import * as withholding from './lies/withholding.ts';

const single = {
  silent: withholding.silent,
  picky: withholding.picky,
  forgetful: withholding.forgetful,
  denying: withholding.denying,
  'forgetting-all': withholding.forgettingAll,
  'block-denying': withholding.blockDenying,
  stale: withholding.stale,
  'headers-only': withholding.headersOnly,
  grudging: withholding.grudging,
  equivocating: withholding.equivocating,
  wavering: withholding.wavering,
  'wrong-bytes': falsifying.wrongBytes,
  forging: falsifying.forging,
  replaying: falsifying.replaying,
  'epoch-claiming': falsifying.epochClaiming,
  refusing: falsifying.refusing,
  confusing: falsifying.confusing,
  reflecting: falsifying.reflecting,
  slow: pestering.slow,
  flooding: pestering.flooding,
  impersonating: pestering.impersonating,
  'list-lying': pestering.listLying,
} as const satisfies Record<string, LieMaker>;

export type LieName = keyof typeof single | 'mixed';

/** `mixed` draws a new lie for every message. */
export const lieNames: readonly LieName[] = [
  ...(Object.keys(single) as LieName[]),
  'mixed',
  'mixed',
];

/** The lies that take turns under a name. */
export function lieMakers(name: LieName): readonly LieMaker[] {
  return name === 'mixed' ? Object.values(single) : [single[name]];
}
