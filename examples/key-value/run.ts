// The key-value store as four real processes, of which one may lie:
//
//   npx tsx examples/key-value/run.ts create           keys, folders and the list of members, in ./key-value
//   npx tsx examples/key-value/run.ts replica 0        a member; one terminal each for 0, 1, 2 and 3
//   npx tsx examples/key-value/run.ts put apples 3     a client: put, get, delete, cas and scan
//   npx tsx examples/key-value/run.ts end              ends it, for good; then stop the members
//   npx tsx examples/key-value/run.ts next             another group, which goes on with its state
//   npx tsx examples/key-value/run.ts recover 2        a new folder for a member that has lost its own (PBFT)
//
// `create --engine vr` makes three members of which one may stop. On machines of their own, write their addresses into
// `group.json`; each gets that file and its own folder, and nobody else's.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { HoldfastError } from 'holdfast';
import {
  connectGroup,
  type Log,
  type LogFields,
  memberKey,
  readEnding,
  recoverReplicaFolder,
  startReplica,
} from 'holdfast/replication';
import {
  dataPath,
  type Ending,
  type EngineKind,
  type GroupFile,
  groupOf,
  makeData,
  memberPath,
  Refusal,
  readGroup,
  readSeed,
  toHex,
  writeGroup,
  writeSeed,
} from './files.ts';
import { decodeResult, encodeOperation, KeyValueStore, type Operation } from './index.ts';

const usage = `Usage: run.ts [--folder ./key-value] COMMAND
  create [--port 7501] [--engine pbft|vr]
  replica NUMBER
  put KEY VALUE | get KEY | delete KEY | cas KEY EXPECTED VALUE | scan FROM
  end
  next
  recover NUMBER`;

/** How long a client waits for an answer. */
const timeoutMs = 30_000;

async function create(folder: string, engine: EngineKind, port: number): Promise<void> {
  if (existsSync(folder)) {
    throw new Refusal(`${folder} is there already. Name another --folder, or remove it.`);
  }
  const seeds = Array.from(
    { length: engine === 'pbft' ? 4 : 3 },
    () => new Uint8Array(randomBytes(32)),
  );
  const members = seeds.map((seed, i) => {
    return { publicKey: toHex(memberKey(seed)), host: '127.0.0.1', port: port + i };
  });
  const group = groupOf({ members });
  for (const [index, seed] of seeds.entries()) {
    await writeSeed(folder, index, seed);
    await makeData(folder, { group, generation: 0 }, index);
  }
  await writeGroup(folder, { engine, generation: 0, members });
  console.log(`${members.length} members are in ${folder}.`);
}

/**
 * Another group of the same members begins with the state that this one ended with. Any member's copy will do: under PBFT it is
 * checked against what `2f+1` members have signed. `group.json` comes last, so that this can be done again when it was cut short.
 */
async function beginNext(folder: string): Promise<void> {
  const file = await readGroup(folder);
  const ending = await endingOf(folder, file);
  const generation = file.generation + 1;
  const next: GroupFile = { ...file, generation, genesis: toHex(ending.root) };
  const group = groupOf(next);
  for (const index of next.members.keys()) {
    if (!existsSync(memberPath(folder, index))) continue;
    await makeData(folder, { group, generation }, index, ending);
  }
  await writeGroup(folder, next);
  console.log(`Group ${generation} begins with the state ${next.genesis}. Start its members.`);
}

/** Looks at all members that are here: each must have stopped, one must hold the final state. */
async function endingOf(folder: string, file: GroupFile): Promise<Ending> {
  const group = groupOf(file);
  let found: Ending | undefined;
  for (const index of file.members.keys()) {
    if (!existsSync(memberPath(folder, index))) continue;
    const ending = readEnding(dataPath(folder, index, file.generation), group, index);
    const read = await ending.catch((error: unknown) => {
      if (!hasNoEnding(error)) throw error;
      return undefined;
    });
    found ??= read;
  }
  if (found !== undefined) return found;
  throw new Refusal(
    `No member in ${folder} has seen the end of the group. Start the members, run end, stop them when it is done, and run next.`,
  );
}

/** Not there yet, or lost: another member may have it. Anything else, such as a member that still runs, is to be put right. */
function hasNoEnding(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false;
  return error.code === 'not-found' || error.details.lost === true;
}

async function serve(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  const replica = await startReplica({
    group: groupOf(file),
    identitySeed: await readSeed(folder, file, index),
    engine: { kind: file.engine },
    service: new KeyValueStore(),
    folder: dataPath(folder, index, file.generation),
    log: { ...log, info: tell },
  });
  console.log(`Member ${index} is up. Ctrl-C ends it.`);
  process.once('SIGINT', () => void replica.stop());
  process.once('SIGTERM', () => void replica.stop());
  // Its disk or its service failed; whoever looks after the process starts it again.
  void replica.failed.then(async (error) => {
    explain(error);
    await replica.stop();
  });
}

async function recover(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  await readSeed(folder, file, index);
  const path = dataPath(folder, index, file.generation);
  const aside = await recoverReplicaFolder(path, groupOf(file), index);
  const kept = aside === undefined ? '' : ` What was left of the old one is in ${aside}.`;
  console.log(`Member ${index} has a new folder: start it, and it learns from the others.${kept}`);
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
  const client = await connectGroup({ group: groupOf(file), engine: file.engine, timeoutMs, log });
  const bytes = encodeOperation(operation);
  const isRead = operation.kind === 'get' || operation.kind === 'scan';
  try {
    const outcome = await (isRead ? client.query(bytes) : client.submit(bytes));
    if (outcome.kind === 'result') console.log(show(decodeResult(outcome.result)));
    else if (outcome.kind === 'ended') {
      throw new Refusal(
        'ended: this group is over, and the operation was not executed. Stop its members, run next, start them, and ask again.',
      );
    } else throw new Refusal(`${outcome.kind}: nobody remembers whether it was executed.`);
  } finally {
    await client.close();
  }
}

/** One line on standard error for each event. */
function tell(event: string, fields: LogFields = {}): void {
  const words = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
  const note = event === 'group-silent' ? `  (waiting, ${timeoutMs / 1000} s at most)` : '';
  console.error(`${[event, ...words].join(' ')}${note}`);
}

const log: Log = { debug() {}, info() {}, warn: tell, error: tell };

/** Says what is wrong and what to do about it, and sets the exit code. */
function explain(error: unknown): void {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
  if (error instanceof HoldfastError) {
    if (error.cure !== undefined) console.error(error.cure);
    process.exitCode = error.exitCode;
  }
}

function misused(reason: string): void {
  console.error(`${reason}\n${usage}`);
  process.exitCode = 2;
}

async function run({ values, positionals }: ReturnType<typeof parsed>): Promise<void> {
  const [command = '', ...words] = positionals;
  const { folder, engine } = values;
  const operation = operationOf(command, words);
  const [word = ''] = words;
  const index = words.length === 1 && /^\d$/.test(word) ? Number(word) : undefined;
  if (values.help === true) console.log(usage);
  else if (operation !== undefined) await ask(folder, operation);
  else if (command === 'create' && (engine === 'pbft' || engine === 'vr')) {
    await create(folder, engine, Number(values.port));
  } else if (command === 'next' && words.length === 0) await beginNext(folder);
  else if (command === 'replica' && index !== undefined) await serve(folder, index);
  else if (command === 'recover' && index !== undefined) await recover(folder, index);
  else misused('No such command, or not with these words.');
}

const parsed = () =>
  parseArgs({
    allowPositionals: true,
    options: {
      folder: { type: 'string', default: 'key-value' },
      port: { type: 'string', default: '7501' },
      engine: { type: 'string', default: 'pbft' },
      help: { type: 'boolean', short: 'h' },
    },
  });

let typed: ReturnType<typeof parsed> | undefined;
try {
  typed = parsed();
} catch (error) {
  misused(error instanceof Error ? error.message : String(error));
}
if (typed !== undefined) await run(typed).catch(explain);
