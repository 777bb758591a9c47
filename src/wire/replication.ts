// SSZ containers that both replication engines share: client requests, replies, state transfer. `instance` names the
// group and everything about it, so that nothing can be replayed elsewhere.

import {
  ByteListType,
  ContainerType,
  ListBasicType,
  ListCompositeType,
  type ValueOf,
} from '@chainsafe/ssz';
import { limits } from './limits.ts';
import { Bytes16, Bytes32, DataType, Signature, Uint8, Uint16, Uint32, Uint64 } from './scalars.ts';

/**
 * What a client asks for. `kind` 0: execute, 1: query in order, 2: execute nothing, only use the number (no operation).
 * Its digest covers exactly this and the instance.
 */
export const OrderedRequest = new ContainerType({
  client: Bytes32,
  number: Uint64,
  kind: Uint8,
  operation: new DataType(limits.operationSizeBytesMax),
});

/** Several requests of one client under one signature: the place of this one in the tree that was signed. */
export const RequestProof = new ContainerType({
  signature: Signature,
  count: Uint16,
  index: Uint16,
  path: new ListCompositeType(Bytes32, limits.bundlePathMax),
});

export const SignedRequest = new ContainerType({ request: OrderedRequest, proof: RequestProof });

/** A client's request, or one handed on by a member. `fullReplier`: index of the member that sends the whole result. */
export const SubmitRequest = new ContainerType({
  instance: Bytes32,
  request: SignedRequest,
  fullReplier: Uint16,
});

/** A read in one round, on the client's own channel: needs no signature. */
export const QueryRequest = new ContainerType({
  instance: Bytes32,
  number: Uint64,
  fullReplier: Uint16,
  operation: new DataType(limits.operationSizeBytesMax),
});

/**
 * `kind` 0: executed for good, 1: executed tentatively, 2: read in one round. `outcome` 0: a result, 1: the instance has
 * ended, 2: the number is too old, 3: none from this member: it only acknowledges (kind 1), or cannot read in one round
 * now (kind 2). `result` holds the bytes, or nothing where only the digest is sent.
 */
export const RequestReply = new ContainerType({
  instance: Bytes32,
  view: Uint64,
  sequence: Uint64,
  number: Uint64,
  kind: Uint8,
  outcome: Uint8,
  digest: Bytes32,
  result: new ListCompositeType(new DataType(limits.resultSizeBytesMax), 1),
});

/** A restarted client asks for the largest request number that it has used. */
export const LastNumber = new ContainerType({ instance: Bytes32, nonce: Bytes16 });
export const LastNumberIs = new ContainerType({
  instance: Bytes32,
  nonce: Bytes16,
  number: Uint64,
});

/**
 * Asks for a part of a checkpoint's state: the children of one node of the tree of pages (`level` above 0, at most
 * `entriesMax` of them on the way to `pages`), or whole pages (`level` 0).
 */
export const FetchState = new ContainerType({
  instance: Bytes32,
  sequence: Uint64,
  region: Uint8,
  level: Uint8,
  indexes: new ListBasicType(Uint32, limits.fetchIndexesMax),
});

/** Digests of the children of one inner node, in order. */
export const StateNode = new ContainerType({
  index: Uint32,
  children: new ListCompositeType(Bytes32, limits.pageTreeFanOut),
});
/** One page; nothing in `bytes` for a page that does not exist. */
export const StatePage = new ContainerType({
  index: Uint32,
  bytes: new ListCompositeType(new DataType(limits.pageSizeBytesMax), 1),
});
/** Answer to `fetchState`, perhaps to a part of it; with neither nodes nor pages when that checkpoint is not held. */
export const StatePart = new ContainerType({
  instance: Bytes32,
  sequence: Uint64,
  region: Uint8,
  level: Uint8,
  nodes: new ListCompositeType(StateNode, limits.fetchIndexesMax),
  pages: new ListCompositeType(StatePage, limits.fetchIndexesMax),
});

/** An operation that a service's primary vouches for with its batch. */
export const AgreedInput = new ByteListType(limits.agreedSizeBytesMax);

export type OrderedRequest = ValueOf<typeof OrderedRequest>;
export type RequestProof = ValueOf<typeof RequestProof>;
export type SignedRequest = ValueOf<typeof SignedRequest>;
