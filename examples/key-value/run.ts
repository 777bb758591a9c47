// The key-value store as four real processes, of which one may lie:
//
//   npx tsx examples/key-value/run.ts create           keys, folders and the list of members, in ./key-value
//   npx tsx examples/key-value/run.ts replica 0        a member; one terminal each for 0, 1, 2 and 3
//   npx tsx examples/key-value/run.ts put apples 3     a client: put, get, delete, cas and scan
//   npx tsx examples/key-value/run.ts end              ends it, for good; then stop the members
//   npx tsx examples/key-value/run.ts next             another group, which goes on with its state
//
// `create --engine vr` makes three members of which one may stop. On machines of their own, write their addresses into
// `group.json`; each gets that file and its own folder, and nobody else's.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { HoldfastError } from 'holdfast';
import {
  connectGroup,
  createReplicaFolder,
  describeGroup,
  memberKey,
  type PlacedGroup,
  readEnding,
  startReplica,
} from 'holdfast/replication';
import { decodeResult, encodeOperation, KeyValueStore, type Operation } from './index.ts';

const usage = `Usage: run.ts [--folder ./key-value] COMMAND
  create [--port 7501] [--engine pbft|vr]
  replica NUMBER
  put KEY VALUE | get KEY | delete KEY | cas KEY EXPECTED VALUE | scan FROM
  end
  next`;

interface GroupFile {
  readonly engine: 'pbft' | 'vr';
  /** How many groups have handed their state on to this one. */
  readonly generation: number;
  /** The root of that state, in hexadecimal. */
  readonly genesis?: string;
  /** Public keys are hexadecimal. */
  readonly members: readonly {
    readonly publicKey: string;
    readonly host: string;
    readonly port: number;
  }[];
}

const groupPath = (folder: string): string => join(folder, 'group.json');
const memberPath = (folder: string, index: number): string => join(folder, `member-${index}`);
const seedPath = (folder: string, index: number): string => join(memberPath(folder, index), 'seed');
const dataPath = (folder: string, index: number, generation: number): string =>
  join(memberPath(folder, index), `data-${generation}`);

function groupOf({ members, genesis }: Pick<GroupFile, 'members' | 'genesis'>): PlacedGroup {
  const placed = members.map(({ publicKey, host, port }) => ({
    publicKey: new Uint8Array(Buffer.from(publicKey, 'hex')),
    address: { host, port },
  }));
  const root = genesis === undefined ? undefined : new Uint8Array(Buffer.from(genesis, 'hex'));
  return describeGroup('key-value', placed, 1, root);
}

/** What a person can act on. */
class Refusal extends Error {}

async function readGroup(folder: string): Promise<GroupFile> {
  const text = await readFile(groupPath(folder), 'utf8').catch(() => {
    throw new Refusal(`There is no ${groupPath(folder)}. Run create first, or name its --folder.`);
  });
  return JSON.parse(text);
}

async function create(folder: string, engine: GroupFile['engine'], port: number) {
  if (existsSync(folder)) {
    throw new Refusal(`${folder} is there already. Name another --folder, or remove it.`);
  }
  const seeds = Array.from({ length: engine === 'pbft' ? 4 : 3 }, () => randomBytes(32));
  const members = seeds.map((seed, i) => {
    const publicKey = Buffer.from(memberKey(new Uint8Array(seed))).toString('hex');
    return { publicKey, host: '127.0.0.1', port: port + i };
  });
  const group = groupOf({ members });
  for (const [index, seed] of seeds.entries()) {
    await mkdir(memberPath(folder, index), { recursive: true });
    await writeFile(seedPath(folder, index), seed.toString('hex'), { flag: 'wx', mode: 0o600 });
    await createReplicaFolder(dataPath(folder, index, 0), group, index);
  }
  await writeGroup(folder, { engine, generation: 0, members });
  console.log(`${members.length} members are in ${folder}.`);
}

async function writeGroup(folder: string, file: GroupFile): Promise<void> {
  await writeFile(groupPath(folder), JSON.stringify(file, undefined, 2));
}

/**
 * Another group of the same members begins with the state that this one ended with. Any member's copy will do: it is checked
 * against what `2f+1` members have signed. Others could fetch it from those that have it.
 */
async function beginNext(folder: string): Promise<void> {
  const file = await readGroup(folder);
  const ending = await readEnding(dataPath(folder, 0, file.generation), groupOf(file), 0);
  const next: GroupFile = {
    ...file,
    generation: file.generation + 1,
    genesis: Buffer.from(ending.root).toString('hex'),
  };
  const group = groupOf(next);
  for (const index of next.members.keys()) {
    await createReplicaFolder(dataPath(folder, index, next.generation), group, index, ending);
  }
  await writeGroup(folder, next);
  console.log(`Group ${next.generation} begins with the state ${next.genesis}.`);
}

async function serve(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  const seed = await readFile(seedPath(folder, index), 'utf8').catch(() => {
    throw new Refusal(`There is no member ${index} in ${folder}.`);
  });
  const replica = await startReplica({
    group: groupOf(file),
    identitySeed: new Uint8Array(Buffer.from(seed, 'hex')),
    engine: { kind: file.engine },
    service: new KeyValueStore(),
    folder: dataPath(folder, index, file.generation),
  });
  console.log(`Member ${index} is up. Ctrl-C ends it.`);
  process.once('SIGINT', () => void replica.stop());
  process.once('SIGTERM', () => void replica.stop());
  // Its disk or its service failed; whoever looks after the process starts it again.
  void replica.failed.then(async (error) => {
    console.error(error.message);
    process.exitCode = 1;
    await replica.stop();
  });
}

function operationOf(command: string, words: readonly string[]): Operation | undefined {
  const [key, second, third] = words.map((word) => new Uint8Array(Buffer.from(word)));
  if (command === 'end' && words.length === 0) return { kind: 'stop' };
  if (key === undefined) return undefined;
  if (words.length === 1) {
    if (command === 'get' || command === 'delete') return { kind: command, key };
    if (command === 'scan') return { kind: 'scan', from: key, limit: 100 };
  }
  if (command === 'put' && words.length === 2 && second !== undefined) {
    return { kind: 'put', key, value: second };
  }
  if (command === 'cas' && words.length === 3 && second !== undefined && third !== undefined) {
    return { kind: 'compare-and-set', key, expected: second, value: third };
  }
  return undefined;
}

/** Bytes and nested values as text. */
function show(value: unknown): string {
  return JSON.stringify(value, (_, each) =>
    each instanceof Uint8Array ? Buffer.from(each).toString() : each,
  );
}

async function ask(folder: string, operation: Operation): Promise<void> {
  const file = await readGroup(folder);
  const client = await connectGroup({ group: groupOf(file), engine: file.engine });
  const bytes = encodeOperation(operation);
  const signal = AbortSignal.timeout(30_000);
  const isRead = operation.kind === 'get' || operation.kind === 'scan';
  try {
    const outcome = await (isRead
      ? client.query(bytes, { signal })
      : client.submit(bytes, { signal }));
    console.log(outcome.kind === 'result' ? show(decodeResult(outcome.result)) : outcome.kind);
  } finally {
    await client.close();
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    folder: { type: 'string', default: 'key-value' },
    port: { type: 'string', default: '7501' },
    engine: { type: 'string', default: 'pbft' },
  },
});
const [command = '', ...words] = positionals;
const { folder, engine } = values;

try {
  const operation = operationOf(command, words);
  if (operation !== undefined) await ask(folder, operation);
  else if (command === 'create' && (engine === 'pbft' || engine === 'vr')) {
    await create(folder, engine, Number(values.port));
  } else if (command === 'next') {
    await beginNext(folder);
  } else if (command === 'replica' && /^\d$/.test(words.join())) {
    await serve(folder, Number(words[0]));
  } else {
    console.error(usage);
    process.exitCode = 2;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  if (error instanceof HoldfastError) {
    if (error.cure !== undefined) console.error(error.cure);
    process.exitCode = error.exitCode;
  }
}
