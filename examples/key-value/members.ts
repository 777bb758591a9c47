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
  memberPath,
  Refusal,
  readGroup,
  readSeed,
  toHex,
  writeGroup,
  writeSeed,
} from './files.ts';

export async function create(folder: string, engine: EngineKind, port: number): Promise<void> {
  if (existsSync(folder)) {
    throw new Refusal(`${folder} is there already. Name another --folder, or remove it.`);
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
  for (const index of membersIn(folder, file)) {
    await makeData(folder, { group, generation }, index, ending);
  }
  await writeGroup(folder, next);
  console.log(`Group ${generation} begins with the state ${next.genesis}. Start its members.`);
}

function membersIn(folder: string, { members }: GroupFile): number[] {
  return [...members.keys()].filter((index) => existsSync(memberPath(folder, index)));
}

/** Looks at all members that are here: each must have stopped, one must hold the final state. */
async function endingOf(folder: string, file: GroupFile): Promise<Ending> {
  const group = groupOf(file);
  let found: Ending | undefined;
  for (const index of membersIn(folder, file)) {
    const ending = readEnding(dataPath(folder, index, file.generation), group, index);
    const read = await ending.catch((error: unknown) => {
      if (hasNoEnding(error)) return undefined;
      const isRunning = error instanceof HoldfastError && error.details.pid !== undefined;
      throw isRunning ? new Refusal(`Member ${index} still runs. Run stop first.`) : error;
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
  const path = dataPath(folder, index, file.generation);
  const aside = await recoverReplicaFolder(path, groupOf(file), index);
  const kept = aside === undefined ? '' : ` What was left of the old one is in ${aside}.`;
  console.log(`Member ${index} has a new folder: start it, and it learns from the others.${kept}`);
}

/** What the library says of a folder that is lost, with what to do about it here. */
export function withCommands(
  error: unknown,
  folder: string,
  { engine, generation }: GroupFile,
  index: number,
): unknown {
  if (!(error instanceof HoldfastError) || error.details.lost !== true) return error;
  const isThere = existsSync(dataPath(folder, index, generation));
  const unmade = `If member ${index} has never run in group ${generation}: join ${index}. `;
  const lost =
    engine === 'pbft'
      ? `If it has: recover ${index}, once. It then counts as faulty until it says normal.`
      : 'If it has, it must not come back to this group: run end, stop the others, and run next. The next group has it again.';
  const { code, message, details } = error;
  const cure = `${isThere ? '' : unmade}${lost}`;
  return new HoldfastError(code, message, { cure, details, cause: error });
}

/** How long a member may take to stop. */
const stopTimeoutMs = 20_000;

/** Ends the processes of the members that run in this folder, and of no others. */
export async function stop(folder: string): Promise<void> {
  const file = await readGroup(folder);
  const running: number[] = [];
  for (const index of membersIn(folder, file)) {
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
    if (!(error instanceof HoldfastError) || typeof error.details.pid !== 'number') throw error;
    return error.details.pid;
  }
  return undefined;
}
