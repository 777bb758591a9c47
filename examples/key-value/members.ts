// The folders of the members that are on this machine: made, handed on to the next group, made anew, and their processes
// ended.

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { HoldfastError } from 'holdfast';
import { memberKey, readEnding, recoverReplicaFolder } from 'holdfast/replication';
import {
  dataPath,
  type Ending,
  type EngineKind,
  type GroupFile,
  groupOf,
  makeData,
  memberCounts,
  membersIn,
  Refusal,
  readGroup,
  readSeed,
  toHex,
  writeGroup,
  writeSeed,
} from './files.ts';

export async function create(folder: string, engine: EngineKind, port: number): Promise<void> {
  if (existsSync(folder)) {
    const what =
      membersIn(folder).length > 0
        ? 'with members and their secret keys. Start them, or name another --folder'
        : 'already. Name another --folder, or remove it';
    throw new Refusal(`${folder} is there ${what}.`);
  }
  const seeds = Array.from({ length: memberCounts[engine] }, () => new Uint8Array(randomBytes(32)));
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
export async function beginNext(folder: string): Promise<void> {
  const file = await readGroup(folder);
  const ending = await endingOf(folder, file);
  const generation = file.generation + 1;
  const next: GroupFile = { ...file, generation, genesis: toHex(ending.root) };
  const group = groupOf(next);
  for (const index of membersIn(folder)) {
    await makeData(folder, { group, generation }, index, ending);
  }
  await writeGroup(folder, next);
  console.log(`Group ${generation} begins with the state ${next.genesis}. Start its members.`);
}

/** Looks at all members that are here: each must have stopped, one must hold the final state. */
async function endingOf(folder: string, file: GroupFile): Promise<Ending> {
  const group = groupOf(file);
  let found: Ending | undefined;
  for (const index of membersIn(folder)) {
    const ending = readEnding(dataPath(folder, index, file.generation), group, index);
    const read = await ending.catch((error: unknown) => {
      if (hasNoEnding(error)) return undefined;
      const pid = holderOf(error);
      if (pid === undefined) throw error;
      throw new Refusal(
        `Process ${pid} works in the folder of member ${index}. If that is the member, run stop first; if it is another next, wait for it.`,
      );
    });
    found ??= read;
  }
  if (found !== undefined) return found;
  const { generation, genesis } = file;
  const begun = genesis === undefined ? '' : `, which began with the state ${genesis}`;
  throw new Refusal(
    `No member in ${folder} has seen the end of group ${generation}${begun}.
If it has not ended: start the members, run end, stop them when it is done, and run next.
If it has, and others have gone on without the members here: copy group.json from them, and run join for each member here.`,
  );
}

/** Not there yet, or lost: another member may have it. Anything else, such as a member that still runs, is to be put right. */
function hasNoEnding(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false;
  return error.code === 'not-found' || error.details.lost === true;
}

/** The process that works in a folder, of which this says that it is in use. */
function holderOf(error: unknown): number | undefined {
  const pid = error instanceof HoldfastError ? error.details.pid : undefined;
  return typeof pid === 'number' ? pid : undefined;
}

/** A new folder, without the state, for a member that has never run in this group: it fetches the state from the others. */
export async function join(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  await readSeed(folder, file, index);
  const { generation } = file;
  const path = dataPath(folder, index, generation);
  if (existsSync(path)) {
    throw new Refusal(
      `Member ${index} has its folder for group ${generation} already: ${path}. Start it: replica ${index}.`,
    );
  }
  await makeData(folder, { group: groupOf(file), generation }, index);
  console.log(
    `Member ${index} has a folder for group ${generation}: start it, and it learns from the others.`,
  );
}

/** A new folder for a PBFT member that has run in this group, and has lost its own. */
export async function recover(folder: string, index: number): Promise<void> {
  const file = await readGroup(folder);
  await readSeed(folder, file, index);
  if (file.engine === 'vr') {
    throw new Refusal(`Viewstamped Replication has no recovery from a lost disk. ${newGroup}`);
  }
  const path = dataPath(folder, index, file.generation);
  const aside = await recoverReplicaFolder(path, groupOf(file), index).catch((error: unknown) => {
    throw withCommands(error, folder, file, index);
  });
  const kept = aside === undefined ? '' : ` What was left of the old one is in ${aside}.`;
  console.log(`Member ${index} has a new folder: start it, and it learns from the others.${kept}`);
}

const newGroup =
  'A member that has lost its folder must not come back to this group: run end, stop the others, and run next. The next group has it again.';

/** What the library says, with what to do about it here. */
export function withCommands(
  error: unknown,
  folder: string,
  file: GroupFile,
  index: number,
): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const cure = cureOf(error, folder, file, index);
  if (cure === undefined) return error;
  const { code, message, details } = error;
  return new HoldfastError(code, message, { cure, details, cause: error });
}

function cureOf(
  { code, details }: HoldfastError,
  folder: string,
  { engine, generation }: GroupFile,
  index: number,
): string | undefined {
  const path = dataPath(folder, index, generation);
  if (code === 'port-in-use') {
    return `Stop what has the port: member ${index} of this or another group, perhaps. For another port correct group.json, on all machines alike, and start all members again.`;
  }
  if (code === 'unavailable') return `Start it: sign ${index}. Then replica ${index} --signed.`;
  if (details.whole === true) {
    return `Start it: replica ${index}. If what it holds is not to be trusted (an older copy was put back, say), move ${path} away first.`;
  }
  if (details.lost !== true) return undefined;
  const lost =
    engine === 'pbft'
      ? `recover ${index}, once. It then counts as faulty until it says normal.`
      : newGroup;
  if (existsSync(path)) return engine === 'pbft' ? `Run ${lost}` : lost;
  return `If member ${index} has never run in group ${generation}: join ${index}. If it has: ${lost}`;
}

/** How long a member may take to stop. */
const stopTimeoutMs = 20_000;

/** Ends the processes of the members that run in this folder, and of no others. */
export async function stop(folder: string): Promise<void> {
  const file = await readGroup(folder);
  const running: number[] = [];
  for (const index of membersIn(folder)) {
    const pid = await runnerOf(folder, file, index);
    if (pid === undefined) continue;
    process.kill(pid, 'SIGTERM');
    running.push(index);
  }
  const untilMs = Date.now() + stopTimeoutMs;
  for (const index of running) {
    while ((await runnerOf(folder, file, index)) !== undefined) {
      if (Date.now() > untilMs) throw new Refusal(`Member ${index} has not stopped yet.`);
      await setTimeout(100);
    }
  }
  console.log(`${running.length} members have stopped.`);
}

/** The process in which a member runs: it holds the member's folder. */
async function runnerOf(
  folder: string,
  file: GroupFile,
  index: number,
): Promise<number | undefined> {
  const path = dataPath(folder, index, file.generation);
  try {
    await readEnding(path, groupOf(file), index);
  } catch (error) {
    if (hasNoEnding(error)) return undefined;
    const pid = holderOf(error);
    if (pid === undefined) throw error;
    return pid;
  }
  return undefined;
}
