// The end of an instance as a third party sees it: the final checkpoint with the signatures that make it stable.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { SignatureScheme } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import { Certificate } from '../../wire/pbft.ts';
import { decodeAs } from '../../wire/registry.ts';
import type { EngineEnding, ReplicaGroup, Restored } from '../contract.ts';
import { PagedState } from '../pages.ts';
import { decodeRecord } from './records.ts';
import { Statements } from './statements.ts';

/**
 * What a proof of `EngineEnding` says, judged from nothing but the group and the bytes.
 * @returns undefined unless 2f+1 members have signed that the instance ended with this state.
 */
export function verifyEnding(
  proof: Bytes,
  group: ReplicaGroup,
  scheme: SignatureScheme,
): Pick<EngineEnding, 'sequence' | 'root'> | undefined {
  const certificate = decodeAs(Certificate, proof);
  // Checkpoint 0 needs no signatures, but ends nothing.
  if (certificate?.isFinal !== 1 || certificate.sequence === 0) return undefined;
  const check = new Statements(group, scheme, limits.pbftWindowMax, certificate.root);
  if (!check.isCertificate(certificate)) return undefined;
  const { sequence, root } = certificate;
  return { sequence, root };
}

/**
 * The ending that a disk holds, whose replica is not running.
 * @returns undefined unless the final state was saved there, whole, together with a proof of it.
 */
export function savedEnding(
  { checkpoint, records }: Restored,
  group: ReplicaGroup,
  scheme: SignatureScheme,
): EngineEnding | undefined {
  if (checkpoint === undefined) return undefined;
  const { state } = PagedState.sift(checkpoint.pages);
  for (const bytes of records) {
    const record = decodeRecord(bytes);
    if (record?.name !== 'stable' || record.value.isFinal !== 1) continue;
    const proof = Certificate.serialize(record.value);
    const proved = verifyEnding(proof, group, scheme);
    if (proved === undefined || !equalBytes(state.rootNow(), proved.root)) continue;
    return { ...proved, proof, pages: state.frozenPages() };
  }
  return undefined;
}
