// The key-value store as four real processes, of which one may lie:
//
//   npx tsx examples/key-value/run.ts create           keys, folders and the list of members, in ./key-value
//   npx tsx examples/key-value/run.ts replica 0        a member; one terminal each for 0, 1, 2 and 3
//   npx tsx examples/key-value/run.ts put apples 3     a client: put, get, delete, cas and scan
//   npx tsx examples/key-value/run.ts stop             stops the members that run in this folder
//
//   npx tsx examples/key-value/run.ts end              ends it, for good; then stop the members
//   npx tsx examples/key-value/run.ts next             another group, which goes on with its state
//   npx tsx examples/key-value/run.ts join 3           a folder for a member that has never run in this group
//   npx tsx examples/key-value/run.ts recover 2        a new folder for a member that has lost its own (PBFT)
//   npx tsx examples/key-value/run.ts sign 2           a process that signs for a member, which is then started by
//                                                      replica 2 --signed, and does not see its key (PBFT)
//
// `create --engine vr` makes three members of which one may stop. On machines of their own, write their addresses into
// `group.json`; each gets that file and its own folder, and nobody else's. For the next group run `next` where a member has
// the final state, copy `group.json` to the other machines, and run `join` there.

import { parseArgs } from 'node:util';
import { HoldfastError } from 'holdfast';
import {
  connectGroup,
  type Log,
  type LogFields,
  startReplica,
  startSigningModule,
} from 'holdfast/replication';
import { keySizeBytesMax, valueSizeBytesMax } from './codec.ts';
import {
  dataPath,
  groupOf,
  isPort,
  makeKey,
  memberCounts,
  Refusal,
  readGroup,
  readSeed,
  socketPath,
} from './files.ts';
import {
  decodeResult,
  encodeOperation,
  KeyValueStore,
  type Operation,
  type Result,
} from './index.ts';
import { beginNext, create, join, recover, stop, withCommands } from './members.ts';

const usage = `Usage: run.ts [--folder ./key-value] COMMAND
  create [--port 7501] [--engine pbft|vr]
  replica NUMBER
  put KEY VALUE | get KEY | delete KEY | cas KEY EXPECTED VALUE | scan FROM
  stop
  end
  next
  join NUMBER
  recover NUMBER
  sign NUMBER, and then: replica NUMBER --signed`;

/** How long a client waits for an answer. */
const timeoutMs = 30_000;

/** How often a member looks whether it has something new to say of how it stands. */
const statusIntervalMs = 500;

/** Signs for a member, in a process that could be another user's, or on the other side of a wall that sockets pass. */
async function sign(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  const path = await makeKey(folder, file, index);
  const signing = await startSigningModule({
    folder: path,
    socket: socketPath(folder, index),
    log: { ...log, info: tell },
  });
  console.log(`Signing for member ${index}: now replica ${index} --signed. Ctrl-C ends it.`);
  process.once('SIGINT', () => void signing.stop());
  process.once('SIGTERM', () => void signing.stop());
}

async function serve(folder: string, index: number, isSigned: boolean): Promise<void> {
  const file = await readGroup(folder);
  const replica = await startReplica({
    group: groupOf(file),
    ...(isSigned
      ? { signingSocket: socketPath(folder, index) }
      : { identitySeed: await readSeed(folder, file, index) }),
    engine: { kind: file.engine },
    service: new KeyValueStore(),
    folder: dataPath(folder, index, file.generation),
    log: { ...log, info: tell },
  }).catch((error: unknown) => {
    throw withCommands(error, folder, file, index);
  });
  console.log(`Member ${index} is up. Ctrl-C ends it.`);
  let said = '';
  const telling = setInterval(() => {
    const { status, waitsFor } = replica.status();
    const now = waitsFor === undefined ? status : `${status}, and waits for ${waitsFor}`;
    if (now !== said) console.log(`Member ${index}: ${now}`);
    said = now;
  }, statusIntervalMs);
  const stopIt = (): Promise<void> => {
    clearInterval(telling);
    return replica.stop();
  };
  process.once('SIGINT', () => void stopIt());
  process.once('SIGTERM', () => void stopIt());
  // Its disk or its service failed; whoever looks after the process starts it again.
  void replica.failed.then(async (error) => {
    explain(withCommands(error, folder, file, index));
    await stopIt();
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
  const client = await connectGroup({ group: groupOf(file), engine: file.engine, timeoutMs, log });
  const bytes = encodeOperation(operation);
  const isRead = operation.kind === 'get' || operation.kind === 'scan';
  try {
    const outcome = await (isRead ? client.query(bytes) : client.submit(bytes));
    if (outcome.kind === 'result') report(decodeResult(outcome.result));
    else if (outcome.kind === 'ended') {
      throw new Refusal(
        'ended: this group is over, and the operation was not executed. Stop its members, run next, start them, and ask again.',
      );
    } else throw new Refusal(`${outcome.kind}: nobody remembers whether it was executed.`);
  } finally {
    await client.close();
  }
}

/** Prints a result, and sets the exit code where nothing was done. */
function report(result: Result | undefined): void {
  console.log(show(result));
  if (result?.kind === 'differs') throw new Refusal('Not set: the key has another value, or none.');
  if (result?.kind !== 'refused') return;
  throw new Refusal(
    result.reason === 'full'
      ? 'Refused: the store is full.'
      : `Refused: a key has at most ${keySizeBytesMax} bytes, a value ${valueSizeBytesMax}.`,
  );
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
    const port = Number(values.port);
    const last = port + memberCounts[engine] - 1;
    if (isPort(port) && isPort(last)) await create(folder, engine, port);
    else misused(`--port is the first of ${memberCounts[engine]} ports, up to 65535.`);
  } else if (command === 'next' && words.length === 0) await beginNext(folder);
  else if (command === 'stop' && words.length === 0) await stop(folder);
  else if (command === 'join' && index !== undefined) await join(folder, index);
  else if (command === 'replica' && index !== undefined)
    await serve(folder, index, values.signed === true);
  else if (command === 'sign' && index !== undefined) await sign(folder, index);
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
      signed: { type: 'boolean' },
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
