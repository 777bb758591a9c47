// SSZ containers of Viewstamped Replication, on the wire and in a replica's records. Who sent a message is said by its
// channel. An entry of the log is encoded once, by the primary that makes it; it travels and is stored as those bytes.

import { ContainerType, ListBasicType, ListCompositeType, type ValueOf } from '@chainsafe/ssz';
import { limits } from './limits.ts';
import { AgreedInput, OrderedRequest } from './replication.ts';
import { Bytes16, Bytes32, DataType, Uint8, Uint16, Uint32, Uint64 } from './scalars.ts';

/** One batch. `view` is the view that made it: with its place in the log its viewstamp. */
export const VrEntry = new ContainerType({
  view: Uint64,
  requests: new ListCompositeType(OrderedRequest, limits.batchRequestsMax),
  agreed: AgreedInput,
});

const EntryBytes = new DataType(limits.vrEntrySizeBytesMax);
/** Consecutive entries from `first` on, perhaps not as many as the log has. */
const Entries = new ListCompositeType(EntryBytes, limits.vrEntriesPerMessageMax);
const Members = new ListBasicType(Uint16, limits.vrMembersMax);
const Nonce = Bytes16;

// ---- Normal case ----

/** `low`: every designated replica holds the log up to here durably and knows it to be committed. */
export const VrPrepare = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  commit: Uint64,
  low: Uint64,
  entry: EntryBytes,
});

/** Cumulative: the sender's log has every entry up to `sequence`, and it knows those up to `commit` as committed. */
export const VrPrepareOk = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  commit: Uint64,
});

/** The primary's heartbeat. `sequence`: the end of its log, so that who misses the end of it notices. */
export const VrCommit = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  commit: Uint64,
  low: Uint64,
});

// ---- View change ----

export const VrStartViewChange = new ContainerType({ instance: Bytes32, view: Uint64 });

/** `hasLog` 0: a witness that keeps no log. `sequence` is the end of the log of view `lastNormal`. */
export const VrDoViewChange = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  hasLog: Uint8,
  lastNormal: Uint64,
  sequence: Uint64,
  commit: Uint64,
  low: Uint64,
  first: Uint64,
  entries: Entries,
});

/** `active`: members that acknowledge in this view, ascending. */
export const VrStartView = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  active: Members,
  sequence: Uint64,
  commit: Uint64,
  low: Uint64,
  first: Uint64,
  entries: Entries,
});

// ---- State transfer and recovery ----

/**
 * Asks a holder of the log of view `view` for what follows entry `from`. `needs`: 0: all of it; 1: only what some
 * designated replica may lack; 2: rather the newest checkpoint, if there is one; 3: all of it, which f+1 votes have chosen.
 */
export const VrGetState = new ContainerType({
  instance: Bytes32,
  nonce: Nonce,
  view: Uint64,
  from: Uint64,
  needs: Uint8,
});

/** `isEnded`: it is the state right after the operation that ended the instance. */
export const VrCheckpointReference = new ContainerType({
  sequence: Uint64,
  root: Bytes32,
  isEnded: Uint8,
});
/** Entries, or a checkpoint to fetch instead when the entries asked for are gone. */
export const VrNewState = new ContainerType({
  instance: Bytes32,
  nonce: Nonce,
  view: Uint64,
  active: Members,
  sequence: Uint64,
  commit: Uint64,
  low: Uint64,
  first: Uint64,
  entries: Entries,
  checkpoint: new ListCompositeType(VrCheckpointReference, 1),
});

/** A replica without its memory asks. `view`: the view that it may have promised before. */
export const VrRecovery = new ContainerType({ instance: Bytes32, nonce: Nonce, view: Uint64 });
/** `sequence`: the end of the log, from the primary of `view`; others say 0. */
export const VrRecoveryResponse = new ContainerType({
  instance: Bytes32,
  nonce: Nonce,
  view: Uint64,
  sequence: Uint64,
});

// ---- Leases ----

/** `sentAtMs` is on the primary's clock and means something to the primary only. */
export const VrLeaseRequest = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sentAtMs: Uint64,
  durationMs: Uint64,
});
export const VrLeaseGrant = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sentAtMs: Uint64,
});

// ---- Start ----

/**
 * A member that starts says so, and how its parameters are that all members need the same: `isViewOnly` 1 for mode `view`,
 * the others by their names. `isAnswer` 0 asks the receiver to say the same of itself.
 */
export const VrHello = new ContainerType({
  instance: Bytes32,
  isAnswer: Uint8,
  isViewOnly: Uint8,
  hasWitnesses: Uint8,
  threeMessageWrites: Uint8,
  leaseMs: Uint64,
  clockDriftPpm: Uint32,
});

// ---- Records ----

/**
 * What a checkpoint says besides its pages. `hasState` 0: it has none, and says only what a witness has forgotten. `view`:
 * logs of this view and of later ones have what it was made of; those of earlier views may have something else there.
 */
export const VrCheckpointNotes = new ContainerType({
  isEnded: Uint8,
  hasState: Uint8,
  view: Uint64,
});
/** Where a replica stands; the newest one counts. `base`: the entries that follow this record go on behind it. */
export const VrStateRecord = new ContainerType({
  view: Uint64,
  lastNormal: Uint64,
  hasLog: Uint8,
  base: Uint64,
  low: Uint64,
  active: Members,
});
/** An entry of the log, or one that waits for the record that makes it so. */
export const VrEntryRecord = new ContainerType({ sequence: Uint64, entry: EntryBytes });
/**
 * The log's entries above `keep` are replaced by the waiting ones, which end at `sequence`; normal in `view`.
 * `isReset` 1: those up to `keep` are void too, and the log begins behind it.
 */
export const VrAdoptRecord = new ContainerType({
  view: Uint64,
  keep: Uint64,
  isReset: Uint8,
  sequence: Uint64,
  low: Uint64,
  active: Members,
});

export type VrEntry = ValueOf<typeof VrEntry>;
export type VrStateRecord = ValueOf<typeof VrStateRecord>;
export type VrAdoptRecord = ValueOf<typeof VrAdoptRecord>;
