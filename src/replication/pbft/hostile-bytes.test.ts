// Whatever bytes a member or a client sends: nothing is thrown, and the correct members do what they would have done.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, toHex } from '../../base/bytes.ts';
import {
  encodeReplicationMessage,
  type ReplicationMessage,
  type ReplicationMessageName,
  replicationMessageNames,
  replicationMessageNumber,
} from '../../wire/replication-registry.ts';
import type { Sender } from '../contract.ts';
import { type Bend, bentMessage } from '../test-bending.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { quickSigner } from './test-service.ts';

const parameters = {
  ...{ checkpointInterval: 4, window: 8, batchRequests: 1 },
  ...{ timeoutMs: 60, timeoutMsMax: 1000, statusIntervalMs: 20, idleStatusIntervalMs: 100 },
};

/** Some of every kind that is said, of a group with another client, in which all goes wrong that can. */
function corpusOf(faults: number): readonly ReplicationMessage[] {
  const cluster = new TestCluster({ seed: 1, faults, clients: 2, parameters, lossPerMille: 20 });
  const seen = new Map<string, ReplicationMessage[]>();
  cluster.filter = (_, __, message) => {
    const { name, value } = message;
    const isDoubting = name === 'pbftStatus' && value.isDoubting === 1;
    const key = `${name}/${isDoubting}/${Math.floor(cluster.nowMs / 200)}`;
    const held = seen.get(key) ?? [];
    if (held.length < 4) seen.set(key, [...held, message]);
    return true;
  };
  const work = (times: number, trouble: () => void = () => undefined): void => {
    for (let i = 0; i < times; i++) {
      cluster.client(1).write();
      if (i % 3 === 0) cluster.client(1).read();
      cluster.run(cluster.nowMs + 5);
      if (i === 1) trouble();
      cluster.run(cluster.nowMs + 200, () => cluster.client(1).inFlight === 0);
    }
  };
  work(3, () => cluster.crash(3));
  work(8, () => cluster.crash(0));
  cluster.restart(3);
  work(4);
  cluster.restart(0);
  work(4, () => cluster.recover(1));
  work(16, () => cluster.wipe(2));
  cluster.run(cluster.nowMs + 1000);
  const value = { instance: testInstance, nonce: new Uint8Array(16) };
  return [...[...seen.values()].flat(), { name: 'lastNumber', value }];
}

interface Move {
  readonly what: number;
  readonly to: number;
  readonly bend: Bend;
}

const anyMoves = fc.array(
  fc.record({
    what: fc.nat(),
    to: fc.nat(),
    bend: fc.record({ how: fc.nat(), at: fc.nat(), with: fc.nat() }),
  }),
  { maxLength: 100, size: 'max' },
);

const stranger: Sender = { kind: 'client', key: quickSigner('stranger').publicKey };
const ofClients: ReadonlySet<string> = new Set(['queryRequest', 'lastNumber']);

/** These are signed: whatever is altered in one is found wrong, and that is counted. */
const signed: readonly ReplicationMessageName[] = [
  ...(['checkpoint', 'stableCheckpoint', 'viewChange', 'newView', 'newKey'] as const),
];
/** And these nobody has asked for, or may say, as long as all is well. */
const unasked: readonly ReplicationMessageName[] = [
  ...(['prePrepare', 'body', 'statePart', 'replyStable'] as const),
];

class Run {
  readonly cluster: TestCluster;
  readonly liar: number;
  readonly #corpus: readonly ReplicationMessage[];
  readonly #refused: ReadonlySet<ReplicationMessageName>;

  constructor(
    corpus: readonly ReplicationMessage[],
    cluster: TestCluster,
    refused: readonly ReplicationMessageName[],
  ) {
    this.cluster = cluster;
    this.#refused = new Set(refused);
    this.liar = cluster.n - 1;
    this.#corpus = corpus;
  }

  /** The liar, or a stranger, says something that is not quite what somebody once said. */
  say({ what, to, bend }: Move): void {
    const { cluster, liar } = this;
    const original = this.#corpus[what % this.#corpus.length] as ReplicationMessage;
    const message = bentMessage(original, bend);
    if (message === undefined || isHandedOn(original, message)) return;
    const from: Sender = ofClients.has(message.name) ? stranger : { kind: 'replica', index: liar };
    const replica = cluster.replica(to % liar);
    if (!replica.isUp) return;
    const before = this.#counted;
    cluster.handle(replica, { kind: 'message', from, message });
    if (this.#refused.has(message.name)) {
      expect(this.#counted, `${message.name} is counted`).toBeGreaterThan(before);
    }
  }

  get #counted(): number {
    let counted = 0;
    for (const count of this.cluster.counts.values()) counted += count;
    return counted;
  }
}

/** Whether it is a request that its client signed, as a member may hand it on. */
function isHandedOn(a: ReplicationMessage, b: ReplicationMessage): boolean {
  if (a.name !== 'submitRequest' || b.name !== 'submitRequest') return false;
  const bytesOf = ({ value }: typeof a) =>
    encodeReplicationMessage('submitRequest', { ...value, fullReplier: 0 });
  return equalBytes(bytesOf(a), bytesOf(b));
}

describe('what a member sends that is not what anyone said', () => {
  const corpus = corpusOf(1);

  it('is made of everything that is ever said', () => {
    const said = new Set(corpus.map(({ name }) => name));
    const known = replicationMessageNames.filter((name) => replicationMessageNumber(name) < 90);
    expect(known.filter((name) => !said.has(name))).toEqual(['lastNumberIs']);
  });

  /** What the correct members say, and where they are in the end. */
  function lived(moves: readonly Move[]) {
    const calm = { ...parameters, timeoutMs: 60_000, timeoutMsMax: 60_000 };
    const cluster = new TestCluster({ seed: 5, parameters: calm, absent: [3] });
    const votes = new Set<string>();
    cluster.filter = (from, _, { name, value }) => {
      if (name === 'pbftPrepare' || name === 'pbftCommit') {
        votes.add(`${name} ${from} ${value.view} ${value.sequence} ${toHex(value.digest)}`);
      } else if (name === 'checkpoint' && value.replica !== 3) {
        votes.add(`${name} ${from} ${value.sequence} ${toHex(value.root)}`);
      }
      return true;
    };
    const run = new Run(corpus, cluster, [...signed, ...unasked]);
    const writes = 9;
    for (let i = 0; i < writes; i++) {
      const chunk = moves.filter((_, at) => at % writes === i);
      const half = chunk.length / 2;
      for (const move of chunk.slice(0, half)) run.say(move);
      cluster.client(0).write();
      cluster.run(cluster.nowMs + 2);
      for (const move of chunk.slice(half)) run.say(move);
      cluster.run(cluster.nowMs + 2000, () => cluster.outcomes.length > i);
    }
    cluster.run(cluster.nowMs + 200);
    expect(cluster.problems()).toEqual([]);
    expect(cluster.evidence).toEqual([]);
    const members = cluster.replicas.slice(0, 3).map(({ engine, service }) => {
      // What members say of their parameters is shown to people as they say it.
      const { parametersDiffer: _, ...status } = engine.status();
      return { status, entries: service.entries };
    });
    const answers = cluster.outcomes.map(({ outcome, place }) => [outcome, place]);
    return { members, answers, votes: [...votes].sort() };
  }

  it('changes nothing that the others do, and is counted', () => {
    const twin = lived([]);
    expect(twin.answers).toHaveLength(9);
    expect(twin.votes.length).toBeGreaterThan(9 * 5);
    expect(twin.members[0]?.status).toMatchObject({ view: 0, executed: 9, checkpoint: 8 });
    fc.assert(
      fc.property(anyMoves, (moves) => {
        expect(lived(moves)).toEqual(twin);
      }),
      { numRuns: 80, endOnFailure: true },
    );
  });
});

describe('what a member sends that is not what anyone said, while others fail and recover', () => {
  const corpus = corpusOf(2);

  it('breaks nothing', () => {
    fc.assert(
      fc.property(anyMoves, fc.nat(2), (moves, failing) => {
        const cluster = new TestCluster({ seed: 7, faults: 2, parameters, absent: [6] });
        const run = new Run(corpus, cluster, signed);
        const steps = 12;
        for (let step = 0; step < steps; step++) {
          for (const move of moves.filter((_, at) => at % steps === step)) run.say(move);
          cluster.client(0).write();
          if (step === 2) cluster.crash(failing);
          cluster.run(cluster.nowMs + 40);
          if (step === 4) cluster.restart(failing);
          if (step === 6) cluster.wipe(failing + 1);
          if (step === 9) cluster.recover(failing + 2);
        }
        const isDone = () => cluster.outcomes.length === steps;
        expect(cluster.run(cluster.nowMs + 60_000, isDone)).toBe(true);
        cluster.run(cluster.nowMs + 500);
        expect(cluster.problems()).toEqual([]);
        expect(cluster.evidence).toEqual([]);
      }),
      { numRuns: 20, endOnFailure: true },
    );
  });
});
