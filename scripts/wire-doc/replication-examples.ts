// One example of every message of replicated groups, out of one group of four whose keys anyone can make again. Every
// signature and digest in them is real. One state, one batch: they tell of checkpoint 128, and of batch 129 behind it.

import { type Bytes, utf8 } from '../../src/base/bytes.ts';
import { ed25519, type Signer } from '../../src/crypto/signature.ts';
import { PagedState } from '../../src/replication/pages.ts';
import { batchDigest } from '../../src/replication/pbft/batch.ts';
import {
  checkpointBytes,
  newKeyBytes,
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
} from '../../src/replication/pbft/statements.ts';
import { bundle, requestDigest, resultDigest } from '../../src/replication/requests.ts';
import type { Certificate, NewViewStatement, ViewChange } from '../../src/wire/pbft.ts';
import type { SignedRequest } from '../../src/wire/replication.ts';
import type {
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../src/wire/replication-registry.ts';
import { VrEntry } from '../../src/wire/vr.ts';

const fill = (value: number, length: number): Bytes => new Uint8Array(length).fill(value);
const signerOf = (value: number): Signer => ed25519.signer(fill(value, 32));

/** What the examples belong to; a reader checks them against it. */
const members = [0x11, 0x12, 0x13, 0x14].map(signerOf);
const client = signerOf(0x21);
const instance = fill(0x61, 32);
export const exampleGroup = {
  instance,
  members: members.map(({ publicKey }) => publicKey),
  faults: 1,
};

const state = new PagedState();
state.region('service').write(0, utf8('hello'));
/** The same state at both checkpoints. */
export const genesisRoot = state.checkpoint(0).root;
export const exampleRoot = state.checkpoint(128).root;

const requests: SignedRequest[] = bundle(client, instance, [
  { client: client.publicKey, number: 7, kind: 0, operation: utf8('put a 1') },
  { client: client.publicKey, number: 8, kind: 0, operation: utf8('put b 2') },
]);
const request = requests[0] as SignedRequest;
const digests = requests.map((signed) => requestDigest(instance, signed.request));
const agreed = utf8('12:00');
const digest = batchDigest(digests, agreed);
const sequence = 129;
const view = 1;
const nonce = Uint8Array.from({ length: 16 }, (_, i) => i);
const result = utf8('done');

const checkpoint = { sequence: 128, root: exampleRoot, isFinal: 0 };
const signatures = members.slice(0, 3).map((signer, replica) => ({
  replica,
  signature: signer.sign(checkpointBytes(instance, checkpoint)),
}));
const certificate: Certificate = { ...checkpoint, signatures };

const viewChanges: ViewChange[] = [1, 2, 3].map((replica) => {
  const placed = { sequence, digest, view: 0 };
  const claims = { certificate, prepared: [placed], accepted: [placed] };
  const statement = { replica, view, forgotten: 0, ...claims };
  const message = viewChangeBytes(instance, view, viewChangeDigest(statement));
  return { instance, statement, signature: (members[replica] as Signer).sign(message) };
});
const references = viewChanges.map(({ statement }) => ({
  replica: statement.replica,
  digest: viewChangeDigest(statement),
}));
const newView: NewViewStatement = {
  view,
  viewChanges: references,
  height: checkpoint.sequence,
  batches: [digest],
};

const entry = VrEntry.serialize({ view: 0, requests: requests.map((one) => one.request), agreed });
const log = { sequence, commit: 128, low: 0, first: sequence, entries: [entry] };
const active = [0, 1, 2];

export const replicationExamples: {
  readonly [Name in ReplicationMessageName]: ReplicationMessageValue<Name>;
} = {
  submitRequest: { instance, request, fullReplier: 2 },
  queryRequest: { instance, number: 9, fullReplier: 3, operation: utf8('get a') },
  requestReply: {
    instance,
    view,
    sequence,
    number: 7,
    kind: 0,
    outcome: 0,
    digest: resultDigest(0, result),
    result: [result],
  },
  lastNumber: { instance, nonce },
  lastNumberIs: { instance, nonce, number: 8 },
  fetchState: { instance, sequence: 128, region: 0, level: 0, indexes: [0] },
  statePart: {
    instance,
    sequence: 128,
    region: 0,
    level: 0,
    nodes: [],
    pages: [{ index: 0, bytes: [utf8('hello')] }],
  },
  prePrepare: { instance, view: 0, sequence, requests, agreed, fullRepliers: [2, 3] },
  pbftPrepare: { instance, view: 0, sequence, digest },
  pbftCommit: { instance, view: 0, sequence, digest },
  committed: { instance, sequence, digest },
  fetchBody: { instance, digest },
  body: { instance, requests, agreed },
  checkpoint: {
    instance,
    replica: 0,
    ...checkpoint,
    signature: (signatures[0] as { signature: Bytes }).signature,
  },
  stableCheckpoint: { instance, certificate },
  viewChange: viewChanges[0] as ViewChange,
  newView: {
    instance,
    statement: newView,
    signature: (members[1] as Signer).sign(newViewBytes(instance, view, newViewDigest(newView))),
  },
  fetchViewChanges: { instance, view, digests: references.map((reference) => reference.digest) },
  pbftStatus: {
    instance,
    genesis: genesisRoot,
    checkpointInterval: 128,
    window: 256,
    view: 0,
    isActive: 1,
    isDoubting: 0,
    height: 128,
    executed: 128,
    viewChanges: 0,
    slots: [{ sequence, isAccepted: 1, prepares: 0b1110, commits: 0b0001 }],
  },
  newKey: {
    instance,
    replica: 2,
    counter: 1,
    forgotten: 0,
    signature: (members[2] as Signer).sign(
      newKeyBytes(instance, { replica: 2, counter: 1, forgotten: 0 }),
    ),
  },
  queryStable: { instance, counter: 1, forgotten: 0 },
  replyStable: { instance, counter: 1, checkpoint: 128, prepared: sequence, view },
  vrPrepare: { instance, view: 0, sequence, commit: 128, low: 0, entry },
  vrPrepareOk: { instance, view: 0, sequence, commit: 128 },
  vrCommit: { instance, view: 0, sequence, commit: sequence, low: 0 },
  vrStartViewChange: { instance, view },
  vrDoViewChange: { instance, view, hasLog: 1, lastNormal: 0, ...log },
  vrStartView: { instance, view, active, ...log },
  vrGetState: { instance, nonce, view, from: 128, needs: 0 },
  vrNewState: { instance, nonce, view, active, ...log, checkpoint: [] },
  vrRecovery: { instance, nonce, view },
  vrRecoveryResponse: { instance, nonce, view, sequence },
  vrLeaseRequest: { instance, view, sentAtMs: 1_000_000, durationMs: 2_000 },
  vrLeaseGrant: { instance, view, sentAtMs: 1_000_000 },
  vrHello: {
    instance,
    isAnswer: 0,
    isViewOnly: 0,
    hasWitnesses: 0,
    threeMessageWrites: 0,
    leaseMs: 2_000,
    clockDriftPpm: 1_000,
  },
};

/** Values that the examples are made of, by name. */
export const replicationConstants: ReadonlyArray<readonly [string, Bytes]> = [
  ...exampleGroup.members.map(
    (key, i) =>
      [`member ${i}, public key of seed \`${(0x11 + i).toString(16)}\` × 32`, key] as const,
  ),
  ['client, public key of seed `21` × 32', client.publicKey],
  ['instance', instance],
  ['digest of the first request', digests[0] as Bytes],
  ['digest of the second request', digests[1] as Bytes],
  ['digest of the batch of both with "12:00"', digest],
  [
    'root of checkpoints 0 and 128: page 0 of the service holds "hello", the table of clients nothing',
    exampleRoot,
  ],
];
