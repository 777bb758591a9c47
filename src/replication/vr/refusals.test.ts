// What a member does not take from others, one check after the other: each test fails when its check is taken out.

import { describe, expect, it } from 'vitest';
import type { Bytes } from '../../base/bytes.ts';
import type {
  ReplicationMessage,
  ReplicationMessageName,
  ReplicationMessageValue,
} from '../../wire/replication-registry.ts';
import type { Effects } from '../contract.ts';
import type { Core } from './core.ts';
import { type Packet, TestCluster } from './test-cluster.ts';
import type { ClusterOptions } from './test-options.ts';
import { countOperation } from './test-service.ts';

function started(
  options: Partial<ClusterOptions> = {},
  filter: TestCluster['filter'] = () => true,
): TestCluster {
  const cluster = new TestCluster({ seed: 3, delayMsMax: 1, syncMsMax: 1, ...options });
  cluster.filter = filter;
  cluster.start();
  cluster.run(30);
  return cluster;
}

function coreOf(cluster: TestCluster, index: number): Core {
  return cluster.node(index).engine.core;
}

/** Hands a message to a member as if another one had sent it; what it does goes its way. */
function tell<Name extends ReplicationMessageName>(
  cluster: TestCluster,
  { from, to }: { from: number; to: number },
  name: Name,
  value: Omit<ReplicationMessageValue<Name>, 'instance'>,
): void {
  const { instance } = cluster;
  const whole: object = { instance, ...value };
  const message = { name, value: whole } as ReplicationMessage;
  cluster.deliver({ from: { kind: 'replica', index: from }, to, message });
}

/** How often a code was counted from now on. */
function counting(cluster: TestCluster, code: string): () => number {
  const before = cluster.counts.get(code) ?? 0;
  return () => (cluster.counts.get(code) ?? 0) - before;
}

function until(cluster: TestCluster, isDone: () => boolean, withinMs = 2000): void {
  expect(cluster.run(withinMs, isDone)).toBe(true);
}

describe('what belongs to another instance', () => {
  it('is counted and has no effect, whatever it is', () => {
    const template = started();
    const seen = new Map<string, { message: ReplicationMessage; from: number | undefined }>();
    template.filter = ({ message, from }) => {
      const index = from.kind === 'replica' ? from.index : undefined;
      if (!seen.has(message.name)) seen.set(message.name, { message, from: index });
      return true;
    };
    template.clients[0]?.work(20, 4);
    template.run(60);
    template.crash(0);
    template.run(400);
    template.startNode(0);
    template.run(400);
    expect(seen.size).toBeGreaterThan(8);
    const instance = new Uint8Array(32).fill(8);
    for (const { message, from } of seen.values()) {
      const cluster = started();
      const foreign = { ...message, value: { ...message.value, instance } } as ReplicationMessage;
      const sender =
        from === undefined
          ? ({ kind: 'client', key: new Uint8Array(32).fill(1) } as const)
          : ({ kind: 'replica', index: from === 1 ? 2 : from } as const);
      const { engine } = cluster.node(1);
      const before = engine.status();
      const event = { kind: 'message', from: sender, message: foreign } as const;
      const { counts, sends, records }: Effects = engine.handle(event, cluster.nowMs);
      expect([message.name, counts, sends, records]).toEqual([
        message.name,
        ['vr-instance'],
        [],
        [],
      ]);
      expect(engine.status()).toEqual(before);
    }
  });
});

describe('a vote for a view', () => {
  /** Member 1 has voted for view 1, its own, and waits for one vote more. */
  function awaitingVote(): TestCluster {
    const cluster = started();
    cluster.filter = ({ message }) => message.name !== 'vrDoViewChange';
    cluster.crash(0);
    until(cluster, () => coreOf(cluster, 1).status === 'view-change');
    until(cluster, () => coreOf(cluster, 2).status === 'view-change');
    cluster.run(10);
    expect(coreOf(cluster, 1).view).toBe(1);
    return cluster;
  }

  const vote = { view: 1, hasLog: 1, lastNormal: 0, sequence: 0, commit: 0, low: 0, first: 1 };

  it.each([
    ['with a log of the view itself', { lastNormal: 1 }],
    ['with a log of a later view', { lastNormal: 7 }],
    ['that knows more to be committed than it has', { commit: 1 }],
  ])('%s is impossible and does not count', (_, claim) => {
    const cluster = awaitingVote();
    const impossible = counting(cluster, 'vr-impossible');
    tell(cluster, { from: 2, to: 1 }, 'vrDoViewChange', { ...vote, ...claim, entries: [] });
    expect([impossible(), coreOf(cluster, 1).status]).toEqual([1, 'view-change']);
    // The same one without the lie is all that was missing.
    tell(cluster, { from: 2, to: 1 }, 'vrDoViewChange', { ...vote, entries: [] });
    expect([impossible(), coreOf(cluster, 1).status]).toEqual([1, 'normal']);
  });

  it('is nothing to who is not the primary of that view', () => {
    const cluster = awaitingVote();
    const refused = counting(cluster, 'vr-not-primary');
    tell(cluster, { from: 1, to: 2 }, 'vrDoViewChange', { ...vote, view: 4, entries: [] });
    expect([refused(), coreOf(cluster, 2).view]).toEqual([1, 1]);
  });
});

describe('an acknowledgement', () => {
  it.each([
    ['of what the primary does not have', { sequence: 3, commit: 0 }],
    ['that knows more to be committed than it has', { sequence: 1, commit: 2 }],
  ])('%s is impossible, and counts neither now nor later', (_, claim) => {
    const cluster = started({ clients: 1, parameters: { batchRequestsMax: 1 } });
    cluster.clients[0]?.work(1);
    until(cluster, () => cluster.clients[0]?.isIdle === true);
    // Nobody else has what comes now.
    cluster.filter = ({ message }) => message.name !== 'vrPrepare' && message.name !== 'vrNewState';
    const impossible = counting(cluster, 'vr-impossible');
    tell(cluster, { from: 2, to: 0 }, 'vrPrepareOk', { view: 0, ...claim });
    cluster.clients[0]?.work(1);
    until(cluster, () => coreOf(cluster, 0).log.last === 2);
    cluster.run(20);
    expect([impossible(), coreOf(cluster, 0).commit]).toEqual([1, 1]);
  });

  it('of another view commits nothing, though its primary is the same one', () => {
    const cluster = started({ clients: 1 });
    for (const to of [0, 2]) tell(cluster, { from: 1, to }, 'vrStartViewChange', { view: 3 });
    const core = coreOf(cluster, 0);
    until(cluster, () => core.isPrimary && core.view === 3);
    cluster.run(20);
    // Nobody else has what comes now.
    cluster.filter = ({ message }) => message.name !== 'vrPrepare' && message.name !== 'vrNewState';
    cluster.clients[0]?.work(1);
    until(cluster, () => core.log.last === 1);
    cluster.run(20);
    const stale = counting(cluster, 'vr-stale');
    for (const view of [0, 6]) {
      tell(cluster, { from: 2, to: 0 }, 'vrPrepareOk', { view, sequence: 1, commit: 0 });
    }
    expect([stale(), core.commit]).toEqual([2, 0]);
    tell(cluster, { from: 2, to: 0 }, 'vrPrepareOk', { view: 3, sequence: 1, commit: 0 });
    expect([stale(), core.commit]).toEqual([2, 1]);
  });
});

describe('a request', () => {
  it('in the name of another client is refused, by the primary and by a backup', () => {
    const cluster = started({ clients: 1 });
    const [victim] = cluster.clients;
    if (victim === undefined) throw new TypeError('no client');
    const { instance } = cluster;
    const operation = countOperation(0, 1);
    const request = { client: victim.publicKey, number: 1, kind: 0, operation };
    const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };
    const value = { instance, request: { request, proof }, fullReplier: 0 };
    const foreign = counting(cluster, 'vr-foreign-request');
    const submit = (key: Bytes, to: number): void =>
      cluster.deliver({
        from: { kind: 'client', key },
        to,
        message: { name: 'submitRequest', value },
      });
    for (const to of [0, 1]) submit(new Uint8Array(32).fill(99), to);
    cluster.run(50);
    expect([foreign(), coreOf(cluster, 0).log.last]).toEqual([2, 0]);
    submit(victim.publicKey, 0);
    expect([foreign(), coreOf(cluster, 0).log.last]).toEqual([2, 1]);
  });
});

describe('who is not another member', () => {
  it.each([
    ['a number beyond the group', 3],
    ['the own number', 1],
  ])('is not heard: %s', (_, from) => {
    const cluster = started();
    const refused = counting(cluster, 'vr-not-a-member');
    const before = coreOf(cluster, 1).view;
    tell(cluster, { from, to: 1 }, 'vrStartViewChange', { view: 2 });
    tell(cluster, { from, to: 1 }, 'vrRecovery', { nonce: new Uint8Array(16), view: 2 });
    tell(cluster, { from, to: 1 }, 'vrHello', {
      ...{ isAnswer: 0, isViewOnly: 1, hasWitnesses: 0, threeMessageWrites: 0 },
      ...{ leaseMs: 0, clockDriftPpm: 1000 },
    });
    expect(cluster.node(1).engine.status().parametersDiffer).toEqual([]);
    expect([refused(), coreOf(cluster, 1).view]).toEqual([3, before]);
  });
});

describe('a member that recovers', () => {
  it('is not told of a view below one that it has promised: that one is entered first', () => {
    const cluster = started({ parameters: { mode: 'view' } });
    const names: string[] = [];
    cluster.filter = ({ message, from, to }) => {
      if (from.kind === 'replica' && from.index === 1 && to === 2) names.push(message.name);
      return true;
    };
    const nonce = new Uint8Array(16).fill(9);
    tell(cluster, { from: 2, to: 1 }, 'vrRecovery', { nonce, view: 3 });
    expect([coreOf(cluster, 1).view, coreOf(cluster, 1).status]).toEqual([3, 'view-change']);
    cluster.run(5);
    expect(names[0]).toBe('vrStartViewChange');
    expect(names).not.toContain('vrRecoveryResponse');
  });

  it('comes back though it alone has promised a later view, since the others go there', () => {
    const cluster = started({ parameters: { mode: 'view' } });
    cluster.isolate(2);
    until(cluster, () => coreOf(cluster, 2).view === 1);
    cluster.run(20);
    cluster.crash(2);
    cluster.cut.clear();
    expect(coreOf(cluster, 0).view).toBe(0);
    cluster.startNode(2);
    expect([coreOf(cluster, 2).status, coreOf(cluster, 2).view]).toEqual(['recovering', 1]);
    until(cluster, () => coreOf(cluster, 2).status === 'normal', 1000);
    cluster.clients[0]?.work(3);
    cluster.heal();
    cluster.checkEnd();
  });
});

describe('an answer to an earlier question', () => {
  /** What is said to member 2 under this name gets lost, and is kept here. */
  function withheld(cluster: TestCluster, name: ReplicationMessageName): Packet[] {
    const packets: Packet[] = [];
    cluster.filter = (packet) => {
      if (packet.to !== 2 || packet.message.name !== name) return true;
      packets.push(packet);
      return false;
    };
    return packets;
  }

  it('of a member that has crashed again since lets it recover into nothing', () => {
    const cluster = started({ parameters: { mode: 'view' } });
    const answers = withheld(cluster, 'vrRecoveryResponse');
    const recover = (): void => {
      cluster.crash(2);
      cluster.startNode(2);
      const { length } = answers;
      until(cluster, () => answers.length >= length + 2);
    };
    recover();
    const earlier = answers.slice();
    recover();
    const unasked = counting(cluster, 'vr-unasked');
    for (const packet of earlier) cluster.deliver(packet);
    cluster.run(20);
    expect(unasked()).toBe(earlier.length);
    expect(coreOf(cluster, 2).status).toBe('recovering');
    for (const packet of answers.slice(earlier.length)) cluster.deliver(packet);
    until(cluster, () => coreOf(cluster, 2).status === 'normal');
  });

  it('for a part of the log is not taken for one to the question that is open', () => {
    const cluster = started({ clients: 1 });
    const { log } = coreOf(cluster, 2);
    const answers = withheld(cluster, 'vrNewState');
    const { filter } = cluster;
    cluster.filter = (packet) =>
      filter(packet) && (packet.to !== 2 || packet.message.name !== 'vrPrepare');
    cluster.clients[0]?.work(1);
    until(cluster, () => answers.length > 0);
    const [packet] = answers;
    if (packet?.message.name !== 'vrNewState') throw new TypeError('no answer');
    const { value } = packet.message;
    const unasked = counting(cluster, 'vr-unasked');
    const earlier = { ...value, nonce: new Uint8Array(16).fill(9) };
    cluster.deliver({ ...packet, message: { name: 'vrNewState', value: earlier } });
    expect([unasked(), log.last]).toEqual([1, 0]);
    cluster.deliver(packet);
    expect([unasked(), log.last]).toEqual([1, 1]);
  });
});

describe('the beginning of a view', () => {
  const log = { sequence: 0, commit: 0, low: 0, first: 1, entries: [] };

  it('from who is not its primary is nothing', () => {
    const cluster = started();
    const refused = counting(cluster, 'vr-not-primary');
    tell(cluster, { from: 0, to: 2 }, 'vrStartView', { view: 1, active: [0, 1, 2], ...log });
    expect([refused(), coreOf(cluster, 2).view]).toEqual([1, 0]);
  });

  it('without a member that keeps the state gives it no log: it asks for that', () => {
    const cluster = started({ parameters: { witnesses: true } });
    const asked: number[] = [];
    cluster.filter = ({ message, from, to }) => {
      const isAsking = message.name === 'vrGetState' && from.kind === 'replica';
      if (isAsking && from.index === 0 && typeof to === 'number') asked.push(to);
      return true;
    };
    tell(cluster, { from: 1, to: 0 }, 'vrStartView', { view: 1, active: [1, 2], ...log });
    const { status, view, lastNormal } = coreOf(cluster, 0);
    expect([status, view, lastNormal, asked]).toEqual(['transferring', 0, 0, [1]]);
  });

  it('without a witness tells it of the view, and leaves it the log of the view before', () => {
    const cluster = started({ parameters: { witnesses: true } });
    cluster.crash(1);
    cluster.clients[0]?.work(2);
    until(cluster, () => cluster.clients[0]?.isIdle === true);
    const witness = coreOf(cluster, 2);
    const { lastNormal } = witness;
    const last = witness.log.last;
    expect([last, witness.hasLog]).toEqual([2, true]);
    const view = witness.view + 2;
    tell(cluster, { from: 0, to: 2 }, 'vrStartView', { view, active: [0, 1], ...log });
    expect([witness.view, witness.status]).toEqual([view, 'normal']);
    expect([witness.lastNormal, witness.hasLog, witness.log.last]).toEqual([lastNormal, true, 2]);
    // A late copy of it ends no later view, nor does it begin this one once more.
    const stale = counting(cluster, 'vr-stale');
    tell(cluster, { from: 0, to: 2 }, 'vrStartView', { view, active: [0, 1], ...log });
    expect([stale(), witness.view]).toEqual([1, view]);
  });
});

describe('a lease', () => {
  const leaseMs = 60;

  /** What member 1 says to a request for a lease. */
  function granted(
    cluster: TestCluster,
    to: number,
    from: number,
    asked: { view: number; durationMs: number },
  ): readonly string[] {
    const { instance, nowMs } = cluster;
    const value = { instance, sentAtMs: Math.floor(nowMs), ...asked };
    const { engine } = cluster.node(to);
    const sender = { kind: 'replica', index: from } as const;
    const message = { name: 'vrLeaseRequest', value } as const;
    const { sends, counts } = engine.handle({ kind: 'message', from: sender, message }, nowMs);
    return [...sends.map(({ name }) => name), ...counts];
  }

  it('is granted to the primary of the view only, for as long as all have agreed', () => {
    const cluster = started({ parameters: { leaseMs } });
    const asked = { view: 0, durationMs: leaseMs };
    expect(granted(cluster, 1, 0, asked)).toEqual(['vrLeaseGrant']);
    expect(granted(cluster, 1, 2, asked)).toEqual(['vr-stale']);
    expect(granted(cluster, 1, 0, { ...asked, view: 3 })).toEqual(['vr-stale']);
    expect(granted(cluster, 1, 0, { ...asked, durationMs: leaseMs + 1 })).toEqual(['vr-no-lease']);
    expect(granted(cluster, 1, 0, { ...asked, durationMs: leaseMs - 1 })).toEqual(['vr-no-lease']);
    tell(cluster, { from: 2, to: 1 }, 'vrStartViewChange', { view: 3 });
    expect(granted(cluster, 1, 0, { view: 3, durationMs: leaseMs })).toEqual(['vr-stale']);
  });

  it('is not granted by a witness that stands by', () => {
    const cluster = started({ parameters: { leaseMs, witnesses: true } });
    const asked = { view: 0, durationMs: leaseMs };
    expect(granted(cluster, 2, 0, asked)).toEqual(['vr-no-lease']);
    expect(granted(cluster, 1, 0, asked)).toEqual(['vrLeaseGrant']);
  });

  it('needs the promises of as many backups as may be faulty', () => {
    const promising = new Set([1]);
    const cluster = started(
      { clients: 1, faults: 2, parameters: { leaseMs } },
      ({ message, from }) =>
        message.name !== 'vrLeaseGrant' || (from.kind === 'replica' && promising.has(from.index)),
    );
    const reads = (): number => {
      cluster.run(100);
      cluster.clients[0]?.read(0);
      cluster.run(20);
      return cluster.clients[0]?.reads.length ?? 0;
    };
    expect(reads()).toBe(0);
    promising.add(2);
    expect(reads()).toBe(1);
  });

  it('longer than the promises of the others is held by nobody', () => {
    const cluster = started({ ownParameters: [{ leaseMs: 5000 }], parameters: { leaseMs } });
    cluster.run(200);
    cluster.clients[0]?.read(0);
    cluster.run(20);
    expect(cluster.clients[0]?.reads).toEqual([]);
  });

  it('is over with its view, also for who is primary again before it would have ended', () => {
    // Only member 1 promises anything: the other two can go on without it.
    const cluster = started(
      { clients: 1, parameters: { leaseMs: 2000 } },
      ({ message, to }) => message.name !== 'vrLeaseRequest' || to === 1,
    );
    cluster.run(100);
    cluster.clients[0]?.read(0);
    cluster.run(20);
    expect(cluster.clients[0]?.reads).toHaveLength(1);
    cluster.filter = ({ message }) => message.name !== 'vrLeaseRequest';
    for (const to of [0, 2]) tell(cluster, { from: 1, to }, 'vrStartViewChange', { view: 3 });
    until(cluster, () => coreOf(cluster, 0).isPrimary && coreOf(cluster, 0).view === 3, 500);
    cluster.run(20);
    cluster.clients[0]?.read(0);
    cluster.run(20);
    expect(cluster.clients[0]?.reads).toHaveLength(1);
    cluster.filter = () => true;
    cluster.run(100);
    cluster.clients[0]?.read(0);
    cluster.run(20);
    expect(cluster.clients[0]?.reads).toHaveLength(2);
  });
});
