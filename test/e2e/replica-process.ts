// One replica of the key-value store in a process of its own. The argument is a file that says which. Prints its status,
// one line of JSON, whenever that changes; an error as the command line would, with its exit code. Recovers on a signal.

import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { KeyValueStore } from '../../examples/key-value/index.ts';
import { createLog } from '../../src/node/log.ts';
import * as source from '../../src/server/replication/index.ts';

export const replicaFileSchema = z.object({
  engine: z.enum(['pbft', 'vr']),
  faults: z.number(),
  members: z.array(z.object({ publicKey: z.string(), port: z.number() })),
  /** Hexadecimal; not for a member whose key a module has. */
  seed: z.string().optional(),
  signingSocket: z.string().optional(),
  /** The compiled library, where the source itself will not do: it asks for signatures in a thread. */
  library: z.string().optional(),
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
  return source.describeGroup('key-value', placed, faults, root);
}

/** A `HoldfastError` of the source or of the compiled library, which has a class of its own. */
const failureSchema = z.object({
  name: z.literal('HoldfastError'),
  message: z.string(),
  cure: z.string().optional(),
  exitCode: z.number(),
});

const statusIntervalMs = 50;

/** On this signal a replica begins a proactive recovery. */
export const recoverSignal = 'SIGUSR2';

function engineOf({ engine, recoveryIntervalMs = 0 }: ReplicaFile): source.EngineChoice {
  if (engine === 'vr') return { kind: 'vr', parameters: { checkpointInterval: 16 } };
  return {
    kind: 'pbft',
    parameters: { checkpointInterval: 16, window: 32, recoveryIntervalMs },
  };
}

function keyOf({ seed, signingSocket }: ReplicaFile): {
  identitySeed?: Uint8Array;
  signingSocket?: string;
} {
  return {
    ...(seed !== undefined && { identitySeed: new Uint8Array(Buffer.from(seed, 'hex')) }),
    ...(signingSocket !== undefined && { signingSocket }),
  };
}

async function run(file: ReplicaFile): Promise<void> {
  const library: typeof source =
    file.library === undefined ? source : await import(pathToFileURL(file.library).href);
  const replica = await library.startReplica({
    group: groupOf(file),
    ...keyOf(file),
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
    const failure = failureSchema.safeParse(error);
    if (!failure.success) throw error;
    process.stderr.write(`${failure.data.message}\n${failure.data.cure ?? ''}\n`);
    process.exitCode = failure.data.exitCode;
  });
}
