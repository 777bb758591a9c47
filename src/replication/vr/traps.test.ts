// The ways in which Viewstamped Replication is known to go wrong, each played by hand: it must go right with the rules as
// they are, and must be seen to go wrong with the one rule replaced that stands against it.

import { describe, expect, it } from 'vitest';
import type { ReplicationMessageName } from '../../wire/replication-registry.ts';
import type { VrRules } from './rules.ts';
import { type Packet, TestCluster } from './test-cluster.ts';
import { mutants } from './test-mutants.ts';
import type { ClusterOptions } from './test-options.ts';
import { Violation } from './test-violation.ts';

function rulesOf(name: string): Partial<VrRules> {
  const mutant = mutants[name];
  if (mutant === undefined) throw new Violation(`no mutant: ${name}`);
  return mutant.rules;
}

function started(options: Partial<ClusterOptions>): TestCluster {
  const cluster = new TestCluster({ seed: 1, delayMsMax: 2, syncMsMax: 1, ...options });
  cluster.start();
  return cluster;
}

function until(cluster: TestCluster, isDone: () => boolean): void {
  if (!cluster.run(2000, isDone)) throw new Violation('that did not come about');
}

/** Holds back the messages of a name to a member; the caller may deliver them later. */
function hold(cluster: TestCluster, holds: (packet: Packet) => boolean): Packet[] {
  const held: Packet[] = [];
  cluster.filter = (packet) => {
    if (!holds(packet)) return true;
    held.push(packet);
    return false;
  };
  return held;
}

function isOne(
  { message, from, to }: Packet,
  names: readonly ReplicationMessageName[],
  ends: { from?: readonly number[]; to?: readonly number[] } = {},
): boolean {
  if (!names.includes(message.name)) return false;
  if (ends.to !== undefined && !(typeof to === 'number' && ends.to.includes(to))) return false;
  if (ends.from === undefined) return true;
  return from.kind === 'replica' && ends.from.includes(from.index);
}

/** Whether a packet is what a client sends. */
function isOf({ from }: Packet, client: number): boolean {
  return from.kind === 'client' && from.key[0] === client;
}

function finish(cluster: TestCluster): void {
  cluster.clients[1]?.work(3);
  cluster.heal(5000);
  cluster.checkEnd();
}

interface Trap {
  readonly title: string;
  readonly mutant: string;
  readonly options?: Partial<ClusterOptions>;
  readonly play: (cluster: TestCluster) => void;
}

const traps: readonly Trap[] = [
  {
    title: "a primary's reply waits for its own disk",
    mutant: 'the own copy counts in memory',
    play(cluster) {
      cluster.run(30);
      cluster.stalled.add(0);
      cluster.filter = (packet) => !isOne(packet, ['vrPrepare', 'vrNewState'], { to: [2] });
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.node(1).engine.core.log.last === 1);
      cluster.run(20);
      cluster.crash(0, true);
      cluster.crash(1);
      cluster.stalled.clear();
      cluster.startNode(0);
      cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
      cluster.clients[1]?.work(1);
      cluster.run(800);
    },
  },
  {
    title: 'a late copy of STARTVIEW does not cut off what was acknowledged since',
    mutant: 'the log of the own view is replaced again',
    play(cluster) {
      const old: Packet[] = [];
      cluster.filter = (packet) => {
        if (isOne(packet, ['vrStartView'], { to: [2] })) old.push(packet);
        return true;
      };
      cluster.crash(0);
      until(cluster, () => cluster.node(2).engine.core.lastNormal === 1);
      // 2 does not learn that the operation is committed.
      cluster.filter = (packet) => !isOne(packet, ['vrCommit'], { to: [2] });
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      for (const packet of old) cluster.deliver(packet);
      cluster.crash(1);
      cluster.startNode(0);
      cluster.run(400);
    },
  },
  {
    title: 'a replica that fetches a later log votes with its old one',
    mutant: 'the log is cut and the view adopted before the new log is here',
    play(cluster) {
      cluster.filter = (packet) => !isOne(packet, ['vrCommit'], { to: [2] });
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      cluster.filter = (packet) =>
        !isOne(packet, ['vrStartView', 'vrNewState'], { to: [0, 2] }) &&
        !isOne(packet, ['vrStartViewChange'], { to: [2] });
      // It gives up its view, and 1 begins the next one.
      cluster.crash(0);
      cluster.startNode(0);
      until(cluster, () =>
        [0, 2].every((i) => cluster.node(i).engine.core.status === 'transferring'),
      );
      cluster.crash(1);
      cluster.filter = () => true;
      cluster.run(400);
    },
  },
  {
    title: 'a replica recovers into no view older than one it may have voted for',
    mutant: 'the view promised before the crash is forgotten',
    options: { parameters: { mode: 'view' } },
    play(cluster) {
      cluster.run(30);
      // 2 alone gives up the primary, votes for the next view, and crashes. Its messages are under way for long.
      const held = hold(cluster, (packet) =>
        isOne(packet, ['vrStartViewChange', 'vrDoViewChange'], { from: [2] }),
      );
      cluster.cut.add(0 * 3 + 2);
      until(cluster, () => cluster.node(2).engine.core.view === 1);
      const asked = { instance: cluster.instance, view: 1 };
      cluster.deliver({
        from: { kind: 'replica', index: 1 },
        to: 2,
        message: { name: 'vrStartViewChange', value: asked },
      });
      until(cluster, () => held.some((packet) => packet.message.name === 'vrDoViewChange'));
      cluster.crash(2);
      cluster.cut.clear();
      cluster.startNode(2);
      cluster.run(100);
      cluster.filter = (packet) => !isOne(packet, ['vrPrepare', 'vrNewState'], { to: [1] });
      cluster.clients[0]?.work(1);
      cluster.run(200, () => cluster.clients[0]?.isIdle === true);
      cluster.isolate(0);
      cluster.filter = () => true;
      for (const packet of held) cluster.deliver(packet);
      cluster.run(100);
    },
  },
  {
    title: 'a recovering replica does not vote with the log it lost',
    mutant: 'a recovering replica takes part',
    options: { parameters: { mode: 'view' } },
    play(cluster) {
      cluster.isolate(2);
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      cluster.cut.clear();
      cluster.isolate(0);
      cluster.crash(1);
      cluster.startNode(1);
      cluster.run(300);
    },
  },
  {
    title: 'a lease ends before the promises that it rests on',
    mutant: 'a lease counts from its grant',
    options: { parameters: { leaseMs: 40, heartbeatMs: 25, primaryTimeoutMs: 30 } },
    play(cluster) {
      cluster.run(100);
      const held = hold(cluster, (packet) => isOne(packet, ['vrLeaseGrant'], { to: [0] }));
      cluster.run(30);
      cluster.isolate(0);
      const isBegun = (): boolean => cluster.node(1).engine.core.lastNormal === 1;
      until(cluster, () => cluster.node(1).engine.core.isPrimary && isBegun());
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      for (const packet of held) cluster.deliver(packet);
      cluster.clients[1]?.read(0);
      cluster.run(20);
    },
  },
  {
    title: 'a replica under a promise does not vote',
    mutant: 'a promise is over at once',
    options: { parameters: { leaseMs: 60 } },
    play(cluster) {
      cluster.run(100);
      cluster.isolate(0);
      for (const [from, to] of [
        [1, 2],
        [2, 1],
      ] as const) {
        cluster.deliver({
          from: { kind: 'replica', index: from },
          to,
          message: { name: 'vrStartViewChange', value: { instance: cluster.instance, view: 1 } },
        });
      }
      cluster.clients[0]?.work(1);
      for (let i = 0; i < 60; i++) {
        cluster.run(2);
        cluster.clients[1]?.read(0);
      }
    },
  },
  {
    title: 'a new primary with a lease reads nothing before all that it inherited is committed',
    mutant: 'a new primary reads before what it inherited is committed',
    options: { parameters: { leaseMs: 60 } },
    play(cluster) {
      cluster.run(30);
      // Nobody but the primary learns that the write is done.
      cluster.filter = (packet) => !isOne(packet, ['vrCommit'], { from: [0] });
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      cluster.crash(0);
      // The next one has it in its log, and a lease, but no acknowledgement.
      cluster.filter = (packet) => !isOne(packet, ['vrPrepareOk'], { to: [1] });
      const next = cluster.node(1).engine.core;
      until(cluster, () => next.isPrimary);
      cluster.run(40);
      if (next.commit > 0) throw new Violation('it was acknowledged all the same');
      cluster.clients[1]?.read(1);
      cluster.run(20);
      cluster.filter = () => true;
      until(cluster, () => next.commit > 0);
      cluster.run(40);
      cluster.clients[1]?.read(1);
      until(cluster, () => (cluster.clients[1]?.reads.length ?? 0) > 0);
    },
  },
  {
    title: 'a read does not see what was executed tentatively',
    mutant: 'reads do not wait for three-message writes',
    options: { parameters: { threeMessageWrites: true, leaseMs: 60 } },
    play(cluster) {
      cluster.run(100);
      cluster.filter = (packet) => !isOne(packet, ['vrPrepare', 'vrNewState']);
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.node(0).service.count === 1);
      cluster.clients[1]?.read(0);
      cluster.run(10);
      // The write is lost with its primary; nobody may have seen it.
      cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
      cluster.crash(0);
      until(cluster, () => cluster.node(1).engine.core.isPrimary);
      cluster.run(100);
      cluster.clients[1]?.read(1);
      until(cluster, () => (cluster.clients[1]?.reads.length ?? 0) > 0);
    },
  },
  {
    title: 'a request that went with its log may come again',
    mutant: 'marks of requests outlive the log',
    play(cluster) {
      cluster.run(30);
      cluster.isolate(0);
      cluster.clients[0]?.work(1);
      until(cluster, () => cluster.node(0).engine.core.log.last === 1);
      // Its client falls silent; others go on without the old primary.
      cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
      cluster.clients[1]?.work(3);
      until(cluster, () => cluster.clients[1]?.isIdle === true);
      cluster.cut.clear();
      until(cluster, () => cluster.node(0).engine.core.lastNormal === 1);
      cluster.crash(1);
      until(cluster, () => cluster.node(0).engine.core.lastNormal === 2);
      cluster.startNode(1);
      cluster.run(100);
      cluster.crash(2);
      until(cluster, () => cluster.node(0).engine.core.isPrimary);
      cluster.filter = () => true;
      const { view } = cluster.node(0).engine.core;
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      if (cluster.node(0).engine.core.view > view) throw new Violation('it took another view');
    },
  },
  {
    title: 'a witness that is not wanted any more keeps what others may lack',
    mutant: 'a witness drops its log while others may need it',
    options: { parameters: { witnesses: true } },
    play(cluster) {
      cluster.run(30);
      cluster.crash(1);
      cluster.clients[0]?.work(2);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      // Members 0 and 1 begin another view, of which only the witness hears; then 0 dies.
      cluster.filter = (packet) =>
        !isOne(packet, ['vrStartView', 'vrNewState', 'vrPrepare'], { to: [1] });
      cluster.startNode(1);
      const view = cluster.node(0).engine.core.view + 2;
      for (const to of [0, 1]) {
        cluster.deliver({
          from: { kind: 'replica', index: 2 },
          to,
          message: { name: 'vrStartViewChange', value: { instance: cluster.instance, view } },
        });
      }
      until(cluster, () => cluster.node(2).engine.core.view === view);
      cluster.run(40);
      cluster.crash(0);
      cluster.filter = ({ from }) => from.kind === 'replica' || from.key[0] === 2;
      cluster.clients[1]?.work(1);
      cluster.run(1000);
    },
  },
  {
    title: "a witness's log stays that of its own view when others begin one without it",
    mutant: 'a witness takes its log for that of a view which began without it',
    options: { parameters: { witnesses: true, batchRequestsMax: 1 } },
    play(cluster) {
      cluster.run(30);
      cluster.crash(1);
      cluster.clients[0]?.work(2);
      until(cluster, () => cluster.clients[0]?.isIdle === true);
      // The witness alone has two batches more: the primary forgets them, and their client falls silent.
      cluster.stalled.add(0);
      cluster.clients[0]?.work(2, 2);
      until(cluster, () => cluster.node(2).engine.core.log.last === 4);
      const { view } = cluster.node(2).engine.core;
      cluster.crash(0, true);
      cluster.stalled.clear();
      // The others begin a view without it.
      cluster.filter = (packet) =>
        !isOf(packet, 1) &&
        !(packet.from.kind === 'replica' && packet.from.index === 2) &&
        (packet.to !== 2 || packet.message.name === 'vrStartView');
      cluster.startNode(0);
      cluster.startNode(1);
      const isBegun = (i: number): boolean => cluster.node(i).engine.core.lastNormal > view;
      until(cluster, () => isBegun(0) && isBegun(1));
      until(cluster, () => cluster.node(2).engine.core.view > view);
      // One batch is committed there, as its primary alone knows, which dies.
      const primary = cluster.node(0).engine.core.isPrimary ? 0 : 1;
      const { filter } = cluster;
      cluster.filter = (packet) => filter(packet) && !isOne(packet, ['vrCommit']);
      cluster.clients[1]?.work(1);
      until(cluster, () => cluster.clients[1]?.isIdle === true);
      cluster.crash(primary);
      cluster.filter = (packet) => !isOf(packet, 1);
      until(cluster, () => cluster.node(1 - primary).engine.core.isPrimary);
      cluster.run(200);
    },
  },
];

describe('traps of Viewstamped Replication', () => {
  for (const { title, mutant, options, play } of traps) {
    it(title, () => {
      const cluster = started({ ...options });
      play(cluster);
      finish(cluster);
    });
    it(`${title}: else it is found`, () => {
      expect(() => {
        const cluster = started({ ...options, rules: rulesOf(mutant) });
        play(cluster);
        finish(cluster);
      }).toThrow(Violation);
    });
  }
});
