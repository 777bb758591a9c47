// One replica of the key-value store in a process of its own. The argument is a file that says which. Prints its status,
// one line of JSON, whenever that changes; an error as the command line would, with its exit code. Recovers on a signal.

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { KeyValueStore } from '../../examples/key-value/index.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { createLog } from '../../src/node/log.ts';
import {
  describeGroup,
  type EngineChoice,
  startReplica,
} from '../../src/server/replication/index.ts';

export const replicaFileSchema = z.object({
  engine: z.enum(['pbft', 'vr']),
  faults: z.number(),
  members: z.array(z.object({ publicKey: z.string(), port: z.number() })),
  seed: z.string(),
  folder: z.string(),
  /** Hexadecimal root of the state that the group begins with. */
  genesis: z.string().optional(),
  /** PBFT: at which intervals members recover by themselves. */
  recoveryIntervalMs: z.number().optional(),
});

export type ReplicaFile = z.infer<typeof replicaFileSchema>;

export function groupOf({
  faults,
  members,
  genesis,
}: Pick<ReplicaFile, 'faults' | 'members' | 'genesis'>) {
  const placed = members.map(({ publicKey, port }) => ({
    publicKey: new Uint8Array(Buffer.from(publicKey, 'hex')),
    address: { host: '127.0.0.1', port },
  }));
  const root = genesis === undefined ? undefined : new Uint8Array(Buffer.from(genesis, 'hex'));
  return describeGroup('key-value', placed, faults, root);
}

const statusIntervalMs = 50;

/** On this signal a replica begins a proactive recovery. */
export const recoverSignal = 'SIGUSR2';

function engineOf({ engine, recoveryIntervalMs = 0 }: ReplicaFile): EngineChoice {
  if (engine === 'vr') return { kind: 'vr', parameters: { checkpointInterval: 16 } };
  return {
    kind: 'pbft',
    parameters: { checkpointInterval: 16, window: 32, recoveryIntervalMs },
  };
}

async function run(file: ReplicaFile): Promise<void> {
  const replica = await startReplica({
    group: groupOf(file),
    identitySeed: new Uint8Array(Buffer.from(file.seed, 'hex')),
    engine: engineOf(file),
    service: new KeyValueStore(),
    folder: file.folder,
    log: createLog({ level: 'info' }),
  });
  replica.failed.then((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  process.on(recoverSignal, () => replica.recover());
  let said = '';
  setInterval(() => {
    const status = JSON.stringify(replica.status());
    if (status === said) return;
    said = status;
    process.stdout.write(`${status}\n`);
  }, statusIntervalMs);
}

const [script, path] = process.argv.slice(1);
if (script?.endsWith('replica-process.ts') && path !== undefined) {
  run(replicaFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')))).catch((error: unknown) => {
    if (!(error instanceof HoldfastError)) throw error;
    process.stderr.write(`${error.message}\n${error.cure ?? ''}\n`);
    process.exitCode = error.exitCode;
  });
}
