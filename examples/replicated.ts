// A service of one's own on four replicas, of which one may lie: named counters.
//
//   npx tsx examples/replicated.ts
//
// The replicas run in this one process to keep the example short; each would have a machine of its own.

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from 'holdfast';
import {
  type ConnectedGroup,
  connectGroup,
  createReplicaFolder,
  describeGroup,
  memberKey,
  type PageStore,
  type ReplicatedClient,
  type RunningReplica,
  type StateMachine,
  startReplica,
} from 'holdfast/replication';

/** What one page holds at most. */
const pageSizeBytesMax = 16 * 1024;

/** "name" adds one to the counter of that name, "?name" reads it. All state lies in numbered pages. */
class Counters implements StateMachine {
  #pages: PageStore | undefined;

  load(pages: PageStore): void {
    this.#pages = pages;
  }

  isQuery(operation: Uint8Array): boolean {
    return operation[0] === '?'.charCodeAt(0);
  }

  execute(operation: Uint8Array): Uint8Array {
    const name = Buffer.from(operation).toString();
    const counters = this.#read();
    const count = (counters.get(name) ?? 0) + 1;
    counters.set(name, count);
    // The same state must be the same bytes on every replica.
    const sorted = [...counters].sort(([a], [b]) => (a < b ? -1 : 1));
    const page = Buffer.from(JSON.stringify(sorted));
    // Clients send what they like: what does not fit is refused in words, never with an exception.
    if (page.length > pageSizeBytesMax) return Buffer.from('no room for this counter');
    this.#pages?.write(0, page);
    return Buffer.from(String(count));
  }

  query(operation: Uint8Array): Uint8Array {
    const name = Buffer.from(operation.subarray(1)).toString();
    return Buffer.from(String(this.#read().get(name) ?? 0));
  }

  #read(): Map<string, number> {
    const page = this.#pages?.read(0);
    return new Map(page === undefined ? [] : JSON.parse(Buffer.from(page).toString()));
  }
}

const seeds = Array.from({ length: 4 }, () => new Uint8Array(randomBytes(32)));
const group = describeGroup(
  'counters',
  seeds.map((seed, i) => ({
    publicKey: memberKey(seed),
    address: { host: '127.0.0.1', port: 7601 + i },
  })),
  1,
);

async function say(
  client: ReplicatedClient,
  operation: string,
  how: 'submit' | 'query' = 'submit',
): Promise<void> {
  const outcome = await client[how](Buffer.from(operation));
  const words = outcome.kind === 'result' ? Buffer.from(outcome.result).toString() : outcome.kind;
  console.log(`${operation}: ${words}`);
}

const folder = await mkdtemp(join(tmpdir(), 'replicated-'));
const replicas: RunningReplica[] = [];
let client: ConnectedGroup | undefined;
try {
  for (const [i, identitySeed] of seeds.entries()) {
    const own = join(folder, `replica-${i}`);
    await createReplicaFolder(own, group, i);
    const service = new Counters();
    const engine = { kind: 'pbft' } as const;
    replicas.push(await startReplica({ group, identitySeed, engine, service, folder: own }));
  }
  client = await connectGroup({ group, engine: 'pbft' });
  await say(client, 'apples');
  await say(client, 'apples');
  await say(client, '?apples', 'query');
  console.log('The primary stops.');
  await replicas[0]?.stop();
  await say(client, 'apples');
  await say(client, 'pears');
  await say(client, '?apples', 'query');
  console.log(`The others are in view ${replicas[1]?.status().view} now.`);
} catch (error) {
  // A port that another program has, say.
  if (!(error instanceof HoldfastError)) throw error;
  console.error(error.message);
  if (error.cure !== undefined) console.error(error.cure);
  process.exitCode = error.exitCode;
} finally {
  await client?.close();
  await Promise.all(replicas.map((replica) => replica.stop()));
  await rm(folder, { recursive: true, force: true });
}
