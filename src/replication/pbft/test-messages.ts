// Messages that a test says in a member's name, signed where they have to be.

import { type Bytes, fromHex } from '../../base/bytes.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { Certificate, NewView, ViewChange, ViewChangeStatement } from '../../wire/pbft.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessageValue } from '../../wire/replication-registry.ts';
import { bundle, requestDigest } from '../requests.ts';
import { batchDigest } from './batch.ts';
import {
  checkpointBytes,
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
} from './statements.ts';
import { type TestCluster, testInstance } from './test-cluster.ts';

/** What stands for checkpoint 0 of a cluster, some member of which has not come further. */
export function genesisCertificate(cluster: TestCluster): Certificate {
  const engine = cluster.replicas.find(({ isUp }) => isUp)?.engine;
  const root = fromHex(engine?.status().root ?? '') ?? new Uint8Array(32);
  return { sequence: 0, root, isFinal: 0, signatures: [] };
}

/** Members vouch for a state that nobody has. */
export function signedCertificate(
  cluster: TestCluster,
  sequence: number,
  members: readonly number[],
): Certificate {
  const claim = { sequence, root: new Uint8Array(32).fill(7), isFinal: 0 };
  const message = checkpointBytes(testInstance, claim);
  const signatures = members.map((replica) => ({
    replica,
    signature: (cluster.signers[replica] as Signer).sign(message),
  }));
  return { ...claim, signatures };
}

export function signedViewChange(
  cluster: TestCluster,
  statement: Partial<ViewChangeStatement> & { replica: number; view: number },
): ViewChange {
  const claims = { certificate: genesisCertificate(cluster), prepared: [], accepted: [] };
  const whole = { forgotten: 0, ...claims, ...statement };
  const signer = cluster.signers[statement.replica] as Signer;
  const message = viewChangeBytes(testInstance, whole.view, viewChangeDigest(whole));
  return { instance: testInstance, statement: whole, signature: signer.sign(message) };
}

/** @param authors whose its VIEW-CHANGEs are said to be. */
export function signedNewView(
  cluster: TestCluster,
  support: readonly ViewChange[],
  batches: Bytes[],
  height = 0,
  authors = support.map(({ statement }) => statement.replica),
): NewView {
  const view = support[0]?.statement.view ?? 0;
  const viewChanges = support.map(({ statement }, i) => ({
    replica: authors[i] ?? statement.replica,
    digest: viewChangeDigest(statement),
  }));
  const statement = { view, viewChanges, height, batches };
  const signer = cluster.signers[view % cluster.n] as Signer;
  const message = newViewBytes(testInstance, view, newViewDigest(statement));
  return { instance: testInstance, statement, signature: signer.sign(message) };
}

/** A batch with one request of a client. */
export function requestOf(
  cluster: TestCluster,
  client: number,
  number: number,
): { requests: SignedRequest[]; digest: Bytes } {
  const signer = cluster.clientSigners[client] as Signer;
  const operation = cluster.client(client).operation(number);
  const request = { client: signer.publicKey, number, kind: 0, operation };
  const requests = bundle(signer, testInstance, [request]);
  const digests = [requestDigest(testInstance, request)];
  return { requests, digest: batchDigest(digests, new Uint8Array(0)) };
}

export function prePrepareOf(
  view: number,
  sequence: number,
  requests: readonly SignedRequest[],
): ReplicationMessageValue<'prePrepare'> {
  const batch = { requests: [...requests], agreed: new Uint8Array(0) };
  return { instance: testInstance, view, sequence, ...batch, fullRepliers: requests.map(() => 1) };
}

/** What a member that has come nowhere yet says of itself. */
export function statusOf(
  cluster: TestCluster,
  said: Partial<ReplicationMessageValue<'pbftStatus'>> = {},
): ReplicationMessageValue<'pbftStatus'> {
  const { checkpointInterval = 128, window = 256 } = cluster.options.parameters ?? {};
  const genesis = genesisCertificate(cluster).root;
  return {
    ...{ instance: testInstance, genesis, checkpointInterval, window },
    ...{ view: 0, isActive: 1, isDoubting: 0, height: 0, executed: 0, viewChanges: 0, slots: [] },
    ...said,
  };
}
