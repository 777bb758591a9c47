// An instance that begins with the state that another one ended with.

import { describe, expect, it } from 'vitest';
import { emptyBytes, toHex, utf8 } from '../../base/bytes.ts';
import { Certificate } from '../../wire/pbft.ts';
import type { EngineEnding } from '../contract.ts';
import { Executor } from '../executor.ts';
import { PagedState } from '../pages.ts';
import { bundle } from '../requests.ts';
import { verifyEnding } from './ending.ts';
import { genesisOf, TestCluster, type TestClusterOptions } from './test-cluster.ts';
import { Ledger, quickScheme, stopOperation } from './test-service.ts';

const parameters = { checkpointInterval: 4, window: 8, batchRequests: 1 };

function writeAll(cluster: TestCluster, count: number): void {
  for (let i = 0; i < count; i++) {
    const wanted = cluster.outcomes.length + 1;
    cluster.client(0).write();
    expect(cluster.run(cluster.nowMs + 8000, () => cluster.outcomes.length === wanted)).toBe(true);
  }
}

/** Five writes, then the end. */
function ended(options: Partial<TestClusterOptions> = {}): TestCluster {
  const cluster = new TestCluster({ seed: 1, clients: 2, parameters, ...options });
  writeAll(cluster, 5);
  cluster.client(1).write(stopOperation);
  cluster.run(cluster.nowMs + 1000);
  return cluster;
}

function next(options: Partial<TestClusterOptions> = {}): TestCluster {
  const genesis = genesisOf(ended().replica(0).engine);
  return new TestCluster({ seed: 2, clients: 2, parameters, genesis, ...options });
}

/** Numbers that were used before are answered as they were then; the ledger goes on behind the STOP. */
function expectToGoOn(cluster: TestCluster, written = 0): void {
  writeAll(cluster, 8 - written);
  expect(cluster.outcomes.map(({ place }) => place)).toEqual([0, 1, 2, 3, 4, 6, 7, 8]);
  cluster.run(cluster.nowMs + 3000);
  const statuses = cluster.replicas.map(({ engine }) => engine.status());
  for (const status of statuses) {
    expect(status).toMatchObject({ status: 'normal', damage: [], waitsFor: undefined });
    expect(status.executed).toBeGreaterThanOrEqual(3);
  }
  expect(new Set(cluster.replicas.map(({ service }) => service.entries.join())).size).toBe(1);
  expect(cluster.problems()).toEqual([]);
}

function endingOf(cluster: TestCluster, index: number): EngineEnding {
  const ending = cluster.replica(index).engine.ending();
  if (ending === undefined) throw new TypeError('the instance has not ended');
  return ending;
}

describe('the end of an instance', () => {
  it('is told by every member, with the same root and a proof of it', () => {
    const cluster = ended();
    const roots = cluster.replicas.map(({ index }) => toHex(endingOf(cluster, index).root));
    expect(new Set(roots).size).toBe(1);
    for (const { index } of cluster.replicas) {
      const { sequence, root, proof } = endingOf(cluster, index);
      expect(verifyEnding(proof, cluster.group, quickScheme)).toEqual({ sequence, root });
    }
  });

  it('is not told before it is proved', () => {
    const cluster = new TestCluster({ seed: 1, clients: 2, parameters });
    cluster.filter = (_from, _to, { name }) => name !== 'checkpoint';
    writeAll(cluster, 1);
    cluster.client(1).write(stopOperation);
    cluster.run(cluster.nowMs + 1000);
    expect(cluster.replica(0).engine.status().executed).toBe(2);
    expect(cluster.replicas.map(({ engine }) => engine.ending())).toEqual(
      cluster.replicas.map(() => undefined),
    );
  });

  it('is not proved by fewer members, another group, another root, or a checkpoint that is not the last', () => {
    const cluster = ended();
    const { proof } = endingOf(cluster, 0);
    const judge = (bytes: Uint8Array) => verifyEnding(bytes, cluster.group, quickScheme);
    expect(judge(proof)).toBeDefined();
    for (let at = 0; at < proof.length; at++) {
      const bent = proof.slice();
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(judge(bent)).toBeUndefined();
      expect(judge(proof.subarray(0, at))).toBeUndefined();
    }
    const certificate = Certificate.deserialize(proof);
    const [first, second, third] = certificate.signatures;
    if (first === undefined || second === undefined || third === undefined) expect.fail('three');
    for (const signatures of [
      [first, first, first],
      [first, second, second],
      [first, third, second],
    ]) {
      expect(judge(Certificate.serialize({ ...certificate, signatures }))).toBeUndefined();
    }
    const other = { ...cluster.group, instance: new Uint8Array(32).fill(9) };
    expect(verifyEnding(proof, other, quickScheme)).toBeUndefined();
    const running = new TestCluster({ seed: 1, parameters });
    writeAll(running, 5);
    running.run(running.nowMs + 500);
    expect(running.replica(0).engine.status().checkpoint).toBe(4);
    expect(running.replica(0).engine.ending()).toBeUndefined();
  });

  it.each([0, 1, 3])(
    'is taken again by member %i, which goes back to the checkpoint before',
    (who) => {
      const quick = { timeoutMs: 200, statusIntervalMs: 20, idleStatusIntervalMs: 100 };
      const cluster = new TestCluster({
        seed: 1,
        clients: 2,
        parameters: { ...parameters, ...quick },
        saveMsMax: 300,
      });
      writeAll(cluster, 5);
      cluster.run(cluster.nowMs + 3000);
      expect(cluster.replica(who).engine.status().checkpoint).toBe(4);
      // The STOP is executed while the pages of a recovery are checked, and its checkpoint is not stable yet.
      cluster.filter = (_from, _to, { name, value }) =>
        !(name === 'checkpoint' && value.isFinal === 1) && name !== 'stableCheckpoint';
      cluster.client(1).write(stopOperation);
      const hasEnded = () => cluster.replicas.every(({ engine }) => engine.status().executed === 6);
      expect(cluster.run(cluster.nowMs + 8000, hasEnded)).toBe(true);
      cluster.recover(who);
      cluster.run(cluster.nowMs + 20_000);
      cluster.filter = () => true;
      cluster.run(cluster.nowMs + 20_000);
      for (const { engine, saved } of cluster.replicas) {
        expect([engine.status().status, saved?.sequence]).toEqual(['final', 6]);
        expect(engine.ending()).toBeDefined();
      }
    },
  );

  it('gives pages that stay what they are', () => {
    const cluster = ended();
    const { pages, root } = endingOf(cluster, 0);
    const first = [...pages];
    expect(first.length).toBeGreaterThan(0);
    expect([...pages]).toEqual(first);
    expect(toHex(endingOf(cluster, 0).root)).toBe(toHex(root));
  });
});

describe('the next instance', () => {
  it('goes on where the one before ended', () => expectToGoOn(next()));

  it('goes on when one member has its state, which the others fetch', () => {
    for (const heirs of [[0], [3], [1, 2]]) {
      const cluster = next({ heirs });
      expect(cluster.replicas.map(({ engine }) => engine.status().status)).toEqual(
        cluster.replicas.map(({ index }) => (heirs.includes(index) ? 'normal' : 'transferring')),
      );
      expectToGoOn(cluster);
    }
  });

  it('executes nothing while nobody has the state', () => {
    const cluster = next({ heirs: [] });
    cluster.client(0).write();
    cluster.client(1).read();
    cluster.run(5000);
    expect(cluster.outcomes).toEqual([]);
    for (const { engine } of cluster.replicas) {
      expect(engine.status()).toMatchObject({ executed: 0, waitsFor: 'state' });
    }
  });

  it('has members that judge no number before they have the state', () => {
    const executor = new Executor(new Ledger());
    const [client] = new TestCluster({ seed: 1, clients: 1 }).clientSigners;
    if (client === undefined) throw new TypeError('there is a client');
    const asked = (number: number, operation: Uint8Array) => ({
      client: client.publicKey,
      number,
      kind: 0,
      operation,
    });
    executor.execute(asked(2 ** 38, utf8('far away')), emptyBytes, 1);
    executor.execute(asked(2 ** 38 + 1, stopOperation), emptyBytes, 2);
    const { root } = executor.checkpoint(2);
    const checkpoint = { sequence: 0, root, notes: emptyBytes, pages: [...executor.state.all()] };
    const genesis = { checkpoint, records: [], damage: [], isFirstStart: true };
    const cluster = new TestCluster({ seed: 1, clients: 1, parameters, genesis, heirs: [0, 1] });
    const told: number[] = [];
    cluster.onReply = (_client, _from, { outcome }) => void told.push(outcome);
    cluster.filter = (_from, _to, { name }) => name !== 'statePart';
    // Too far for who knows nothing of the client, and the next one for those who have the table.
    const request = asked(2 ** 38 + 2, utf8('the next'));
    const [signed] = bundle(client, cluster.group.instance, [request]);
    if (signed === undefined) throw new TypeError('there is a request');
    const value = { instance: cluster.group.instance, request: signed, fullReplier: 0 };
    for (let to = 0; to < cluster.n; to++) {
      const from = { kind: 'client', key: client.publicKey } as const;
      cluster.deliver(from, to, { name: 'submitRequest', value });
    }
    cluster.run(3000);
    expect(told).toEqual([0, 0]);
  });

  it('answers nothing from pages that its group does not name, whatever they are', () => {
    const odd = new PagedState();
    odd.region('clients').write(0, new Uint8Array(5).fill(9));
    const other = ended().replica(0).engine.ending();
    for (const wrong of [odd.all(), other?.pages ?? []]) {
      const pages = [...wrong, { region: 'service', page: 9, bytes: utf8('wrong') } as const];
      const cluster = next({ heirs: [0, 1, 2] });
      cluster.crash(3);
      cluster.replica(3).saved = {
        sequence: 0,
        root: PagedState.sift(pages).state.rootNow(),
        notes: emptyBytes,
        pages: new Map(pages.map((page) => [`${page.region}/${page.page}`, page])),
      };
      const told: number[] = [];
      cluster.onReply = (_client, from) => void told.push(from);
      cluster.filter = (_from, _to, { name }) => name !== 'statePart';
      cluster.restart(3);
      expect(cluster.replica(3).engine.status()).toMatchObject({
        status: 'transferring',
        damage: ['disk-pages-differ'],
      });
      writeAll(cluster, 2);
      expect(told).not.toContain(3);
      cluster.filter = () => true;
      expectToGoOn(cluster, 2);
    }
  });

  it('takes no other state than the one that its group names', () => {
    const other = new TestCluster({ seed: 3, clients: 2, parameters });
    writeAll(other, 2);
    other.client(1).write(stopOperation);
    other.run(other.nowMs + 1000);
    const wrong = genesisOf(other.replica(0).engine);
    const cluster = next({ heirs: [0, 1, 2] });
    cluster.crash(3);
    cluster.replica(3).saved = {
      sequence: 0,
      root: wrong.checkpoint?.root ?? new Uint8Array(32),
      notes: new Uint8Array(0),
      pages: new Map(
        [...(wrong.checkpoint?.pages ?? [])].map((page) => [`${page.region}/${page.page}`, page]),
      ),
    };
    cluster.restart(3);
    expect(cluster.replica(3).engine.status().status).toBe('transferring');
    expectToGoOn(cluster);
  });

  it.each([0, 3])(
    'lets member %i come back that has lost its disk, before and after a checkpoint',
    (lost) => {
      const cluster = next({ heirs: [lost, 1] });
      cluster.wipe(lost);
      const isBack = () => cluster.replica(lost).engine.status().status === 'normal';
      expect(cluster.run(20_000, isBack)).toBe(true);
      expectToGoOn(cluster);
      writeAll(cluster, 12);
      // Members take the loss of a disk only a while after the last one.
      cluster.run(cluster.nowMs + 64_000);
      cluster.wipe(lost);
      expect(cluster.run(cluster.nowMs + 20_000, isBack)).toBe(true);
      cluster.run(cluster.nowMs + 3000);
      expect(cluster.problems()).toEqual([]);
    },
  );

  it('can end too, and so on', () => {
    const cluster = next({ heirs: [2] });
    writeAll(cluster, 6);
    // Its first number was used for the end before.
    cluster.client(1).write();
    cluster.client(1).write(stopOperation);
    cluster.run(cluster.nowMs + 2000);
    const third = new TestCluster({
      seed: 4,
      clients: 2,
      parameters,
      genesis: genesisOf(cluster.replica(1).engine),
      heirs: [3],
    });
    writeAll(third, 7);
    expect(third.outcomes.map(({ place }) => place)).toEqual([0, 1, 2, 3, 4, 6, 8]);
  });
});
