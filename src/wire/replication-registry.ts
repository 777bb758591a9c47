// Message numbers of the replication engines, apart from those of storage so that neither decodes what is the other's;
// the numbers are disjoint. Append only. 60 to 69: both engines, 70 to 89: PBFT, 90 to 109: Viewstamped Replication.

import type { Type, ValueOf } from '@chainsafe/ssz';
import type { Bytes } from '../base/bytes.ts';
import { limits } from './limits.ts';
import * as pbft from './pbft.ts';
import { decodeAs } from './registry.ts';
import * as shared from './replication.ts';
import * as vr from './vr.ts';

export const replicationRegistry = {
  submitRequest: { number: 60, type: shared.SubmitRequest },
  queryRequest: { number: 61, type: shared.QueryRequest },
  requestReply: { number: 62, type: shared.RequestReply },
  lastNumber: { number: 63, type: shared.LastNumber },
  lastNumberIs: { number: 64, type: shared.LastNumberIs },
  fetchState: { number: 65, type: shared.FetchState },
  statePart: { number: 66, type: shared.StatePart },
  prePrepare: { number: 70, type: pbft.PrePrepare },
  pbftPrepare: { number: 71, type: pbft.Vote },
  pbftCommit: { number: 72, type: pbft.Vote },
  committed: { number: 73, type: pbft.Committed },
  fetchBody: { number: 74, type: pbft.FetchBody },
  body: { number: 75, type: pbft.Body },
  checkpoint: { number: 76, type: pbft.CheckpointVote },
  stableCheckpoint: { number: 77, type: pbft.StableCheckpoint },
  viewChange: { number: 78, type: pbft.ViewChange },
  newView: { number: 79, type: pbft.NewView },
  fetchViewChanges: { number: 80, type: pbft.FetchViewChanges },
  pbftStatus: { number: 81, type: pbft.PbftStatus },
  newKey: { number: 82, type: pbft.NewKey },
  queryStable: { number: 83, type: pbft.QueryStable },
  replyStable: { number: 84, type: pbft.ReplyStable },
  vrPrepare: { number: 90, type: vr.VrPrepare },
  vrPrepareOk: { number: 91, type: vr.VrPrepareOk },
  vrCommit: { number: 92, type: vr.VrCommit },
  vrStartViewChange: { number: 93, type: vr.VrStartViewChange },
  vrDoViewChange: { number: 94, type: vr.VrDoViewChange },
  vrStartView: { number: 95, type: vr.VrStartView },
  vrGetState: { number: 96, type: vr.VrGetState },
  vrNewState: { number: 97, type: vr.VrNewState },
  vrRecovery: { number: 98, type: vr.VrRecovery },
  vrRecoveryResponse: { number: 99, type: vr.VrRecoveryResponse },
  vrLeaseRequest: { number: 100, type: vr.VrLeaseRequest },
  vrLeaseGrant: { number: 101, type: vr.VrLeaseGrant },
  vrHello: { number: 102, type: vr.VrHello },
} as const;

export type ReplicationMessageName = keyof typeof replicationRegistry;
export type ReplicationMessageValue<Name extends ReplicationMessageName> = ValueOf<
  (typeof replicationRegistry)[Name]['type']
>;
/** One decoded message: its name decides its value's type. */
export type ReplicationMessage = {
  [Name in ReplicationMessageName]: {
    readonly name: Name;
    readonly value: ReplicationMessageValue<Name>;
  };
}[ReplicationMessageName];

const names = new Map<number, ReplicationMessageName>(
  Object.entries(replicationRegistry).map(([name, { number }]) => [
    number,
    name as ReplicationMessageName,
  ]),
);

/** Names of all messages, by ascending number. */
export const replicationMessageNames: readonly ReplicationMessageName[] = [...names.values()];

export function replicationMessageNumber(name: ReplicationMessageName): number {
  return replicationRegistry[name].number;
}

export function replicationMessageName(number: number): ReplicationMessageName | undefined {
  return names.get(number);
}

const clientNumbers = new Set<number>(
  (['submitRequest', 'queryRequest', 'lastNumber'] as const).map(replicationMessageNumber),
);

/** As `replicationPayloadSizeBytesMax`, for who is no member: undefined for what only members have to say. */
export function clientPayloadSizeBytesMax(number: number): number | undefined {
  return clientNumbers.has(number) ? replicationPayloadSizeBytesMax(number) : undefined;
}

/** The largest payload of a message type; undefined for an unknown number. */
export function replicationPayloadSizeBytesMax(number: number): number | undefined {
  const name = names.get(number);
  return name === undefined
    ? undefined
    : Math.min(replicationRegistry[name].type.maxSize, limits.replicationMessageSizeBytesMax);
}

export function encodeReplicationMessage<Name extends ReplicationMessageName>(
  name: Name,
  value: ReplicationMessageValue<Name>,
): Bytes {
  const type: Type<unknown> = replicationRegistry[name].type;
  return type.serialize(value);
}

/** The message, or undefined when the bytes are not exactly the canonical encoding of one. Never throws. */
export function decodeReplicationMessage(
  number: number,
  payload: Bytes,
): ReplicationMessage | undefined {
  const name = names.get(number);
  if (name === undefined) return undefined;
  if (payload.length > (replicationPayloadSizeBytesMax(number) ?? 0)) return undefined;
  const type: { deserialize(bytes: Bytes): unknown } = replicationRegistry[name].type;
  const value = decodeAs(type, payload);
  // The registry ties name and type together; the compiler cannot follow that through the look-up.
  return value === undefined ? undefined : ({ name, value } as ReplicationMessage);
}
