// SSZ containers of PBFT, on the wire and in a replica's records. `replica` is an author's index in its group where the
// message is signed or kept; elsewhere the channel says who the author is.

import { ContainerType, ListBasicType, ListCompositeType, type ValueOf } from '@chainsafe/ssz';
import { limits } from './limits.ts';
import { AgreedInput, SignedRequest } from './replication.ts';
import { Bytes32, DataType, Signature, Uint8, Uint16, Uint64 } from './scalars.ts';

const Requests = new ListCompositeType(SignedRequest, limits.batchRequestsMax);

// ---- Normal case ----

/** The batch itself; its digest covers the requests' digests, in order, and `agreed`, but neither view nor sequence. */
export const PrePrepare = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  requests: Requests,
  agreed: AgreedInput,
  /** Which member each client asked for the whole result, for members that the request itself did not reach. */
  fullRepliers: new ListBasicType(Uint16, limits.batchRequestsMax),
});

/** PREPARE and COMMIT. */
export const Vote = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  digest: Bytes32,
});

/** The sender knows that this batch is committed. */
export const Committed = new ContainerType({
  instance: Bytes32,
  sequence: Uint64,
  digest: Bytes32,
});

export const FetchBody = new ContainerType({ instance: Bytes32, digest: Bytes32 });
export const Body = new ContainerType({
  instance: Bytes32,
  requests: Requests,
  agreed: AgreedInput,
});

// ---- Checkpoints ----

/** Signed: instance, sequence, root, whether it is the last one. */
export const CheckpointVote = new ContainerType({
  instance: Bytes32,
  replica: Uint16,
  sequence: Uint64,
  root: Bytes32,
  isFinal: Uint8,
  signature: Signature,
});

export const CheckpointSignature = new ContainerType({ replica: Uint16, signature: Signature });
/** Checkpoint 0 is proved by nothing: every member knows its root. Signatures ascend by replica. */
export const Certificate = new ContainerType({
  sequence: Uint64,
  root: Bytes32,
  isFinal: Uint8,
  signatures: new ListCompositeType(CheckpointSignature, limits.pbftMembersMax),
});
/** A stable checkpoint, for whom it is news. */
export const StableCheckpoint = new ContainerType({ instance: Bytes32, certificate: Certificate });

// ---- View changes ----

export const PlacedDigest = new ContainerType({ sequence: Uint64, digest: Bytes32, view: Uint64 });

export const ViewChangeStatement = new ContainerType({
  replica: Uint16,
  view: Uint64,
  /** As in the author's newest `NewKey`. */
  forgotten: Uint64,
  certificate: Certificate,
  /** P: ascending, one entry per sequence. */
  prepared: new ListCompositeType(PlacedDigest, limits.pbftWindowMax),
  /** Q: ascending by sequence, then digest. */
  accepted: new ListCompositeType(PlacedDigest, limits.pbftWindowMax * limits.acceptedDigestsMax),
});
export const ViewChange = new ContainerType({
  instance: Bytes32,
  statement: ViewChangeStatement,
  signature: Signature,
});

export const ViewChangeReference = new ContainerType({ replica: Uint16, digest: Bytes32 });
export const NewViewStatement = new ContainerType({
  view: Uint64,
  /** V, ascending by replica. */
  viewChanges: new ListCompositeType(ViewChangeReference, limits.pbftMembersMax),
  /** h*: the batches below follow it without a gap. */
  height: Uint64,
  /** X: digests of the batches height+1, height+2, … */
  batches: new ListCompositeType(Bytes32, limits.pbftWindowMax),
});
export const NewView = new ContainerType({
  instance: Bytes32,
  statement: NewViewStatement,
  signature: Signature,
});

export const FetchViewChanges = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  digests: new ListCompositeType(Bytes32, limits.pbftMembersMax),
});

// ---- Retransmission ----

/** What the sender has of one batch that it does not know to be committed. Bit i: the vote of member i is here. */
export const SlotStatus = new ContainerType({
  sequence: Uint64,
  isAccepted: Uint8,
  prepares: Uint64,
  commits: Uint64,
});
export const PbftStatus = new ContainerType({
  instance: Bytes32,
  /** Root of checkpoint 0, so that a member that began from something else shows. */
  genesis: Bytes32,
  /** Two parameters of the sender that all members need the same. */
  checkpointInterval: Uint64,
  window: Uint64,
  view: Uint64,
  isActive: Uint8,
  /** 1: the sender has lost patience with `view` and would leave it. It stays so in this view. */
  isDoubting: Uint8,
  height: Uint64,
  executed: Uint64,
  /** Members whose VIEW-CHANGE for `view` is here. */
  viewChanges: Uint64,
  /** Batches from executed+1 on, without a gap; of those behind nothing is here. */
  slots: new ListCompositeType(SlotStatus, limits.statusSlotsMax),
});

// ---- Proactive recovery ----

/** Signed: what `replica` sent on channels of before this, its `counter`-th change of keys, is void. */
export const NewKey = new ContainerType({
  instance: Bytes32,
  replica: Uint16,
  counter: Uint64,
  /** The counter with which the author began anew when it had lost its disk; 0: never. VIEW-CHANGEs of before are void. */
  forgotten: Uint64,
  signature: Signature,
});
/**
 * A recovering member asks how far the others are; `counter` is that of its newest NEW-KEY, 0 if it does not know. Who
 * has a newer NEW-KEY of it sends that.
 */
export const QueryStable = new ContainerType({
  instance: Bytes32,
  counter: Uint64,
  /** Of the same NEW-KEY: only who has that one may answer. */
  forgotten: Uint64,
});
export const ReplyStable = new ContainerType({
  instance: Bytes32,
  counter: Uint64,
  /** The newest checkpoint that the sender has taken. */
  checkpoint: Uint64,
  /** The highest sequence at which it has prepared anything. */
  prepared: Uint64,
  view: Uint64,
});

// ---- Evidence ----

/** Encoded signed statements that no correct member makes together. */
export const EvidenceProof = new ContainerType({
  kind: Uint8,
  statements: new ListCompositeType(
    new DataType(limits.replicationMessageSizeBytesMax),
    limits.pbftMembersMax + 1,
  ),
});

// ---- Records ----

/** A batch accepted in a view: an entry of Q. */
export const AcceptedRecord = new ContainerType({
  view: Uint64,
  sequence: Uint64,
  digest: Bytes32,
});
/** Batches first+0, first+1, … were executed. A hint that saves asking again after a restart. */
export const ExecutedRecord = new ContainerType({
  first: Uint64,
  digests: new ListCompositeType(Bytes32, limits.pbftWindowMax),
});
export const BodyRecord = new ContainerType({ requests: Requests, agreed: AgreedInput });
/** The recovery that began with this counter is over; after the loss of a disk it goes on in no view before this one. */
export const RecoveredRecord = new ContainerType({ counter: Uint64, view: Uint64 });
/** A CHECKPOINT was signed: whatever becomes of the pages, it counts as taken. */
export const VotedRecord = new ContainerType({ sequence: Uint64 });
/** Patience with this view was lost, and others were told so. */
export const DoubtedRecord = new ContainerType({ view: Uint64 });
/** A saved checkpoint's notes. */
export const CheckpointNotes = new ContainerType({ isFinal: Uint8 });

export type PlacedDigest = ValueOf<typeof PlacedDigest>;
export type Certificate = ValueOf<typeof Certificate>;
export type CheckpointVote = ValueOf<typeof CheckpointVote>;
export type ViewChange = ValueOf<typeof ViewChange>;
export type ViewChangeStatement = ValueOf<typeof ViewChangeStatement>;
export type NewView = ValueOf<typeof NewView>;
export type NewViewStatement = ValueOf<typeof NewViewStatement>;
export type NewKey = ValueOf<typeof NewKey>;
export type RecoveredRecord = ValueOf<typeof RecoveredRecord>;
export type PbftStatus = ValueOf<typeof PbftStatus>;
export type SlotStatus = ValueOf<typeof SlotStatus>;
export type Body = ValueOf<typeof BodyRecord>;
