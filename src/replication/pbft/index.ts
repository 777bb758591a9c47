// The PBFT engine for `ReplicaHost`, and what goes with it.

import { type Acceptance, byzantineAcceptance } from '../acceptance.ts';
import type { ReplicaGroup } from '../contract.ts';

export type { MemberSigner, PbftOptions } from './core.ts';
export { savedEnding, verifyEnding } from './ending.ts';
export { createPbftEngine } from './engine.ts';
export { type EvidenceCode, type Verdict, verifyEvidence } from './evidence.ts';
export type { PbftParameters } from './parameters.ts';

/** When a client of a PBFT group believes replies. */
export function pbftAcceptance(group: ReplicaGroup): Acceptance {
  return byzantineAcceptance(group.faults);
}
