// What a member or client provably did wrong: signed statements that no correct one makes together. Votes on channels
// prove nothing to others; they are only counted.

import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { SignatureScheme } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import {
  CheckpointVote,
  EvidenceProof,
  NewView,
  ViewChange,
  type ViewChangeStatement,
} from '../../wire/pbft.ts';
import { decodeAs } from '../../wire/registry.ts';
import { SignedRequest } from '../../wire/replication.ts';
import type { Evidence, ReplicaGroup } from '../contract.ts';
import { RequestVerifier } from '../requests.ts';
import { newViewFault, newViewRefutation } from './decision.ts';
import { pbftRules } from './rules.ts';
import { newViewDigest, Statements, viewChangeDigest } from './statements.ts';

const kinds = {
  'checkpoint-contradiction': 1,
  'view-change-contradiction': 2,
  'new-view-contradiction': 3,
  'new-view-refuted': 4,
  'request-contradiction': 5,
} as const;

export type EvidenceCode = keyof typeof kinds;

const codes = new Map<number, EvidenceCode>(
  Object.entries(kinds).map(([code, kind]) => [kind, code as EvidenceCode]),
);

/** Evidence without what is the same in all of an instance. */
export type Charge = Omit<Evidence, 'genesis'>;

function evidenceOf(code: EvidenceCode, accused: Bytes, statements: Bytes[]): Charge {
  return { code, accused, proof: EvidenceProof.serialize({ kind: kinds[code], statements }) };
}

/** Two roots by one member at one sequence. */
export function contradictingCheckpoints(
  accused: Bytes,
  a: CheckpointVote,
  b: CheckpointVote,
): Charge {
  return evidenceOf('checkpoint-contradiction', accused, [
    CheckpointVote.serialize(a),
    CheckpointVote.serialize(b),
  ]);
}

/** Two VIEW-CHANGEs by one member for one view. */
export function contradictingViewChanges(accused: Bytes, a: ViewChange, b: ViewChange): Charge {
  return evidenceOf('view-change-contradiction', accused, [
    ViewChange.serialize(a),
    ViewChange.serialize(b),
  ]);
}

/** Two NEW-VIEWs of one view. */
export function contradictingNewViews(accused: Bytes, a: NewView, b: NewView): Charge {
  return evidenceOf('new-view-contradiction', accused, [
    NewView.serialize(a),
    NewView.serialize(b),
  ]);
}

/** A NEW-VIEW that the VIEW-CHANGEs it names do not allow; none of these if it is wrong by itself. */
export function refutedNewView(
  accused: Bytes,
  newView: NewView,
  viewChanges: readonly ViewChange[],
): Charge {
  return evidenceOf('new-view-refuted', accused, [
    NewView.serialize(newView),
    ...viewChanges.map((viewChange) => ViewChange.serialize(viewChange)),
  ]);
}

/** Two requests of one client under one number. */
export function contradictingRequests(accused: Bytes, a: SignedRequest, b: SignedRequest): Charge {
  return evidenceOf('request-contradiction', accused, [
    SignedRequest.serialize(a),
    SignedRequest.serialize(b),
  ]);
}

export interface Verdict {
  readonly code: EvidenceCode;
  /** The public key that signed what contradicts. */
  readonly accused: Bytes;
}

/**
 * Whether evidence proves what it says, judged from nothing but the group and the bytes.
 * @param genesis root of checkpoint 0, which VIEW-CHANGEs before the first stable checkpoint rest on.
 */
export function verifyEvidence(
  proof: Bytes,
  group: ReplicaGroup,
  scheme: SignatureScheme,
  genesis: Bytes,
): Verdict | undefined {
  const decoded = decodeAs(EvidenceProof, proof);
  const code = codes.get(decoded?.kind ?? 0);
  if (decoded === undefined || code === undefined) return undefined;
  const check = new Statements(group, scheme, limits.pbftWindowMax, genesis);
  const accused = judges[code](decoded.statements, group, check, scheme);
  return accused === undefined ? undefined : { code, accused };
}

type Judge = (
  statements: readonly Bytes[],
  group: ReplicaGroup,
  check: Statements,
  scheme: SignatureScheme,
) => Bytes | undefined;

const judges: Record<EvidenceCode, Judge> = {
  'checkpoint-contradiction': (statements, group, check) => {
    const [a, b] = decodePair(CheckpointVote, statements);
    if (a === undefined || b === undefined) return undefined;
    if (a.replica !== b.replica || a.sequence !== b.sequence) return undefined;
    if (equalBytes(a.root, b.root) && a.isFinal === b.isFinal) return undefined;
    if (!check.isCheckpointVote(a) || !check.isCheckpointVote(b)) return undefined;
    return memberOf(group, a.instance, b.instance, a.replica);
  },
  'view-change-contradiction': (statements, group, check) => {
    const [a, b] = decodePair(ViewChange, statements);
    if (a === undefined || b === undefined) return undefined;
    const [digestA, digestB] = [viewChangeDigest(a.statement), viewChangeDigest(b.statement)];
    if (a.statement.replica !== b.statement.replica) return undefined;
    if (a.statement.view !== b.statement.view || equalBytes(digestA, digestB)) return undefined;
    // Who has lost its disk may leave a view again.
    if (a.statement.forgotten !== b.statement.forgotten) return undefined;
    if (!check.isViewChange(a, digestA) || !check.isViewChange(b, digestB)) return undefined;
    return memberOf(group, a.instance, b.instance, a.statement.replica);
  },
  'new-view-contradiction': (statements, group, check) => {
    const [a, b] = decodePair(NewView, statements);
    if (a === undefined || b === undefined || a.statement.view !== b.statement.view) {
      return undefined;
    }
    const [digestA, digestB] = [newViewDigest(a.statement), newViewDigest(b.statement)];
    if (equalBytes(digestA, digestB)) return undefined;
    if (!check.isNewView(a, digestA) || !check.isNewView(b, digestB)) return undefined;
    return memberOf(group, a.instance, b.instance, a.statement.view % group.members.length);
  },
  'new-view-refuted': judgeNewView,
  'request-contradiction': (statements, group, _check, scheme) => {
    const [a, b] = decodePair(SignedRequest, statements);
    if (a === undefined || b === undefined) return undefined;
    const verifier = new RequestVerifier(scheme, group.instance);
    const [digestA, digestB] = [verifier.verify(a), verifier.verify(b)];
    if (digestA === undefined || digestB === undefined || equalBytes(digestA, digestB)) {
      return undefined;
    }
    const isOneRequest =
      a.request.number === b.request.number && equalBytes(a.request.client, b.request.client);
    return isOneRequest ? a.request.client : undefined;
  },
};

function judgeNewView(
  statements: readonly Bytes[],
  group: ReplicaGroup,
  check: Statements,
): Bytes | undefined {
  const newView = decodeAs(NewView, statements[0] ?? new Uint8Array(0));
  if (newView === undefined) return undefined;
  const { statement, instance } = newView;
  if (!check.isNewView(newView, newViewDigest(statement))) return undefined;
  const accused = memberOf(group, instance, instance, statement.view % group.members.length);
  if (newViewFault(statement, group.members.length, group.faults, pbftRules) !== undefined) {
    return accused;
  }
  if (statements.length !== statement.viewChanges.length + 1) return undefined;
  const set: ViewChangeStatement[] = [];
  for (let i = 0; i < statement.viewChanges.length; i++) {
    const reference = statement.viewChanges[i];
    const viewChange = decodeAs(ViewChange, statements[i + 1] ?? new Uint8Array(0));
    if (viewChange === undefined || reference === undefined) return undefined;
    const digest = viewChangeDigest(viewChange.statement);
    if (!equalBytes(digest, reference.digest)) return undefined;
    if (viewChange.statement.replica !== reference.replica) return accused;
    if (!equalBytes(viewChange.instance, instance)) return undefined;
    if (!check.isViewChange(viewChange, digest)) return undefined;
    set.push(viewChange.statement);
  }
  const refutation = newViewRefutation(statement, set, group.faults, pbftRules);
  return refutation === undefined ? undefined : accused;
}

function decodePair<T>(
  type: { deserialize(bytes: Bytes): T },
  statements: readonly Bytes[],
): [T | undefined, T | undefined] {
  const [a, b] = statements;
  if (a === undefined || b === undefined || statements.length !== 2) return [undefined, undefined];
  return [decodeAs(type, a), decodeAs(type, b)];
}

/** The accused, if both statements were made in this group. */
function memberOf(group: ReplicaGroup, a: Bytes, b: Bytes, replica: number): Bytes | undefined {
  const isHere = equalBytes(a, group.instance) && equalBytes(b, group.instance);
  return isHere ? group.members[replica] : undefined;
}
