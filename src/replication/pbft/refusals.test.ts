// Messages that a member must not act on: each is refused under its own code, and does nothing.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/bytes.ts';
import { taggedHash } from '../../crypto/hash.ts';
import type { Signer } from '../../crypto/signature.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import { bundle } from '../requests.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import {
  prePrepareOf,
  requestOf,
  signedCertificate,
  signedNewView,
  signedViewChange,
  statusOf,
} from './test-messages.ts';
import { countQuery } from './test-service.ts';

const parameters = { checkpointInterval: 4, window: 8, timeoutMs: 10_000, statusIntervalMs: 20 };

/** Member 1 alone, a backup of view 0: the test speaks for the others. */
class Alone {
  readonly cluster = new TestCluster({ seed: 1, clients: 2, parameters, absent: [0, 2, 3] });
  /** What it has said so far. */
  readonly said: ReplicationMessage[] = [];

  constructor() {
    this.cluster.filter = (_, __, message) => {
      this.said.push(message);
      return false;
    };
  }

  get status() {
    return this.cluster.replica(1).engine.status();
  }

  /** Time passes until its disk has what it wrote. */
  rest(): void {
    this.cluster.run(this.cluster.nowMs + 5);
  }

  hasSaid(name: ReplicationMessage['name']): boolean {
    this.rest();
    return this.said.some((message) => message.name === name);
  }

  /** A batch with one request, by its number, from who orders it, at sequence 1. */
  order(number: number, from = 0) {
    const { requests, digest } = requestOf(this.cluster, 0, number);
    this.cluster.speak(from, 1, 'prePrepare', prePrepareOf(0, 1, requests));
    return digest;
  }

  vote(name: 'pbftPrepare' | 'pbftCommit', from: number, digest: Uint8Array): void {
    this.cluster.speak(from, 1, name, { instance: testInstance, view: 0, sequence: 1, digest });
  }
}

describe('a message of another instance', () => {
  const other = taggedHash('instance', utf8('another'));
  const alone = new Alone();
  const { cluster } = alone;
  const { requests, digest } = requestOf(cluster, 0, 1);
  const key = (cluster.clientSigners[0] as Signer).publicKey;
  const client: Sender = { kind: 'client', key };
  const vote = { instance: testInstance, view: 0, sequence: 1, digest };
  const messages: { from: Sender; message: ReplicationMessage }[] = [
    {
      from: client,
      message: { name: 'lastNumber', value: { instance: testInstance, nonce: new Uint8Array(16) } },
    },
    {
      from: client,
      message: {
        name: 'queryRequest',
        value: { instance: testInstance, number: 1, fullReplier: 1, operation: countQuery },
      },
    },
    ...requests.map((request) => ({
      from: client,
      message: {
        name: 'submitRequest',
        value: { instance: testInstance, request, fullReplier: 1 },
      } as const,
    })),
    ...(
      [
        [0, { name: 'prePrepare', value: prePrepareOf(0, 1, requests) }],
        [2, { name: 'pbftPrepare', value: vote }],
        [3, { name: 'pbftCommit', value: vote }],
        [2, { name: 'committed', value: vote }],
        [3, { name: 'committed', value: vote }],
        [3, { name: 'pbftStatus', value: statusOf(cluster, { isDoubting: 1 }) }],
        [2, { name: 'queryStable', value: { instance: testInstance, counter: 0, forgotten: 0 } }],
      ] as const
    ).map(([index, message]) => ({ from: { kind: 'replica', index } as const, message })),
  ];

  it.each(messages)('does nothing: $message.name', ({ from, message }) => {
    const { engine } = new Alone().cluster.replica(1);
    const value = { ...message.value, instance: other };
    const bent = {
      kind: 'message',
      from,
      message: { ...message, value } as ReplicationMessage,
    } as const;
    const effects = engine.handle(bent, 1);
    expect(effects).toMatchObject({
      counts: ['other-instance'],
      sends: [],
      records: [],
      timers: [],
    });
  });

  it('though each of them does something in its own', () => {
    const counts: string[] = [];
    let sends = 0;
    for (const { from, message } of messages) {
      const effects = cluster.replica(1).engine.handle({ kind: 'message', from, message }, 1);
      counts.push(...effects.counts);
      sends += effects.sends.length;
    }
    expect(counts).toEqual([]);
    expect(sends).toBeGreaterThan(5);
    expect(alone.status.committed).toBe(1);
  });
});

describe('a message that makes no sense', () => {
  const { cluster } = new Alone();
  const { digest } = requestOf(cluster, 0, 1);
  const instance = testInstance;
  const vote = { instance, view: 0, sequence: 1, digest };
  const client: Sender = { kind: 'client', key: (cluster.clientSigners[0] as Signer).publicKey };
  const member = (index: number): Sender => ({ kind: 'replica', index });
  const signature = new Uint8Array(64);
  const checkpoint = { instance, replica: 2, sequence: 4, root: digest, isFinal: 0, signature };
  const newKey = { instance, replica: 2, counter: 1, forgotten: 0, signature };
  const newView = (view: number): ReplicationMessage => {
    const statement = { view, viewChanges: [], height: 0, batches: [] };
    return { name: 'newView', value: { instance, statement, signature } };
  };
  const query = { instance, number: 1, fullReplier: 1, operation: countQuery };
  const part = { instance, sequence: 4, region: 0, level: 0, nodes: [], pages: [] };
  const reported = { counter: 1, checkpoint: 0, prepared: 0, view: 0 };

  it.each<[string, Sender, ReplicationMessage]>([
    ['not-a-member', member(4), { name: 'pbftCommit', value: vote }],
    ['not-a-member', member(1), { name: 'pbftCommit', value: vote }],
    ['not-for-clients', client, { name: 'pbftCommit', value: vote }],
    ['not-for-replicas', member(2), { name: 'queryRequest', value: query }],
    ['body-not-held', member(2), { name: 'fetchBody', value: { instance, digest } }],
    ['transfer-unasked', member(2), { name: 'statePart', value: part }],
    ['reply-stable-unasked', member(2), { name: 'replyStable', value: { instance, ...reported } }],
    ['checkpoint-odd', member(2), { name: 'checkpoint', value: { ...checkpoint, replica: 4 } }],
    ['checkpoint-odd', member(2), { name: 'checkpoint', value: { ...checkpoint, sequence: 5 } }],
    ['checkpoint-odd', member(2), { name: 'checkpoint', value: { ...checkpoint, isFinal: 2 } }],
    ['checkpoint-old', member(2), { name: 'checkpoint', value: { ...checkpoint, sequence: 0 } }],
    ['checkpoint-not-signed', member(2), { name: 'checkpoint', value: checkpoint }],
    ['new-view-odd', member(0), newView(0)],
    ['new-view-odd', member(2), newView(1)],
    ['new-view-not-signed', member(2), newView(2)],
    ['new-key-odd', member(2), { name: 'newKey', value: { ...newKey, replica: 4 } }],
    ['new-key-odd', member(2), { name: 'newKey', value: { ...newKey, forgotten: 2 } }],
    ['new-key-odd', member(2), { name: 'newKey', value: { ...newKey, counter: 2 ** 36 + 1 } }],
    ['new-key-not-signed', member(2), { name: 'newKey', value: newKey }],
  ])('is counted, and does nothing: %s', (code, from, message) => {
    const { engine } = new Alone().cluster.replica(1);
    const effects = engine.handle({ kind: 'message', from, message }, 1);
    expect(effects).toMatchObject({ counts: [code], sends: [], records: [] });
  });
});

describe('a PRE-PREPARE', () => {
  it('counts from the primary of its view only', () => {
    const alone = new Alone();
    alone.order(1, 2);
    expect(alone.hasSaid('pbftPrepare')).toBe(false);
    expect(alone.cluster.count('not-the-primary')).toBe(1);
    alone.order(1);
    expect(alone.hasSaid('pbftPrepare')).toBe(true);
  });

  it('without a request is none: what does nothing is named null', () => {
    const alone = new Alone();
    alone.cluster.speak(0, 1, 'prePrepare', prePrepareOf(0, 1, []));
    expect(alone.hasSaid('pbftPrepare')).toBe(false);
    expect(alone.cluster.count('empty-batch')).toBe(1);
  });

  it('names no request twice, whatever proofs stand beside it', () => {
    const alone = new Alone();
    const { cluster } = alone;
    const signer = cluster.clientSigners[0] as Signer;
    const [first, second] = [1, 2].map((number) => ({
      ...{ client: signer.publicKey, number, kind: 0 },
      operation: cluster.client(0).operation(number),
    }));
    if (first === undefined || second === undefined) expect.fail('two requests');
    const single = bundle(signer, testInstance, [first]);
    const both = bundle(signer, testInstance, [first, second]);
    cluster.speak(0, 1, 'prePrepare', prePrepareOf(0, 1, [...single, ...single]));
    cluster.speak(0, 1, 'prePrepare', prePrepareOf(0, 1, [...single, ...both]));
    expect(alone.hasSaid('pbftPrepare')).toBe(false);
    expect(cluster.count('request-twice')).toBe(2);
    cluster.speak(0, 1, 'prePrepare', prePrepareOf(0, 1, both));
    expect(alone.hasSaid('pbftPrepare')).toBe(true);
  });

  it('for a slot that has one is counted, as a contradiction if it is another, and changes nothing', () => {
    const alone = new Alone();
    const { cluster, said } = alone;
    const digest = alone.order(1);
    alone.order(1);
    expect(cluster.count('duplicate')).toBe(1);
    expect(cluster.count('pre-prepare-contradiction')).toBe(0);
    const say = (requests: readonly SignedRequest[], agreed = new Uint8Array(0)): void =>
      cluster.speak(0, 1, 'prePrepare', { ...prePrepareOf(0, 1, requests), agreed });
    const { requests } = requestOf(cluster, 0, 1);
    alone.order(2);
    say(requests, Uint8Array.of(1));
    say([...requests, ...requests]);
    const [signed] = requests;
    if (signed === undefined) expect.fail('a request');
    const { client, operation } = requestOf(cluster, 1, 1).requests[0]?.request ?? signed.request;
    for (const other of [{ number: 2 }, { kind: 1 }, { client }, { operation }]) {
      say([{ ...signed, request: { ...signed.request, ...other } }]);
    }
    expect(cluster.count('duplicate')).toBe(1);
    expect(cluster.count('pre-prepare-contradiction')).toBe(7);
    expect(cluster.evidence).toEqual([]);
    alone.vote('pbftPrepare', 2, digest);
    alone.rest();
    const votes = said.flatMap(({ name, value: said }) =>
      name === 'pbftPrepare' || name === 'pbftCommit' ? [said.digest] : [],
    );
    expect(votes.length).toBeGreaterThan(1);
    for (const voted of votes) expect(voted).toEqual(digest);
  });
});

describe('a vote', () => {
  it('to prepare does not count from the primary, whose PRE-PREPARE it is', () => {
    const alone = new Alone();
    const digest = alone.order(1);
    alone.vote('pbftPrepare', 0, digest);
    expect(alone.hasSaid('pbftCommit')).toBe(false);
    expect(alone.cluster.count('prepare-of-primary')).toBe(1);
    alone.vote('pbftPrepare', 2, digest);
    expect(alone.hasSaid('pbftCommit')).toBe(true);
  });

  it('to prepare counts for what its author named first', () => {
    const alone = new Alone();
    const digest = alone.order(1);
    alone.vote('pbftPrepare', 2, requestOf(alone.cluster, 0, 2).digest);
    alone.vote('pbftPrepare', 2, digest);
    expect(alone.hasSaid('pbftCommit')).toBe(false);
    expect(alone.cluster.count('prepare-contradiction')).toBe(1);
    alone.vote('pbftPrepare', 3, digest);
    expect(alone.hasSaid('pbftCommit')).toBe(true);
  });

  it('to commit counts for what its author named first', () => {
    const alone = new Alone();
    const digest = alone.order(1);
    alone.vote('pbftCommit', 0, requestOf(alone.cluster, 0, 2).digest);
    for (const from of [0, 2, 3]) alone.vote('pbftCommit', from, digest);
    expect(alone.status.committed).toBe(0);
    expect(alone.cluster.count('commit-contradiction')).toBe(1);
    // Its own is the third.
    alone.vote('pbftPrepare', 2, digest);
    expect(alone.status.committed).toBe(1);
    expect(alone.cluster.evidence).toEqual([]);
  });
});

it('a status of who began with another state moves nobody', () => {
  const alone = new Alone();
  const { cluster } = alone;
  const genesis = new Uint8Array(32);
  for (const from of [2, 3]) {
    cluster.speak(
      from,
      1,
      'pbftStatus',
      statusOf(cluster, { genesis, isDoubting: 1, executed: 3 }),
    );
  }
  expect(cluster.count('genesis-differs')).toBe(2);
  expect(alone.status).toMatchObject({ view: 0, status: 'normal', waitsFor: undefined });
  for (const from of [2, 3]) {
    cluster.speak(from, 1, 'pbftStatus', statusOf(cluster, { isDoubting: 1, executed: 3 }));
  }
  expect(alone.status).toMatchObject({ view: 1, status: 'view-change' });
});

it('a certificate with a signature that nobody made raises nothing', () => {
  const alone = new Alone();
  const { cluster } = alone;
  const certificate = signedCertificate(cluster, 4, [0, 2, 3]);
  const signatures = certificate.signatures.map((each, i) =>
    i === 1 ? { ...each, signature: new Uint8Array(64) } : each,
  );
  const show = (shown: typeof certificate) =>
    cluster.speak(3, 1, 'stableCheckpoint', { instance: testInstance, certificate: shown });
  show({ ...certificate, signatures });
  show({ ...certificate, signatures: certificate.signatures.slice(1) });
  expect(cluster.count('certificate-wrong')).toBe(2);
  expect(alone.status).toMatchObject({ status: 'normal', transferred: undefined });
  show(certificate);
  expect(alone.status.status).toBe('transferring');
});

it.each([
  { what: 'one member three times', members: [0, 0, 0] },
  { what: 'one of two members twice', members: [0, 2, 2] },
  { what: 'members in another order', members: [0, 3, 2] },
  { what: 'more members than needed', members: [0, 1, 2, 3] },
])('a certificate of $what raises nothing, and nothing rests on it', ({ members }) => {
  const alone = new Alone();
  const { cluster } = alone;
  const certificate = signedCertificate(cluster, 4, members);
  cluster.speak(3, 1, 'stableCheckpoint', { instance: testInstance, certificate });
  expect(cluster.count('certificate-wrong')).toBe(1);
  for (const replica of [2, 3]) {
    const message = signedViewChange(cluster, { replica, view: 5, certificate });
    cluster.speak(replica, 1, 'viewChange', message);
  }
  expect(cluster.count('view-change-not-signed')).toBe(2);
  expect(alone.status).toMatchObject({ view: 0, status: 'normal', transferred: undefined });
});

it('a request on the channel of another client is not taken', () => {
  const alone = new Alone();
  const { cluster } = alone;
  const [request] = requestOf(cluster, 0, 1).requests;
  if (request === undefined) expect.fail('a request');
  const message = {
    name: 'submitRequest',
    value: { instance: testInstance, request, fullReplier: 1 },
  } as const;
  const submit = (client: number): void => {
    const from = {
      kind: 'client',
      key: (cluster.clientSigners[client] as Signer).publicKey,
    } as const;
    cluster.handle(cluster.replica(1), { kind: 'message', from, message });
  };
  submit(1);
  expect(cluster.count('request-of-another')).toBe(1);
  expect(alone.hasSaid('submitRequest')).toBe(false);
  submit(0);
  expect(alone.hasSaid('submitRequest')).toBe(true);
});

it('a NEW-VIEW that its primary did not sign opens no view', () => {
  const cluster = new TestCluster({ seed: 1, parameters, absent: [0, 1, 3] });
  const changes = [0, 1, 3].map((replica) => signedViewChange(cluster, { replica, view: 1 }));
  for (const change of changes) cluster.speak(3, 2, 'viewChange', change);
  const message = signedNewView(cluster, changes, []);
  cluster.speak(3, 2, 'newView', { ...message, signature: new Uint8Array(64) });
  expect(cluster.count('new-view-not-signed')).toBe(1);
  expect(cluster.replica(2).engine.status()).toMatchObject({ view: 1, status: 'view-change' });
  cluster.speak(3, 2, 'newView', message);
  expect(cluster.replica(2).engine.status()).toMatchObject({ view: 1, status: 'normal' });
});
