// Crashes and partitions at the moments that matter, played by hand.

import { describe, expect, it } from 'vitest';
import { TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';

function started(options: Partial<ClusterOptions> = {}): TestCluster {
  const cluster = new TestCluster({ seed: 5, delayMsMax: 2, syncMsMax: 1, ...options });
  cluster.start();
  cluster.run(30);
  return cluster;
}

describe('a primary that crashes', () => {
  it('after f backups have the operation leaves it to the next one', () => {
    const cluster = started();
    cluster.filter = ({ message, to }) => message.name !== 'vrPrepare' || to === 1;
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(1).engine.core.log.last === 1);
    cluster.run(5);
    cluster.crash(0);
    // The client asks no more: the operation must come through the log.
    cluster.filter = ({ from }) => from.kind === 'replica';
    expect(cluster.run(2000, () => cluster.node(2).service.count === 1)).toBe(true);
    cluster.heal();
    cluster.checkEnd();
  });

  it('with an operation that nobody else has takes it along, and its client has it executed once', () => {
    const cluster = started({ clients: 2 });
    cluster.isolate(0);
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(0).engine.core.log.last === 1);
    // Until the old primary is back the client is not heard.
    cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
    cluster.clients[1]?.work(3);
    cluster.run(2000, () => cluster.clients[1]?.isIdle === true);
    expect([...(cluster.clients[1]?.results.values() ?? [])]).toEqual([0, 1, 2]);
    cluster.heal();
    cluster.checkEnd();
    expect([...(cluster.clients[0]?.results.values() ?? [])]).toEqual([3]);
    expect(cluster.node(0).service.count).toBe(4);
  });
});

describe('three-message writes', () => {
  it('are undone where the next view does not have them, and acknowledgements of two views make none', () => {
    const cluster = started({ parameters: { threeMessageWrites: true } });
    cluster.filter = ({ message }) =>
      message.name !== 'vrPrepare' &&
      // The tentative reply of one view and an acknowledgement of the next one reach the client.
      !(message.name === 'requestReply' && message.value.kind === 0);
    cluster.clients[0]?.work(1);
    cluster.run(500, () => cluster.node(0).service.count === 1);
    cluster.isolate(0);
    cluster.run(500, () => cluster.node(1).engine.core.isPrimary);
    expect(cluster.clients[0]?.isIdle).toBe(false);
    cluster.filter = ({ from }) => from.kind === 'replica';
    cluster.cut.clear();
    cluster.run(500, () => cluster.node(0).engine.core.lastNormal > 0);
    expect(cluster.node(0).service.count).toBe(0);
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('a replica far behind', () => {
  it('gets the pages of a checkpoint when the log it lacks is gone, also if it crashes over it', () => {
    const cluster = started({ clients: 2, parameters: { checkpointInterval: 4 } });
    cluster.crash(2);
    for (const client of cluster.clients) client.work(60, 2);
    cluster.run(5000, () => cluster.clients.every((client) => client.isIdle));
    cluster.startNode(2);
    const isInstalling = (): boolean => cluster.node(2).engine.core.parts.fetch.isInstalling;
    expect(cluster.run(1000, isInstalling)).toBe(true);
    cluster.crash(2);
    cluster.heal();
    cluster.checkEnd();
    expect(cluster.node(2).service.count).toBe(120);
  });
});
