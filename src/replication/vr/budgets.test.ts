import { expect, it } from 'vitest';
import { type Bytes, emptyBytes, mapKey } from '../../base/bytes.ts';
import { limits } from '../../wire/limits.ts';
import type { ReplicationMessage } from '../../wire/replication-registry.ts';
import type { Effects, EngineEvent, Send, Sender } from '../contract.ts';
import { createVrEngine } from './engine.ts';
import { TestCluster } from './test-cluster.ts';

const instance = new Uint8Array(32).fill(1);
const key = new Uint8Array(32).fill(9);
const proof = { signature: new Uint8Array(64), count: 0, index: 0, path: [] };

interface Alone {
  /** What a client says, and all that is sent when the disk has confirmed. */
  readonly say: (message: ReplicationMessage, client?: Bytes) => Effects;
  readonly fire: (name: string) => readonly Send[];
}

/** A group of one member whose service gives this for everything. */
function alone(result: Bytes): Alone {
  const engine = createVrEngine({
    group: { instance, members: [new Uint8Array(32).fill(2)], faults: 0 },
    index: 0,
    service: {
      load() {},
      execute: () => result,
      query: () => result,
      isQuery: () => false,
    },
    nonce: () => new Uint8Array(16),
  });
  const take = (event: EngineEvent): Effects => {
    const effects = engine.handle(event, 1);
    if (effects.mark === undefined) return effects;
    const more = take({ kind: 'durable', mark: effects.mark });
    return { ...effects, sends: [...effects.sends, ...more.sends] };
  };
  take({ kind: 'start', restored: undefined });
  return {
    say: (message, client = key) =>
      take({ kind: 'message', from: { kind: 'client', key: client }, message }),
    fire: (name) => take({ kind: 'timer', name }).sends,
  };
}

function submission(number: number, client = key): ReplicationMessage {
  const request = { client, number, kind: 0, operation: new Uint8Array(8) };
  return {
    name: 'submitRequest',
    value: { instance, request: { request, proof }, fullReplier: 0 },
  };
}

function question(i: number): ReplicationMessage {
  const nonce = new Uint8Array(16);
  new DataView(nonce.buffer).setUint32(0, i);
  return { name: 'lastNumber', value: { instance, nonce } };
}

function sizeOf(sends: readonly Send[]): number {
  let sizeBytes = 0;
  for (const { name, value } of sends) {
    if (name === 'requestReply') sizeBytes += value.result[0]?.length ?? 0;
  }
  return sizeBytes;
}

it('gives results that are asked for again within a budget for each turn, and each once', () => {
  const { say, fire } = alone(new Uint8Array(60_000).fill(7));
  const other = new Uint8Array(32).fill(10);
  for (let number = 1; number <= 8; number++) say(submission(number));
  say(submission(1, other), other);
  fire('batch');
  let sizeBytes = 0;
  const counts: string[] = [];
  for (let i = 0; i < 1000; i++) {
    const said = say(submission(7 + (i % 2)));
    sizeBytes += sizeOf(said.sends);
    counts.push(...said.counts);
  }
  expect(sizeBytes).toBe(2 * 60_000);
  expect(counts.filter((code) => code === 'vr-duplicate').length).toBeGreaterThan(990);
  expect(say(submission(1, other), other).sends).toEqual([]);
  const later = [...fire('turn'), ...fire('turn'), ...fire('turn')];
  // Everything that waited, and one who asks for little does not stand behind who asks for much.
  expect(sizeOf(later)).toBe(3 * 60_000);
  const to = later.map((send) => (send.to.kind === 'client' ? mapKey(send.to.key) : ''));
  expect(to.slice(0, 2)).toContain(mapKey(other));
  expect(fire('turn')).toEqual([]);
});

it('asks for a turn when the budget of one is spent', () => {
  const { say, fire } = alone(new Uint8Array(60_000));
  for (let number = 1; number <= 2; number++) say(submission(number));
  fire('batch');
  const { timers } = say(submission(2));
  expect(timers).toContainEqual({ name: 'turn', atMs: 1 });
});

it('answers questions for the last number within a budget for each turn, the newest of a client', () => {
  const { say, fire } = alone(new Uint8Array(1));
  say(submission(41));
  fire('batch');
  let answers = 0;
  for (let i = 0; i < 10_000; i++) answers += say(question(i)).sends.length;
  expect(answers).toBe(64);
  const [send, ...more] = fire('turn');
  expect(more).toEqual([]);
  if (send?.name !== 'lastNumberIs') throw new TypeError('an answer');
  expect(send.value.number).toBe(41);
  expect(new DataView(send.value.nonce.buffer).getUint32(0)).toBe(9_999);
});

it('has places for what each backup hands on, as many as that may have outstanding', () => {
  const engine = createVrEngine({
    group: { instance, members: [2, 3, 4].map((i) => new Uint8Array(32).fill(i)), faults: 1 },
    index: 0,
    service: {
      load() {},
      execute: () => emptyBytes,
      query: () => emptyBytes,
      isQuery: () => false,
    },
    parameters: { batchRequestsMax: 1, pipelineMax: 1 },
    nonce: () => new Uint8Array(16),
  });
  engine.handle({ kind: 'start', restored: undefined }, 0);
  const ask = (from: number, number: number, client = key): boolean => {
    const sender: Sender =
      from < 0 ? { kind: 'client', key: client } : { kind: 'replica', index: from };
    const message = submission(number, client);
    const { counts } = engine.handle({ kind: 'message', from: sender, message }, 1);
    return !counts.includes('vr-queue-full') && !counts.includes('vr-client-queue-full');
  };
  const crowd = (): number => {
    let taken = 0;
    for (let i = 0; i < 600; i++) {
      const client = new Uint8Array(32).fill(5);
      new DataView(client.buffer).setUint32(0, i);
      for (let number = 1; number <= 40; number++) if (ask(-1, number, client)) taken += 1;
    }
    return taken;
  };
  // The first one is proposed at once.
  ask(-1, 1);
  // All of one client, whose own places these are not.
  const handOn = (backup: number): void => {
    for (let i = 0; i < limits.handedOnRequestsMax; i++) {
      expect(ask(backup, 1000 * backup + i)).toBe(true);
    }
    expect(ask(backup, 1000 * backup + 999)).toBe(false);
  };
  handOn(1);
  expect(crowd()).toBe(limits.queuedRequestsMax);
  handOn(2);
});

it.each([
  ['a state that came is not on disk yet', 'fetch', 'isInstalling', ['vr-busy']],
  ['the state is found to be damaged', 'repair', 'isNeeded', []],
] as const)('answers nothing that has waited until %s', (_, part, name, codes) => {
  const cluster = new TestCluster({ seed: 1, faults: 0, clients: 0 });
  cluster.start();
  cluster.run(20);
  let answers = 0;
  cluster.filter = ({ message }) => {
    if (message.name === 'lastNumberIs') answers += 1;
    return true;
  };
  const node = cluster.node(0);
  const { parts, instance: own } = node.engine.core;
  const from = { kind: 'client', key } as const;
  for (let i = 0; i < 65; i++) {
    const value = { instance: own, nonce: new Uint8Array(16) };
    cluster.handle(node, { kind: 'message', from, message: { name: 'lastNumber', value } });
  }
  expect(answers).toBe(64);
  Object.defineProperty(parts[part], name, { get: () => true });
  cluster.run(20);
  expect(answers).toBe(64);
  for (const code of codes) expect(cluster.counts.get(code)).toBe(1);
  expect(parts.questions.wantsTurn).toBe(false);
});
