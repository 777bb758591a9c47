// What an engine notices of others' provable faults, and that a third party finds each of them proved.

import { describe, expect, it } from 'vitest';
import { type Bytes, emptyBytes, utf8 } from '../../base/bytes.ts';
import type { SignatureScheme, Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import type {
  CheckpointVote,
  NewView,
  PlacedDigest,
  ViewChange,
  ViewChangeStatement,
} from '../../wire/pbft.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { Sender } from '../contract.ts';
import { bundle } from '../requests.ts';
import { nullDigest } from './batch.ts';
import { PbftEngine } from './engine.ts';
import { type EvidenceCode, verifyEvidence } from './evidence.ts';
import { CaughtClients } from './failed-checks.ts';
import { pbftRules } from './rules.ts';
import {
  checkpointBytes,
  newViewBytes,
  newViewDigest,
  viewChangeBytes,
  viewChangeDigest,
} from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { Ledger, quickScheme, quickSigner } from './test-service.ts';

const parameters = { checkpointInterval: 4, window: 8 };

/** Member 0 alone runs; the test speaks for the others. */
function clusterOf(): TestCluster {
  return new TestCluster({ seed: 1, parameters, absent: [1, 2, 3] });
}

function signerOf(cluster: TestCluster, replica: number): Signer {
  return cluster.signers[replica] as Signer;
}

function genesisOf(cluster: TestCluster): Bytes {
  return Uint8Array.from(Buffer.from(cluster.replica(0).engine.status().root, 'hex'));
}

function vote(cluster: TestCluster, replica: number, root: Bytes, isFinal = 0): CheckpointVote {
  const claim = { sequence: 4, root, isFinal };
  const signature = signerOf(cluster, replica).sign(checkpointBytes(testInstance, claim));
  return { instance: testInstance, replica, ...claim, signature };
}

function leaving(
  cluster: TestCluster,
  replica: number,
  claims: Partial<ViewChangeStatement> = {},
): ViewChange {
  const certificate = { sequence: 0, root: genesisOf(cluster), isFinal: 0, signatures: [] };
  const rest = { view: 1, forgotten: 0, certificate, prepared: [], accepted: [] };
  const statement = { replica, ...rest, ...claims };
  const message = viewChangeBytes(testInstance, statement.view, viewChangeDigest(statement));
  return {
    instance: testInstance,
    statement,
    signature: signerOf(cluster, replica).sign(message),
  };
}

/** Of view 1, whose primary is member 1. */
function opening(cluster: TestCluster, support: readonly ViewChange[], batches: Bytes[]): NewView {
  const viewChanges = support.map(({ statement }) => ({
    replica: statement.replica,
    digest: viewChangeDigest(statement),
  }));
  const statement = { view: 1, viewChanges, height: 0, batches };
  const message = newViewBytes(testInstance, 1, newViewDigest(statement));
  return { instance: testInstance, statement, signature: signerOf(cluster, 1).sign(message) };
}

function asking(signer: Signer, words: string, number = 1): SignedRequest {
  const request = { client: signer.publicKey, number, kind: 0, operation: utf8(words) };
  const [signed] = bundle(signer, testInstance, [request]);
  if (signed === undefined) throw new TypeError('one request gives one bundle');
  return signed;
}

function submit(cluster: TestCluster, to: number, request: SignedRequest): void {
  const from: Sender = { kind: 'client', key: request.request.client };
  const value = { instance: testInstance, request, fullReplier: 0 };
  const message = { name: 'submitRequest', value } as const;
  cluster.handle(cluster.replica(to), { kind: 'message', from, message });
}

/** Members 1, 2 and 3 have left for view 1, and so has member 0. */
function left(cluster: TestCluster, claims: Partial<ViewChangeStatement>): ViewChange[] {
  const changes = [leaving(cluster, 1, claims), leaving(cluster, 2, claims), leaving(cluster, 3)];
  for (const change of changes) cluster.speak(1, 0, 'viewChange', change);
  return changes;
}

interface Deed {
  readonly accused: (cluster: TestCluster) => Bytes;
  /** Says it all to member 0. */
  readonly done: (cluster: TestCluster) => void;
}

const memberOf = (index: number) => (cluster: TestCluster) => signerOf(cluster, index).publicKey;

const claimed: PlacedDigest[] = [{ sequence: 1, digest: new Uint8Array(32).fill(7), view: 0 }];

const deeds: Record<EvidenceCode, Deed> = {
  'checkpoint-contradiction': {
    accused: memberOf(2),
    done: (cluster) => {
      for (const root of [1, 2]) {
        cluster.speak(2, 0, 'checkpoint', vote(cluster, 2, new Uint8Array(32).fill(root)));
      }
    },
  },
  'view-change-contradiction': {
    accused: memberOf(2),
    done: (cluster) => {
      // Anyone may hand on what is signed.
      cluster.speak(3, 0, 'viewChange', leaving(cluster, 2, { view: 5 }));
      cluster.speak(3, 0, 'viewChange', leaving(cluster, 2, { view: 5, accepted: claimed }));
    },
  },
  'new-view-contradiction': {
    accused: memberOf(1),
    done: (cluster) => {
      const changes = left(cluster, {});
      cluster.speak(1, 0, 'newView', opening(cluster, changes, []));
      cluster.speak(1, 0, 'newView', opening(cluster, changes, [nullDigest]));
    },
  },
  'new-view-refuted': {
    accused: memberOf(1),
    done: (cluster) => {
      const changes = left(cluster, { prepared: claimed, accepted: claimed });
      cluster.speak(1, 0, 'newView', opening(cluster, changes, [nullDigest]));
    },
  },
  'request-contradiction': {
    accused: (cluster) => cluster.client(0).signer.publicKey,
    done: (cluster) => {
      const { signer } = cluster.client(0);
      for (const words of ['00000001', '00000002']) submit(cluster, 0, asking(signer, words));
    },
  },
};

describe.each(Object.entries(deeds))('a %s', (code, { accused, done }) => {
  function caught() {
    const cluster = clusterOf();
    done(cluster);
    const [evidence, ...more] = cluster.evidence;
    if (evidence === undefined) throw new TypeError('nobody was caught');
    expect(more).toEqual([]);
    return { cluster, evidence };
  }

  it('is noticed, and proved to whoever knows the group', () => {
    const { cluster, evidence } = caught();
    const who = accused(cluster);
    expect(evidence).toMatchObject({ code, accused: who, genesis: genesisOf(cluster) });
    const { proof, genesis } = evidence;
    expect(verifyEvidence(proof, cluster.group, quickScheme, genesis)).toEqual({
      code,
      accused: who,
    });
  });

  it('is proved by nothing else, and to no other group', () => {
    const { cluster, evidence } = caught();
    const { proof, genesis } = evidence;
    for (let at = 0; at < proof.length; at++) {
      const bent = proof.slice();
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(
        verifyEvidence(bent, cluster.group, quickScheme, genesis),
        `byte ${at}`,
      ).toBeUndefined();
    }
    const other = { ...cluster.group, instance: new Uint8Array(32) };
    expect(verifyEvidence(proof, other, quickScheme, genesis)).toBeUndefined();
  });
});

describe('what is said twice without a contradiction', () => {
  it('accuses nobody', () => {
    const cluster = clusterOf();
    const { signer } = cluster.client(0);
    for (let i = 0; i < 2; i++) {
      cluster.speak(2, 0, 'checkpoint', vote(cluster, 2, new Uint8Array(32)));
      cluster.speak(2, 0, 'viewChange', leaving(cluster, 2, { view: 5 }));
      submit(cluster, 0, asking(signer, '00000001'));
    }
    expect(cluster.evidence).toEqual([]);
  });

  it('accuses nobody in whose name it was forged', () => {
    const cluster = clusterOf();
    const { signer } = cluster.client(0);
    const forger = quickSigner('forger');
    submit(cluster, 0, asking(signer, '00000001'));
    const forged = asking(forger, '00000002');
    const request = { ...forged, request: { ...forged.request, client: signer.publicKey } };
    const value = { instance: testInstance, request, fullReplier: 0 };
    cluster.speak(2, 0, 'submitRequest', value);
    expect(cluster.count('request-not-signed')).toBe(1);
    expect(cluster.evidence).toEqual([]);
    submit(cluster, 0, asking(signer, '00000003'));
    expect(cluster.count('request-contradiction')).toBe(1);
  });

  it('tells of the final checkpoint in one vote only', () => {
    const cluster = clusterOf();
    for (const isFinal of [0, 1]) {
      cluster.speak(2, 0, 'checkpoint', vote(cluster, 2, new Uint8Array(32), isFinal));
    }
    expect(cluster.count('checkpoint-contradiction')).toBe(1);
  });
});

it('of a NEW-VIEW of too few members holds without any of their VIEW-CHANGEs', () => {
  const cluster = clusterOf();
  cluster.speak(1, 0, 'newView', opening(cluster, left(cluster, {}).slice(1), []));
  const { proof, genesis } = cluster.evidence[0] ?? { proof: emptyBytes, genesis: emptyBytes };
  expect(verifyEvidence(proof, cluster.group, quickScheme, genesis)).toEqual({
    code: 'new-view-refuted',
    accused: memberOf(1)(cluster),
  });
});

describe('a client that signs two requests under one number', () => {
  it('is caught by a backup that has one of them when the other is in a batch', () => {
    const cluster = new TestCluster({ seed: 1, parameters, absent: [0, 2, 3] });
    const { signer } = cluster.client(0);
    submit(cluster, 1, asking(signer, '00000001'));
    for (const sequence of [1, 2]) {
      cluster.speak(0, 1, 'prePrepare', {
        instance: testInstance,
        view: 0,
        sequence,
        requests: [asking(signer, `0000001${sequence}`)],
        agreed: emptyBytes,
        fullRepliers: [0],
      });
    }
    const [evidence, ...more] = cluster.evidence;
    expect(more).toEqual([]);
    const { group } = cluster;
    const genesis = evidence?.genesis ?? emptyBytes;
    expect(verifyEvidence(evidence?.proof ?? emptyBytes, group, quickScheme, genesis)).toEqual({
      code: 'request-contradiction',
      accused: signer.publicKey,
    });
  });

  /** Says a thousand different things under one number, of the same client. */
  function repeated(client: Signer, from: Sender) {
    let checks = 0;
    const scheme: SignatureScheme = {
      ...quickScheme,
      verify: (...what) => {
        checks += 1;
        return quickScheme.verify(...what);
      },
    };
    const signers = [0, 1, 2, 3].map((i) => quickSigner(`replica ${i}`));
    const members = signers.map(({ publicKey }) => publicKey);
    const engine = new PbftEngine(
      {
        group: { instance: testInstance, members, faults: 1 },
        index: 0,
        signer: signers[0] as Signer,
        scheme,
        service: new Ledger(),
      },
      pbftRules,
    );
    engine.handle({ kind: 'start', restored: undefined }, 0);
    let proofs = 0;
    for (let i = 0; i < 1000; i++) {
      const request = asking(client, `${i}`.padStart(8, '0'));
      const value = { instance: testInstance, request, fullReplier: 0 };
      const message = { name: 'submitRequest', value } as const;
      proofs += engine.handle({ kind: 'message', from, message }, 1).evidence.length;
    }
    return { checks, proofs };
  }

  it('again and again costs two checks and one proof', () => {
    const client = quickSigner('client');
    const own: Sender = { kind: 'client', key: client.publicKey };
    expect(repeated(client, own)).toEqual({ checks: 2, proofs: 1 });
  });

  it('again and again by way of a member costs no more', () => {
    const member: Sender = { kind: 'replica', index: 2 };
    expect(repeated(quickSigner('client'), member)).toEqual({ checks: 2, proofs: 1 });
  });

  it('is remembered until many others were caught', () => {
    const caught = new CaughtClients();
    for (let i = 0; i <= limits.caughtClientsMax; i++) caught.note(`${i}`);
    expect([caught.has('0'), caught.has('1'), caught.has(`${limits.caughtClientsMax}`)]).toEqual([
      false,
      true,
      true,
    ]);
  });
});
