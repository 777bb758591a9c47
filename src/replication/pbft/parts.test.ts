import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../base/errors.ts';
import type { Signer } from '../../crypto/signature.ts';
import { limits } from '../../wire/limits.ts';
import type { CheckpointVote } from '../../wire/pbft.ts';
import type { SignedRequest } from '../../wire/replication.ts';
import { ownOrigin } from '../laned-queue.ts';
import { handedOnBounds } from '../lanes.ts';
import { bundle } from '../requests.ts';
import { batchDigest } from './batch.ts';
import { contradictingCheckpoints, contradictingRequests, verifyEvidence } from './evidence.ts';
import { Log } from './log.ts';
import { isInNumber, MemberSet } from './member-set.ts';
import { checkedParameters } from './parameters.ts';
import { RequestQueue } from './queue.ts';
import { decodeRecord, encodeRecord } from './records.ts';
import { pbftRules } from './rules.ts';
import { VoteBox } from './slot.ts';
import { checkpointBytes } from './statements.ts';
import { TestCluster, testInstance } from './test-cluster.ts';
import { quickScheme, quickSigner } from './test-service.ts';

function digestOf(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

describe('sets of members', () => {
  it('hold every member of the largest group, on both sides of a word', () => {
    const set = new MemberSet();
    for (let member = 0; member < limits.pbftMembersMax; member += 3) {
      expect(set.add(member)).toBe(true);
      expect(set.add(member)).toBe(false);
    }
    for (let member = 0; member < limits.pbftMembersMax; member++) {
      expect(set.has(member)).toBe(member % 3 === 0);
      expect(isInNumber(set.toNumber(), member)).toBe(member % 3 === 0);
    }
    expect(set.size).toBe(17);
    set.remove(48);
    set.remove(48);
    expect(set.size).toBe(16);
    expect(isInNumber(set.toNumber(), 48)).toBe(false);
  });
});

describe('votes', () => {
  it('count once for each member, and in a view the first', () => {
    const box = new VoteBox();
    expect(box.add(1, 3, digestOf(1))).toBe('counted');
    expect(box.add(1, 3, digestOf(1))).toBe('duplicate');
    expect(box.add(1, 3, digestOf(2))).toBe('contradiction');
    expect(box.add(1, 2, digestOf(1))).toBe('stale');
    expect(box.add(2, 3, digestOf(1))).toBe('counted');
    expect(box.tally(3, digestOf(1))?.members.size).toBe(2);
    expect(box.tally(3, digestOf(2))).toBeUndefined();
  });

  it('move with their member to a later view', () => {
    const box = new VoteBox();
    box.add(1, 3, digestOf(1));
    box.add(2, 3, digestOf(1));
    expect(box.add(1, 9, digestOf(1))).toBe('counted');
    expect(box.tally(3, digestOf(1))?.members.size).toBe(1);
    expect(box.membersOf(9)).toBe(2);
    expect(box.membersOf(3)).toBe(4);
  });
});

describe('the queue', () => {
  const signers = [quickSigner('a'), quickSigner('b'), quickSigner('c')];
  const arrival = { fullReplier: undefined, nowMs: 0, isProposed: false };
  const signedOf = (client: number, number: number, sizeBytes: number): SignedRequest => {
    const signer = signers[client] as Signer;
    const operation = new Uint8Array(sizeBytes);
    const request = { client: signer.publicKey, number, kind: 0, operation };
    return bundle(signer, testInstance, [request])[0] as SignedRequest;
  };
  function add(
    queue: RequestQueue,
    client: number,
    number: number,
    sizeBytes = 10,
    origin = ownOrigin,
  ): boolean {
    const signed = signedOf(client, number, sizeBytes);
    return queue.add(signed, digestOf(number), { ...arrival, origin });
  }
  const atPrimary = (): RequestQueue => {
    const queue = new RequestQueue(4);
    queue.beginView(true);
    return queue;
  };
  const numbersOf = (queue: RequestQueue, count: number, sizeBytes = 2 ** 20): number[] =>
    queue
      .take({ count, sizeBytes, isSmallOnly: false }, 0)
      .map(({ request }) => request.request.number);
  const handedOn = (queue: RequestQueue): number[] =>
    queue.takeToHandOn(5).map(({ request }) => request.request.number);

  it('keeps together what one signature covers, up to a turn of eight', () => {
    const queue = atPrimary();
    const signer = signers[0] as Signer;
    const requests = Array.from({ length: 10 }, (_, i) => ({
      client: signer.publicKey,
      number: i + 1,
      kind: 0,
      operation: new Uint8Array(10),
    }));
    for (const signed of bundle(signer, testInstance, requests)) {
      queue.add(signed, digestOf(signed.request.number), { ...arrival, origin: ownOrigin });
    }
    add(queue, 0, 20);
    for (const number of [101, 102]) add(queue, 1, number);
    queue.remove(signer.publicKey, 3);
    expect(numbersOf(queue, 3)).toEqual([1, 2, 4]);
    expect(numbersOf(queue, 12)).toEqual([101, 5, 6, 7, 8, 9, 10, 102, 20]);
    expect(queue.waiting).toBe(0);
  });

  it('offers everything again in the next view, but what is gone', () => {
    const queue = atPrimary();
    for (const number of [1, 2, 3]) add(queue, 0, number);
    expect(numbersOf(queue, 2)).toEqual([1, 2]);
    queue.remove((signers[0] as Signer).publicKey, 1);
    queue.beginView(true);
    expect(queue.head).toBeUndefined();
    expect(numbersOf(queue, 9)).toEqual([2, 3]);
    expect(queue.head?.request.request.number).toBe(2);
  });

  it('fills a batch up to its size, and takes one request of any size', () => {
    const queue = atPrimary();
    for (const number of [1, 2, 3]) add(queue, 0, number, 1000);
    expect(numbersOf(queue, 9, 100)).toEqual([1]);
    expect(numbersOf(queue, 9, 2500)).toEqual([2, 3]);
  });

  it('takes one request under a number, and so many of one client', () => {
    const queue = atPrimary();
    expect(add(queue, 0, 1)).toBe(true);
    expect(add(queue, 0, 1)).toBe(false);
    for (let number = 2; number <= limits.clientWindow; number++) {
      expect(add(queue, 0, number)).toBe(true);
    }
    expect(add(queue, 0, 1000)).toBe(false);
    expect(add(queue, 1, 1000)).toBe(true);
    expect(numbersOf(queue, 1)).toEqual([1]);
    expect(add(queue, 0, 1000)).toBe(true);
  });

  it('has places of its own for what each member hands on, as much as that may have outstanding', () => {
    const queue = atPrimary();
    const { sizeBytes } = handedOnBounds(4);
    for (let number = 1; number <= limits.clientWindow; number++) add(queue, 0, number);
    const first = 0.6 * sizeBytes;
    expect(add(queue, 0, 101, first, 2)).toBe(true);
    expect(add(queue, 1, 101, first, 2)).toBe(false);
    expect(add(queue, 1, 101, first, 3)).toBe(true);
    queue.remove((signers[0] as Signer).publicKey, 101);
    expect(add(queue, 1, 102, first, 2)).toBe(true);
    for (let number = 200; number < 200 + limits.handedOnRequestsMax; number++) {
      expect(add(queue, 0, number, 10, 1)).toBe(true);
    }
    expect(add(queue, 1, 200, 10, 1)).toBe(false);
  });

  it.each([4, 28, 49])('has them for each of %i members though all is of one client', (n) => {
    const queue = new RequestQueue(n);
    queue.beginView(true);
    let number = 0;
    const round = (): void => {
      for (let member = 1; member < n; member++) {
        for (let i = 0; i < limits.handedOnRequestsMax; i++) {
          number += 1;
          const signed = signedOf(0, number, 10);
          expect(queue.hasRoom(signed, member), `number ${number}`).toBe(true);
          expect(queue.add(signed, digestOf(1), { ...arrival, origin: member })).toBe(true);
        }
      }
    };
    round();
    // What is in batches takes nobody's place.
    queue.take({ count: number, sizeBytes: 2 ** 30, isSmallOnly: false }, 0);
    round();
  });

  it('moves to a lane what a member hands on and a client has brought too, once', () => {
    const queue = atPrimary();
    const [busy, other] = signers as [Signer, Signer];
    for (let number = 1; number <= limits.clientWindow; number++) add(queue, 0, number, 8000);
    add(queue, 1, 501, 10, 2);
    for (const member of [3, 1]) queue.moveToLane(busy.publicKey, 1, member);
    queue.moveToLane(busy.publicKey, 30, 3);
    queue.moveToLane(other.publicKey, 501, 3);
    queue.moveToLane(busy.publicKey, 1000, 3);
    expect(queue.waiting).toBe(limits.clientWindow + 1);
    // Of three lanes, its own and the clients'.
    expect(numbersOf(queue, 5).sort((a, b) => a - b)).toEqual([1, 2, 3, 30, 501]);
    // In a batch.
    for (const number of [1, 2]) queue.moveToLane(busy.publicKey, number, 1);
    const rest = numbersOf(queue, 100);
    expect(rest).toHaveLength(limits.clientWindow - 4);
    expect(rest).not.toContain(1);
    expect(queue.waiting).toBe(0);
  });

  it('moves nothing to a lane at a backup, which hands on nothing of lanes', () => {
    const queue = new RequestQueue(4);
    queue.beginView(false);
    add(queue, 0, 1);
    queue.moveToLane((signers[0] as Signer).publicKey, 1, 3);
    expect(handedOn(queue)).toEqual([1]);
  });

  it('moves nothing to a lane that is full', () => {
    const queue = atPrimary();
    for (let number = 1; number <= limits.clientWindow; number++) add(queue, 0, number, 8000);
    for (let i = 0; i < limits.handedOnRequestsMax; i++) add(queue, 1, 1000 + i, 10, 3);
    queue.moveToLane((signers[0] as Signer).publicKey, 30, 3);
    const taken = numbersOf(queue, limits.handedOnRequestsMax + 8, 2 ** 30);
    expect(taken).toHaveLength(limits.handedOnRequestsMax + 8);
    expect(taken).not.toContain(30);
  });

  it('gives what each member hands on its share of every batch, whatever clients bring', () => {
    const queue = atPrimary();
    for (let number = 1; number <= 30; number++) add(queue, 0, number, 30_000);
    for (let number = 101; number <= 105; number++) add(queue, 1, number, 30_000, 1);
    for (let number = 201; number <= 205; number++) add(queue, 2, number, 30_000, 3);
    const numbers = numbersOf(queue, 64, 9 * 30_160);
    expect(numbers.filter((number) => number > 100).sort()).toEqual([101, 102, 103, 201, 202, 203]);
    // Who had nothing waiting meanwhile gets no more for it than the others from now on.
    for (let number = 301; number <= 305; number++) add(queue, 2, number, 30_000, 2);
    const later = numbersOf(queue, 64, 8 * 30_160);
    expect(later).toHaveLength(8);
    expect(later.filter((number) => number > 300).length).toBeLessThanOrEqual(3);
  });

  it('hands on no more than may be outstanding, what is small first, and times nothing else', () => {
    const queue = new RequestQueue(4);
    queue.beginView(false);
    const { sizeBytes } = handedOnBounds(4);
    for (let number = 1; number <= 8; number++) add(queue, 0, number, 60_000);
    add(queue, 1, 50);
    const first = handedOn(queue);
    expect(first[0]).toBe(50);
    expect(first).toHaveLength(1 + Math.floor(sizeBytes / 60_160));
    expect(queue.head?.timedAtMs).toBe(5);
    expect(handedOn(queue)).toEqual([]);
    const client = (signers[0] as Signer).publicKey;
    queue.markProposed(client, 1, 6);
    expect(handedOn(queue)).toHaveLength(1);
    for (const number of first) {
      for (const { publicKey } of signers) queue.remove(publicKey, number);
    }
    expect(handedOn(queue)).toHaveLength(Math.floor(sizeBytes / 60_160) - 1);
    expect(handedOn(queue)).toEqual([]);
  });

  it('hands on again what is in no batch, and not again at once', () => {
    const queue = new RequestQueue(4);
    queue.beginView(false);
    for (const number of [1, 2]) add(queue, 0, number);
    handedOn(queue);
    const client = (signers[0] as Signer).publicKey;
    queue.markProposed(client, 1, 6);
    const again = (beforeMs: number, nowMs: number): number[] =>
      [...queue.toHandOnAgain(beforeMs, nowMs)].map(({ request }) => request.request.number);
    expect(again(4, 9)).toEqual([]);
    expect(again(5, 9)).toEqual([2]);
    expect(queue.handOnAgain(client, 2, 8, 10)).toBe(false);
    expect(queue.handOnAgain(client, 2, 9, 10)).toBe(true);
    expect(queue.handOnAgain(client, 1, 9, 10)).toBe(false);
  });

  it('is bounded in bytes, shared by all clients, and takes a turn of everyone all the same', () => {
    const queue = atPrimary();
    const large = 60_000;
    let number = 0;
    for (let i = 0; i < 3 * limits.clientWindow; i++) {
      if (i % limits.clientWindow === 0) queue.beginView(true);
      number += 1;
      add(queue, i % 2, number, large);
    }
    const half = limits.waitingRequestsSizeBytesMax / 2;
    expect(queue.waitingSizeBytes).toBeLessThanOrEqual(half);
    const crowd = Array.from({ length: 200 }, (_, i) => quickSigner(`crowd ${i}`));
    let places = 0;
    for (const signer of crowd) {
      for (let i = 1; i <= 4; i++) {
        const operation = new Uint8Array(large);
        const request = { client: signer.publicKey, number: i, kind: 0, operation };
        const [signed] = bundle(signer, testInstance, [request]);
        if (signed === undefined) continue;
        if (queue.add(signed, digestOf(i), { ...arrival, origin: ownOrigin })) places += 1;
      }
    }
    expect(places).toBeGreaterThan(60);
    expect(queue.waitingSizeBytes).toBeLessThanOrEqual(limits.waitingRequestsSizeBytesMax);
    expect(queue.hasRoom(signedOf(2, 1, large), ownOrigin)).toBe(false);
    expect(queue.hasRoom(signedOf(2, 1, 2000), ownOrigin)).toBe(true);
  });

  it('is bounded in bytes for each client', () => {
    const queue = atPrimary();
    const sizeBytes = 0.4 * limits.queuedRequestsClientSizeBytesMax;
    for (const number of [1, 2]) expect(add(queue, 0, number, sizeBytes)).toBe(true);
    expect(add(queue, 0, 3, sizeBytes)).toBe(false);
    expect(add(queue, 1, 3, sizeBytes)).toBe(true);
    expect(numbersOf(queue, 1)).toEqual([1]);
    expect(add(queue, 0, 4, sizeBytes)).toBe(true);
  });
});

describe('the log', () => {
  it('forgets of too many accepted digests the oldest that is not prepared', () => {
    const log = new Log(
      8,
      { sequence: 0, root: digestOf(0), isFinal: 0, signatures: [] },
      pbftRules,
    );
    log.markPrepared(1, digestOf(1), 0);
    for (let view = 0; view <= limits.acceptedDigestsMax; view++) {
      log.markAccepted(1, digestOf(view + 1), view);
    }
    const kept = log.acceptedEntries();
    expect(kept).toHaveLength(limits.acceptedDigestsMax);
    expect(kept.some(({ view }) => view === 0)).toBe(true);
    expect(kept.some(({ view }) => view === 1)).toBe(false);
  });

  it('names different batches differently, however requests and input are cut', () => {
    const [a, b] = [digestOf(1), digestOf(2)];
    expect(batchDigest([a, b], digestOf(3))).not.toEqual(
      batchDigest([a], Uint8Array.from([...b, ...digestOf(3)])),
    );
  });
});

describe('parameters', () => {
  const group = { instance: testInstance, members: [0, 1, 2, 3].map(digestOf), faults: 1 };
  it.each([
    [{ ...group, faults: 0 }, {}],
    [{ ...group, members: group.members.slice(1) }, {}],
    [group, { window: 100, checkpointInterval: 64 }],
    [group, { window: 2000 }],
    [group, { batchRequests: 0 }],
    [group, { batchesInFlight: 0 }],
    [group, { timeoutMs: 0 }],
  ])('that cannot work are refused', (bad, parameters) => {
    expect(() => checkedParameters(bad, parameters)).toThrow(HoldfastError);
  });
});

describe('records', () => {
  it('come back as they were, and anything else is no record', () => {
    const value = { view: 3, sequence: 7, digest: digestOf(1) };
    const bytes = encodeRecord('prepared', value);
    expect(decodeRecord(bytes)).toEqual({ name: 'prepared', value });
    expect(decodeRecord(bytes.subarray(0, 20))).toBeUndefined();
    expect(decodeRecord(Uint8Array.of(99, 1, 2))).toBeUndefined();
    expect(decodeRecord(new Uint8Array(0))).toBeUndefined();
  });

  it('that are damaged are counted, not believed', () => {
    const damaged = [Uint8Array.of(1, 2, 3), new Uint8Array(0)];
    const genesis = { checkpoint: undefined, records: damaged, damage: [] };
    const cluster = new TestCluster({ seed: 1, genesis });
    expect(cluster.count('record-invalid')).toBe(8);
    expect(cluster.replica(0).engine.status().status).toBe('normal');
  });
});

describe('evidence', () => {
  const cluster = new TestCluster({ seed: 1 });
  const genesis = digestOf(0);
  const judge = (proof: Uint8Array) => verifyEvidence(proof, cluster.group, quickScheme, genesis);
  function vote(replica: number, sequence: number, root: Uint8Array): CheckpointVote {
    const claim = { sequence, root, isFinal: 0 };
    const signature = (cluster.signers[replica] as Signer).sign(
      checkpointBytes(testInstance, claim),
    );
    return { instance: testInstance, replica, ...claim, signature };
  }

  it('of two roots holds for one member and one sequence only', () => {
    const accused = cluster.group.members[2] as Uint8Array;
    const of = (a: CheckpointVote, b: CheckpointVote) =>
      judge(contradictingCheckpoints(accused, a, b).proof);
    const first = vote(2, 128, digestOf(1));
    expect(of(first, vote(2, 128, digestOf(2)))).toEqual({
      code: 'checkpoint-contradiction',
      accused,
    });
    expect(of(first, first)).toBeUndefined();
    expect(of(first, vote(2, 256, digestOf(2)))).toBeUndefined();
    expect(of(first, vote(1, 128, digestOf(2)))).toBeUndefined();
    expect(of(first, { ...vote(2, 128, digestOf(2)), root: digestOf(3) })).toBeUndefined();
  });

  it('of two requests under one number accuses the client', () => {
    const signer = cluster.clientSigners[0] as Signer;
    const client = signer.publicKey;
    const signed = (number: number, byte: number) => {
      const request = { client, number, kind: 0, operation: Uint8Array.of(byte) };
      return bundle(signer, testInstance, [request])[0];
    };
    const [a, b, c] = [signed(5, 1), signed(5, 2), signed(6, 2)];
    if (a === undefined || b === undefined || c === undefined) return expect.unreachable();
    expect(judge(contradictingRequests(client, a, b).proof)?.accused).toEqual(client);
    expect(judge(contradictingRequests(client, a, c).proof)).toBeUndefined();
    expect(judge(contradictingRequests(client, a, a).proof)).toBeUndefined();
  });

  it('is never taken from bytes that mean nothing', () => {
    expect(judge(new Uint8Array(0))).toBeUndefined();
    expect(judge(new Uint8Array(500).fill(1))).toBeUndefined();
  });
});
