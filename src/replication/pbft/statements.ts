// What members sign, and whether it is right. Verifying is dear: everything cheap is checked before, and what was found
// right is remembered.

import {
  type Bytes,
  compareBytes,
  concatBytes,
  equalBytes,
  mapKey,
  uint64Bytes,
} from '../../base/bytes.ts';
import { signedBytes } from '../../crypto/domains.ts';
import { taggedHash } from '../../crypto/hash.ts';
import type { SignatureScheme } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import {
  type Certificate,
  Certificate as CertificateType,
  type CheckpointVote,
  type NewKey,
  type NewView,
  type NewViewStatement,
  NewViewStatement as NewViewStatementType,
  type PlacedDigest,
  type ViewChange,
  type ViewChangeStatement,
  ViewChangeStatement as ViewChangeStatementType,
} from '../../wire/pbft.ts';
import type { ReplicaGroup } from '../contract.ts';

interface CheckpointClaim {
  readonly sequence: number;
  readonly root: Bytes;
  readonly isFinal: number;
}

/** The same bytes for every member: who signed stays outside. */
export function checkpointBytes(
  instance: Bytes,
  { sequence, root, isFinal }: CheckpointClaim,
): Bytes {
  const body = concatBytes(root, Uint8Array.of(isFinal));
  return signedBytes({ purpose: 'checkpoint', system: instance, scope: sequence, body });
}

export function viewChangeDigest(statement: ViewChangeStatement): Bytes {
  return taggedHash('pbft-view-change', ViewChangeStatementType.serialize(statement));
}

/** Encoded size of a VIEW-CHANGE, near enough to bound what is sent. */
export function viewChangeSizeBytes({ statement }: ViewChange): number {
  const { certificate, prepared, accepted } = statement;
  const entries = prepared.length + accepted.length;
  return 256 + 66 * certificate.signatures.length + 48 * entries;
}

export function viewChangeBytes(instance: Bytes, view: number, digest: Bytes): Bytes {
  return signedBytes({ purpose: 'view-change', system: instance, scope: view, body: digest });
}

export function newViewDigest(statement: NewViewStatement): Bytes {
  return taggedHash('pbft-new-view', NewViewStatementType.serialize(statement));
}

export function newViewBytes(instance: Bytes, view: number, digest: Bytes): Bytes {
  return signedBytes({ purpose: 'new-view', system: instance, scope: view, body: digest });
}

export function newKeyBytes(
  instance: Bytes,
  { replica, counter, forgotten }: Omit<NewKey, 'instance' | 'signature'>,
): Bytes {
  const body = concatBytes(Uint8Array.of(replica >>> 8, replica & 255), uint64Bytes(forgotten));
  return signedBytes({ purpose: 'new-key', system: instance, scope: counter, body });
}

/** Certificates found right that are remembered: the members of a group have few different ones at a time. */
const rememberedMax = 64;

/** Checks signed statements of a group's members; the same code serves the replica and whoever looks at evidence. */
export class Statements {
  readonly #group: ReplicaGroup;
  readonly #scheme: SignatureScheme;
  readonly #window: number;
  readonly #genesis: Bytes;
  readonly #certificates = new Set<string>();

  /**
   * @param window L; claims beyond it are no statements. `limits.pbftWindowMax` where it is not known.
   * @param genesis root of checkpoint 0.
   */
  constructor(group: ReplicaGroup, scheme: SignatureScheme, window: number, genesis: Bytes) {
    this.#group = group;
    this.#scheme = scheme;
    this.#window = window;
    this.#genesis = genesis;
  }

  isCheckpointVote(vote: CheckpointVote): boolean {
    const message = checkpointBytes(this.#group.instance, vote);
    return this.#isSigned(vote.replica, message, vote.signature);
  }

  /** 2f+1 distinct members, ascending, over the same statement; checkpoint 0 needs none. */
  isCertificate(certificate: Certificate): boolean {
    const { sequence, root, isFinal, signatures } = certificate;
    if (isFinal > 1) return false;
    if (sequence === 0) {
      return isFinal === 0 && signatures.length === 0 && equalBytes(root, this.#genesis);
    }
    if (signatures.length !== 2 * this.#group.faults + 1) return false;
    if (!signatures.every(({ replica }, i) => replica > (signatures[i - 1]?.replica ?? -1))) {
      return false;
    }
    const key = mapKey(CertificateType.serialize(certificate));
    if (this.#certificates.has(key)) return true;
    const message = checkpointBytes(this.#group.instance, certificate);
    for (const { replica, signature } of signatures) {
      if (!this.#isSigned(replica, message, signature)) return false;
    }
    if (this.#certificates.size >= rememberedMax) this.#certificates.clear();
    this.#certificates.add(key);
    return true;
  }

  /** What can be said about a VIEW-CHANGE without any signature. */
  isViewChangeShaped({
    replica,
    view,
    certificate,
    prepared,
    accepted,
  }: ViewChangeStatement): boolean {
    if (replica >= this.#group.members.length || view < 1) return false;
    const low = certificate.sequence;
    const isPlaced = ({ sequence, view: at }: PlacedDigest): boolean =>
      sequence > low && sequence <= low + this.#window && at < view;
    if (!prepared.every(isPlaced) || !accepted.every(isPlaced)) return false;
    for (let i = 1; i < prepared.length; i++) {
      if ((prepared[i] as PlacedDigest).sequence <= (prepared[i - 1] as PlacedDigest).sequence) {
        return false;
      }
    }
    return isAscending(accepted);
  }

  /** Shape, signature and certificate. @param digest of the statement, which the caller has anyway. */
  isViewChange({ statement, signature }: ViewChange, digest: Bytes): boolean {
    return (
      this.isViewChangeShaped(statement) &&
      this.#isSigned(
        statement.replica,
        viewChangeBytes(this.#group.instance, statement.view, digest),
        signature,
      ) &&
      this.isCertificate(statement.certificate)
    );
  }

  /** Signed by the view's primary over distinct members in order; whether its choices are right is another question. */
  isNewView({ statement, signature }: NewView, digest: Bytes): boolean {
    const { view } = statement;
    const primary = view % this.#group.members.length;
    return this.#isSigned(primary, newViewBytes(this.#group.instance, view, digest), signature);
  }

  isNewKey(message: NewKey): boolean {
    const bytes = newKeyBytes(this.#group.instance, message);
    return this.#isSigned(message.replica, bytes, message.signature);
  }

  #isSigned(replica: number, message: Bytes, signature: Bytes): boolean {
    const key = this.#group.members[replica];
    return key !== undefined && this.#scheme.verify(key, message, signature);
  }
}

/** By sequence, then digest, without a repetition, and not too many for one sequence. */
function isAscending(entries: readonly PlacedDigest[]): boolean {
  let atSequence = entries.length > 0 ? 1 : 0;
  for (let i = 1; i < entries.length; i++) {
    const [before, entry] = [entries[i - 1] as PlacedDigest, entries[i] as PlacedDigest];
    if (entry.sequence < before.sequence) return false;
    if (entry.sequence > before.sequence) {
      atSequence = 1;
      continue;
    }
    if (compareBytes(entry.digest, before.digest) <= 0) return false;
    atSequence += 1;
    if (atSequence > limits.acceptedDigestsMax) return false;
  }
  return true;
}
