import { describe, expect, it } from 'vitest';
import { type Bytes, equalBytes } from '../../base/bytes.ts';
import type { PlacedDigest, ViewChange, ViewChangeStatement } from '../../wire/pbft.ts';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import { nullDigest } from './batch.ts';
import { verifyEvidence } from './evidence.ts';
import { TestCluster, type TestClusterOptions, testInstance } from './test-cluster.ts';
import {
  genesisCertificate,
  prePrepareOf,
  requestOf,
  signedCertificate,
  signedNewView,
  signedViewChange,
} from './test-messages.ts';
import { quickScheme } from './test-service.ts';

const parameters = { checkpointInterval: 4, window: 8, timeoutMs: 100, statusIntervalMs: 20 };

function clusterOf(options: Partial<TestClusterOptions> = {}): TestCluster {
  return new TestCluster({ seed: 1, clients: 2, parameters, ...options });
}

function prePrepare(cluster: TestCluster, to: number, view: number, sequence: number, client = 0) {
  const { requests, digest } = requestOf(cluster, client, 1);
  cluster.speak(view % cluster.n, to, 'prePrepare', prePrepareOf(view, sequence, requests));
  return digest;
}

/** Votes that leave, by name. */
function counted(cluster: TestCluster): Map<string, number> {
  const sent = new Map<string, number>();
  const before = cluster.filter;
  cluster.filter = (from, to, message) => {
    if (from >= 0) sent.set(message.name, (sent.get(message.name) ?? 0) + 1);
    return before(from, to, message);
  };
  return sent;
}

describe('a view change', () => {
  it('replaces a dead primary with the messages that the analysis counts', () => {
    const cluster = clusterOf({ absent: [0], delayMsMax: 1, flushMsMax: 0 });
    cluster.client(0).retryMs = 20;
    const sent = counted(cluster);
    cluster.client(0).write();
    expect(cluster.run(5000, () => cluster.outcomes.length === 1)).toBe(true);
    expect(cluster.replica(1).engine.status()).toMatchObject({ view: 1, status: 'normal' });
    expect(sent.get('viewChange')).toBe(9);
    expect(sent.get('newView')).toBe(3);
    expect(sent.get('pbftPrepare')).toBe(6);
    expect(sent.get('pbftCommit')).toBe(9);
  });

  it('keeps one digest of a primary that says two', () => {
    const cluster = clusterOf({ absent: [0] });
    prePrepare(cluster, 1, 0, 1, 0);
    prePrepare(cluster, 2, 0, 1, 1);
    prePrepare(cluster, 3, 0, 1, 1);
    cluster.client(0).write();
    cluster.client(1).write();
    expect(cluster.run(20_000, () => cluster.outcomes.length === 2)).toBe(true);
    cluster.run(cluster.nowMs + 2000);
    expect(cluster.problems()).toEqual([]);
    expect(cluster.replica(3).service.entries).toHaveLength(2);
  });

  it('refuses sequences outside the window', () => {
    const cluster = clusterOf({ absent: [0] });
    prePrepare(cluster, 1, 0, 9);
    expect(cluster.count('outside-window')).toBe(1);
    prePrepare(cluster, 1, 0, 8);
    expect(cluster.count('outside-window')).toBe(1);
  });

  it('is not caused by one member, however far ahead it says to be', () => {
    const cluster = clusterOf();
    cluster.run(50);
    for (const view of [10 ** 9, 10 ** 9 + 4]) {
      const message = signedViewChange(cluster, { replica: 3, view });
      for (const to of [0, 1, 2]) cluster.speak(3, to, 'viewChange', message);
    }
    cluster.run(2000);
    for (const { engine } of cluster.replicas) expect(engine.status().view).toBe(0);
  });

  it('is joined at the lowest view when f+1 members want later ones', () => {
    const cluster = clusterOf({ absent: [2, 3] });
    cluster.speak(3, 0, 'viewChange', signedViewChange(cluster, { replica: 3, view: 9 }));
    expect(cluster.replica(0).engine.status().view).toBe(0);
    cluster.speak(2, 0, 'viewChange', signedViewChange(cluster, { replica: 2, view: 5 }));
    expect(cluster.replica(0).engine.status()).toMatchObject({ view: 5, status: 'view-change' });
  });

  it('hands on what is signed, and takes it from anyone', () => {
    const cluster = clusterOf({ absent: [1, 2, 3] });
    cluster.speak(3, 0, 'viewChange', signedViewChange(cluster, { replica: 2, view: 5 }));
    cluster.speak(3, 0, 'viewChange', signedViewChange(cluster, { replica: 1, view: 5 }));
    expect(cluster.replica(0).engine.status().view).toBe(5);
  });

  it('refuses VIEW-CHANGEs that are not signed, not shaped, or rest on a wrong certificate', () => {
    const cluster = clusterOf({ absent: [1, 2, 3] });
    const good = signedViewChange(cluster, { replica: 2, view: 5 });
    const speak = (message: ViewChange) => cluster.speak(3, 0, 'viewChange', message);
    speak({ ...good, signature: new Uint8Array(64) });
    const late: PlacedDigest = { sequence: 1, digest: nullDigest, view: 5 };
    speak(signedViewChange(cluster, { replica: 2, view: 5, prepared: [late] }));
    const far: PlacedDigest = { sequence: 9, digest: nullDigest, view: 0 };
    speak(signedViewChange(cluster, { replica: 2, view: 5, accepted: [far] }));
    const certificate = { ...genesisCertificate(cluster), sequence: 4 };
    speak(signedViewChange(cluster, { replica: 2, view: 5, certificate }));
    expect(cluster.count('view-change-not-signed')).toBe(2);
    expect(cluster.count('view-change-odd')).toBe(2);
  });

  const at = (sequence: number, fill = 1, view = 0): PlacedDigest => {
    return { sequence, digest: new Uint8Array(32).fill(fill), view };
  };
  const many = (count: number) => Array.from({ length: count }, (_, i) => at(5, i));

  /** Whether member 0 joins view 5 for two VIEW-CHANGEs above checkpoint 4, one of which claims this. */
  function isJoinedFor(claims: Partial<ViewChangeStatement>): boolean {
    const cluster = clusterOf({ absent: [1, 2, 3] });
    const certificate = signedCertificate(cluster, 4, [0, 1, 2]);
    const said = { replica: 2, view: 5, certificate, ...claims };
    cluster.speak(2, 0, 'viewChange', signedViewChange(cluster, said));
    const isOdd = cluster.count('view-change-odd') === 1;
    cluster.speak(1, 0, 'viewChange', signedViewChange(cluster, { replica: 1, view: 5 }));
    const isJoined = cluster.replica(0).engine.status().view === 5;
    expect(isOdd).toBe(!isJoined);
    return isJoined;
  }

  it('is joined for claims that are in place and in order', () => {
    const prepared = [at(5), at(6), at(12, 1, 4)];
    const accepted = [...many(64), at(6, 2), at(6, 3), at(12, 1, 4)];
    expect(isJoinedFor({ prepared, accepted })).toBe(true);
  });

  const odd: [string, Partial<ViewChangeStatement>][] = [
    ['a P of its own view', { prepared: [at(5, 1, 5)] }],
    ['a P at its checkpoint', { prepared: [at(4)] }],
    ['a P above the window', { prepared: [at(13)] }],
    ['a P that is not in order', { prepared: [at(6), at(5)] }],
    ['a P with two entries for a place', { prepared: [at(5, 1), at(5, 2)] }],
    ['a Q of its own view', { accepted: [at(5, 1, 5)] }],
    ['a Q at its checkpoint', { accepted: [at(4)] }],
    ['a Q above the window', { accepted: [at(13)] }],
    ['a Q whose places are not in order', { accepted: [at(6, 1), at(5, 2)] }],
    ['a Q whose digests are not in order', { accepted: [at(5, 2), at(5, 1)] }],
    ['a Q with a digest twice', { accepted: [at(5, 1, 0), at(5, 1, 1)] }],
    ['a Q with too many entries for a place', { accepted: many(65) }],
  ];
  it.each(odd)('is not joined for %s', (_, claims) => {
    expect(isJoinedFor(claims)).toBe(false);
  });

  it('finishes though a NEW-VIEW names a VIEW-CHANGE that a member never got', () => {
    const cluster = clusterOf({ absent: [0] });
    cluster.client(0).retryMs = 20;
    let dropped = 0;
    cluster.filter = (from, to, message) => {
      const isDropped = message.name === 'viewChange' && from === 2 && to === 3 && dropped < 3;
      if (isDropped) dropped += 1;
      return !isDropped;
    };
    cluster.client(0).write();
    expect(cluster.run(5000, () => cluster.outcomes.length === 1)).toBe(true);
    cluster.run(cluster.nowMs + 500);
    expect(dropped).toBeGreaterThan(0);
    expect(cluster.replica(3).engine.status()).toMatchObject({ view: 1, status: 'normal' });
  });
});

describe('a NEW-VIEW', () => {
  /** Members 0, 2, 3 left for view 1, whose primary is the test. */
  function offered(support: readonly Partial<ViewChangeStatement>[] = [{}, {}, {}]) {
    const cluster = clusterOf({ absent: [1, 2, 3] });
    const [a, b, c] = support;
    const changes = [
      signedViewChange(cluster, { ...a, replica: 1, view: 1 }),
      signedViewChange(cluster, { ...b, replica: 2, view: 1 }),
      signedViewChange(cluster, { ...c, replica: 3, view: 1 }),
    ];
    for (const change of changes) cluster.speak(1, 0, 'viewChange', change);
    expect(cluster.replica(0).engine.status()).toMatchObject({ view: 1, status: 'view-change' });
    return { cluster, changes };
  }

  it('is entered once: a second one is evidence against its primary', () => {
    const { cluster, changes } = offered();
    cluster.speak(1, 0, 'newView', signedNewView(cluster, changes, []));
    expect(cluster.replica(0).engine.status()).toMatchObject({ view: 1, status: 'normal' });
    const own = cluster.replica(0).durable;
    expect(own).toBeDefined();
    const other = signedNewView(cluster, [...changes].slice(0, 3), [nullDigest]);
    cluster.speak(1, 0, 'newView', other);
    expect(cluster.count('new-view-contradiction')).toBe(1);
    const [evidence] = cluster.evidence;
    const genesis = genesisCertificate(cluster).root;
    const verdict = verifyEvidence(
      evidence?.proof ?? new Uint8Array(0),
      cluster.group,
      quickScheme,
      genesis,
    );
    expect(verdict?.code).toBe('new-view-contradiction');
    expect(
      equalBytes(verdict?.accused ?? new Uint8Array(0), cluster.group.members[1] as Bytes),
    ).toBe(true);
  });

  it('that its own V refutes is not entered, and anyone can check why', () => {
    const { digest } = requestOf(clusterOf(), 0, 1);
    const prepared: PlacedDigest[] = [{ sequence: 1, digest, view: 0 }];
    const claim = { prepared, accepted: prepared };
    const { cluster, changes } = offered([claim, claim, {}]);
    cluster.speak(1, 0, 'newView', signedNewView(cluster, changes, [nullDigest]));
    expect(cluster.replica(0).engine.status().status).toBe('view-change');
    expect(cluster.count('new-view-refuted')).toBe(1);
    const proof = cluster.evidence[0]?.proof ?? new Uint8Array(0);
    const genesis = genesisCertificate(cluster).root;
    expect(verifyEvidence(proof, cluster.group, quickScheme, genesis)?.code).toBe(
      'new-view-refuted',
    );
    for (const at of [0, 20, 60, proof.length - 1]) {
      const bent = proof.slice();
      bent[at] = (bent[at] as number) ^ 1;
      expect(verifyEvidence(bent, cluster.group, quickScheme, genesis)).toBeUndefined();
    }
  });

  it('that is refuted is judged once, others of its view seldom, and a right one is entered all the same', () => {
    const { digest } = requestOf(clusterOf(), 0, 1);
    const prepared: PlacedDigest[] = [{ sequence: 1, digest, view: 0 }];
    const claim = { prepared, accepted: prepared };
    const { cluster, changes } = offered([claim, claim, {}]);
    const wrong = (fill: number) =>
      signedNewView(cluster, changes, [new Uint8Array(32).fill(fill)]);
    for (let i = 0; i < 20; i++) cluster.speak(1, 0, 'newView', wrong(1));
    expect(cluster.count('new-view-not-allowed')).toBe(1);
    for (let interval = 1; interval <= 3; interval++) {
      cluster.run(cluster.nowMs + parameters.statusIntervalMs);
      for (let i = 0; i < 20; i++) cluster.speak(1, 0, 'newView', wrong(20 * interval + i));
      expect(cluster.count('new-view-not-allowed')).toBe(1 + interval);
    }
    expect(cluster.count('new-view-refuted')).toBe(1);
    cluster.speak(2, 0, 'newView', signedNewView(cluster, changes, [digest]));
    expect(cluster.replica(0).engine.status()).toMatchObject({ view: 1, status: 'normal' });
  });

  it('names 2f+1 members', () => {
    const { cluster, changes } = offered();
    cluster.speak(1, 0, 'newView', signedNewView(cluster, changes.slice(1), []));
    expect(cluster.replica(0).engine.status().status).toBe('view-change');
    expect(cluster.count('new-view-refuted')).toBe(1);
  });

  it.each([
    { what: 'one VIEW-CHANGE as that of three members', order: [0, 0, 0] },
    { what: 'each of two as that of the other', order: [1, 0, 2] },
  ])('that names $what is not entered, and anyone can check why', ({ order }) => {
    const { cluster, changes } = offered();
    const support = order.flatMap((i) => changes[i] ?? []);
    cluster.speak(1, 0, 'newView', signedNewView(cluster, support, [], 0, [1, 2, 3]));
    expect(cluster.replica(0).engine.status().status).toBe('view-change');
    expect(cluster.count('new-view-wrong-author')).toBe(1);
    const proof = cluster.evidence[0]?.proof ?? new Uint8Array(0);
    const genesis = genesisCertificate(cluster).root;
    expect(verifyEvidence(proof, cluster.group, quickScheme, genesis)?.code).toBe(
      'new-view-refuted',
    );
  });

  it('has its batches in Q before they are voted for, when their bodies are here', () => {
    const probe = clusterOf();
    const { digest, requests } = requestOf(probe, 0, 1);
    const prepared: PlacedDigest[] = [{ sequence: 1, digest, view: 0 }];
    const claim = { prepared, accepted: prepared };
    const { cluster, changes } = offered([claim, claim, {}]);
    const sent: ReplicationMessage[] = [];
    cluster.filter = (from, _to, message) => {
      if (from === 0) sent.push(message);
      return false;
    };
    cluster.speak(1, 0, 'newView', signedNewView(cluster, changes, [digest]));
    cluster.run(cluster.nowMs + 10);
    expect(sent.some(({ name }) => name === 'fetchBody')).toBe(true);
    expect(sent.some(({ name }) => name === 'pbftPrepare')).toBe(false);
    const body = { instance: testInstance, requests, agreed: new Uint8Array(0) };
    cluster.speak(2, 0, 'body', body);
    cluster.run(cluster.nowMs + 10);
    expect(sent.some(({ name }) => name === 'pbftPrepare')).toBe(true);
    // Its sequence is taken in this view: the primary cannot give it to another batch.
    prePrepare(cluster, 0, 1, 1, 1);
    expect(cluster.count('outside-window')).toBe(1);
  });

  it('raises the low water mark before anything else, though the state is missing', () => {
    const probe = clusterOf();
    const certificate = signedCertificate(probe, 4, [1, 2, 3]);
    const { cluster, changes } = offered([{ certificate }, {}, {}]);
    cluster.speak(1, 0, 'newView', signedNewView(cluster, changes, [], 4));
    expect(cluster.replica(0).engine.status()).toMatchObject({
      view: 1,
      status: 'transferring',
      executed: 0,
    });
    prePrepare(cluster, 0, 1, 1);
    prePrepare(cluster, 0, 1, 4);
    expect(cluster.count('outside-window')).toBe(2);
    prePrepare(cluster, 0, 1, 5);
    expect(cluster.count('outside-window')).toBe(2);
  });
});

describe('after a restart', () => {
  it('a VIEW-CHANGE is sent again byte for byte, and its view stays left', () => {
    const cluster = clusterOf({ absent: [0, 2, 3] });
    const messages: ViewChange[] = [];
    cluster.filter = (from, _to, message) => {
      if (from === 1 && message.name === 'viewChange') messages.push(message.value);
      return true;
    };
    for (const from of [2, 3]) {
      const left = signedViewChange(cluster, { replica: from, view: 2 });
      cluster.speak(from, 1, 'viewChange', left);
    }
    cluster.run(1000, () => messages.length > 0);
    const before = messages.length;
    cluster.crash(1);
    cluster.restart(1);
    expect(cluster.replica(1).engine.status()).toMatchObject({ view: 2, status: 'view-change' });
    cluster.run(cluster.nowMs + 1000, () => messages.length > before);
    expect(messages.length).toBeGreaterThan(before);
    for (const message of messages) expect(message).toEqual(messages[0]);
    prePrepare(cluster, 1, 0, 1);
    expect(cluster.count('other-view')).toBe(1);
  });

  it('a slot of the view keeps what was accepted in it', () => {
    const cluster = clusterOf({ absent: [0, 2, 3] });
    prePrepare(cluster, 1, 0, 1, 0);
    cluster.run(20);
    cluster.crash(1);
    cluster.restart(1);
    prePrepare(cluster, 1, 0, 1, 1);
    expect(cluster.count('pre-prepare-contradiction')).toBe(1);
  });

  it('a primary does not use a sequence twice', () => {
    const cluster = clusterOf();
    cluster.filter = (from, to, message) => from < 0 || to === 3 || message.name !== 'prePrepare';
    cluster.client(0).write();
    cluster.run(30);
    cluster.crash(0);
    cluster.restart(0);
    cluster.client(1).write();
    const proposals = new Map<number, string>();
    cluster.filter = (from, _to, message) => {
      if (from === 0 && message.name === 'prePrepare') {
        const { sequence, requests } = message.value;
        const name = `${requests[0]?.request.number}/${requests[0]?.request.client[0]}`;
        expect(proposals.get(sequence) ?? name).toBe(name);
        proposals.set(sequence, name);
      }
      return true;
    };
    expect(cluster.run(5000, () => cluster.outcomes.length === 2)).toBe(true);
    expect(proposals.size).toBeGreaterThan(1);
    expect(cluster.problems()).toEqual([]);
  });
});
