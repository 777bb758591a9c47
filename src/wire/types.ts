// SSZ containers of everything that is sent, signed or stored: one declaration gives type, codec and bounds.

import {
  ByteListType,
  ByteVectorType,
  ContainerType,
  ListCompositeType,
  type ValueOf,
} from '@chainsafe/ssz';
import { limits } from './limits.ts';
import { Bytes16, Bytes32, DataType, Signature, Uint8, Uint16, Uint32, Uint64 } from './scalars.ts';

export { Bytes16, Bytes32 };

const Host = new ByteListType(limits.hostNameBytesMax);
const ClientName = new ByteListType(limits.clientNameBytesMax);
const Text = new ByteListType(limits.textBytesMax);
const BlockData = new DataType(limits.blockSizeBytesMax);
const ObjectData = new DataType(limits.objectSizeBytesMax);

// ---- Certificates and configuration ----

/** What the authority states about a server. The salt keeps anyone from choosing the id, which hashes all of this. */
export const ServerStatement = new ContainerType({
  publicKey: Bytes32,
  host: Host,
  port: Uint16,
  roles: Uint8,
  salt: Bytes16,
  epochFrom: Uint64,
  epochTo: Uint64,
  serial: Uint64,
});

export const ServerCertificate = new ContainerType({
  statement: ServerStatement,
  signature: Signature,
});

/** What the authority states about a client. `quotaBytes` 0 means: as the server is configured. */
export const ClientStatement = new ContainerType({
  publicKey: Bytes32,
  name: ClientName,
  quotaBytes: Uint64,
  epochFrom: Uint64,
  epochTo: Uint64,
  serial: Uint64,
});

export const ClientCertificate = new ContainerType({
  statement: ClientStatement,
  signature: Signature,
});

export const MemberRecord = new ContainerType({
  certificate: ServerCertificate,
  status: Uint8,
  since: Uint64,
  statusSequence: Uint64,
});

export const EpochStatement = new ContainerType({
  epoch: Uint64,
  configurationRoot: Bytes32,
  memberCount: Uint32,
  activeCount: Uint32,
  faults: Uint8,
  parametersHash: Bytes32,
  previous: Bytes32,
});

/** Epoch 0 carries the authority's Ed25519 signature (64 bytes); later ones a threshold signature (96 bytes). */
export const EpochCertificate = new ContainerType({
  statement: EpochStatement,
  signature: new ByteListType(96),
});

export const ConfigurationRecord = new ContainerType({
  system: Bytes32,
  certificate: EpochCertificate,
  members: new ListCompositeType(MemberRecord, limits.configurationMembersMax),
});

// ---- Objects ----

/** Totally ordered: counter, then writer, then digest of the data, so that no two versions are equal unless the same. */
export const ObjectVersion = new ContainerType({
  counter: Uint64,
  writer: new ByteVectorType(20),
  digest: Bytes32,
});

/** Names and authenticates one version of an object without its data. The object's id is the hash of `publicKey`. */
export const ObjectHeader = new ContainerType({
  publicKey: Bytes32,
  version: ObjectVersion,
  length: Uint32,
  signature: Signature,
});

/** Zero or one header: the initial version of every object has none. */
const MaybeHeader = new ListCompositeType(ObjectHeader, 1);
const MaybeInlineData = new ListCompositeType(new DataType(limits.inlineSizeBytesMax), 1);

// ---- Messages. `instance` names system and service, `epoch` is the sender's, `nonce` the operation's phase. ----

const context = { instance: Bytes32, epoch: Uint64, nonce: Bytes16 };

/** First message on each connection a client opens. Servers are known by their certificates in the configuration. */
export const Hello = new ContainerType({
  system: Bytes32,
  certificate: new ListCompositeType(ClientCertificate, 1),
});

export const GetConfiguration = new ContainerType({ system: Bytes32, nonce: Bytes16 });
export const Configuration = new ContainerType({
  nonce: Bytes16,
  configuration: ConfigurationRecord,
});

/** The answerer will not do it; `code` is one of `refusalCodes`. */
export const Refused = new ContainerType({ ...context, code: Uint16, detail: Uint64 });
/** The answerer is in a later epoch than the request. */
export const Stale = new ContainerType({ ...context, certificate: EpochCertificate });
/** The answerer is in an earlier epoch than the request and needs the configuration. */
export const NeedConfiguration = new ContainerType({ ...context });

export const ReadVersion = new ContainerType({
  ...context,
  object: Bytes32,
  inlineSizeBytesMax: Uint32,
});
export const Version = new ContainerType({
  ...context,
  object: Bytes32,
  header: MaybeHeader,
  data: MaybeInlineData,
});
export const Write = new ContainerType({
  ...context,
  object: Bytes32,
  header: ObjectHeader,
  data: ObjectData,
});
export const Written = new ContainerType({ ...context, object: Bytes32, version: ObjectVersion });
export const Fetch = new ContainerType({ ...context, object: Bytes32, version: ObjectVersion });
export const Data = new ContainerType({
  ...context,
  object: Bytes32,
  header: ObjectHeader,
  data: ObjectData,
});

export const Store = new ContainerType({ ...context, block: Bytes32, data: BlockData });
export const Stored = new ContainerType({ ...context, block: Bytes32 });
export const Get = new ContainerType({ ...context, block: Bytes32 });
export const Block = new ContainerType({ ...context, block: Bytes32, data: BlockData });
export const Absent = new ContainerType({ ...context, block: Bytes32 });
/** Asks whether a block is held, with a challenge that only a holder of its bytes can answer. */
export const Hold = new ContainerType({ ...context, block: Bytes32, challenge: Bytes32 });
export const Held = new ContainerType({ ...context, block: Bytes32, proof: Bytes32 });

/** Members only: what the answerer holds, ascending by id from `from`. */
export const List = new ContainerType({ ...context, kind: Uint8, from: Bytes32 });
export const Listed = new ContainerType({
  ...context,
  kind: Uint8,
  from: Bytes32,
  objects: new ListCompositeType(ObjectHeader, limits.listEntriesMax),
  blocks: new ListCompositeType(Bytes32, limits.listEntriesMax),
  complete: Uint8,
});

/** Answered without looking at anything: how far away a server is. */
export const Ping = new ContainerType({ ...context });
export const Pong = new ContainerType({ ...context });

export const Status = new ContainerType({ ...context });
export const ServerStatus = new ContainerType({
  ...context,
  software: Text,
  state: Uint8,
  uptimeMs: Uint64,
  objects: Uint64,
  blocks: Uint64,
  storedSizeBytes: Uint64,
  diskFreeBytes: Uint64,
  journalSizeBytes: Uint64,
  damagedFound: Uint64,
  repaired: Uint64,
  repairsWaiting: Uint32,
  scrubPasses: Uint64,
  lagItems: Uint32,
});

// ---- Registers of the crash rule: unsigned, for groups whose members may stop but do not lie. ----

const registerTuple = {
  counter: Uint64,
  writer: new ByteVectorType(20),
  data: ObjectData,
};

export const RegisterRead = new ContainerType({ ...context, object: Bytes32 });
export const RegisterValue = new ContainerType({ ...context, object: Bytes32, ...registerTuple });
export const RegisterWrite = new ContainerType({ ...context, object: Bytes32, ...registerTuple });
export const RegisterWritten = new ContainerType({ ...context, object: Bytes32 });

export type ServerStatement = ValueOf<typeof ServerStatement>;
export type ServerCertificate = ValueOf<typeof ServerCertificate>;
export type ClientStatement = ValueOf<typeof ClientStatement>;
export type ClientCertificate = ValueOf<typeof ClientCertificate>;
export type MemberRecord = ValueOf<typeof MemberRecord>;
export type EpochStatement = ValueOf<typeof EpochStatement>;
export type EpochCertificate = ValueOf<typeof EpochCertificate>;
export type ConfigurationRecord = ValueOf<typeof ConfigurationRecord>;
export type ObjectVersion = ValueOf<typeof ObjectVersion>;
export type ObjectHeader = ValueOf<typeof ObjectHeader>;
