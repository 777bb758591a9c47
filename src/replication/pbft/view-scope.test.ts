// What a member may still say, and answer, once it has left the view that it belongs to.

import { expect, it } from 'vitest';
import type { PbftParameters } from './parameters.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import {
  prePrepareOf,
  requestOf,
  signedNewView,
  signedViewChange,
  statusOf,
} from './test-messages.ts';
import { countQuery } from './test-service.ts';

const parameters = { checkpointInterval: 4, window: 8, timeoutMs: 10_000, statusIntervalMs: 20 };

/**
 * Member 2 alone, a backup of views 0 and 1.
 * @param carriesOver whether what was ordered in view 0 is prepared at the others, and part of view 1.
 */
function alone(changed: Partial<PbftParameters> = {}, carriesOver = false) {
  const options = { seed: 1, parameters: { ...parameters, ...changed }, absent: [0, 1, 3] };
  const cluster = new TestCluster(options);
  const said: string[] = [];
  cluster.filter = (_, __, { name }) => {
    said.push(name);
    return false;
  };
  const replies: number[] = [];
  cluster.onReply = (_, __, { kind, outcome }) => {
    expect(outcome).toBe(0);
    replies.push(kind);
  };
  const { requests, digest } = requestOf(cluster, 0, 1);
  const vote = { instance: testInstance, view: 0, sequence: 1, digest };
  const prepare = (): void => {
    cluster.speak(0, 2, 'prePrepare', prePrepareOf(0, 1, requests));
    cluster.speak(1, 2, 'pbftPrepare', vote);
  };
  const commit = (view = 0): void => {
    for (const from of [0, 1, 3]) cluster.speak(from, 2, 'pbftCommit', { ...vote, view });
  };
  const ask = (name: 'queryRequest' | 'submitRequest', number: number): void => {
    const [request] = requests;
    if (request === undefined) expect.fail('a request');
    const { client } = request.request;
    const common = { instance: testInstance, fullReplier: 2 };
    const message =
      name === 'submitRequest'
        ? ({ name, value: { ...common, request } } as const)
        : ({ name, value: { ...common, number, operation: countQuery } } as const);
    const from = { kind: 'client', key: client } as const;
    cluster.handle(cluster.replica(2), { kind: 'message', from, message });
  };
  const prepared = carriesOver ? [{ sequence: 1, digest, view: 0 }] : [];
  const changes = [0, 1, 3].map((replica) =>
    signedViewChange(cluster, { replica, view: 1, prepared, accepted: prepared }),
  );
  const leave = (): void => {
    for (const change of changes) cluster.speak(1, 2, 'viewChange', change);
    expect(cluster.replica(2).engine.status()).toMatchObject({ view: 1, status: 'view-change' });
  };
  const batches = carriesOver ? [digest] : [];
  const enter = (): void => {
    cluster.speak(1, 2, 'newView', signedNewView(cluster, changes, batches));
    expect(cluster.replica(2).engine.status()).toMatchObject({ view: 1, status: 'normal' });
  };
  const rest = (): void => {
    cluster.run(cluster.nowMs + 10);
  };
  return { cluster, said, replies, prepare, commit, ask, leave, enter, rest };
}

it('votes that wait for the disk are not said any more when their view is left', () => {
  const { said, prepare, leave, rest } = alone();
  prepare();
  leave();
  rest();
  expect(said).toContain('viewChange');
  expect(said).not.toContain('pbftPrepare');
  expect(said).not.toContain('pbftCommit');
});

it('votes that wait for the disk are said while their view lasts', () => {
  const { said, prepare, rest } = alone();
  prepare();
  expect(said).not.toContain('pbftPrepare');
  rest();
  expect(said).toContain('pbftPrepare');
  expect(said).toContain('pbftCommit');
});

it.each([
  ['tentative', false, []],
  ['tentative', true, [1]],
] as const)('a %s result is a word of its view, which lasts: %s', (_, lasts, expected) => {
  const { replies, prepare, leave, rest } = alone({ isTentative: true });
  prepare();
  if (!lasts) leave();
  rest();
  expect(replies).toEqual(expected);
});

it('a final result stays true when the view is left before it is said', () => {
  const { replies, prepare, commit, leave, rest } = alone();
  prepare();
  commit();
  leave();
  expect(replies).toEqual([]);
  rest();
  expect(replies).toEqual([0]);
});

it('what is known to be committed stays so when the view is left before it is said', () => {
  const { cluster, said, prepare, commit, leave, rest } = alone();
  prepare();
  commit();
  cluster.speak(3, 2, 'pbftStatus', statusOf(cluster));
  leave();
  expect(said).not.toContain('committed');
  rest();
  expect(said).toContain('committed');
});

it('a CHECKPOINT stays true when the view is left before it is said', () => {
  const often = { checkpointInterval: 1, window: 2, batchesInFlight: 1 };
  const { cluster, said, prepare, commit, leave, rest } = alone(often);
  prepare();
  commit();
  expect(cluster.run(100, () => cluster.replica(2).saved !== undefined)).toBe(true);
  leave();
  expect(said).not.toContain('checkpoint');
  rest();
  expect(said).toContain('checkpoint');
});

it('a read is answered in a view only: whoever has left one does not know what is prepared in the next', () => {
  const { replies, ask, leave, enter, rest } = alone();
  ask('queryRequest', 1);
  rest();
  expect(replies).toEqual([2]);
  leave();
  ask('queryRequest', 2);
  rest();
  expect(replies).toEqual([2]);
  enter();
  rest();
  expect(replies).toEqual([2, 2]);
});

it('a read right after a NEW-VIEW waits until what that carries over is executed', () => {
  const { cluster, replies, prepare, commit, ask, leave, enter, rest } = alone({}, true);
  prepare();
  rest();
  leave();
  enter();
  rest();
  // Nothing of it is prepared in the new view yet, but a client may have had its result from the old one.
  ask('queryRequest', 2);
  rest();
  expect(replies).toEqual([]);
  commit(1);
  rest();
  expect(cluster.replica(2).engine.status().executed).toBe(1);
  expect(replies.sort()).toEqual([0, 2]);
});

it.each([
  ['small', {}],
  ['large', { fullReplySizeBytesMax: 0 }],
] as const)('a %s tentative result that is asked for again is not said to be final', (_, size) => {
  const { replies, prepare, commit, ask, rest } = alone({ isTentative: true, ...size });
  prepare();
  rest();
  expect(replies).toEqual([1]);
  ask('submitRequest', 1);
  rest();
  expect(replies).toEqual([1, 1]);
  commit();
  ask('submitRequest', 1);
  rest();
  expect(replies).toEqual([1, 1, 0]);
});
