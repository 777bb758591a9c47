// A process of the benchmark: one replica, or some clients. It is told what it is by its first message.

import type { StateMachine } from '../../src/replication/contract.ts';
import { library } from '../library.ts';
import {
  type ClientsJob,
  clientsSchema,
  type GroupJob,
  type LoadAnswer,
  type ReplicaJob,
  replicaSchema,
  type StatusAnswer,
  type Task,
  taskSchema,
} from './jobs.ts';

type Worker = (task: Task) => Promise<unknown>;

const replication = await library.replication();

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

function groupOf({ name, members, faults }: GroupJob) {
  const placed = members.map(({ publicKey, port }) => ({
    publicKey: bytesOf(publicKey),
    address: { host: '127.0.0.1', port },
  }));
  return replication.describeGroup(name, placed, faults);
}

/** A service that does nothing, so that agreement alone is measured. Its state is a count of operations. */
function nothing(resultSizeBytes: number): StateMachine {
  const result = new Uint8Array(resultSizeBytes).fill(1);
  return {
    load: () => {},
    execute: () => result,
    query: () => result,
    isQuery: (operation) => operation[0] === 1,
  };
}

async function replica(job: ReplicaJob): Promise<Worker> {
  const group = groupOf(job.group);
  const identitySeed = bytesOf(job.seed);
  const { index } = job;
  if (job.folder !== undefined && job.prepare === 'create')
    await replication.createReplicaFolder(job.folder, group, index);
  if (job.folder !== undefined && job.prepare === 'recover')
    await replication.recoverReplicaFolder(job.folder, group, index);
  const { timeoutMs, isTentative } = job;
  const running = await replication.startReplica({
    group,
    identitySeed,
    engine:
      job.engine === 'pbft'
        ? { kind: 'pbft', parameters: { timeoutMs, isTentative } }
        : { kind: 'vr', parameters: { primaryTimeoutMs: timeoutMs } },
    service: nothing(job.resultSizeBytes),
    folder: job.folder,
  });
  running.failed.then((error) => {
    process.stderr.write(`replica ${index} failed: ${error.message}\n`);
    process.exit(1);
  });
  return async (task) => {
    if (task.kind === 'end') return await running.stop();
    const { view, primary, status, executed, checkpoint, root } = running.status();
    return { view, primary, status, executed, checkpoint, root } satisfies StatusAnswer;
  };
}

async function clients(job: ClientsJob): Promise<Worker> {
  const group = groupOf(job.group);
  const connected = await Promise.all(
    Array.from({ length: job.count }, () =>
      replication.connectGroup({ group, engine: job.engine }),
    ),
  );
  return async (task) => {
    if (task.kind === 'load') return await load(connected.slice(0, task.clients), task);
    await Promise.all(connected.map((client) => client.close()));
    return {};
  };
}

async function load(
  connected: readonly Awaited<ReturnType<typeof replication.connectGroup>>[],
  task: Extract<Task, { kind: 'load' }>,
): Promise<LoadAnswer> {
  const operation = new Uint8Array(task.operationSizeBytes);
  if (task.isQuery && operation.length > 0) operation[0] = 1;
  const startMs = performance.now();
  const endMs = startMs + task.durationMs;
  const samplesMs: number[] = [];
  let lastMs = startMs;
  let longestGapMs = 0;
  const one = async (client: (typeof connected)[number]): Promise<void> => {
    while (performance.now() < endMs) {
      const beganMs = performance.now();
      const outcome = task.isQuery ? await client.query(operation) : await client.submit(operation);
      if (outcome.kind !== 'result') throw new TypeError(`unexpected outcome ${outcome.kind}`);
      const nowMs = performance.now();
      samplesMs.push(nowMs - beganMs);
      longestGapMs = Math.max(longestGapMs, nowMs - lastMs);
      lastMs = nowMs;
    }
  };
  await Promise.all(
    connected.flatMap((client) => Array.from({ length: task.window }, () => one(client))),
  );
  const elapsedMs = performance.now() - startMs;
  return { operations: samplesMs.length, elapsedMs, samplesMs: thinned(samplesMs), longestGapMs };
}

/** Enough for a median and its spread. */
function thinned(samples: readonly number[]): number[] {
  const step = Math.ceil(samples.length / 5000);
  return samples.filter((_, i) => i % step === 0);
}

let worker: Promise<Worker> | undefined;

async function onMessage(message: unknown): Promise<unknown> {
  if (worker === undefined) {
    const asReplica = replicaSchema.safeParse(message);
    worker = asReplica.success ? replica(asReplica.data) : clients(clientsSchema.parse(message));
    await worker;
    return {};
  }
  const task = taskSchema.parse(message);
  const answer = await (await worker)(task);
  if (task.kind === 'end') setImmediate(() => process.disconnect());
  return answer ?? {};
}

process.on('message', (message) => {
  onMessage(message).then(
    (answer) => process.send?.({ answer }),
    (error: unknown) =>
      process.send?.({
        failure: error instanceof Error ? (error.stack ?? error.message) : 'failed',
      }),
  );
});
