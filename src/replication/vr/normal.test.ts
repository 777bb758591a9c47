import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import {
  encodeReplicationMessage,
  replicationMessageName,
} from '../../wire/replication-registry.ts';
import type { EngineEvent } from '../contract.ts';
import { bentMessage } from '../test-bending.ts';
import { createVrEngine } from './engine.ts';
import { type Packet, TestCluster } from './test-cluster.ts';
import { type ClusterOptions, quickParameters } from './test-options.ts';
import { countOperation, countQuery, takesAnything } from './test-service.ts';

function started(options: Partial<ClusterOptions> = {}): TestCluster {
  const cluster = new TestCluster({ seed: 3, delayMsMax: 1, syncMsMax: 1, ...options });
  cluster.start();
  return cluster;
}

/** Names of the messages sent from now on; heartbeats apart. */
function listen(cluster: TestCluster): string[] {
  const names: string[] = [];
  cluster.filter = ({ message }) => {
    if (message.name !== 'vrCommit') names.push(message.name);
    return true;
  };
  return names;
}

describe('the normal case of Viewstamped Replication', () => {
  it('executes every operation once and in one order at all replicas', () => {
    for (const faults of [0, 1, 2]) {
      const cluster = started({ seed: faults, faults, isEncoded: true });
      for (const client of cluster.clients) client.work(40, 3);
      expect(cluster.run(5000, () => cluster.isSettled)).toBe(true);
      cluster.checkEnd();
      expect(cluster.nodes.map(({ service }) => service.count)).toEqual(
        cluster.nodes.map(() => 80),
      );
    }
  });

  it.each([
    ['', {}, 6],
    [' with witnesses', { witnesses: true }, 4],
    [' in three messages', { threeMessageWrites: true }, 8],
  ] as const)('costs as many messages for a write as the papers say%s', (_, parameters, count) => {
    const cluster = started({
      parameters: { ...parameters, heartbeatMs: 1000, primaryTimeoutMs: 5000 },
    });
    cluster.run(10);
    const names = listen(cluster);
    cluster.clients[0]?.work(1);
    cluster.run(20);
    expect(names).toHaveLength(count);
    expect(cluster.clients[0]?.isIdle).toBe(true);
  });

  it.each([
    [1, 7],
    [2, 23],
  ])('changes the view after a dead primary of 2·%i+1 members in %i messages', (faults, count) => {
    const cluster = started({ faults, parameters: { heartbeatMs: 30 } });
    cluster.run(20);
    const names = listen(cluster);
    cluster.crash(0);
    cluster.run(1000, () => cluster.node(1).engine.core.isPrimary);
    cluster.run(20);
    expect(names).toHaveLength(count);
  });

  it('puts what waits into batches', () => {
    const cluster = started({ clients: 8 });
    let prepares = 0;
    cluster.filter = ({ message, to }) => {
      if (message.name === 'vrPrepare' && to === 1) prepares += 1;
      return true;
    };
    for (const client of cluster.clients) client.work(10);
    expect(cluster.run(5000, () => cluster.isSettled)).toBe(true);
    expect(prepares).toBeLessThan(50);
  });

  it('keeps batches under way up to the bound, and answers in order', () => {
    const cluster = started({ clients: 1, parameters: { batchRequestsMax: 1, pipelineMax: 3 } });
    const inFlight: number[] = [];
    cluster.filter = () => {
      const { log, commit } = cluster.node(0).engine.core;
      inFlight.push(log.last - commit);
      return true;
    };
    cluster.clients[0]?.work(30, 16);
    expect(cluster.run(5000, () => cluster.isSettled)).toBe(true);
    expect(Math.max(...inFlight)).toBe(3);
    cluster.checkEnd();
  });

  it('does not acknowledge what is not on disk', () => {
    const cluster = started();
    cluster.run(10);
    for (const index of [1, 2]) cluster.stalled.add(index);
    cluster.clients[0]?.work(1);
    cluster.run(30);
    expect(cluster.node(1).engine.core.log.last).toBe(1);
    expect(cluster.clients[0]?.isIdle).toBe(false);
  });

  it('changes the view of a primary that can send but hears nobody', () => {
    const cluster = started();
    cluster.run(20);
    for (const from of [1, 2]) cluster.cut.add(from * 3);
    cluster.clients[0]?.work(1);
    expect(cluster.run(2000, () => cluster.clients[0]?.isIdle === true)).toBe(true);
    expect(cluster.node(1).engine.core.view).toBeGreaterThan(0);
  });

  it('raises the view of a replica that hears nobody once only', () => {
    const cluster = started();
    cluster.isolate(2);
    cluster.run(3000);
    expect(cluster.node(2).engine.core.view).toBe(1);
  });
});

describe('the end of an instance', () => {
  it('answers everything behind it as ended, and keeps the state as it was', () => {
    const cluster = started({ clients: 2 });
    cluster.clients[0]?.work(3);
    cluster.run(1000, () => cluster.isSettled);
    cluster.clients[0]?.submit(countOperation(0, 99, true));
    cluster.run(1000, () => cluster.isSettled);
    cluster.clients[1]?.work(2);
    expect(cluster.run(1000, () => cluster.isSettled)).toBe(true);
    cluster.run(100);
    expect([...(cluster.clients[1]?.ended ?? [])]).toEqual([1, 2]);
    for (const { engine, service } of cluster.nodes) {
      expect(engine.status().status).toBe('final');
      expect(service.count).toBe(4);
      expect(engine.status().root).toBe(cluster.node(0).engine.status().root);
    }
  });
});

describe('restarts', () => {
  it('of all members keep everything in mode full', () => {
    const cluster = started();
    cluster.clients[0]?.work(20, 4);
    cluster.run(3000, () => cluster.isSettled);
    for (let i = 0; i < 3; i++) cluster.crash(i);
    cluster.clients[1]?.work(5);
    cluster.heal();
    cluster.checkEnd();
    expect(cluster.node(2).service.count).toBe(25);
  });

  it('of all members are the end in mode view: none comes up empty', () => {
    const cluster = started({ parameters: { mode: 'view' } });
    cluster.clients[0]?.work(5);
    cluster.run(3000, () => cluster.isSettled);
    for (let i = 0; i < 3; i++) cluster.crash(i);
    for (let i = 0; i < 3; i++) cluster.startNode(i);
    cluster.clients[1]?.work(1);
    cluster.run(5000);
    expect(cluster.nodes.map(({ engine }) => engine.status().status)).toEqual(
      cluster.nodes.map(() => 'recovering'),
    );
    expect(cluster.clients[1]?.isIdle).toBe(false);
  });

  it('do not vote before the promise of a lease is over', () => {
    const cluster = started({ parameters: { leaseMs: 200, viewChangeTimeoutMs: 800 } });
    cluster.run(30);
    cluster.crash(2);
    cluster.startNode(2);
    const restartedMs = cluster.nowMs;
    let votedMs: number | undefined;
    cluster.filter = ({ message, from }) => {
      const isVote = message.name === 'vrDoViewChange';
      if (isVote && from.kind === 'replica' && from.index === 2) votedMs ??= cluster.nowMs;
      return true;
    };
    cluster.crash(0);
    expect(cluster.run(2000, () => votedMs !== undefined)).toBe(true);
    expect((votedMs ?? 0) - restartedMs).toBeGreaterThanOrEqual(200);
  });

  it('with a damaged journal leave a replica silent', () => {
    const cluster = started();
    cluster.clients[0]?.work(3);
    cluster.run(1000, () => cluster.isSettled);
    cluster.crash(1);
    cluster.node(1).records.push(Uint8Array.of(2, 0));
    cluster.startNode(1);
    cluster.run(300);
    expect(cluster.counts.get('vr-disk-unreadable')).toBeGreaterThan(0);
    expect(cluster.node(1).timers.size).toBe(0);
  });
});

describe('a restarted client', () => {
  it('is told the largest number it has used by whoever has it in the log', () => {
    const cluster = started();
    cluster.clients[0]?.work(4);
    cluster.run(1000, () => cluster.isSettled);
    const numbers: number[] = [];
    cluster.filter = ({ message }) => {
      if (message.name === 'lastNumberIs') numbers.push(message.value.number);
      return true;
    };
    const key = cluster.clients[0]?.publicKey ?? expect.fail('no client');
    const value = { instance: cluster.instance, nonce: new Uint8Array(16) };
    for (let to = 0; to < 3; to++) {
      const from = { kind: 'client', key } as const;
      cluster.transmit({ from, to, message: { name: 'lastNumber', value } });
    }
    cluster.run(10);
    expect(numbers).toEqual([4, 4, 4]);
  });
});

describe('senseless messages', () => {
  it('make nobody throw, nor say what cannot be sent, whoever sends them', () => {
    const template = started();
    const seen: ReplicationMessage[] = [];
    template.filter = ({ message }) => {
      seen.push(message);
      return true;
    };
    template.clients[0]?.work(30, 4);
    template.run(100);
    template.crash(0);
    template.run(300);
    template.startNode(0);
    template.run(300);
    expect(replicationMessageName(90)).toBe('vrPrepare');
    const anyBend = fc.record({ how: fc.nat(), at: fc.nat(), with: fc.nat() });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), anyBend, fc.nat(5)), { maxLength: 30, size: 'max' }),
        (moves) => {
          const { instance, members, faults } = template;
          const engine = createVrEngine({
            group: { instance, members, faults },
            index: 1,
            service: takesAnything,
            nonce: () => new Uint8Array(16),
            parameters: quickParameters,
          });
          engine.handle({ kind: 'start', restored: undefined }, 1);
          for (const [which, bend, sender] of moves) {
            const message = bentMessage(seen[which % seen.length] as ReplicationMessage, bend);
            if (message === undefined) continue;
            const from =
              sender < 5
                ? ({ kind: 'replica', index: sender } as const)
                : ({ kind: 'client', key: new Uint8Array(32) } as const);
            // Crash faults do not send such things, broken channels may: they may be believed, no more.
            const { sends } = engine.handle({ kind: 'message', from, message }, 2);
            for (const { name, value } of sends) encodeReplicationMessage(name, value as never);
            engine.status();
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

it('asks on from where a log has come by itself, for what others still have', () => {
  const cluster = started({
    parameters: { checkpointInterval: 2, intervalsKept: 1, pipelineMax: 1 },
  });
  const { log } = cluster.node(2).engine.core;
  const [client] = cluster.clients;
  const write = (times: number): void => {
    client?.work(times);
    expect(cluster.run(5000, () => client?.isIdle === true)).toBe(true);
  };
  // One PREPARE is late, and no answer of those who are asked for what it brings gets through.
  let late: Packet | undefined;
  cluster.filter = (packet) => {
    if (packet.to !== 2) return true;
    if (packet.message.name === 'vrPrepare' && late === undefined) late = packet;
    else if (packet.message.name !== 'vrNewState') return true;
    return false;
  };
  write(2);
  expect(log.last).toBe(0);
  if (late === undefined) throw new TypeError('no PREPARE was sent');
  cluster.deliver(late);
  write(10);
  expect(log.last).toBe(12);
  // The others have forgotten the beginning when something is missing again.
  late = undefined;
  write(1);
  expect(log.last).toBe(12);
  cluster.filter = ({ to, message }) => to !== 2 || message.name !== 'vrPrepare';
  expect(cluster.run(3000, () => log.last === 13)).toBe(true);
});

describe('a backup that was held up', () => {
  /** The next tick of a backup comes late, before or after what its primary has sent meanwhile. */
  function heldUp(isHeardFirst: boolean): { cluster: TestCluster; wake: () => string[] } {
    const cluster = started({ seed: 5 });
    cluster.run(100);
    const { engine } = cluster.node(1);
    const { instance } = cluster;
    const from = { kind: 'replica', index: 0 } as const;
    const value = { instance, view: 0, sequence: 0, commit: 0, low: 0 };
    const message = { name: 'vrCommit', value } as const;
    let atMs = 100 + 60_000;
    const wake = (): string[] => {
      const counts: string[] = [];
      const take = (event: EngineEvent): void =>
        void counts.push(...engine.handle(event, atMs).counts);
      if (isHeardFirst) take({ kind: 'message', from, message });
      for (let tick = 0; tick < 20; tick++) {
        take({ kind: 'timer', name: 'tick' });
        atMs += cluster.parameters.heartbeatMs;
        if (!isHeardFirst && tick === 0) take({ kind: 'message', from, message });
      }
      return counts;
    };
    return { cluster, wake };
  }

  it('does not take its own silence for that of its primary', () => {
    const { cluster } = heldUp(false);
    const { engine } = cluster.node(1);
    expect(engine.handle({ kind: 'timer', name: 'tick' }, 60_100).counts).toEqual([]);
    expect(engine.status()).toMatchObject({ view: 0, status: 'normal' });
  });

  it.each([false, true])(
    'notices all the same when that is silent, heard first: %s',
    (isHeardFirst) => {
      const { wake } = heldUp(isHeardFirst);
      expect(wake()).toContain('vr-primary-silent');
    },
  );
});

describe('a member that starts', () => {
  it('says so at once, so that who could not reach it tries again', () => {
    const cluster = started();
    cluster.run(50);
    cluster.crash(2);
    cluster.run(20);
    const told: number[] = [];
    cluster.filter = ({ from, to, message }) => {
      if (from.kind !== 'replica' || from.index !== 2 || message.name !== 'vrHello') return true;
      if (typeof to === 'number') told.push(to);
      return true;
    };
    cluster.startNode(2);
    expect(told).toEqual([0, 1]);
  });
});

describe('reads under a lease', () => {
  function flooded(options: Partial<ClusterOptions> = {}): {
    cluster: TestCluster;
    answers: number[];
  } {
    const cluster = started({ ...options, parameters: { leaseMs: 200, ...options.parameters } });
    cluster.run(100);
    const key = new Uint8Array(32).fill(222);
    const from = { kind: 'client', key } as const;
    const answers: number[] = [];
    cluster.filter = ({ to, message }) => {
      if (message.name !== 'requestReply' || typeof to === 'number' || to[0] !== 222) return true;
      answers.push(message.value.outcome);
      return false;
    };
    for (let number = 1; number <= 500; number++) {
      const { instance } = cluster;
      const value = { instance, number, fullReplier: 0, operation: countQuery };
      const message = { name: 'queryRequest', value } as const;
      cluster.handle(cluster.node(0), { kind: 'message', from, message });
    }
    return { cluster, answers };
  }

  it('have a budget in each turn of the process, so that one client keeps no other from reading', () => {
    const { cluster, answers } = flooded();
    const served = answers.filter((outcome) => outcome === 0).length;
    expect(served).toBeGreaterThan(0);
    expect(served).toBeLessThan(100);
    cluster.clients[0]?.read(0);
    cluster.run(100);
    expect(cluster.clients[0]?.reads).toEqual([0]);
    expect(answers.filter((outcome) => outcome === 0).length).toBeLessThan(150);
    // It need not wait to learn that it must have them ordered.
    expect(answers.filter((outcome) => outcome === 3).length).toBe(32);
    expect(cluster.counts.get('vr-reads-full')).toBeGreaterThan(300);
  });

  it('that wait are declined when the view is left', () => {
    const { cluster, answers } = flooded();
    const served = answers.filter((outcome) => outcome === 0).length;
    const from = { kind: 'replica', index: 1 } as const;
    const value = { instance: cluster.instance, view: 1 };
    const message = { name: 'vrStartViewChange', value } as const;
    cluster.handle(cluster.node(0), { kind: 'message', from, message });
    cluster.run(50);
    expect(answers.filter((outcome) => outcome === 0)).toHaveLength(served);
    expect(answers.filter((outcome) => outcome === 3)).toHaveLength(32 + 64);
  });

  it('see nothing tentative, though they had to wait for their turn', () => {
    const { cluster, answers } = flooded({ parameters: { threeMessageWrites: true } });
    const before = answers.length;
    // The others acknowledge nothing, so what is executed next may be taken back.
    const listen = cluster.filter;
    cluster.filter = (packet) => packet.message.name !== 'vrPrepareOk' && listen(packet);
    const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };
    const client = cluster.members[1] ?? new Uint8Array(32);
    const request = { client, number: 1, kind: 0, operation: countOperation(7, 1) };
    const asked = { instance: cluster.instance, request: { request, proof }, fullReplier: 0 };
    const submitted = { name: 'submitRequest', value: asked } as const;
    const from = { kind: 'client', key: client } as const;
    cluster.handle(cluster.node(0), { kind: 'message', from, message: submitted });
    expect(cluster.node(0).service.count).toBe(1);
    cluster.run(20);
    expect(answers.slice(before).filter((outcome) => outcome === 0)).toEqual([]);
    cluster.filter = listen;
    cluster.run(100);
    expect(answers.slice(before).filter((outcome) => outcome === 0).length).toBeGreaterThan(30);
  });
});
