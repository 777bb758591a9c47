// What the tables of the wire specification say beside what the code declares. Each table is complete by its type:
// a message, tag, purpose or code without a note does not compile; a field without one fails the test.

import type { SignaturePurpose } from '../../src/crypto/domains.ts';
import type { HashTag } from '../../src/crypto/hash.ts';
import type { MessageName, RefusalCode } from '../../src/wire/registry.ts';

interface Traffic {
  readonly from: 'client' | 'server' | 'member' | 'client, member' | 'anyone';
  /** What may answer it; for an answer, what it answers. */
  readonly answers: string;
}

export const traffic: Record<MessageName, Traffic> = {
  hello: { from: 'anyone', answers: 'no answer' },
  getConfiguration: { from: 'anyone', answers: '`configuration`' },
  configuration: { from: 'server', answers: 'to `getConfiguration`' },
  refused: { from: 'server', answers: 'to any request with a context' },
  stale: { from: 'server', answers: 'to any request of an earlier epoch' },
  needConfiguration: { from: 'server', answers: 'to any request of a later epoch' },
  readVersion: { from: 'client, member', answers: '`version`' },
  version: { from: 'server', answers: 'to `readVersion`' },
  write: { from: 'client', answers: '`written`' },
  written: { from: 'server', answers: 'to `write`' },
  fetch: { from: 'client, member', answers: '`data`' },
  data: { from: 'server', answers: 'to `fetch`' },
  store: { from: 'client', answers: '`stored`' },
  stored: { from: 'server', answers: 'to `store`' },
  get: { from: 'client, member', answers: '`block` or `absent`' },
  block: { from: 'server', answers: 'to `get`' },
  absent: { from: 'server', answers: 'to `get` or `hold`' },
  hold: { from: 'client, member', answers: '`held` or `absent`' },
  held: { from: 'server', answers: 'to `hold`' },
  list: { from: 'member', answers: '`listed`' },
  listed: { from: 'server', answers: 'to `list`' },
  status: { from: 'client, member', answers: '`serverStatus`' },
  serverStatus: { from: 'server', answers: 'to `status`' },
  ping: { from: 'client, member', answers: '`pong`' },
  pong: { from: 'server', answers: 'to `ping`' },
  registerRead: { from: 'client', answers: '`registerValue`' },
  registerValue: { from: 'server', answers: 'to `registerRead`' },
  registerWrite: { from: 'client', answers: '`registerWritten`' },
  registerWritten: { from: 'server', answers: 'to `registerWrite`' },
};

export const hashedParts: Record<HashTag, string> = {
  block: 'the bytes of a block, or of one version of an object: block id, data digest',
  object: "the object's public key: object id",
  'server-id': "the encoding of the server's `ServerStatement`: server id",
  system: "authority's public key, salt (16 bytes), name (UTF-8): system id",
  parameters: 'one byte, the tolerated faults: `parametersHash`',
  'member-leaf': 'the encoding of a `MemberRecord`: leaf of the Merkle tree',
  'configuration-root':
    'number of members (8 bytes, big-endian), top of the Merkle tree (32): `configurationRoot`',
  'epoch-certificate': 'reserved for the chain of epochs (`previous`), which epoch 0 leaves zero',
  instance: 'system id, one byte naming the service (1: storage): `instance`',
  holding: 'challenge (32 bytes), the bytes of the block: `proof`',
  record: 'not on the wire: checksums of stored records',
  'object-key':
    "not on the wire: user's secret seed, name of the object (UTF-8): seed of the object's key",
  writer: 'client public key, a random value of the process; the first 20 bytes are the `writer`',
  address:
    'not on the wire: the letters before an address, the id; the first 4 bytes are its checksum',
  request: 'instance, the encoding of an `OrderedRequest`: digest of a request',
  'bundle-node':
    'two nodes of the tree that a client signs, whose leaves are digests of requests; a node without a partner is promoted',
  page: 'region (1 byte), index (4, big-endian), the bytes: leaf of the tree of pages',
  'page-node': 'region, level (1 byte each), index (4, big-endian), the children: its inner node',
  'state-root': 'root of the service pages, root of the client table: what a checkpoint states',
  result: 'the outcome (1 byte), the bytes of a result: `digest` of a `requestReply`',
  'pbft-batch': 'the encoding of the digests of a batch and its agreed input: digest of a batch',
  'pbft-null': 'nothing: digest of the batch that fills a gap',
  'pbft-view-change': 'the encoding of a view change without its signature: its digest',
  'pbft-new-view': 'the encoding of a new view without its signature: its digest',
};

interface Signed {
  readonly signer: string;
  readonly scope: string;
  readonly body: string;
}

const byReplica = (scope: string, body: string): Signed => ({ signer: 'replica', scope, body });

export const signedStatements: Record<SignaturePurpose, Signed> = {
  'client-bundle': {
    signer: 'client',
    scope: 'number of requests in the bundle',
    body: 'root of the tree over their digests; the instance stands in place of the system',
  },
  checkpoint: byReplica(
    'sequence',
    'root, whether it is the last one; the instance for the system',
  ),
  'view-change': byReplica('view', 'digest of the view change; the instance for the system'),
  'new-view': byReplica('view', 'digest of the new view; the instance for the system'),
  'new-key': byReplica(
    'number of the change of keys',
    'index of the member (2 bytes) and `forgotten` (8 bytes), both big-endian; the instance for the system',
  ),
  recovery: byReplica('sequence', 'what is asked for; the instance for the system'),
  'channel-key': byReplica(
    'number of the last change of keys',
    'raw key, time of day after which it is void (8 bytes, big-endian, milliseconds since 1970); the instance for the system',
  ),
  'server-certificate': {
    signer: 'authority',
    scope: '`epochFrom`',
    body: 'the encoding of `ServerStatement`',
  },
  'client-certificate': {
    signer: 'authority',
    scope: '`epochFrom`',
    body: 'the encoding of `ClientStatement`',
  },
  'epoch-certificate': {
    signer: 'authority (epoch 0)',
    scope: '`epoch`',
    body: 'the encoding of `EpochStatement`',
  },
  'object-version': {
    signer: "the object's key",
    scope: '`version.counter`',
    body: 'object id (32 bytes), the encoding of `ObjectVersion` (60 bytes), `length` (8 bytes, big-endian)',
  },
};

export const refusals: Record<RefusalCode, string> = {
  'not-certified':
    'no client certificate was shown on this connection, or the request is for members only',
  'wrong-system': 'the request names another system',
  'not-responsible': 'this server is not in the group of that id in this epoch',
  'too-large': 'the data is larger than this server takes',
  'over-quota': "storing it would exceed the quota of the item's owner",
  invalid: 'hash, length, signature or key do not fit together',
  'not-held': 'the version asked for, or a later one, is not here',
  repairing:
    'the item here is damaged or the server is recovering; ask others, and this one again later',
  overloaded: 'too much of this connection, or of all, waits for the disk',
  'disk-full': 'no room for anything new',
  'disk-failing': 'the disk does not take writes',
};

/** By field name; a container's own note (`Container.field`) comes first. */
export const fields: Readonly<Record<string, string>> = {
  system: 'system id',
  nonce: 'chosen by the asker, never used before by it; the answer repeats it',
  instance: 'the service of the system, see [Ids](#ids-and-hashes)',
  epoch: "the sender's epoch; in an answer the answerer's",
  certificate: 'proof of the epoch',
  'Hello.certificate': 'at most one: who the client is; a server that connects sends none',
  'ServerCertificate.statement': 'what is signed',
  'ClientCertificate.statement': 'what is signed',
  'EpochCertificate.statement': 'what is signed',
  signature: 'Ed25519, see [Signatures](#signatures)',
  'EpochCertificate.signature':
    '64 bytes, Ed25519, in epoch 0; 96 bytes are set aside for threshold signatures',
  publicKey: 'raw Ed25519 key',
  'ObjectHeader.publicKey': "the object's key; the object id is its hash",
  host: 'host name or IP address: letters, digits, `.` `:` `_` `-`, at least one',
  port: 'TCP port, 1 … 65535',
  roles: 'bits: 1 storage; others are zero',
  salt: 'random, chosen by the authority after all other values',
  epochFrom: 'first epoch of validity',
  epochTo: 'last epoch of validity',
  serial: 'number of the certificate, counted by the authority',
  name: 'for people; UTF-8',
  quotaBytes: 'bytes that this client may store on one server; 0: as the server is configured',
  'MemberRecord.certificate': 'who the server is',
  status: '0 active, 1 inactive: placement skips it',
  since: 'epoch in which the server became a member',
  statusSequence: 'counts changes of `status`',
  'EpochStatement.epoch': 'number of the epoch',
  configurationRoot: 'digest of all members, see [Configurations](#configurations)',
  memberCount: 'length of the member list',
  activeCount: 'active ones among them, at least 3 × `faults` + 1',
  faults: 'f: faulty servers that each group tolerates, at least 1',
  parametersHash: 'digest of the parameters',
  previous: 'zero in epoch 0',
  'ConfigurationRecord.certificate': 'vouches for the members',
  members: 'strictly ascending by server id, no key twice',
  configuration: 'see `ConfigurationRecord`',
  counter:
    'first part of the order; at least 1 in a signed version, 0 for the initial value of a register',
  writer: 'second part: names the writing process',
  digest: 'third part: hash of the data',
  version: 'which version',
  length: 'length of the data in bytes',
  code: 'one of the [refusal codes](#refusal-codes); an unknown one counts as `invalid`',
  detail: 'set aside; 0',
  object: 'object id',
  inlineSizeBytesMax:
    'the answer shall carry the data if it is no longer than this; more than the inline limit counts as the limit',
  header: 'names and authenticates the version',
  'Version.header': 'none: the object was never written',
  data: 'the bytes',
  'Version.data': 'present if it was asked for and is short enough',
  block: 'block id',
  challenge: 'random bytes, new each time',
  proof: 'hash of challenge and block',
  kind: '0 objects, 1 blocks',
  from: 'the list begins with the first id that is not below this one',
  objects: 'headers, strictly ascending by object id; empty in a list of blocks',
  'ServerStatus.objects': 'objects stored',
  'ServerStatus.blocks': 'blocks stored',
  'Listed.blocks': 'ids, strictly ascending; empty in a list of objects',
  complete: '1 if nothing follows, else 0',
  software: 'name and version, for people; UTF-8',
  state: '0 recovering: knows that it misses data and refuses requests for it; 1 serving',
  uptimeMs: 'milliseconds since the process began',
  storedSizeBytes: 'bytes of data stored, without overhead',
  diskFreeBytes: 'bytes free on the disk',
  journalSizeBytes: 'bytes of the journal',
  damagedFound: 'items found damaged since the start',
  repaired: 'items repaired since the start',
  repairsWaiting: 'items waiting for repair',
  scrubPasses: 'times that everything stored has been read and checked since the start',
  lagItems: 'items that others list and that it is still fetching',
};
